"""The definition of every operation, in loops over plain indices. Slow on purpose; never optimised.

Arguments come checked from `contract.py`, which states the formulas; letters as there. Sums run in float64 and are rounded
once, into an array of the arguments' dtype, so this is also the most exact implementation.
"""

from collections.abc import Iterator
from math import exp, isnan, log, sqrt

import numpy as np

Sides = tuple[int, int]
without_warnings = np.errstate(all="ignore")  # NaN and infinity are values like others


@without_warnings
def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Sides, pad: Sides) -> np.ndarray:
    _, channels, height, width = x.shape
    filters, _, rows, columns = w.shape
    y = _outputs(x, filters, (rows, columns), stride, pad)
    for n, k, p, q in np.ndindex(y.shape):
        total = 0.0 if b is None else float(b[k])
        for c in range(channels):
            for r, s, i, j in _inside(p, q, (rows, columns), stride, pad, (height, width)):
                total += float(w[k, c, r, s]) * float(x[n, c, i, j])
        y[n, k, p, q] = total
    return y


def conv2d_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Sides, pad: Sides) -> np.ndarray:
    return relu(conv2d(x, w, b, stride, pad))


@without_warnings
def conv2d_transpose(dy: np.ndarray, w: np.ndarray, stride: Sides, pad: Sides, size: Sides) -> np.ndarray:
    _, channels, rows, columns = w.shape
    dx = np.zeros((len(dy), channels, *size))  # float64
    for n, k, p, q in np.ndindex(dy.shape):
        for c in range(channels):
            for r, s, i, j in _inside(p, q, (rows, columns), stride, pad, size):
                dx[n, c, i, j] += float(w[k, c, r, s]) * float(dy[n, k, p, q])
    return dx.astype(dy.dtype)


@without_warnings
def conv2d_weight_grad(x: np.ndarray, dy: np.ndarray, stride: Sides, pad: Sides, filter_size: Sides) -> np.ndarray:
    _, channels, height, width = x.shape
    dw = np.zeros((dy.shape[1], channels, *filter_size))  # float64
    for n, k, p, q in np.ndindex(dy.shape):
        for c in range(channels):
            for r, s, i, j in _inside(p, q, filter_size, stride, pad, (height, width)):
                dw[k, c, r, s] += float(dy[n, k, p, q]) * float(x[n, c, i, j])
    return dw.astype(dy.dtype)


def maxpool2d(x: np.ndarray, size: Sides, stride: Sides, pad: Sides) -> tuple[np.ndarray, np.ndarray]:
    y = _outputs(x, x.shape[1], size, stride, pad)
    switches = np.empty(y.shape, np.uint8)
    for n, c, p, q in np.ndindex(y.shape):
        winner = None
        for r, s, i, j in _inside(p, q, size, stride, pad, x.shape[2:]):
            value = x[n, c, i, j]
            if winner is None or _beats(value, winner):
                winner = value
                y[n, c, p, q] = value
                switches[n, c, p, q] = r * size[1] + s
    return y, switches


@without_warnings
def unpool2d(
    y: np.ndarray, switches: np.ndarray, size: Sides, stride: Sides, pad: Sides, out_size: Sides, collisions: str
) -> np.ndarray:
    x = np.zeros((*y.shape[:2], *out_size), y.dtype)
    for n, c, i, j in np.ndindex(x.shape):
        named_by = []
        for p, q in np.ndindex(y.shape[2:]):
            r, s = divmod(int(switches[n, c, p, q]), size[1])
            if (p * stride[0] - pad[0] + r, q * stride[1] - pad[1] + s) == (i, j):
                named_by.append(float(y[n, c, p, q]))
        if named_by:
            x[n, c, i, j] = _collide(named_by, collisions)
    return x


def relu(x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    for position in np.ndindex(x.shape):
        y[position] = 0.0 if x[position] <= 0 else x[position]
    return y


def relu_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx = np.empty_like(dy)
    for position in np.ndindex(dy.shape):
        dx[position] = dy[position] if y[position] > 0 else 0.0
    return dx


def relu_maxpool(x: np.ndarray, size: Sides, stride: Sides, pad: Sides) -> tuple[np.ndarray, np.ndarray]:
    return maxpool2d(relu(x), size, stride, pad)


def unpool_relu(
    y: np.ndarray, switches: np.ndarray, size: Sides, stride: Sides, pad: Sides, out_size: Sides, collisions: str
) -> np.ndarray:
    return relu(unpool2d(y, switches, size, stride, pad, out_size, collisions))


def deconv_step(
    y: np.ndarray,
    switches: np.ndarray,
    pool_size: Sides,
    pool_stride: Sides,
    pool_pad: Sides,
    w: np.ndarray,
    stride: Sides,
    pad: Sides,
    size: Sides,
    collisions: str,
) -> np.ndarray:
    maps = _out_size(size, w.shape[2:], stride, pad)
    signal = unpool_relu(y, switches, pool_size, pool_stride, pool_pad, maps, collisions)
    return conv2d_transpose(signal, w, stride, pad, size)


@without_warnings
def lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> tuple[np.ndarray, np.ndarray]:
    y, scale = np.empty_like(x), np.empty_like(x)
    for n, c, i, j in np.ndindex(x.shape):
        squares = sum(float(x[n, d, i, j]) * float(x[n, d, i, j]) for d in _neighbours(c, size, x.shape[1]))
        total = k + alpha / size * squares
        scale[n, c, i, j] = total
        y[n, c, i, j] = float(x[n, c, i, j]) * total**-beta
    return y, scale


@without_warnings
def lrn_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, scale: np.ndarray, size: int, alpha: float, beta: float
) -> np.ndarray:
    dx = np.empty_like(dy)
    maps = x.shape[1]
    for n, d, i, j in np.ndindex(dx.shape):
        through_scale = sum(
            float(dy[n, c, i, j]) * float(y[n, c, i, j]) / float(scale[n, c, i, j])
            for c in range(maps)
            if d in _neighbours(c, size, maps)
        )
        direct = float(dy[n, d, i, j]) * float(scale[n, d, i, j]) ** -beta
        dx[n, d, i, j] = direct - 2 * alpha * beta / size * float(x[n, d, i, j]) * through_scale
    return dx


