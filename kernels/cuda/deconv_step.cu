// The deconvnet's step down: conv2d_transpose of relu(unpool(y)), without storing the unpooled map.
//
// The product of implicit_product.cuh, whose numbers are not copied but computed where they are needed: a position asks the pooling
// windows that cover it (unpooled.cuh). It saves writing and reading the map, and costs about 140 instructions for every number of
// A, which each tap of each tile of filters asks for again. convolution.py says when that pays: where little is to be done.
#include "implicit_product.cuh"
#include "unpooled.cuh"

struct Computed {
    Unpooled unpooled;  // here tap.offset is where the tap's map begins, among the pooled maps of an image
    __device__ __forceinline__ void copy(float* place, const Pixel& pixel, const Tap& tap, const Geometry& g) const {
        const int first = pixel.image * g.maps * unpooled.pool.height * unpooled.pool.width;
        *place = inside(pixel, tap, g) ? unpooled.at(first + tap.offset, pixel.row + tap.row, pixel.column + tap.column) : 0.f;
    }
};

// deconv_tile_<pixels>x<filters>: grid (pixel tiles x phases, filter tiles, splits).
#define DECONV_TILE(BM, BN, NT, THREADS, BLOCKS)                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) deconv_tile_##BM##x##BN(                                  \
        const float* y, const unsigned char* switches, const Cover* covers, Pool pool, const float* packed, float* dx,      \
        const Tap* taps, const Phase* phases, Geometry g) {                                                                 \
        const Computed source{{y, switches, covers, covers + g.height, pool}};                                              \
        convolve<BM, BN, NT>(source, packed, nullptr, dx, taps, phases, g);                                                 \
    }
DECONV_TILE(128, 128, 8, 256, 2)
DECONV_TILE(128, 96, 12, 128, 3)
DECONV_TILE(128, 64, 8, 128, 4)
DECONV_TILE(64, 64, 4, 128, 5)
DECONV_TILE(128, 32, 4, 128, 5)
