// Contrast normalisation across maps (Krizhevsky et al. 2012, section 3.3), and its gradient.
//
//     maps of one image                     one pixel's column of numbers, through all maps
//      ______
//     |   x  |  map 0                       x x x x x x x x x x x x ...    one load each
//     |   x  |  map 1                           [- - + - -]                the window of a map: the five numbers around it
//     |   x  |  map 2                             [- - + - -]              the next: one number leaves, one enters
//      ...
//
// A thread walks down the maps at one pixel with the window in registers, so every number is read once; neighbouring threads have
// neighbouring pixels, so their loads are whole lines. The next AHEAD numbers are asked for together, before any is used. The sum of
// a window is always taken anew in the order of the maps, five multiply-adds: a running sum (add what enters, subtract what leaves)
// would collect rounding errors and carry a NaN through all later maps. Where there are few pixels, several threads share a column.
//
//     scale = k + alpha / size * sum of x^2 over the window           y = x * scale^-beta
//     dx[d] = dy[d] * scale[d]^-beta - 2 alpha beta / size * x[d] * sum of dy * y / scale over the maps whose windows hold d
//
// Bytes of memory traffic a number: forward 4 read + 8 written; gradient 16 read + 4 written.

#define THREADS 256
#define WINDOW 5  // maps; other sizes take the `_any` kernels
#define REACH 2   // to either side
#define AHEAD 8
#define GRAD_AHEAD 4

__device__ __forceinline__ float to_minus(float scale, float beta) {
    if (beta != 0.75f) return powf(scale, -beta);
    const float root = rsqrtf(scale);
    return root * sqrtf(root);
}

// The column of this thread: pixel `q` of image `n`, all maps; null if there is no such pixel. Maps are `pixels` numbers apart.
__device__ __forceinline__ bool find_column(int images, int maps, int pixels, size_t& column) {
    const unsigned t = blockIdx.x * THREADS + threadIdx.x, n = t / pixels;
    column = (size_t)n * maps * pixels + t % pixels;
    return n < images;
}

