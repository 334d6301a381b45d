"""Single results computed straight from the definition in float64: a check that needs no other implementation, at any size.

`at(problem, arrays, index)` gives every output of one position: its value, and for pooling its switch. The cost is that of one
output, so a few hundred positions of the largest layer take milliseconds.
"""

import numpy as np

from kernels.bench.operations import Arrays
from kernels.bench.problems import Conv, Linear, Lrn, Pool, Problem


def at(problem: Problem, arrays: Arrays, index: tuple[int, ...]) -> tuple[float, ...]:
    """What the definition gives at one position of the result, in float64."""
    return DEFINITIONS[problem.operation](problem.shape, arrays, index, problem.rule)


def conv2d(shape: Conv, a: Arrays, index, rule) -> tuple[float, ...]:
    n, k, p, q = index
    (i, r), (j, s) = (under(*axis) for axis in zip((p, q), shape.window, shape.stride, shape.pad, shape.x[2:], strict=True))
    return (dot(a["x"][n, :, i, j], a["w"][k, :, r, s]) + float(a["b"][k]),)


def conv2d_relu(shape: Conv, a: Arrays, index, rule) -> tuple[float, ...]:
    return (max(0.0, conv2d(shape, a, index, rule)[0]),)


def conv2d_transpose(shape: Conv, a: Arrays, index, rule) -> tuple[float, ...]:
    n, c, i, j = index
    (p, r), (q, s) = contributors(shape, i, j)
    return (dot(a["dy"][n][:, p[:, None], q], a["w"][:, c][:, r[:, None], s]),)


def conv2d_weight_grad(shape: Conv, a: Arrays, index, rule) -> tuple[float, ...]:
    k, c, r, s = index
    axes = zip((r, s), shape.stride, shape.pad, shape.x[2:], shape.out, strict=True)
    (i, p), (j, q) = (reading(*axis) for axis in axes)
    return (dot(a["x"][:, c, i, j], a["dy"][:, k, p, q]),)


def deconv_step(shape: Conv, a: Arrays, index, rule) -> tuple[float, ...]:
    n, c, i, j = index
    (ps, rs), (qs, ss) = contributors(shape, i, j)
    total = 0.0
    for p, r in zip(ps, rs, strict=True):
        for q, s in zip(qs, ss, strict=True):
            signal = np.maximum(unpooled(shape.pooled, a["y"][n], a["switches"][n], p, q, rule), 0)  # (K,)
            total += float(signal @ a["w"][:, c, r, s].astype(np.float64))
    return (total,)


def maxpool2d(shape: Pool, a: Arrays, index, rule) -> tuple[float, ...]:
    return winner(shape, a["x"], index)


def relu_maxpool(shape: Pool, a: Arrays, index, rule) -> tuple[float, ...]:
    n, c = index[:2]
    return winner(shape, {n: {c: np.maximum(a["x"][n, c], 0)}}, index)


def winner(shape: Pool, x, index) -> tuple[float, float]:
    """The largest value of a window, the first where several are, and its place."""
    n, c, p, q = index
    (i, r), (j, s) = (under(*axis) for axis in zip((p, q), shape.size, shape.stride, shape.pad, shape.x[2:], strict=True))
    seen = x[n][c][i, j]
    row, column = divmod(int(seen.argmax()), seen.shape[1])
    return float(seen[row, column]), float((r.start + row) * shape.size[1] + s.start + column)


def unpool2d(shape: Pool, a: Arrays, index, rule) -> tuple[float, ...]:
    n, c, i, j = index
    return (float(unpooled(shape, a["y"][n, c : c + 1], a["switches"][n, c : c + 1], i, j, rule)[0]),)


