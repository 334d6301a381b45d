// Barriers and fences of a block. The line of the call goes along, so that a barrier some threads never reach can be named.
#pragma once

extern "C" {
void minizf_barrier(int line);
int minizf_barrier_count(int line, int predicate);  // how many threads of the block said yes
void minizf_fence();
}

static inline void __syncthreads(int line = __builtin_LINE()) { minizf_barrier(line); }
static inline int __syncthreads_count(int yes, int line = __builtin_LINE()) { return minizf_barrier_count(line, yes != 0); }
static inline int __syncthreads_or(int yes, int line = __builtin_LINE()) { return minizf_barrier_count(line, yes != 0) != 0; }
static inline int __syncthreads_and(int yes, int line = __builtin_LINE()) { return minizf_barrier_count(line, yes == 0) == 0; }

static inline void __threadfence() { minizf_fence(); }
static inline void __threadfence_system() { minizf_fence(); }
static inline void __threadfence_block() {}
