"""The checks catch what they are there for: each bug below, planted in an implementation, makes them fail.

A bug wraps the true function, so that it can be planted in any implementation. Planted in NumPy it must be caught by the checks
of `test_kernels_agree`; planted in the reference, by PyTorch's stored arrays or the cases worked out by hand.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import test_kernels_reference
from kernel_checks import CHECKS_OF, check_stored

import kernels
from kernels import numpy_blas, reference

WORKED_BY_HAND = [
    check for name, check in vars(test_kernels_reference).items() if name.startswith("test_") and name != "test_equals_pytorch"
]


class Bug(NamedTuple):
    operation: str
    name: str
    wrong: Callable  # wrong(true, *arguments): `true` is the unbroken function


def half(array):
    """One row of windows, or maps, less."""
    return np.concatenate([array[:, :, :-1], np.zeros_like(array[:, :, -1:])], 2)


def swapped(array):
    """The same memory read with N and C exchanged."""
    return np.ascontiguousarray(array.reshape(array.shape[1], array.shape[0], *array.shape[2:]).swapaxes(0, 1))


def flipped(filters):
    return np.ascontiguousarray(filters[:, :, ::-1, ::-1])


def conv2d_without_stride(true, x, w, b, stride, pad):
    y = true(x, w, b, (1, 1), pad)
    p, q = kernels.conv_output_size(x.shape[2:], w.shape[2:], stride, pad)
    return np.ascontiguousarray(y[:, :, :p, :q])


def conv2d_half_written(true, *arguments):
    y = true(*arguments)
    result = np.full_like(y, np.nan)  # freed memory may hold the right number by chance
    result.reshape(-1)[:-1] = y.reshape(-1)[:-1]
    return result


def transpose_overwriting(true, dy, w, stride, pad, size):
    """Where windows overlap, the last one wins instead of the sum."""
    padded = np.zeros((len(dy), w.shape[1], size[0] + 2 * pad[0], size[1] + 2 * pad[1]), dy.dtype)
    for p, q in np.ndindex(dy.shape[2:]):
        i, j = p * stride[0], q * stride[1]
        padded[:, :, i : i + w.shape[2], j : j + w.shape[3]] = np.einsum("nk,kcrs->ncrs", dy[:, :, p, q], w)
    return np.ascontiguousarray(padded[:, :, pad[0] : pad[0] + size[0], pad[1] : pad[1] + size[1]])


def transpose_of_the_smallest_size(true, dy, w, stride, pad, size):
    """Rows and columns that no filter reached are put before the others instead of after them."""
    least = [(out - 1) * s + r - 2 * p for out, s, r, p in zip(dy.shape[2:], stride, w.shape[2:], pad, strict=True)]
    if min(least) < 1:
        return true(dy, w, stride, pad, size)
    dx = np.zeros((len(dy), w.shape[1], *size), dy.dtype)
    dx[:, :, size[0] - least[0] :, size[1] - least[1] :] = true(dy, w, stride, pad, tuple(least))
    return dx


def pool_by(beats, fill=-np.inf, number=lambda r, s, size: r * size[1] + s):
    """A max pooling with its own idea of who wins, what the padding holds and how places are numbered."""

    def pool(true, x, size, stride, pad):
        out = kernels.pool_output_size(x.shape[2:], size, stride, pad)
        padded = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1])), constant_values=fill)
        y = np.empty((*x.shape[:2], *out), x.dtype)
        switches = np.zeros(y.shape, np.uint8)
        for r, s in np.ndindex(*size):
            rows = slice(r, r + (out[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(s, s + (out[1] - 1) * stride[1] + 1, stride[1])
            value = padded[:, :, rows, columns]
            better = beats(value, y) if (r, s) != (0, 0) else np.ones(y.shape, bool)
            y[better] = value[better]
            switches[better] = number(r, s, size)
        return y, switches

    return pool


def first_greater(value, best):
    return (value > best) | (np.isnan(value) & ~np.isnan(best))


def last_of_a_tie(value, best):
    return (value >= best) | np.isnan(value)


def columns_first(switches, size):
    r, s = np.divmod(switches, np.uint8(size[1]))
    return ((s * size[0] + r) % (size[0] * size[1])).astype(np.uint8)


def unpool_backwards(true, y, switches, size, stride, pad, out_size, collisions):
    """The first window wins instead of the last: the map turned by 180 degrees, where it can be."""
    if collisions != "last" or pad != (0, 0) or kernels.pool_output_size(out_size, size, stride) != y.shape[2:]:
        return true(y, switches, size, stride, pad, out_size, collisions)
    least = [(out - 1) * s + r for out, s, r in zip(y.shape[2:], stride, size, strict=True)]
    turned = np.ascontiguousarray(y[:, :, ::-1, ::-1]), np.ascontiguousarray(switches[:, :, ::-1, ::-1])
    places = np.uint8(size[0] * size[1] - 1) - turned[1]
    result = np.zeros((*y.shape[:2], *out_size), y.dtype)
    inside = true(turned[0], places, size, stride, pad, tuple(least), "last")
    result[:, :, : least[0], : least[1]] = inside[:, :, ::-1, ::-1]
    return result


def mean_without_division(true, *arguments):
    return true(*arguments[:-1], "sum" if arguments[-1] == "mean" else arguments[-1])


def modifies_its_input(true, x, *others):
    result = true(x, *others)
    x *= 2
    return result


class Noisy:
    """Differs from run to run in the last bit, as a sum by atomics does."""

    def __init__(self):
        self.calls = 0

    def __call__(self, true, *arguments):
        self.calls += 1
        result = true(*arguments)
        return np.nextafter(result, result.dtype.type(np.inf)) if self.calls % 2 else result


def conv2d_relu_biased_late(true, x, w, b, *rest):
    y = true(x, w, None, *rest)
    return y if b is None else y + b[:, None, None]


def rectified_first(true, y, *rest):
    """The deconvnet's step with its first two parts exchanged."""
    return true(np.maximum(y, 0), *rest)


