// A map that is never stored: unpool and rectify, computed where it is read. The deconvnet's step down begins with it.
//
// Position (p, q) of the unpooled map asks the pooling windows that cover it; which those are, a table says for each row and each
// column, so that nobody divides.
#include "gathered.cuh"

struct Cover {
    int first, last;  // the windows that cover a row (or a column); last < first where none does
};
struct Pool {
    int height, width;                   // of the pooled maps
    int size_h, size_w, stride_h, stride_w, pad_h, pad_w;
    int rule;                            // see gathered.cuh
};

struct Unpooled {
    const float* y;
    const unsigned char* switches;
    const Cover* rows;
    const Cover* columns;
    Pool pool;

    // relu(unpool(y))[p][q] of the map whose pooled values begin at `map`; (p, q) lies inside.
    __device__ __forceinline__ float at(int map, int p, int q) const {
        const Cover down = rows[p], across = columns[q];
        Gathered gathered{pool.rule};
#pragma unroll 1  // rarely more than two each way: copies of the loop would only fill the instruction cache
        for (int i = down.first; i <= down.last; ++i)
#pragma unroll 1
            for (int j = across.first; j <= across.last; ++j) {
                const int window = map + i * pool.width + j;
                const int r = p + pool.pad_h - i * pool.stride_h, s = q + pool.pad_w - j * pool.stride_w;
                if (switches[window] == r * pool.size_w + s) gathered.take(y[window]);
            }
        return gathered.result(true);
    }
};