@without_warnings
def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    y = np.empty((x.shape[0], w.shape[0]), x.dtype)
    for n, g in np.ndindex(y.shape):
        total = 0.0 if b is None else float(b[g])
        for f in range(x.shape[1]):
            total += float(w[g, f]) * float(x[n, f])
        y[n, g] = total
    return y


@without_warnings
def linear_input_grad(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    dx = np.empty((dy.shape[0], w.shape[1]), dy.dtype)
    for n, f in np.ndindex(dx.shape):
        dx[n, f] = sum(float(dy[n, g]) * float(w[g, f]) for g in range(w.shape[0]))
    return dx


@without_warnings
def linear_weight_grad(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    dw = np.empty((dy.shape[1], x.shape[1]), dy.dtype)
    for g, f in np.ndindex(dw.shape):
        dw[g, f] = sum(float(dy[n, g]) * float(x[n, f]) for n in range(x.shape[0]))
    return dw


@without_warnings
def bias_grad(dy: np.ndarray) -> np.ndarray:
    db = np.zeros(dy.shape[1])  # float64
    for n, k, *pixel in np.ndindex(dy.shape):
        db[k] += float(dy[n, k, *pixel])
    return db.astype(dy.dtype)


@without_warnings
def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, classes = logits.shape
    losses, dlogits = np.empty(images, logits.dtype), np.empty_like(logits)
    for n in range(images):
        largest = max(float(logit) for logit in logits[n])
        shifted = [float(logit) - largest for logit in logits[n]]
        total = sum(exp(logit) for logit in shifted)
        losses[n] = log(total) - shifted[labels[n]]
        for g in range(classes):
            dlogits[n, g] = (exp(shifted[g]) / total - (g == labels[n])) / images
    return losses, dlogits


@without_warnings
def sgd_update(w: np.ndarray, v: np.ndarray, dw: np.ndarray, rate: float, momentum: float, decay: float) -> None:
    for position in np.ndindex(w.shape):
        weight = float(w[position])
        v[position] = momentum * float(v[position]) - rate * float(dw[position]) - rate * decay * weight
        w[position] = weight + float(v[position])


@without_warnings
def renormalise_filters(w: np.ndarray, radius: float) -> None:
    for one in w.reshape(len(w), -1):  # views: what is written to a filter is written to w
        rms = sqrt(sum(float(value) * float(value) for value in one) / one.size)
        if rms > radius:
            for i in range(one.size):
                one[i] = float(one[i]) * (radius / rms)


def _outputs(x: np.ndarray, maps: int, window: Sides, stride: Sides, pad: Sides) -> np.ndarray:
    return np.empty((x.shape[0], maps, *_out_size(x.shape[2:], window, stride, pad)), x.dtype)


def _out_size(size: Sides, window: Sides, stride: Sides, pad: Sides) -> Sides:
    height, width = ((side + 2 * p - r) // s + 1 for side, r, s, p in zip(size, window, stride, pad, strict=True))
    return height, width


def _inside(p: int, q: int, window: Sides, stride: Sides, pad: Sides, size: Sides) -> Iterator[tuple[int, int, int, int]]:
    """The places (r, s) of window (p, q) that lie inside the input, row-major, and where: (i, j)."""
    for r in range(window[0]):
        for s in range(window[1]):
            i, j = p * stride[0] - pad[0] + r, q * stride[1] - pad[1] + s
            if 0 <= i < size[0] and 0 <= j < size[1]:
                yield r, s, i, j


def _beats(value: float, winner: float) -> bool:
    """Larger wins; NaN beats every number, and nothing beats a NaN."""
    if isnan(winner):
        return False
    return isnan(value) or value > winner


def _collide(named_by: list[float], collisions: str) -> float:
    """What a position gets from the windows that name it, in row-major order of the windows."""
    if collisions == "sum":
        return sum(named_by)
    if collisions == "mean":
        return sum(named_by) / len(named_by)
    if collisions == "last":
        return named_by[-1]
    return next((value for value in named_by if isnan(value)), max(named_by))


def _neighbours(c: int, size: int, maps: int) -> range:
    """The maps in the window of map c; for an even size one more before c than after it."""
    return range(max(0, c - size // 2), min(maps, c + (size - 1) // 2 + 1))