extern "C" __global__ void __launch_bounds__(THREADS) lrn_5(
    const float* __restrict__ x, float* __restrict__ y, float* __restrict__ scale, int images, int maps, int pixels,
    int maps_each, float factor, float beta, float k) {
    size_t column;
    if (!find_column(images, maps, pixels, column)) return;
    const int first = blockIdx.y * maps_each, end = min(maps, first + maps_each);
    auto read = [&](int c) { return c >= 0 && c < maps ? x[column + (size_t)c * pixels] : 0.f; };
    float window[WINDOW];  // window[j]: map c - REACH + j, of which the last is yet to come
#pragma unroll
    for (int j = 1; j < WINDOW; ++j) window[j] = read(first - REACH + j - 1);
    for (int c0 = first; c0 < end; c0 += AHEAD) {
        float next[AHEAD];
#pragma unroll
        for (int m = 0; m < AHEAD; ++m) next[m] = c0 + m < end ? read(c0 + m + REACH) : 0.f;
#pragma unroll
        for (int m = 0; m < AHEAD; ++m) {
#pragma unroll
            for (int j = 0; j + 1 < WINDOW; ++j) window[j] = window[j + 1];
            window[WINDOW - 1] = next[m];
            float squares = 0.f;
#pragma unroll
            for (int j = 0; j < WINDOW; ++j) squares += window[j] * window[j];
            if (c0 + m < end) {
                const float total = k + factor * squares;
                const size_t at = column + (size_t)(c0 + m) * pixels;
                scale[at] = total;
                y[at] = window[REACH] * to_minus(total, beta);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) lrn_grad_5(
    const float* __restrict__ dy, const float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ scale,
    float* __restrict__ dx, int images, int maps, int pixels, int maps_each, float factor, float beta) {
    size_t column;
    if (!find_column(images, maps, pixels, column)) return;
    const int first = blockIdx.y * maps_each, end = min(maps, first + maps_each);
    float ratio[WINDOW];      // dy * y / scale of map d - REACH + j
    float direct[REACH + 1];  // dy * scale^-beta of map d + j
    float x_next[GRAD_AHEAD], dy_next[GRAD_AHEAD], y_next[GRAD_AHEAD], scale_next[GRAD_AHEAD];
    auto ask = [&](int m, int c) {  // for map c; a map that does not exist adds nothing
        const bool exists = c >= 0 && c < maps;
        const size_t at = column + (size_t)c * pixels;
        dy_next[m] = exists ? dy[at] : 0.f;
        y_next[m] = exists ? y[at] : 0.f;
        scale_next[m] = exists ? scale[at] : 1.f;
    };
    auto enter = [&](int m) {
#pragma unroll
        for (int j = 0; j + 1 < WINDOW; ++j) ratio[j] = ratio[j + 1];
#pragma unroll
        for (int j = 0; j < REACH; ++j) direct[j] = direct[j + 1];
        ratio[WINDOW - 1] = dy_next[m] * y_next[m] / scale_next[m];
        direct[REACH] = dy_next[m] * to_minus(scale_next[m], beta);
    };
#pragma unroll
    for (int m = 0; m < WINDOW - 1; ++m) ask(m, first - REACH + m);
#pragma unroll
    for (int m = 0; m < WINDOW - 1; ++m) enter(m);
    for (int d0 = first; d0 < end; d0 += GRAD_AHEAD) {
#pragma unroll
        for (int m = 0; m < GRAD_AHEAD; ++m) {
            ask(m, d0 + m < end ? d0 + m + REACH : maps);
            x_next[m] = d0 + m < end ? x[column + (size_t)(d0 + m) * pixels] : 0.f;
        }
#pragma unroll
        for (int m = 0; m < GRAD_AHEAD; ++m) {
            enter(m);
            float through_scale = 0.f;
#pragma unroll
            for (int j = 0; j < WINDOW; ++j) through_scale += ratio[j];
            if (d0 + m < end) dx[column + (size_t)(d0 + m) * pixels] = direct[0] - factor * x_next[m] * through_scale;
        }
    }
}

// Any window: the numbers of a window are read again for every map, from the caches.
extern "C" __global__ void __launch_bounds__(THREADS) lrn_any(
    const float* __restrict__ x, float* __restrict__ y, float* __restrict__ scale, int images, int maps, int pixels,
    int maps_each, float factor, float beta, float k, int before, int after) {
    size_t column;
    if (!find_column(images, maps, pixels, column)) return;
    const int first = blockIdx.y * maps_each, end = min(maps, first + maps_each);
    for (int c = first; c < end; ++c) {
        float squares = 0.f;
        for (int d = max(0, c - before); d <= min(maps - 1, c + after); ++d) {
            const float value = x[column + (size_t)d * pixels];
            squares += value * value;
        }
        const float total = k + factor * squares;
        const size_t at = column + (size_t)c * pixels;
        scale[at] = total;
        y[at] = x[at] * to_minus(total, beta);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) lrn_grad_any(
    const float* __restrict__ dy, const float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ scale,
    float* __restrict__ dx, int images, int maps, int pixels, int maps_each, float factor, float beta, int before, int after) {
    size_t column;
    if (!find_column(images, maps, pixels, column)) return;
    const int first = blockIdx.y * maps_each, end = min(maps, first + maps_each);
    for (int d = first; d < end; ++d) {
        float through_scale = 0.f;
        for (int c = max(0, d - after); c <= min(maps - 1, d + before); ++c) {
            const size_t at = column + (size_t)c * pixels;
            through_scale += dy[at] * y[at] / scale[at];
        }
        const size_t at = column + (size_t)d * pixels;
        dx[at] = dy[at] * to_minus(scale[at], beta) - factor * x[at] * through_scale;
    }
}
