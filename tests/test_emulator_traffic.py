"""What a warp's accesses cost together is counted exactly, for patterns whose cost is known by hand, in every order."""

import numpy as np
import pytest

from kernels.emulator import Module

pytestmark = pytest.mark.compiler
ORDERS = ("forward", "reverse", "shuffled")
PATTERNS = r"""
#define KERNEL extern "C" __global__ void
#define T threadIdx.x
KERNEL row(const float* x, float* y) { y[T] = x[T]; }
KERNEL column(const float* x, float* y) { y[T] = x[32 * T]; }
KERNEL shifted(const float* x, float* y) { y[T] = x[T + 1]; }
KERNEL one_word(const float* x, float* y) { y[T] = x[5]; }
KERNEL vectors(const float4* x, float4* y) { y[T] = x[T]; }
KERNEL every_other(const float* x, float* y) { if (T % 2) y[T] = x[T]; }
KERNEL both_ways(const float* x, float* y) {
    float v = 0;
    for (int i = 0; i < 3 + T % 2; ++i) v += x[32 * i + T];     // odd lanes go round once more, then all meet again
    y[T] = v;
}
KERNEL long_loop(const float* x, float* y) {
    float v = 0;
    for (int i = 0; i < 500 + T % 3; ++i) v += x[(32 * i + T) % 1024];
    y[T] = v;
}
template <int PITCH, bool down> __device__ void tile(float* y) {
    __shared__ float cell[32 * PITCH];
    for (int i = 0; i < 32; ++i) cell[i * PITCH + T] = i;
    __syncthreads();
    for (int i = 0; i < 32; ++i) y[T] += down ? cell[T * PITCH + i] : cell[i * PITCH + T];
}
KERNEL tile_row(float* y) { tile<32, false>(y); }
KERNEL tile_column(float* y) { tile<32, true>(y); }
KERNEL tile_padded(float* y) { tile<33, true>(y); }
KERNEL tile_vectors(float* y) {
    __shared__ __align__(16) float cell[128];
    *(float4*)&cell[4 * T] = make_float4(1, 2, 3, 4);
    __syncthreads();
    y[T] = cell[T % 4];
}
"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("name", "requests", "sectors"),
    [
        *(("row", 1, 4), ("column", 1, 32), ("shifted", 1, 5), ("one_word", 1, 1), ("vectors", 1, 16), ("every_other", 1, 4)),
        *(("both_ways", 4, 16), ("long_loop", 502, 2008)),
    ],
)
def test_sectors_of_global_memory(name, requests, sectors, order):
    kernel = Module(PATTERNS, name="patterns.cu", checked=True).get_function(name)
    kernel(1, 32, (np.zeros(1024, np.float32), np.zeros(128, np.float32)), order=order)
    assert (kernel.counts.global_read_requests, kernel.counts.global_read_sectors) == (requests, sectors)
    assert kernel.counts.global_write_requests == 1


@pytest.mark.parametrize(
    ("name", "write_passes", "read_passes"),
    [("tile_row", 32, 32), ("tile_column", 32, 1024), ("tile_padded", 32, 32), ("tile_vectors", 4, 1)],
)
def test_passes_of_shared_memory(name, write_passes, read_passes):
    kernel = Module(PATTERNS, name="patterns.cu", checked=True).get_function(name)
    kernel(1, 32, (np.zeros(32, np.float32),))
    assert (kernel.counts.shared_write_passes, kernel.counts.shared_read_passes) == (write_passes, read_passes)
