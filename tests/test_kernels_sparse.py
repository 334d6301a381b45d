"""The transposed convolution without the zeros: equal to the definition, chosen where it pays, and only where it is right."""

import numpy as np
import pytest
from kernel_checks import CONVS, normal

import kernels
from kernels import reference

if kernels.available()["numba"] is None:
    from kernels.numba_cpu import conv_transpose, sparse_transpose


def mostly_zero(rng, shape, density=0.1):
    return normal(rng, shape, np.float32) * (rng.random(shape) < density).astype(np.float32)


@pytest.mark.parametrize("case", CONVS, ids=str)
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_equals_the_definition(case, density):
    rng = np.random.default_rng(0)
    out = kernels.conv_output_size(case.x[2:], case.window, case.stride, case.pad)
    dy = mostly_zero(rng, (case.x[0], case.filters, *out), density)
    w = normal(rng, (case.filters, case.x[1], *case.window), np.float32)
    if not dy.size:
        return
    ours = sparse_transpose.conv2d_transpose_sparse(dy, w, case.stride, case.pad, case.x[2:])
    wide = (dy.astype(np.float64), w.astype(np.float64))
    true = reference.conv2d_transpose(*wide, case.stride, case.pad, case.x[2:])
    bound = (
        w[:, 0].size * np.finfo(np.float32).eps * reference.conv2d_transpose(*map(abs, wide), case.stride, case.pad, case.x[2:])
    )
    assert (np.abs(ours - true) <= bound).all()


@pytest.mark.parametrize(("density", "chosen"), [(0.05, True), (0.9, False)])
def test_chosen_where_it_pays(monkeypatch, density, chosen):
    rng = np.random.default_rng(1)
    dy, w = mostly_zero(rng, (5, 48, 16, 16), density), normal(rng, (48, 3, 7, 7), np.float32)
    calls = []
    true = sparse_transpose.conv2d_transpose_sparse
    monkeypatch.setattr(conv_transpose.sparse_transpose, "conv2d_transpose_sparse", lambda *a: calls.append(1) or true(*a))
    with kernels.use("numba"):
        ours = kernels.conv2d_transpose(dy, w, 2, 3, (32, 32))
    assert bool(calls) == chosen
    with kernels.use("numpy"):
        true_pixels = kernels.conv2d_transpose(dy, w, 2, 3, (32, 32))
    assert np.abs(ours - true_pixels).max() <= 1e-5 * np.abs(true_pixels).max()


def test_zeros_count_where_a_weight_is_infinite():
    """0 * infinity is NaN, so no zero may be left out."""
    dy, w = np.zeros((2, 40, 8, 8), np.float32), np.ones((40, 3, 3, 3), np.float32)
    w[7, 1, 1, 1] = np.inf
    with kernels.use("numba"):
        assert np.isnan(kernels.conv2d_transpose(dy, w, 1, 1, (8, 8))).any()


def test_what_is_not_a_number_stays_where_it_reaches():
    rng = np.random.default_rng(2)
    dy, w = mostly_zero(rng, (2, 40, 8, 8), 0.02), normal(rng, (40, 3, 3, 3), np.float32)
    dy[1, 3, 4, 4] = np.nan
    with kernels.use("numba"):
        spoiled = ~np.isfinite(kernels.conv2d_transpose(dy, w, 1, 1, (8, 8)))
    expected = np.zeros_like(spoiled)
    expected[1, :, 3:6, 3:6] = True
    assert np.array_equal(spoiled, expected)


def test_two_runs_give_the_same_bits():
    rng = np.random.default_rng(3)
    dy, w = mostly_zero(rng, (9, 33, 11, 7), 0.1), normal(rng, (33, 5, 3, 2), np.float32)
    runs = [sparse_transpose.conv2d_transpose_sparse(dy, w, (2, 1), (1, 0), (21, 8)) for _ in range(3)]
    assert all(np.array_equal(run, runs[0]) for run in runs)