def not_rectified(true, y, switches, size, step, border, w, stride, pad, whole, collisions):
    maps = kernels.conv_output_size(whole, w.shape[2:], stride, pad)
    unpooled = numpy_blas.unpool2d(y, switches, size, step, border, maps, collisions)
    return numpy_blas.conv2d_transpose(unpooled, w, stride, pad, whole)


def unshifted(true, logits, labels):
    """Without the largest logit subtracted, exp overflows."""
    e = np.exp(logits)
    losses, dlogits = true(logits, labels)
    return np.where(np.isfinite(e.sum(1)), losses, np.inf).astype(logits.dtype), dlogits


def without_velocity(true, w, v, *rest):
    """Takes the step, but does not keep it in v."""
    true(w, v.copy(), *rest)


def nesterov(true, w, v, dw, rate, momentum, decay):
    before = w - rate * dw - rate * decay * w
    true(w, v, dw, rate, momentum, decay)
    w[...] = before + momentum * v


def by_one_rms(true, w, radius):
    """All filters by the RMS of all."""
    w *= min(1, radius / np.sqrt(np.mean(np.square(w))))


def every_filter(true, w, radius):
    """Small filters too are scaled to the radius."""
    w *= (radius / np.sqrt(np.mean(np.square(w.reshape(len(w), -1)), 1))).reshape(-1, *[1] * (w.ndim - 1))