def unpooled(shape: Pool, y: np.ndarray, switches: np.ndarray, i: int, j: int, rule: str) -> np.ndarray:
    """(C,): what position (i, j) of every map gets from y, switches (C, P, Q) of one image."""
    named = []  # (values, whether they are named), window by window in row-major order
    for p in range(*windows_over(i, shape.size[0], shape.stride[0], shape.pad[0], shape.out[0])):
        for q in range(*windows_over(j, shape.size[1], shape.stride[1], shape.pad[1], shape.out[1])):
            place = (i - p * shape.stride[0] + shape.pad[0]) * shape.size[1] + j - q * shape.stride[1] + shape.pad[1]
            named.append((y[:, p, q].astype(np.float64), switches[:, p, q] == place))
    total = np.zeros(len(y))
    if not named:
        return total
    count = sum(hit.astype(int) for _, hit in named)
    if rule in ("sum", "mean"):
        total = np.sum([np.where(hit, value, 0) for value, hit in named], axis=0)
        return total / np.maximum(count, 1) if rule == "mean" else total
    if rule == "max":
        total = np.max([np.where(hit, value, -np.inf) for value, hit in named], axis=0)
        return np.where(count > 0, total, 0)
    for value, hit in named:  # "last"
        total = np.where(hit, value, total)
    return total


def lrn(shape: Lrn, a: Arrays, index, rule) -> tuple[float, ...]:
    n, c, i, j = index
    near = a["x"][n, max(0, c - shape.size // 2) : c + (shape.size - 1) // 2 + 1, i, j].astype(np.float64)
    scale = shape.k + shape.alpha / shape.size * float(near @ near)
    return float(a["x"][index]) * scale**-shape.beta, scale


def lrn_grad(shape: Lrn, a: Arrays, index, rule) -> tuple[float, ...]:
    n, d, i, j = index
    sees = slice(max(0, d - (shape.size - 1) // 2), d + shape.size // 2 + 1)  # the maps whose window holds d
    dy, y, scale = (a[name][n, sees, i, j].astype(np.float64) for name in ("dy", "y", "scale"))
    own = float(a["dy"][index]) * float(a["scale"][index]) ** -shape.beta
    return (own - 2 * shape.alpha * shape.beta / shape.size * float(a["x"][index]) * float((dy * y / scale).sum()),)


def linear(shape: Linear, a: Arrays, index, rule) -> tuple[float, ...]:
    return (dot(a["x"][index[0]], a["w"][index[1]]) + float(a["b"][index[1]]),)


def linear_input_grad(shape: Linear, a: Arrays, index, rule) -> tuple[float, ...]:
    return (dot(a["dy"][index[0]], a["w"][:, index[1]]),)


def linear_weight_grad(shape: Linear, a: Arrays, index, rule) -> tuple[float, ...]:
    return (dot(a["dy"][:, index[0]], a["x"][:, index[1]]),)


DEFINITIONS = {
    function.__name__: function
    for function in (
        conv2d,
        conv2d_relu,
        conv2d_transpose,
        conv2d_weight_grad,
        deconv_step,
        maxpool2d,
        relu_maxpool,
        unpool2d,
        lrn,
        lrn_grad,
        linear,
        linear_input_grad,
        linear_weight_grad,
    )
}


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a.astype(np.float64) * b))


def under(p: int, window: int, stride: int, pad: int, size: int) -> tuple[slice, slice]:
    """Input positions under window p that exist, and their places in the window; along one axis."""
    first = p * stride - pad
    start, stop = max(0, first), min(size, first + window)
    return slice(start, max(start, stop)), slice(start - first, max(start, stop) - first)


def reading(r: int, stride: int, pad: int, size: int, out: int) -> tuple[slice, slice]:
    """For tap r: the input positions it meets and the outputs that meet them; along one axis."""
    first = max(0, -((r - pad) // stride))  # the smallest p with p * stride - pad + r >= 0
    last = min(out - 1, (size - 1 + pad - r) // stride)
    start = first * stride - pad + r
    return slice(start, max(start, last * stride - pad + r + 1), stride), slice(first, max(first, last + 1))


def windows_over(i: int, window: int, stride: int, pad: int, out: int) -> tuple[int, int]:
    """The windows p (from, to) that cover position i; along one axis."""
    return max(0, -((window - 1 - i - pad) // stride)), min(out, (i + pad) // stride + 1)


def contributors(shape: Conv, i: int, j: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """For input position (i, j): the outputs that read it and through which tap, (p, r) and (q, s)."""
    found = []
    for position, window, stride, pad, out in zip((i, j), shape.window, shape.stride, shape.pad, shape.out, strict=True):
        p = np.arange(*windows_over(position, window, stride, pad, out))
        found.append((p, position - p * stride + pad))
    return tuple(found)
