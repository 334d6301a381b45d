// Arithmetic a kernel may use by name: C's mathematics, CUDA's overloads for float, and its intrinsics.
//
// The fast intrinsics (__expf and so on) give C's accurate results: an emulator has nothing to gain from being less exact.
#pragma once

extern "C" {
#define MINIZF_ONE(name) float name##f(float) noexcept; double name(double) noexcept;
#define MINIZF_TWO(name) float name##f(float, float) noexcept; double name(double, double) noexcept;
MINIZF_ONE(sqrt) MINIZF_ONE(cbrt) MINIZF_ONE(exp) MINIZF_ONE(exp2) MINIZF_ONE(expm1) MINIZF_ONE(log) MINIZF_ONE(log2)
MINIZF_ONE(log10) MINIZF_ONE(log1p) MINIZF_ONE(sin) MINIZF_ONE(cos) MINIZF_ONE(tan) MINIZF_ONE(asin) MINIZF_ONE(acos)
MINIZF_ONE(atan) MINIZF_ONE(sinh) MINIZF_ONE(cosh) MINIZF_ONE(tanh) MINIZF_ONE(erf) MINIZF_ONE(erfc) MINIZF_ONE(floor)
MINIZF_ONE(ceil) MINIZF_ONE(round) MINIZF_ONE(rint) MINIZF_ONE(trunc) MINIZF_ONE(fabs)
MINIZF_TWO(pow) MINIZF_TWO(fmod) MINIZF_TWO(fmin) MINIZF_TWO(fmax) MINIZF_TWO(atan2) MINIZF_TWO(hypot) MINIZF_TWO(copysign)
MINIZF_TWO(fdim)
float fmaf(float, float, float) noexcept;
double fma(double, double, double) noexcept;
float ldexpf(float, int) noexcept;
int abs(int) noexcept;
void* memcpy(void*, const void*, size_t) noexcept;
void* memset(void*, int, size_t) noexcept;
int printf(const char*, ...) __asm__("minizf_printf");
[[noreturn]] void minizf_assert(const char* expression, int line);
[[noreturn]] void minizf_trap(int line);
#undef MINIZF_ONE
#undef MINIZF_TWO
}

#ifndef assert
#define assert(expression) ((expression) ? (void)0 : minizf_assert(#expression, __LINE__))
#endif
#define __trap() minizf_trap(__LINE__)
#define __builtin_assume(condition) ((void)0)

#define MINIZF_FLOAT(name) static inline float name(float x) noexcept { return name##f(x); }
MINIZF_FLOAT(sqrt) MINIZF_FLOAT(exp) MINIZF_FLOAT(exp2) MINIZF_FLOAT(log) MINIZF_FLOAT(log2) MINIZF_FLOAT(sin)
MINIZF_FLOAT(cos) MINIZF_FLOAT(tanh) MINIZF_FLOAT(floor) MINIZF_FLOAT(ceil) MINIZF_FLOAT(fabs)
#undef MINIZF_FLOAT
static inline float abs(float x) { return fabsf(x); }
static inline float pow(float x, float y) { return powf(x, y); }
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
static inline float rsqrt(float x) { return rsqrtf(x); }
static inline float exp10f(float x) { return powf(10.f, x); }
static inline void sincosf(float x, float* s, float* c) { *s = sinf(x); *c = cosf(x); }
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0.f), 1.f); }

#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define __expf(x) expf(x)  // macros: glibc declares functions of these names
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __fsqrt_rn(x) sqrtf(x)
#define __frsqrt_rn(x) rsqrtf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.f / a; }
// Rounded one by one: the empty assembly keeps g++ from fusing them into a multiply-add.
#if defined(__x86_64__)
#define MINIZF_FLOAT_REGISTER "+x"
#elif defined(__aarch64__)
#define MINIZF_FLOAT_REGISTER "+w"
#else
#define MINIZF_FLOAT_REGISTER "+m"
#endif
static inline float __fmul_rn(float a, float b) { float p = a * b; asm("" : MINIZF_FLOAT_REGISTER(p)); return p; }
static inline float __fadd_rn(float a, float b) { asm("" : MINIZF_FLOAT_REGISTER(a)); return a + b; }
static inline float __fsub_rn(float a, float b) { asm("" : MINIZF_FLOAT_REGISTER(a)); return a - b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

static inline int min(int a, int b) { return b < a ? b : a; }
static inline int max(int a, int b) { return a < b ? b : a; }
static inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
static inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
static inline unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
static inline unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
static inline unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
static inline unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
static inline long long min(long long a, long long b) { return b < a ? b : a; }
static inline long long max(long long a, long long b) { return a < b ? b : a; }
static inline unsigned long long min(unsigned long long a, unsigned long long b) { return b < a ? b : a; }
static inline unsigned long long max(unsigned long long a, unsigned long long b) { return a < b ? b : a; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline size_t min(size_t a, size_t b) { return b < a ? b : a; }
static inline size_t max(size_t a, size_t b) { return a < b ? b : a; }

static inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
static inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
static inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
static inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
static inline int __float2int_rn(float x) { return (int)rintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline int __float2int_rd(float x) { return (int)floorf(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int bit = 0; bit < 32; ++bit) r |= (x >> bit & 1u) << (31 - bit);
    return r;
}
static inline int __mul24(int a, int b) { return a * b; }
static inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }

template <class T> static inline T __ldg(const T* address) { return *address; }  // caches are not emulated
template <class T> static inline T __ldcg(const T* address) { return *address; }
template <class T> static inline T __ldcs(const T* address) { return *address; }
template <class T> static inline void __stcs(T* address, T value) { *address = value; }
template <class T> static inline void __stcg(T* address, T value) { *address = value; }
