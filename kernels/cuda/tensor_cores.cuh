// What the kernels for tensor cores share: TF32 numbers, and the test whether a tap lies inside the input in one instruction.
//
// TF32 is fp32 with 10 of its 23 mantissa bits. Every factor is rounded to it, to the nearest, ties away from zero: weights
// when they are packed, images and signals in registers on their way to the tensor cores. Products are exact, sums are fp32.

constexpr int DEPTH = 16;    // terms of the sum in a step: two of the tensor cores' eight
constexpr int BUFFERS = 4;   // steps in shared memory: one being multiplied, three under way

// A tap or a pixel of the table. A tap asks for one row bit (0..14) and one column bit (16..30), a pixel has the bits of the
// rows and columns that lie inside the input when seen from it: the tap is inside if the pixel has both. Bit 31 no pixel has.
struct Place {
    int offset, bits;
};

__device__ __forceinline__ bool inside(int tap_bits, int pixel_bits) { return (tap_bits & ~pixel_bits) == 0; }

// Bits first .. 14 of the rows (or columns) that lie in [0, length), where bit i stands for row `from + i`.
__device__ __forceinline__ int bits_inside(int from, int length) {
    const int first = min(max(-from, 0), 15), end = min(max(length - from, 0), 15);
    return ((1 << end) - 1) & ~((1 << first) - 1);
}
