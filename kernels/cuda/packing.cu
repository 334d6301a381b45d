// What happens before and after a product on tiles: filters are packed, partial sums added.
#include "geometry.cuh"

// packed[tap][filter] = w[filter * filter_step + taps[tap].weight], through a square of shared memory: reads follow the taps,
// which lie near each other in w, writes follow the filters. Grid (filters / 32, taps / 32), block (32, 8).
extern "C" __global__ void __launch_bounds__(256) pack_filters(
    const float* __restrict__ w, float* __restrict__ packed, const Tap* __restrict__ taps, int tap_count, int filters, int filter_step,
    int pitch) {
    __shared__ float square[32][33];
    const int tap = blockIdx.y * 32 + threadIdx.x, first_filter = blockIdx.x * 32;
    const int weight = tap < tap_count ? taps[tap].weight : -1;
    for (int i = threadIdx.y; i < 32; i += 8) {
        const int filter = first_filter + i;
        square[i][threadIdx.x] = weight >= 0 && filter < filters ? w[(size_t)filter * filter_step + weight] : 0.f;
    }
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8) {
        const int row = blockIdx.y * 32 + i;
        if (row < tap_count && first_filter + int(threadIdx.x) < pitch) packed[(size_t)row * pitch + first_filter + threadIdx.x] = square[threadIdx.x][i];
    }
}

// y = the partial sums, added in order, plus bias, perhaps rectified. One thread for each output; y is [...][filters][plane].
extern "C" __global__ void __launch_bounds__(256) add_splits(
    const float* __restrict__ partial, const float* __restrict__ bias, float* __restrict__ y, int splits, int count, int filters,
    int plane, int rectify) {
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= unsigned(count)) return;
    float sum = 0.f;
    for (int split = 0; split < splits; ++split) sum += partial[(size_t)split * count + index];
    if (bias) sum += bias[index / plane % filters];
    y[index] = rectify && sum <= 0.f ? 0.f : sum;
}
