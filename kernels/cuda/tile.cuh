// A tile of a matrix product on the CUDA cores: BM x BN sums in the registers of one block.
//
//                         BN columns (filters)                    One step adds 8 outer products: 8 columns of A, BM high,
//                        +-----------------+                      times 8 rows of B, BN wide. STAGES steps lie in shared
//        8 taps      B   |                 |                      memory: one is multiplied while copies for the others are
//      +---+             +-----------------+                      under way (cp.async), so nobody waits for global memory.
//      |   |             +--------+--------+
//   BM | A |             |  warp  |  warp  |                      A warp owns 64 x 4*NT sums, its lanes stand 8 x 4, and each
// rows |   |             | 64 high|        |                      lane holds 8 x NT of them: two groups of four rows, 32 apart,
// (pi- |   |             +--------+--------+                      so that eight lanes read 128 neighbouring bytes: no bank
// xels)|   |             |  warp  |  warp  |                      is asked twice.
//      +---+             +--------+--------+
//
// Reads of 16 bytes are served a quarter of a warp at a time, two quarters together where neighbours (lanes l and l ^ 1, or l and
// l ^ 2) want the same bytes. So lanes stand in a zigzag: l and l ^ 1 in one column, l and l ^ 2 in one row.
//
//        0  2 16 18
//        1  3 17 19
//        4  6 20 22
//        5  7 21 23
//        8 10 24 26   ...
#define STEP 8     // taps in a step
#define STAGES 4   // steps in shared memory

template <int BM_, int BN_, int NT_>
struct Tile {
    static constexpr int BM = BM_, BN = BN_, NT = NT_, THREADS = BM / 8 * (BN / NT), QUADS = NT / 4;
    static constexpr int WARPS_DOWN = BM / 64;
    static_assert(BM % 64 == 0 && BN % (4 * NT) == 0 && NT % 4 == 0, "warps are 64 x 4*NT");

    int row, column;  // this thread's first row and column in the tile
    float sums[8][NT];

    __device__ __forceinline__ Tile() {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        row = warp % WARPS_DOWN * 64 + (lane % 2 + lane / 4 % 4 * 2) * 4;
        column = warp / WARPS_DOWN * 4 * NT + (lane / 2 % 2 + lane / 16 * 2) * 4;
#pragma unroll
        for (int i = 0; i < 8; ++i)
#pragma unroll
            for (int j = 0; j < NT; ++j) sums[i][j] = 0.f;
    }
    // Rows and columns of this thread: i = 0..7, j = 0..NT-1.
    __device__ __forceinline__ int row_of(int i) const { return row + i % 4 + i / 4 * 32; }
    __device__ __forceinline__ int column_of(int j) const { return column + j % 4 + j / 4 * 16; }

    // One step: A [STEP][a_pitch], B [STEP][b_pitch], both in shared memory.
    template <int A_PITCH, int B_PITCH>
    __device__ __forceinline__ void multiply(const float* a, const float* b) {
#pragma unroll
        for (int k = 0; k < STEP; ++k) {
            float high[8], wide[NT];
#pragma unroll
            for (int i = 0; i < 2; ++i) *(float4*)&high[i * 4] = *(const float4*)&a[k * A_PITCH + row + i * 32];
#pragma unroll
            for (int j = 0; j < QUADS; ++j) *(float4*)&wide[j * 4] = *(const float4*)&b[k * B_PITCH + column + j * 16];
#pragma unroll
            for (int i = 0; i < 8; ++i)
#pragma unroll
                for (int j = 0; j < NT; ++j) sums[i][j] += high[i] * wide[j];
        }
    }
};

// The main loop. `copy(stage)` starts this thread's copies of the next step into a stage of shared memory; a, b: the stages.
template <int A_PITCH, int B_PITCH, class T, class Copy>
__device__ __forceinline__ void sum_steps(T& tile, int steps, const float* a, const float* b, Copy copy) {
#pragma unroll 1
    for (int step = 0; step < STAGES - 1; ++step) {
        if (step < steps) copy(step);
        cp_async_commit();
    }
    int stage = 0, free = STAGES - 1;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<STAGES - 2>();  // this thread's copies of `step` have landed,
        __syncthreads();              // everybody's have, and nobody reads the stage before it any more
        if (step + STAGES - 1 < steps) copy(free);
        cp_async_commit();
        tile.template multiply<A_PITCH, B_PITCH>(a + stage * STEP * A_PITCH, b + stage * STEP * B_PITCH);
        free = stage;
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
}
