// One lane's share of the matrices of an mma.sync, as kernels hand it to the runtime.
#pragma once

struct MinizfFragments {
    float d[4];
    unsigned a[4], b[2];
};