def lrn_wrapping(true, x, size, alpha, beta, k):
    """The window goes round from the last map to the first."""
    squares = sum(np.roll(x * x, offset, 1) for offset in range(-((size - 1) // 2), size // 2 + 1))
    scale = (k + alpha / size * squares).astype(x.dtype)
    return x * scale**-beta, scale


def lrn_turned(true, x, *options):
    """For an even size one more map after than before."""
    y, scale = true(np.ascontiguousarray(x[:, ::-1]), *options)
    return np.ascontiguousarray(y[:, ::-1]), np.ascontiguousarray(scale[:, ::-1])


def lrn_grad_turned(true, dy, x, y, scale, *options):
    arrays = [np.ascontiguousarray(array[:, ::-1]) for array in (dy, x, y, scale)]
    return np.ascontiguousarray(true(*arrays, *options)[:, ::-1])


BUGS = (
    Bug("conv2d", "filters flipped", lambda true, x, w, *rest: true(x, flipped(w), *rest)),
    Bug("conv2d", "bias added twice", lambda true, x, w, b, *rest: true(x, w, None if b is None else 2 * b, *rest)),
    Bug("conv2d", "bias forgotten", lambda true, x, w, b, *rest: true(x, w, None, *rest)),
    Bug("conv2d", "stride ignored", conv2d_without_stride),
    Bug("conv2d", "stride of height and width exchanged", lambda true, x, w, b, s, p: true(x, w, b, s[::-1], p)),
    Bug("conv2d", "padding on one side only", lambda true, x, *rest: true(np.roll(x, 1, 2), *rest)),
    Bug("conv2d", "last row of an odd size lost", lambda true, x, *rest: true(half(x) if x.shape[2] % 2 else x, *rest)),
    Bug("conv2d", "N and C exchanged", lambda true, x, *rest: true(swapped(x), *rest)),
    Bug("conv2d", "last output never written", conv2d_half_written),
    Bug("conv2d", "input modified", modifies_its_input),
    Bug("conv2d", "last bit differs from run to run", Noisy()),
    Bug("conv2d_relu", "bias added after rectifying", conv2d_relu_biased_late),
    Bug("conv2d_relu", "not rectified", lambda true, *arguments: numpy_blas.conv2d(*arguments)),
    Bug("conv2d_relu", "NaN becomes 0", lambda true, *a: np.nan_to_num(true(*a), nan=0, posinf=np.inf)),
    Bug("conv2d_transpose", "filters not turned", lambda true, dy, w, *rest: true(dy, flipped(w), *rest)),
    Bug("conv2d_transpose", "overwrites instead of summing", transpose_overwriting),
    Bug("conv2d_transpose", "unreached rows before instead of after", transpose_of_the_smallest_size),
    Bug("conv2d_transpose", "last row of an odd size lost", lambda true, *a: half(true(*a)) if a[-1][0] % 2 else true(*a)),
    Bug("conv2d_transpose", "N and K exchanged", lambda true, dy, *rest: true(swapped(dy), *rest)),
    Bug("conv2d_weight_grad", "first image only", lambda true, x, dy, *rest: true(x[:1], dy[:1], *rest)),
    Bug("conv2d_weight_grad", "mean over the images", lambda true, x, *rest: true(x, *rest) / max(len(x), 1)),
    Bug("conv2d_weight_grad", "filters flipped", lambda true, *arguments: flipped(true(*arguments))),
    Bug("conv2d_weight_grad", "N and C exchanged", lambda true, x, *rest: true(swapped(x), *rest)),
    Bug("maxpool2d", "the last wins a tie", pool_by(last_of_a_tie)),
    Bug("maxpool2d", "padding of 0 wins", pool_by(first_greater, fill=0)),
    Bug("maxpool2d", "padding of -inf wins a tie", pool_by(first_greater)),
    Bug("maxpool2d", "NaN passed over", pool_by(lambda value, best: value > best)),
    Bug("maxpool2d", "the last NaN wins", pool_by(lambda value, best: (value > best) | np.isnan(value))),
    Bug("maxpool2d", "places numbered by columns", pool_by(first_greater, number=lambda r, s, size: s * size[0] + r)),
    Bug("unpool2d", "overwrites instead of summing", lambda true, *a: true(*a[:-1], "last" if a[-1] == "sum" else a[-1])),
    Bug("unpool2d", "mean without its division", mean_without_division),
    Bug("unpool2d", "the first window wins", unpool_backwards),
    Bug("unpool2d", "max starts from 0", lambda true, *a: np.maximum(true(*a), 0) if a[-1] == "max" else true(*a)),
    Bug("unpool2d", "places read by columns", lambda true, y, at, size, *rest: true(y, columns_first(at, size), size, *rest)),
    Bug("unpool2d", "shifted by one under padding", lambda true, *a: np.roll(true(*a), 1, 2) if a[4] != (0, 0) else true(*a)),
    Bug("relu", "NaN becomes 0", lambda true, x: np.where(x > 0, x, x.dtype.type(0))),
    Bug("relu", "sign of zero kept", lambda true, x: np.where(x < 0, x.dtype.type(0), x)),
    Bug("relu", "works in place", lambda true, x: np.maximum(x, 0, out=x)),
    Bug("relu_grad", "lets 0 pass", lambda true, dy, y: np.where(y >= 0, dy, dy.dtype.type(0))),
    Bug("relu_grad", "masks by the gradient, as the deconvnet does", lambda true, dy, y: true(dy, dy)),
    Bug("relu_grad", "multiplies by 0", lambda true, dy, y: dy * (y > 0)),
    Bug("relu_maxpool", "rectifies after pooling", lambda true, x, *rest: rectify_after(x, *rest)),
    Bug("unpool_relu", "rectifies before unpooling", lambda true, y, *rest: numpy_blas.unpool2d(numpy_blas.relu(y), *rest)),
    Bug("deconv_step", "rectifies before unpooling", rectified_first),
    Bug("deconv_step", "does not rectify", not_rectified),
    Bug("deconv_step", "always sums", lambda true, *a: true(*a[:-1], "sum")),
    Bug("deconv_step", "filters not turned", lambda true, *a: true(*a[:5], flipped(a[5]), *a[6:])),
    Bug("deconv_step", "last row of an odd size lost", lambda true, *a: half(true(*a)) if a[-2][0] % 2 else true(*a)),
    Bug("lrn", "window one map too wide", lambda true, x, size, *rest: true(x, size + 1, *rest)),
    Bug("lrn", "alpha not divided by the size", lambda true, x, size, alpha, *rest: true(x, size, alpha * size, *rest)),
    Bug("lrn", "window goes round", lrn_wrapping),
    Bug("lrn", "even window on the other side", lrn_turned),
    Bug("lrn_grad", "second term forgotten", lambda true, dy, x, y, scale, size, a, beta: dy * scale**-beta),
    Bug("lrn_grad", "factor 2 forgotten", lambda true, dy, x, *rest: (true(dy, x, *rest) + true(dy, 0 * x, *rest)) / 2),
    Bug("lrn_grad", "even window on the other side", lrn_grad_turned),
    Bug("linear", "bias added twice", lambda true, x, w, b: true(x, w, None if b is None else 2 * b)),
    Bug("linear", "last feature lost", lambda true, x, w, b: true(x[:, :-1], w[:, :-1], b)),
    Bug("linear_input_grad", "weights not transposed", lambda true, dy, w: true(dy, w.T.reshape(w.shape))),
    Bug("linear_weight_grad", "first image only", lambda true, x, dy: true(x[:1], dy[:1])),
    Bug("bias_grad", "mean over the images", lambda true, dy: true(dy) / max(len(dy), 1)),
    Bug("bias_grad", "first pixel only", lambda true, dy: true(dy[:, :, :1, :1] if dy.ndim == 4 else dy)),
    Bug("bias_grad", "last image lost", lambda true, dy: true(dy[:-1])),
    Bug("softmax_cross_entropy", "gradient of the sum", lambda true, x, t: (true(x, t)[0], true(x, t)[1] * len(x))),
    Bug("softmax_cross_entropy", "bits instead of nats", lambda true, x, t: (true(x, t)[0] / np.log(2), true(x, t)[1])),
    Bug("softmax_cross_entropy", "large logits overflow", unshifted),
    Bug("softmax_cross_entropy", "classes counted from 1", lambda true, x, t: true(x, (t - 1) % x.shape[1])),
    Bug("sgd_update", "decay forgotten", lambda true, w, v, dw, rate, momentum, decay: true(w, v, dw, rate, momentum, 0.0)),
    Bug("sgd_update", "decay not times the rate", lambda true, w, v, dw, r, m, decay: true(w, v, dw, r, m, decay / r)),
    Bug("sgd_update", "velocity not kept", without_velocity),
    Bug("sgd_update", "Nesterov's momentum", nesterov),
    Bug("sgd_update", "up the slope", lambda true, w, v, dw, *numbers: true(w, v, -dw, *numbers)),
    Bug("renormalise_filters", "norm instead of RMS", lambda true, w, radius: true(w, radius / np.sqrt(w[0].size))),
    Bug("renormalise_filters", "all filters by one RMS", by_one_rms),
    Bug("renormalise_filters", "small filters enlarged", every_filter),
    Bug("renormalise_filters", "does nothing", lambda true, w, radius: None),
)


def rectify_after(x, *rest):
    y, switches = numpy_blas.maxpool2d(x, *rest)
    return numpy_blas.relu(y), switches


def plant(monkeypatch, module, bug):
    true = getattr(module, bug.operation)

    def broken(*arguments):
        with np.errstate(all="ignore"):
            return bug.wrong(true, *arguments)

    monkeypatch.setattr(module, bug.operation, broken)


each_bug = pytest.mark.parametrize("bug", BUGS, ids=[f"{bug.operation}: {bug.name}" for bug in BUGS])


@each_bug
def test_agreement_catches(monkeypatch, bug):
    plant(monkeypatch, numpy_blas, bug)
    with kernels.use("numpy"), pytest.raises(AssertionError):
        check_agreement(bug.operation)


@each_bug
def test_definition_catches(monkeypatch, bug):
    plant(monkeypatch, reference, bug)
    with kernels.use("reference"), pytest.raises(AssertionError):
        check_definition()


def check_agreement(operation):
    for check, cases in CHECKS_OF[operation]:
        for seed, case in enumerate(cases):
            check(case, seed, np.dtype(np.float32))


def check_definition():
    for by_hand in WORKED_BY_HAND:
        by_hand()
    check_stored(np.float64)


def test_a_harmless_wrapper_passes(monkeypatch):
    """Planting itself breaks nothing, so what the tests above catch is the bug."""
    for operation in CHECKS_OF:
        harmless = Bug(operation, "none", lambda true, *arguments: true(*arguments))
        plant(monkeypatch, numpy_blas, harmless)
        plant(monkeypatch, reference, harmless)
    with kernels.use("numpy"):
        for operation in CHECKS_OF:
            check_agreement(operation)
    with kernels.use("reference"):
        check_definition()


def test_every_operation_has_a_bug():
    assert {bug.operation for bug in BUGS} == set(kernels.backends.OPERATIONS) == set(CHECKS_OF)
