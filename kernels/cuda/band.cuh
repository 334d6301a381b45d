// A band: whole rows of one map, or several whole maps. Row-major, it is one piece of memory without gaps,
//
//     row 3  . . . . . . . . . . .         begin
//     row 4  . . . . . . . . . . .    =    . . . [. . . .][. . . .][. . . .] ... [. . . .] . .
//     row 5  . . . . . . . . . . .               |16 bytes|
//
// so it can be copied 16 bytes at a time whatever the width of a row is: only the few numbers before the first multiple of 16 bytes
// and behind the last go one by one. The copy in shared memory is shifted so that its own 16-byte pieces lie alike.

__device__ __forceinline__ int shift_of(const float* begin) { return (int)((size_t)begin / 4 % 4); }

// Global to shared, by all threads of the block; `to` is shift_of(from) numbers behind a 16-byte boundary.
__device__ __forceinline__ void fetch_band(float* to, const float* from, int count) {
    const int before = min(count, (4 - shift_of(from)) % 4), pieces = (count - before) / 4, after = before + 4 * pieces;
    for (int i = threadIdx.x; i < pieces; i += blockDim.x) cp_async<16>(to + before + 4 * i, from + before + 4 * i);
    for (int i = threadIdx.x; i < before; i += blockDim.x) cp_async<4>(to + i, from + i);
    for (int i = after + threadIdx.x; i < count; i += blockDim.x) cp_async<4>(to + i, from + i);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
}

// Shared to global, by all threads of the block; `from` is shift_of(to) numbers behind a 16-byte boundary.
__device__ __forceinline__ void store_band(float* to, const float* from, int count) {
    __syncthreads();
    const int before = min(count, (4 - shift_of(to)) % 4), pieces = (count - before) / 4, after = before + 4 * pieces;
    for (int i = threadIdx.x; i < pieces; i += blockDim.x) *(float4*)(to + before + 4 * i) = *(const float4*)(from + before + 4 * i);
    for (int i = threadIdx.x; i < before; i += blockDim.x) to[i] = from[i];
    for (int i = after + threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

// Thread t takes cells t, t + 256, t + 512 ... of a stack of tables with `rows` x `columns` cells each, counted row by row. Finding
// where the first lies costs two divisions; from there the place is carried along.
struct Place {
    int table, row, column;

    __device__ __forceinline__ Place(int cell, int rows, int columns)
        : table(cell / columns / rows), row(cell / columns % rows), column(cell % columns) {}

    __device__ __forceinline__ void move(const Place& by, int rows, int columns) {
        column += by.column, row += by.row, table += by.table;
        if (column >= columns) column -= columns, ++row;
        if (row >= rows) row -= rows, ++table;
    }
};
