// Rectifying, and its gradient: one number in, one number out.
//
//     thread 0      thread 1      thread 2  ...           block 0: numbers 0 ... 2047, block 1: the next 2048 ...
//     x x x x       x x x x       x x x x                 first pass: 256 threads, four neighbours each
//     x x x x       x x x x       x x x x                 second pass: the next 1024 numbers
//
// There is nothing to reuse, so memory sets the pace and all that matters is how it is asked: 16 bytes a thread, neighbouring
// threads at neighbouring places, both loads of a thread under way before it uses either. Arrays that do not begin at a multiple
// of 16 bytes (a slice of another) and the last few numbers go one by one.
//
// Bytes of memory traffic a number: relu 4 read + 4 written; relu_grad 8 read + 4 written.

#define THREADS 256
#define EACH 8  // numbers a thread

__device__ __forceinline__ float rectified(float x) { return x <= 0.f ? 0.f : x; }  // NaN stays, -0 becomes 0

__device__ __forceinline__ float passed(float dy, float y) { return y > 0.f ? dy : 0.f; }

__device__ __forceinline__ bool aligned16(const void* address) { return (size_t)address % 16 == 0; }

extern "C" __global__ void __launch_bounds__(THREADS) relu(const float* __restrict__ x, float* __restrict__ y, int count) {
    const unsigned first = blockIdx.x * (THREADS * EACH), end = min(first + THREADS * EACH, (unsigned)count);
    if (end - first == THREADS * EACH && aligned16(x) && aligned16(y)) {
        const float4* from = (const float4*)(x + first) + threadIdx.x;
        float4* to = (float4*)(y + first) + threadIdx.x;
        const float4 a = from[0], b = from[THREADS];
        to[0] = make_float4(rectified(a.x), rectified(a.y), rectified(a.z), rectified(a.w));
        to[THREADS] = make_float4(rectified(b.x), rectified(b.y), rectified(b.z), rectified(b.w));
        return;
    }
    for (unsigned i = first + threadIdx.x; i < end; i += THREADS) y[i] = rectified(x[i]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    relu_grad(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx, int count) {
    const unsigned first = blockIdx.x * (THREADS * EACH), end = min(first + THREADS * EACH, (unsigned)count);
    if (end - first == THREADS * EACH && aligned16(dy) && aligned16(y) && aligned16(dx)) {
        const float4 *from = (const float4*)(dy + first) + threadIdx.x, *gate = (const float4*)(y + first) + threadIdx.x;
        float4* to = (float4*)(dx + first) + threadIdx.x;
        const float4 a = from[0], b = from[THREADS], open_a = gate[0], open_b = gate[THREADS];
        to[0] = make_float4(passed(a.x, open_a.x), passed(a.y, open_a.y), passed(a.z, open_a.z), passed(a.w, open_a.w));
        to[THREADS] = make_float4(passed(b.x, open_b.x), passed(b.y, open_b.y), passed(b.z, open_b.z), passed(b.w, open_b.w));
        return;
    }
    for (unsigned i = first + threadIdx.x; i < end; i += THREADS) dx[i] = passed(dy[i], y[i]);
}
