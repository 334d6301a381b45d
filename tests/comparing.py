"""How results are compared: what holds for every operation, and bounds for those that round.

Bounds are those of a sum of n rounded products: n * eps * sum of the products' magnitudes. On tensor cores both factors of a
product are rounded to TF32 before, which moves it by another 2**-10 of its magnitude.
"""

import numpy as np

import kernels
from kernels import reference

TENSOR_CORES = ("cuda-tf32", "cuda-tf32-emulated")
PRODUCTS = ("conv2d", "conv2d_relu", "conv2d_transpose", "conv2d_weight_grad", "deconv_step")
PRODUCTS += ("linear", "linear_input_grad", "linear_weight_grad")
TF32 = 2.0**-11  # half a unit in the last of 10 places


def call(operation, *arguments):
    """The operation's result, having checked what holds for all: inputs untouched, a new contiguous array, same bits again.

    The first result is filled with NaN before the second call, so that values an implementation never wrote show.
    """
    arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
    before = [array.tobytes() for array in arrays]
    results = []
    for _ in range(2):
        result = getattr(kernels, operation)(*arguments)
        outputs = result if isinstance(result, tuple) else (result,)
        for output in outputs:
            assert output.flags.c_contiguous, f"{operation}: the result is not C-contiguous"
            assert not any(np.shares_memory(output, array) for array in arrays), f"{operation}: the result is an input"
        results.append([output.copy() for output in outputs])
        for output in outputs:
            output.fill(np.nan if output.dtype.kind == "f" else 255)
    assert [array.tobytes() for array in arrays] == before, f"{operation}: an input was modified"
    first, second = results
    for one, other in zip(first, second, strict=True):
        assert one.tobytes() == other.tobytes(), f"{operation}: two runs differ"
    return tuple(second) if len(second) > 1 else second[0]


def close(what, actual, expected, bound):
    """Same shape, finite at the same places, the same NaN and infinities, the rest within `bound` (an array or a number)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(actual), finite), f"{what}: not finite at other places than expected"
    assert np.array_equal(actual[~finite], expected[~finite], equal_nan=True), f"{what}: other NaN or infinities"
    error = np.abs(np.where(finite, actual, 0).astype(np.float64) - np.where(finite, expected, 0))
    worst = np.max(error - bound, initial=0)
    assert not (error > bound).any(), f"{what}: off by up to {error.max():.3g}, beyond its bound by {worst:.3g}"


def same(what, actual, expected):
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    assert actual.tobytes() == expected.tobytes(), f"{what}: not the same bits"


def normal(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def exactly(operation, terms, *arguments):
    """The reference's result in float64, and the bound for an implementation that sums `terms` products in the given dtype."""
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
    relative = (terms + 2) * np.finfo(arguments[0].dtype).eps + product_error(operation)
    return getattr(reference, operation)(*wide), relative * magnitude(operation, *arguments)


def product_error(operation):
    """How far rounded factors may move each product of the operation, relative to it, in the implementation in use."""
    return (1 + TF32) ** 2 - 1 if kernels.current() in TENSOR_CORES and operation in PRODUCTS else 0.0


def magnitude(operation, *arguments):
    """The sums of the products' magnitudes, in float64."""
    return getattr(reference, operation)(*[abs(a.astype(np.float64)) if isinstance(a, np.ndarray) else a for a in arguments])


def products_error(operation, *arguments):
    """How far rounded factors may move the operation's results."""
    error = product_error(operation)
    return error * magnitude(operation, *arguments) if error else 0.0


def inner(a, b):
    return np.sum(a.astype(np.float64) * b.astype(np.float64))
