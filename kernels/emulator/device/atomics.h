// Atomic operations. One thread runs at a time, so each is a plain read and write; the runtime is told that it was atomic,
// since two atomics never race with each other, but an atomic and a plain access do.
#pragma once

extern "C" void minizf_atomic(void* address, int bytes, void* caller);

#ifdef MINIZF_CHECKED
#define MINIZF_ATOMIC(address) minizf_atomic(address, sizeof *(address), __builtin_return_address(0))
#else
#define MINIZF_ATOMIC(address)
#endif

#define MINIZF_UPDATE(name, result)                                                        \
    template <class T> MINIZF_UNSEEN T name(T* address, decltype(T() + T()) operand) {     \
        MINIZF_ATOMIC(address);                                                            \
        T old = *address, value = (T)operand;                                              \
        *address = (result);                                                               \
        return old;                                                                        \
    }                                                                                      \
    template <class T> MINIZF_UNSEEN T name##_block(T* address, decltype(T() + T()) operand) { return name(address, operand); }
MINIZF_UPDATE(atomicAdd, old + value)
MINIZF_UPDATE(atomicSub, old - value)
MINIZF_UPDATE(atomicMax, old < value ? value : old)
MINIZF_UPDATE(atomicMin, value < old ? value : old)
MINIZF_UPDATE(atomicExch, value)
MINIZF_UPDATE(atomicAnd, old & value)
MINIZF_UPDATE(atomicOr, old | value)
MINIZF_UPDATE(atomicXor, old ^ value)
MINIZF_UPDATE(atomicInc, old >= value ? 0 : old + 1)
MINIZF_UPDATE(atomicDec, old == 0 || old > value ? value : old - 1)
#undef MINIZF_UPDATE

template <class T> MINIZF_UNSEEN T atomicCAS(T* address, decltype(T() + T()) expected, decltype(T() + T()) value) {
    MINIZF_ATOMIC(address);
    T old = *address;
    if (old == (T)expected) *address = (T)value;
    return old;
}
