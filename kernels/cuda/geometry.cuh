// What a convolution and its adjoint have in common: where each output reads. geometry.py fills these structs on the host.
//
// An output position (i, j) of a phase reads, for each tap, one number of the input:
//
//     input[n, tap.map, i * step_h + tap.row, j * step_w + tap.column]        0 where that lies outside
//
// at the address  (start of image n) + i * step_h * width + j * step_w  +  tap.offset,  one part for the pixel, one for the tap.
// conv2d is one phase that covers all outputs. conv2d_transpose has stride_h x stride_w of them: the rows h = i * stride_h + a use
// the taps of every stride_h-th filter row, so each phase is a convolution of stride 1 over dy with its own taps.
struct __align__(16) Tap {
    int offset;       // from the pixel's address, in floats
    int row, column;  // from the pixel's input row and column; far outside for the taps that fill up the last step
    int weight;       // where the tap's weight lies within one filter; -1 for those that fill up
};
struct Phase {
    int first_tap, taps;  // its share of the table; taps is a multiple of 8
    int rows, columns;    // how many outputs it has
    int place;            // address of its output (0, 0) in a plane
};
struct Geometry {
    int images, maps, height, width;  // of the input
    int step_h, step_w;               // from one output to the next, in the input
    int filters, plane;               // of the output: maps, and numbers in one
    int row_step, column_step;        // from one output to the next, in a plane
    int phases, pitch;                // packed weights: [tap][pitch], pitch >= filters
    int splits;                       // in how many parts the taps are summed; 1: y is final, else y[split] are partial sums
    int rectify, aligned;             // aligned: four neighbouring pixels may be written as one float4
};

// One output position, where it reads and where it is written.
struct Pixel {
    int base;         // its address in the input, without the tap
    int row, column;  // its row and column there
    int image;
    int place;        // its address in map 0 of the output; -1 beyond the last pixel
};

__device__ __forceinline__ Pixel locate(unsigned index, const Phase& phase, const Geometry& g) {
    const unsigned area = phase.rows * phase.columns;
    const bool exists = index < g.images * area;
    const unsigned image = exists ? index / area : 0, rest = exists ? index % area : 0;
    const unsigned i = rest / phase.columns, j = rest % phase.columns;
    Pixel pixel;
    pixel.row = i * g.step_h;
    pixel.column = j * g.step_w;
    pixel.image = image;
    pixel.base = (image * g.maps * g.height + pixel.row) * g.width + pixel.column;
    pixel.place = exists ? int(image * g.filters * g.plane) + phase.place + int(i) * g.row_step + int(j) * g.column_step : -1;
    return pixel;
}

// Whether the tap of this pixel lies inside the input. One comparison for each direction: a negative row is a huge unsigned one.
__device__ __forceinline__ bool inside(const Pixel& pixel, const Tap& tap, const Geometry& g) {
    return bool(int(unsigned(pixel.row + tap.row) < unsigned(g.height)) & int(unsigned(pixel.column + tap.column) < unsigned(g.width)));
}

// The taps that this block sums, of all that its phase has: part `split` of `splits`, in steps of 8.
struct Share {
    int first_tap, steps;
};
__device__ __forceinline__ Share share_of(const Phase& phase, int split, int splits) {
    const int steps = phase.taps / 8, each = (steps + splits - 1) / splits;
    const int begin = min(split * each, steps), end = min(begin + each, steps);
    return {phase.first_tap + begin * 8, end - begin};
}
