// Operations in which the lanes of a warp meet: __syncwarp, shuffles, votes.
//
// Every lane of `mask` that has not finished must come to the same call; the last to arrive computes the result for all of
// them. A lane that asks for the value of one that takes no part gets bits that are a NaN: undefined on a GPU, visible
// here.
#pragma once
#include "warp_kinds.h"


extern "C" {
void minizf_syncwarp(unsigned mask, int line);
void minizf_shuffle(int kind, unsigned mask, void* value, int bytes, int argument, int width, int line);
unsigned minizf_vote(int kind, unsigned mask, int predicate, int line);
long long minizf_reduce(int kind, unsigned mask, long long value, int line);
unsigned minizf_match(unsigned mask, unsigned long long value, int line);
unsigned minizf_active();
}

static inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) { minizf_syncwarp(mask, line); }

#define MINIZF_SHUFFLE(name, kind, Argument)                                                                             \
    template <class T>                                                                                                   \
    static inline T name(unsigned mask, T value, Argument argument, int width = 32, int line = __builtin_LINE()) {       \
        static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes per lane");                                     \
        minizf_shuffle(kind, mask, &value, sizeof value, (int)argument, width, line);                                    \
        return value;                                                                                                    \
    }
MINIZF_SHUFFLE(__shfl_sync, MINIZF_SHUFFLE_AT, int)
MINIZF_SHUFFLE(__shfl_up_sync, MINIZF_SHUFFLE_UP, unsigned)
MINIZF_SHUFFLE(__shfl_down_sync, MINIZF_SHUFFLE_DOWN, unsigned)
MINIZF_SHUFFLE(__shfl_xor_sync, MINIZF_SHUFFLE_XOR, int)
#undef MINIZF_SHUFFLE

static inline unsigned __ballot_sync(unsigned mask, int yes, int line = __builtin_LINE()) {
    return minizf_vote(MINIZF_VOTE_BALLOT, mask, yes != 0, line);
}
static inline int __all_sync(unsigned mask, int yes, int line = __builtin_LINE()) {
    return (int)minizf_vote(MINIZF_VOTE_ALL, mask, yes != 0, line);
}
static inline int __any_sync(unsigned mask, int yes, int line = __builtin_LINE()) {
    return (int)minizf_vote(MINIZF_VOTE_ANY, mask, yes != 0, line);
}
static inline unsigned __activemask() { return minizf_active(); }

#define MINIZF_REDUCE(name, kind)                                                                  \
    static inline int name(unsigned mask, int value, int line = __builtin_LINE()) {                \
        return (int)minizf_reduce(kind, mask, value, line);                                        \
    }                                                                                              \
    static inline unsigned name(unsigned mask, unsigned value, int line = __builtin_LINE()) {      \
        return (unsigned)minizf_reduce(kind, mask, value, line);                                   \
    }
MINIZF_REDUCE(__reduce_add_sync, MINIZF_REDUCE_ADD)
MINIZF_REDUCE(__reduce_min_sync, MINIZF_REDUCE_MIN)
MINIZF_REDUCE(__reduce_max_sync, MINIZF_REDUCE_MAX)
#undef MINIZF_REDUCE

template <class T> static inline unsigned __match_any_sync(unsigned mask, T value, int line = __builtin_LINE()) {
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    return minizf_match(mask, bits, line);
}
