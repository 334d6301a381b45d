// Where a thread is: threadIdx, blockIdx, blockDim, gridDim.
//
// One CUDA thread runs at a time, so "which thread am I" is a pointer in one place, `minizf_now`. The runtime moves it at
// every switch between threads. Kernels and runtime share this header, so it includes nothing.
#pragma once

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace minizf {

struct Place {  // what a kernel sees of a thread
    uint3 index;
    unsigned lane;
};
struct Now {
    Place* thread;
    uint3 block;
    dim3 grid_size, block_size;
};

}  // namespace minizf

extern "C" minizf::Now minizf_now;
extern "C" char minizf_dynamic_shared[];  // what `extern __shared__ T name[]` names
