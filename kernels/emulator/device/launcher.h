// From a kernel's C++ type to what the launch needs: a function that calls it with an array of pointers to its arguments,
// and the kind and size of every parameter, so that Python can check before it calls.
#pragma once

namespace minizf {

template <class T> constexpr const char* kind_of() {
    if constexpr (__is_same(T, bool)) return "bool";
    else if constexpr (__is_same(T, float) || __is_same(T, double)) return "float";
    else if constexpr (__is_class(T) || __is_union(T)) return "struct";
    else return T(-1) < T(0) ? "signed" : "unsigned";
}

struct Parameter {  // layout known to Python: binary.py
    const char* kind;     // of the value, or of what the pointer points to
    int bytes, alignment;
    int pointer, constant;
};

template <class T> constexpr Parameter described(int pointer, int constant) {
    if constexpr (__is_same(T, void)) return {"void", 1, 1, pointer, constant};
    else return {kind_of<T>(), sizeof(T), alignof(T), pointer, constant};
}
template <class T> struct Describe { static constexpr Parameter parameter = described<T>(0, 0); };
template <class T> struct Describe<T*> { static constexpr Parameter parameter = described<T>(1, 0); };
template <class T> struct Describe<const T*> { static constexpr Parameter parameter = described<T>(1, 1); };
template <class T> struct Describe<volatile T*> : Describe<T*> {};
template <class T> struct Describe<const volatile T*> : Describe<const T*> {};

template <class... A> struct Call {
    __attribute__((no_sanitize("thread"))) Call(void (*kernel)(A...), A... arguments) { kernel(arguments...); }
};

template <class... A> __attribute__((no_sanitize("thread"))) void call(void (*kernel)(A...), void** arguments) {
    int i = 0;
    Call<A...>{kernel, *(A*)arguments[i++]...};  // braces: evaluated from left to right
    (void)i;
}

struct Library {  // of the runtime's types.h
    char *image, *image_end, *shared, *shared_end;
};

struct Kernel {
    const char* name;
    void (*call)(void** arguments);
    int parameter_count;
    const Parameter* parameters;
};

template <class... A> struct Signature {
    static constexpr int count = sizeof...(A);
    static constexpr Parameter parameters[count + 1] = {Describe<A>::parameter..., {}};
};
template <class... A> constexpr Signature<A...> signature_of(void (*)(A...)) { return {}; }

}  // namespace minizf

extern "C" __attribute__((visibility("hidden"))) char __ehdr_start[], _end[], minizf_shared_begin[], minizf_shared_end[];

#define MINIZF_KERNEL(k)                                                                                            \
    minizf::Kernel { #k, [](void** arguments) __attribute__((no_sanitize("thread"))) { minizf::call(&k, arguments); }, \
                     decltype(minizf::signature_of(&k))::count, decltype(minizf::signature_of(&k))::parameters }

#define MINIZF_EXPORTED extern "C" __attribute__((visibility("default")))
#define MINIZF_KERNELS(...)                                                                                         \
    static minizf::Kernel minizf_all_kernels[] = {__VA_ARGS__ __VA_OPT__(, ) minizf::Kernel{}};                    \
    MINIZF_EXPORTED minizf::Kernel* minizf_kernels() { return minizf_all_kernels; }                                 \
    MINIZF_EXPORTED void minizf_library(minizf::Library* library) {                                                 \
        *library = {__ehdr_start, _end, minizf_shared_begin, minizf_shared_end};                                    \
    }
