// mma.sync.m16n8k8 in TF32: a warp multiplies a 16x8 by an 8x8 matrix and adds to a 16x8 one, each spread over 32 lanes.
//
// The operands' low 13 bits are ignored, as in the hardware; products are exact in fp32 and added in order of k. In which
// order and width a tensor core adds is not documented: do not expect equal bits.
#pragma once
#include "fragments.h"

extern "C" void minizf_mma_tf32(MinizfFragments* lane, int line);

// cvt.rna.tf32.f32: round to 10 bits of mantissa, ties away from zero; infinities and NaN stay.
static inline unsigned to_tf32(float x) {
    unsigned bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}

// d += a b; lane = 4 g + t holds a(g, t), a(g+8, t), a(g, t+4), a(g+8, t+4); b(t, g), b(t+4, g); d(g, 2t..2t+1), d(g+8,
// 2t..2t+1).
static inline void mma_tf32_16x8x8(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    MinizfFragments lane = {{d[0], d[1], d[2], d[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    minizf_mma_tf32(&lane, line);
    d[0] = lane.d[0], d[1] = lane.d[1], d[2] = lane.d[2], d[3] = lane.d[3];
}
