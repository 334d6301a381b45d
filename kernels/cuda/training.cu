// What a training step does beside its layers: gradients of biases, the loss, the step down the slope, filters held to a radius.
//
// Sums of many numbers are what these have in common, and a sum in floating point depends on its order. Here the order is fixed by
// the sizes alone: each thread adds its own numbers, the lanes of a warp fold their sums in halves,
//
//     lane    0   1   2   3   4   5   6   7            and the warps of a block are added one after another. No atomics.
//             |   |   |   |<--+---+---+---+   8 -> 4
//             |<--+---+   |                   4 -> 2
//             |<--+                           2 -> 1
//
// Bytes of memory traffic: bias_grad 4 a number of dy; softmax_cross_entropy 4 read + 4 written a logit (they come a second and third
// time from the caches); sgd_update 12 read + 8 written a weight; renormalise_filters 4 read, 4 written where a filter is too large.

#define THREADS 256
#define WARPS (THREADS / 32)
#define EACH 4  // weights a thread
#define ALL_LANES 0xffffffffu

__device__ __forceinline__ float sum_of_warp(float mine) {  // the whole sum in every lane
#pragma unroll
    for (int distance = 16; distance; distance /= 2) mine += __shfl_xor_sync(ALL_LANES, mine, distance);
    return mine;
}

// The sum over a block of THREADS, in every thread; `sums` is shared memory.
__device__ __forceinline__ float sum_of_block(float mine, float (&sums)[WARPS]) {
    mine = sum_of_warp(mine);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = mine;
    __syncthreads();
    float total = 0.f;
#pragma unroll
    for (int warp = 0; warp < WARPS; ++warp) total += sums[warp];
    return total;
}

// dy (images, maps, pixels) -> sums (pieces, maps): block (k, piece) adds map k of `images_each` images, one warp an image at a time,
// 16 bytes a lane where the map's numbers begin at a multiple of 16 bytes, after at most three single ones.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_maps(const float* __restrict__ dy, float* __restrict__ sums, int images, int maps, int pixels, int images_each) {
    __shared__ float of_warps[WARPS];
    const int k = blockIdx.x, first = blockIdx.y * images_each, end = min(images, first + images_each), lane = threadIdx.x % 32;
    float total = 0.f;
    for (int n = first + threadIdx.x / 32; n < end; n += WARPS) {
        const float* map = dy + ((size_t)n * maps + k) * pixels;
        const int before = min(pixels, (int)(4 - (size_t)map / 4 % 4) % 4), pieces = (pixels - before) / 4;
        const float4* piece = (const float4*)(map + before);
#pragma unroll 4
        for (int i = lane; i < pieces; i += 32) {
            const float4 four = piece[i];
            total += (four.x + four.y) + (four.z + four.w);
        }
        if (lane < before) total += map[lane];
        if (before + 4 * pieces + lane < pixels) total += map[before + 4 * pieces + lane];
    }
    total = sum_of_block(total, of_warps);
    if (threadIdx.x == 0) sums[(size_t)blockIdx.y * maps + k] = total;
}

// table (rows, columns) -> sums (columns,): a lane a column, every eighth row a warp.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_rows(const float* __restrict__ table, float* __restrict__ sums, int rows, int columns) {
    __shared__ float part[WARPS][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    float total = 0.f;
    if (column < columns)
#pragma unroll 4
        for (int row = warp; row < rows; row += WARPS) total += table[(size_t)row * columns + column];
    part[warp][lane] = total;
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    total = 0.f;
#pragma unroll
    for (int other = 0; other < WARPS; ++other) total += part[other][lane];
    sums[column] = total;
}

// logits (images, classes), labels (images,) -> losses (images,), dlogits (images, classes): one warp an image.
extern "C" __global__ void __launch_bounds__(THREADS) softmax_cross_entropy(
    const float* __restrict__ logits, const int* __restrict__ labels, float* __restrict__ losses, float* __restrict__ dlogits,
    int images, int classes) {
    const int n = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (n >= images) return;  // the whole warp
    const float* row = logits + (size_t)n * classes;
    float largest = __int_as_float(0xff800000);
    for (int g = lane; g < classes; g += 32) largest = fmaxf(largest, row[g]);
#pragma unroll
    for (int distance = 16; distance; distance /= 2) largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, distance));
    float total = 0.f;
    for (int g = lane; g < classes; g += 32) total += expf(row[g] - largest);
    total = sum_of_warp(total);
    const int label = labels[n];
    for (int g = lane; g < classes; g += 32)
        dlogits[(size_t)n * classes + g] = (expf(row[g] - largest) / total - (g == label ? 1.f : 0.f)) / images;
    if (lane == 0) losses[n] = logf(total) - (row[label] - largest);
}

__device__ __forceinline__ void descend(float& w, float& v, float dw, float rate, float momentum, float shrink) {
    v = momentum * v - rate * dw - shrink * w;
    w += v;
}

// v <- momentum v - rate dw - shrink w;  w <- w + v, in place. shrink = rate * decay.
extern "C" __global__ void __launch_bounds__(THREADS)
    sgd_update(float* __restrict__ w, float* __restrict__ v, const float* __restrict__ dw, int count, float rate, float momentum,
               float shrink) {
    const unsigned first = blockIdx.x * (THREADS * EACH), end = min(first + THREADS * EACH, (unsigned)count);
    const bool aligned = ((size_t)w | (size_t)v | (size_t)dw) % 16 == 0;
    if (end - first == THREADS * EACH && aligned) {
        const unsigned at = first + 4 * threadIdx.x;
        float4 weight = *(float4*)(w + at), speed = *(float4*)(v + at);
        const float4 slope = *(const float4*)(dw + at);
        descend(weight.x, speed.x, slope.x, rate, momentum, shrink);
        descend(weight.y, speed.y, slope.y, rate, momentum, shrink);
        descend(weight.z, speed.z, slope.z, rate, momentum, shrink);
        descend(weight.w, speed.w, slope.w, rate, momentum, shrink);
        *(float4*)(v + at) = speed;
        *(float4*)(w + at) = weight;
        return;
    }
    for (unsigned i = first + threadIdx.x; i < end; i += THREADS) descend(w[i], v[i], dw[i], rate, momentum, shrink);
}

// One block a filter of `size` numbers. A filter that holds a NaN compares as not too large, and stays.
extern "C" __global__ void __launch_bounds__(THREADS) renormalise_filters(float* __restrict__ w, int size, float radius) {
    __shared__ float of_warps[WARPS];
    float* filter = w + (size_t)blockIdx.x * size;
    float squares = 0.f;
    for (int i = threadIdx.x; i < size; i += THREADS) squares += filter[i] * filter[i];
    const float rms = sqrtf(sum_of_block(squares, of_warps) / size);
    if (!(rms > radius)) return;
    const float factor = radius / rms;
    for (int i = threadIdx.x; i < size; i += THREADS) filter[i] *= factor;
}
