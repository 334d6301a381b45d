// The fully connected layer and its two gradients: plain matrix products on the tile of the convolutions, in fp32.
//
//                      rows (next to each other in the result)    columns    summed over      A                  B
//     linear           outputs g                                  images n   features f       w [g][f]           x  [n][f]
//     input gradient   features f                                 images n   outputs g        w [g][f]           dy [n][g]
//     weight gradient  features f                                 outputs g  images n         x [n][f]           dy [n][g]
//
// An operand's numbers lie next to each other either along the sum (w and x in the first row) or along the tile's side. A warp
// copies along the memory: 8 sums of 4 rows, or 32 rows of one sum. In shared memory both become [sum][side]; where eight lanes
// write one side, four numbers more in each line put them into different banks: bank (4 * sum + row) mod 32.
//
// What the compiler makes of a step (NVRTC 13.0, sm_90, one thread, no spills): on 128 x 128 512 multiply-adds of 634 to 659
// instructions, on 128 x 64 512 of about 648, on 128 x 32 256 of 387 to 404.
#include "tile.cuh"

struct Product {
    int rows, columns, sum;
    int splits;  // in how many parts the sum is taken; 1: the result is final, else out[split] are partial sums
};

template <int SIDE, int THREADS, bool ALONG_SUM>
struct Operand {
    static constexpr int PITCH = ALONG_SUM ? SIDE + 4 : SIDE, EACH = SIDE * STEP / THREADS;
    const float* next;  // what this thread copies first in the next step
    int stride;         // from one line of the array to the next
    int place;          // of it in a step of shared memory
    int side, sum, count, end;

    __device__ __forceinline__ Operand(const float* array, int first, int count_, int length, int begin, int end_) {
        const int t = threadIdx.x;
        const int own_side = ALONG_SUM ? t / STEP : t % SIDE, own_sum = ALONG_SUM ? t % STEP : t / SIDE * EACH;
        side = first + own_side, sum = begin + own_sum, count = count_, end = end_;
        next = array + (ALONG_SUM ? (size_t)side * length + sum : (size_t)sum * count + side);
        stride = ALONG_SUM ? length : count;
        place = own_sum * PITCH + own_side;
    }
    // Numbers beyond the array's sides and beyond this block's part of the sum are zeros.
    __device__ __forceinline__ void copy(float* shared) {
        constexpr int LINES = ALONG_SUM ? THREADS / STEP : 1;  // from what it copies first to what it copies second
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const bool in = ALONG_SUM ? side + i * LINES < count && sum < end : side < count && sum + i < end;
            cp_async<4>(shared + place + i * (ALONG_SUM ? LINES : PITCH), next + (size_t)(i * LINES) * stride, in);
        }
        next += ALONG_SUM ? STEP : (size_t)STEP * stride;
        sum += STEP;
    }
};

template <int BM, int BN, int NT, bool A_ALONG_SUM, bool B_ALONG_SUM>
__device__ __forceinline__ void product(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* __restrict__ out,
    const Product& p) {
    using Sums = Tile<BM, BN, NT>;
    using A = Operand<BM, Sums::THREADS, A_ALONG_SUM>;
    using B = Operand<BN, Sums::THREADS, B_ALONG_SUM>;
    __shared__ __align__(16) float a_steps[STAGES][STEP][A::PITCH];
    __shared__ __align__(16) float b_steps[STAGES][STEP][B::PITCH];

    const int first_row = blockIdx.x * BM, first_column = blockIdx.y * BN;
    const int steps = (p.sum + STEP - 1) / STEP, each = (steps + p.splits - 1) / p.splits;
    const int begin = min(int(blockIdx.z) * each, steps), end = min(begin + each, steps);
    const int last = min(end * STEP, p.sum);
    A from_a(a, first_row, p.rows, p.sum, begin * STEP, last);
    B from_b(b, first_column, p.columns, p.sum, begin * STEP, last);

    Sums tile;
    sum_steps<A::PITCH, B::PITCH>(tile, end - begin, a_steps[0][0], b_steps[0][0], [&](int stage) {
        from_a.copy(a_steps[stage][0]);
        from_b.copy(b_steps[stage][0]);
    });

    if (p.splits > 1) out += (size_t)blockIdx.z * p.rows * p.columns;
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        const int column = first_column + tile.column_of(j);
        if (column >= p.columns) continue;
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
            const int row = first_row + tile.row_of(i);
            float* const place = out + (size_t)column * p.rows + row;
            float value[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                value[e] = tile.sums[i + e][j];
                if (bias && p.splits == 1 && row + e < p.rows) value[e] += bias[row + e];
            }
            if (p.rows % 4 == 0) {
                if (row < p.rows) *(float4*)place = make_float4(value[0], value[1], value[2], value[3]);
            } else {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (row + e < p.rows) place[e] = value[e];
            }
        }
    }
}

// <operation>_<rows>x<columns>: grid (row tiles, column tiles, splits).
#define PRODUCT(NAME, BM, BN, NT, THREADS, BLOCKS, A_ALONG_SUM, B_ALONG_SUM)                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME##_##BM##x##BN(                           \
        const float* a, const float* b, const float* bias, float* out, Product p) {                             \
        product<BM, BN, NT, A_ALONG_SUM, B_ALONG_SUM>(a, b, bias, out, p);                                      \
    }
#define TILES(NAME, A_ALONG_SUM, B_ALONG_SUM)                          \
    PRODUCT(NAME, 128, 128, 8, 256, 2, A_ALONG_SUM, B_ALONG_SUM)       \
    PRODUCT(NAME, 128, 64, 8, 128, 3, A_ALONG_SUM, B_ALONG_SUM)        \
    PRODUCT(NAME, 128, 32, 4, 128, 5, A_ALONG_SUM, B_ALONG_SUM)
TILES(linear, true, true)
TILES(linear_input_grad, false, true)
TILES(linear_weight_grad, false, false)
