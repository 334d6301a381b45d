"""Unpooling with windows of 2 or 3 at stride 2 in the `numba` implementation: every edge of its vectors, rows and bands."""

import numba
import numpy as np
import pytest

from kernels import numba_cpu
from kernels.numba_cpu import unpool_stride2, unpool_sum
from kernels.numba_cpu.machine import LANES


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


POOLS_BY_TWO = ((3, 1), (3, 0), (2, 0), (2, 1))  # size, pad along one side


def scattered(y, switches, size, pad, out):
    """Unpooling with stride 2: the windows' values added one after the other in row-major order, to zeros."""
    x = np.zeros((*y.shape[:2], *out), y.dtype)
    for p, q in np.ndindex(y.shape[2:]):
        r, s = np.divmod(switches[:, :, p, q].astype(int), size[1])
        h, w = 2 * p - pad[0] + r, 2 * q - pad[1] + s
        n, c = np.nonzero((h >= 0) & (h < out[0]) & (w >= 0) & (w < out[1]))
        x[n, c, h[n, c], w[n, c]] += y[n, c, p, q]
    return x


# rows shorter than a vector and longer; rows that end where a vector does; bands of many planes, one, and a part of one
WINDOWS = [
    (1, 1),
    (2, 1),
    (1, 2),
    (4, 4),
    (7, 7),
    (5, LANES - 1),
    (3, LANES),
    (2, LANES + 1),
    (2, 2 * LANES + 1),
    (70, 31),
    (3, 1030),
]


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("down", POOLS_BY_TWO)
@pytest.mark.parametrize("right", POOLS_BY_TWO)
def test_unpooling_by_two_at_the_edges_of_vectors_rows_and_bands(windows, down, right):
    """Bit for bit, whatever the switches, those that name places in the padding included."""
    size, pad = zip(down, right, strict=True)
    rng = np.random.default_rng(windows[1])
    least = [2 * n + r - 2 - 2 * p for n, r, p in zip(windows, size, pad, strict=True)]
    for more in np.ndindex(2, 2):
        out = least[0] + more[0], least[1] + more[1]
        if min(out) < 1:
            continue
        y = numbers(2, int(rng.integers(1, 30)), *windows)
        y[rng.random(y.shape) < 0.2] = -0.0
        y[rng.random(y.shape) < 0.03] = np.nan
        y[rng.random(y.shape) < 0.03] = np.inf
        switches = rng.integers(0, size[0] * size[1], y.shape).astype(np.uint8)
        assert unpool_stride2.pays(windows, size, (2, 2), pad, out)
        expected = scattered(y, switches, size, pad, out)
        arguments = y, switches, size, (2, 2), pad, out
        for result, sums in (
            (numba_cpu.unpool2d(*arguments), expected),
            (numba_cpu.unpool_relu(*arguments), np.where(expected <= 0, np.float32(0), expected)),
        ):
            np.testing.assert_array_equal(result, sums)
            np.testing.assert_array_equal(np.signbit(result[result == 0]), np.signbit(sums[sums == 0]))


def test_rows_wider_than_a_band(monkeypatch):
    monkeypatch.setattr(unpool_stride2, "NUMBERS", 32)
    unpool_stride2.tables.cache_clear()
    try:
        for down in POOLS_BY_TWO:
            test_unpooling_by_two_at_the_edges_of_vectors_rows_and_bands((3, 71), down, (3, 1))
    finally:
        unpool_stride2.tables.cache_clear()


def test_an_unpooled_map_too_large_for_the_caches():
    y = numbers(11, 97, 33, 31)
    switches = np.random.default_rng(1).integers(0, 9, y.shape).astype(np.uint8)
    out = (65, 62)
    assert y.shape[0] * y.shape[1] * out[0] * out[1] >= unpool_sum.LARGE
    expected = scattered(y, switches, (3, 3), (1, 1), out)
    np.testing.assert_array_equal(numba_cpu.unpool2d(y, switches, (3, 3), (2, 2), (1, 1), out), expected)


@pytest.mark.parametrize("rectify", [False, True])
def test_vector_code_agrees_with_its_definition(rectify):
    rng = np.random.default_rng(0)
    y, switches = numbers(9 * LANES), rng.integers(0, 9, 9 * LANES).astype(np.uint8)
    y[rng.random(y.size) < 0.1] = np.nan
    y[rng.random(y.size) < 0.2] = -0.0
    places = np.array([4, 5, 3, 7, 8, 6, 1, 2, 0], np.uint8)
    ends = ((rng.random((2, 5 * LANES)) < 0.2) * 255).astype(np.uint8)
    results = []
    for unpool_windows in (unpool_stride2.unpool_windows, unpool_stride2.plain_windows):
        sums = np.zeros(14 * LANES, np.float32)

        @numba.njit
        def run(y, switches, places, row_ends, plane_ends, rectify, sums, unpool_windows=unpool_windows):
            unpool_windows(y, switches, 3, 7, 3, places, row_ends, plane_ends, 5, rectify, sums, 7 * LANES)

        run(y, switches, places, *(end.copy() for end in ends), rectify, sums)
        results.append(sums)
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(*(np.signbit(sums[sums == 0]) for sums in results))
    assert not results[0][6 * LANES : 7 * LANES].any()
    assert not results[0][13 * LANES :].any()
