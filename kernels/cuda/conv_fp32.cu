// conv2d and conv2d_transpose of an input that lies in memory: see implicit_product.cuh for the picture.
//
// What the compiler makes of it (NVRTC 13.0, sm_90; one thread, one step of 8 taps; no spills):
//
//     tile       threads  resident  registers  multiply-adds  reads of shared memory  copies from global  all instructions
//     128 x 128    256        2        128          512        32, of 16 bytes each    4 of 4, 1 of 16 bytes     628
//     128 x  96    128        3        168          768        40                      8, 2 (three warps)        964
//     128 x  64    128        4        125          512        32                      8, 1                      660
//      64 x  64    128        6         78          256        24                      4, 1                      348
//     128 x  32    128        5         96          256        24                      8, 1 (two warps)          406
//
// A copy of 4 bytes costs about 11 instructions: reading the tap, one addition and one comparison for the row and for the column,
// the address, the copy. Nothing else in the loop depends on the convolution.
#include "implicit_product.cuh"

struct Stored {
    const float* x;
    __device__ __forceinline__ void copy(float* place, const Pixel& pixel, const Tap& tap, const Geometry& g) const {
        cp_async<4>(place, x + (pixel.base + tap.offset), inside(pixel, tap, g));
    }
};

// conv_tile_<pixels>x<filters>: grid (pixel tiles x phases, filter tiles, splits).
#define CONV_TILE(BM, BN, NT, THREADS, BLOCKS)                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv_tile_##BM##x##BN(                                      \
        const float* x, const float* packed, const float* bias, float* y, const Tap* taps, const Phase* phases, Geometry g) { \
        convolve<BM, BN, NT>(Stored{x}, packed, bias, y, taps, phases, g);                                                            \
    }
CONV_TILE(128, 128, 8, 256, 2)
CONV_TILE(128, 96, 12, 128, 3)
CONV_TILE(128, 64, 8, 128, 4)
CONV_TILE(64, 64, 4, 128, 6)
CONV_TILE(128, 32, 4, 128, 5)
