// What a CUDA kernel finds defined without including anything, as NVRTC offers it, for g++.
//
// A kernel is an ordinary function here. Qualifiers disappear; `__shared__` arrays become static, because only one block
// runs at a time; everything in which threads meet (barriers, shuffles, tensor cores) is a call into the runtime, which
// switches threads. No standard header is included: kernels compile in a fraction of a second.
#pragma once
#include "indices.h"

#define MINIZF_CPU 1
#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static
#define __shared__ static
#define DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(minizf_dynamic_shared)

#define threadIdx (minizf_now.thread->index)
#define blockIdx (minizf_now.block)
#define blockDim (minizf_now.block_size)
#define gridDim (minizf_now.grid_size)
#define warpSize 32

using size_t = decltype(sizeof 0);
using ptrdiff_t = decltype((char*)0 - (char*)0);

#ifdef MINIZF_CHECKED  // the hooks see no access made by a function marked so; it reports what it does itself
#define MINIZF_UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
#define MINIZF_UNSEEN inline
#endif

#include "vectors.h"
#include "numbers.h"
#include "barriers.h"
#include "warp.h"
#include "atomics.h"
#include "copies.h"
#include "tensor_core.h"
#include "launcher.h"
