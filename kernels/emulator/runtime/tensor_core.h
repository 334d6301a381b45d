// The product of a warp's matrices: gathered from its lanes, multiplied as C would, given back. Layout: device/tensor_core.h.
#pragma once
#include "../device/fragments.h"
#include "warp.h"

namespace minizf {

inline float tf32(unsigned bits) {
    float value;
    bits &= ~0x1fffu;  // the hardware ignores these
    memcpy(&value, &bits, 4);
    return value;
}

inline void complete_mma(Meeting& m) {
    float a[16][8], b[8][8], d[16][8];
    if (m.arrived != ~0u) wrong_meeting(NOT_IN_MASK, m.operation, m.line, nullptr, 1);
    for (int lane = 0; lane < LANES; ++lane) {
        MinizfFragments& f = *(MinizfFragments*)lane_of(m, lane).fragments;
        int g = lane >> 2, t = lane & 3;
        a[g][t] = tf32(f.a[0]), a[g + 8][t] = tf32(f.a[1]), a[g][t + 4] = tf32(f.a[2]), a[g + 8][t + 4] = tf32(f.a[3]);
        b[t][g] = tf32(f.b[0]), b[t + 4][g] = tf32(f.b[1]);
        for (int i = 0; i < 4; ++i) d[g + (i >> 1) * 8][2 * t + (i & 1)] = f.d[i];
    }
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 8; ++k)
            for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < LANES; ++lane) {
        MinizfFragments& f = *(MinizfFragments*)lane_of(m, lane).fragments;
        int g = lane >> 2, t = lane & 3;
        for (int i = 0; i < 4; ++i) f.d[i] = d[g + (i >> 1) * 8][2 * t + (i & 1)];
    }
}

}  // namespace minizf
