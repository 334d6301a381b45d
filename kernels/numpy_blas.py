"""Vectorised NumPy on BLAS: the implementation that works everywhere.

A convolution becomes one matrix product over columns (C*R*S, images*P*Q): for each output position, the inputs its filter sees.
Columns are made and used in pieces of at most PIECE_BYTES, so memory stays bounded whatever the batch. Pooling, unpooling and
normalisation loop over the few places of a window, each one strided slice of all images at once.
"""

from collections.abc import Iterator

import numpy as np

from kernels.sizes import conv_output_size, pool_output_size

Sides = tuple[int, int]
without_warnings = np.errstate(all="ignore")  # NaN and infinity are values like others

PIECE_BYTES = 4 * 2**20  # what the caches hold; larger pieces wait for memory


@without_warnings
def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Sides, pad: Sides) -> np.ndarray:
    filters, window = len(w), (w.shape[2], w.shape[3])
    y = np.empty((x.shape[0], filters, *conv_output_size(x.shape[2:], window, stride, pad)), x.dtype)
    flat = w.reshape(filters, -1)  # (K, CRS)
    padded = _padded(x, pad)
    for images, rows in _pieces(y, w[0].nbytes):
        product = flat @ _columns(padded[images], window, stride, rows, y.shape[3])  # (K, npQ)
        if b is not None:
            product += b[:, None]
        piece = y[images, :, rows]  # (n, K, p, Q)
        piece[:] = product.reshape(filters, len(piece), *piece.shape[2:]).swapaxes(0, 1)
    return y


def conv2d_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Sides, pad: Sides) -> np.ndarray:
    y = conv2d(x, w, b, stride, pad)
    return _rectify(y, y)


@without_warnings
def conv2d_transpose(dy: np.ndarray, w: np.ndarray, stride: Sides, pad: Sides, size: Sides) -> np.ndarray:
    filters, channels, window = len(w), w.shape[1], (w.shape[2], w.shape[3])
    padded = np.zeros((dy.shape[0], channels, size[0] + 2 * pad[0], size[1] + 2 * pad[1]), dy.dtype)
    flat = w.reshape(filters, -1).T  # (CRS, K)
    for images, rows in _pieces(dy, w[0].nbytes):
        piece = dy[images, :, rows]  # (n, K, p, Q)
        columns = (flat @ _by_map(piece)).reshape(channels, *window, len(piece), *piece.shape[2:])
        for r, s in np.ndindex(*window):
            padded[images][_reached(r, s, stride, rows, dy.shape[3])] += columns[:, r, s].swapaxes(0, 1)
    return _without_padding(padded, pad, size)


@without_warnings
def conv2d_weight_grad(x: np.ndarray, dy: np.ndarray, stride: Sides, pad: Sides, filter_size: Sides) -> np.ndarray:
    filters, channels = dy.shape[1], x.shape[1]
    dw = np.zeros((filters, channels * filter_size[0] * filter_size[1]), x.dtype)
    padded = _padded(x, pad)
    for images, rows in _pieces(dy, dw[0].nbytes):
        columns = _columns(padded[images], filter_size, stride, rows, dy.shape[3])
        dw += _by_map(dy[images, :, rows]) @ columns.T
    return dw.reshape(filters, channels, *filter_size)


@without_warnings
def maxpool2d(x: np.ndarray, size: Sides, stride: Sides, pad: Sides) -> tuple[np.ndarray, np.ndarray]:
    out = pool_output_size(x.shape[2:], size, stride, pad)
    rows = slice(0, out[0])
    padded = _padded(x, pad, -np.inf)
    any_nan = x.size > 0 and np.isnan(x.min())
    y = padded[_reached(0, 0, stride, rows, out[1])].copy()
    place = np.zeros(y.shape, np.uint8)
    better = np.empty(y.shape, bool)
    for r, s in np.ndindex(*size):
        value = padded[_reached(r, s, stride, rows, out[1])]
        np.greater(value, y, out=better)
        if any_nan:
            better |= np.isnan(value) & ~np.isnan(y)
        np.maximum(y, value, out=y)  # of NaN and a number: NaN
        # places rise, so the latest improvement is the largest place seen
        np.maximum(place, better.view(np.uint8) * np.uint8(r * size[1] + s), out=place)
    if pad != (0, 0):
        _padding_never_wins(y, place, size, stride, pad)
    return y, place


@without_warnings
def unpool2d(
    y: np.ndarray, switches: np.ndarray, size: Sides, stride: Sides, pad: Sides, out_size: Sides, collisions: str
) -> np.ndarray:
    padded = np.zeros((*y.shape[:2], out_size[0] + 2 * pad[0], out_size[1] + 2 * pad[1]), y.dtype)
    named = _named(switches, size, stride, padded.shape)
    flat, values = padded.reshape(-1), y.reshape(-1)
    if collisions == "last":
        latest = np.zeros(flat.size, np.int64)
        np.maximum.at(latest, named, np.arange(named.size))
        flat[named] = values[latest[named]]  # NumPy promises no order of assignment, so equal values to equal places
    elif collisions == "max":
        flat[named] = -np.inf
        np.maximum.at(flat, named, values)
    else:
        np.add.at(flat, named, values)
    if collisions == "mean":
        flat /= np.maximum(np.bincount(named, minlength=flat.size), 1).astype(y.dtype)
    return _without_padding(padded, pad, out_size)


@without_warnings
def relu(x: np.ndarray) -> np.ndarray:
    return _rectify(x, np.empty_like(x))


@without_warnings
def relu_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y > 0, dy, dy.dtype.type(0))


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
    maps = conv_output_size(size, (w.shape[2], w.shape[3]), stride, pad)
    signal = unpool2d(y, switches, pool_size, pool_stride, pool_pad, maps, collisions)
    return conv2d_transpose(_rectify(signal, signal), w, stride, pad, size)


@without_warnings
def lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> tuple[np.ndarray, np.ndarray]:
    scale = _sum_over_maps(x * x, -(size // 2), (size - 1) // 2)
    scale *= alpha / size
    scale += k
    y = _to_minus(beta, scale)
    y *= x
    return y, scale


@without_warnings
def lrn_grad(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, scale: np.ndarray, size: int, alpha: float, beta: float
) -> np.ndarray:
    # map d lies in the windows of the maps c with d - (size - 1) // 2 <= c <= d + size // 2
    through_scale = _sum_over_maps(dy * y / scale, -((size - 1) // 2), size // 2)
    through_scale *= x
    through_scale *= 2 * alpha * beta / size
    dx = _to_minus(beta, scale)
    dx *= dy
    dx -= through_scale
    return dx


@without_warnings
def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    y = x @ w.T
    if b is not None:
        y += b
    return y


@without_warnings
def linear_input_grad(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    return dy @ w


@without_warnings
def linear_weight_grad(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return dy.T @ x


@without_warnings
def bias_grad(dy: np.ndarray) -> np.ndarray:
    return dy.sum(axis=(0, *range(2, dy.ndim)))


@without_warnings
def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    dlogits = np.exp(shifted)
    totals = dlogits.sum(axis=1)
    dlogits /= totals[:, None]
    dlogits[rows, labels] -= 1
    dlogits /= max(len(logits), 1)
    return np.log(totals) - shifted[rows, labels], dlogits


@without_warnings
def sgd_update(w: np.ndarray, v: np.ndarray, dw: np.ndarray, rate: float, momentum: float, decay: float) -> None:
    v *= momentum
    v -= rate * dw
    if decay:
        v -= rate * decay * w
    w += v


@without_warnings
def renormalise_filters(w: np.ndarray, radius: float) -> None:
    rms = np.sqrt(np.square(w.reshape(len(w), -1)).mean(axis=1))
    for k in np.flatnonzero(rms > radius):
        w[k] *= radius / rms[k]


@without_warnings
def _rectify(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """relu of x, into y."""
    np.maximum(x, 0, out=y)
    y += 0.0  # -0.0 becomes 0.0
    return y


def _pieces(outputs: np.ndarray, bytes_each: int) -> Iterator[tuple[slice, slice]]:
    """Cut the outputs (N,K,P,Q) into slices of images and of rows whose columns, `bytes_each` an output, fit in PIECE_BYTES."""
    images, _, rows, width = outputs.shape
    rows_at_once = max(1, PIECE_BYTES // (bytes_each * width))
    if rows_at_once >= rows:
        step = rows_at_once // rows
        for start in range(0, images, step):
            yield slice(start, min(start + step, images)), slice(0, rows)
        return
    for image in range(images):
        for start in range(0, rows, rows_at_once):
            yield slice(image, image + 1), slice(start, min(start + rows_at_once, rows))


def _reached(r: int, s: int, stride: Sides, rows: slice, width: int) -> tuple[slice, slice, slice, slice]:
    """In a padded input (N,C,H,W): the positions that place (r, s) of the windows in output `rows` sees, `width` to a row."""
    first = rows.start * stride[0] + r
    last = (rows.stop - 1) * stride[0] + r
    every = slice(None)
    return every, every, slice(first, last + 1, stride[0]), slice(s, (width - 1) * stride[1] + s + 1, stride[1])


def _named(switches: np.ndarray, size: Sides, stride: Sides, padded: tuple[int, ...]) -> np.ndarray:
    """For each switch, in order: the index of the position it names in the flattened padded input of that shape."""
    images, channels, height, width = padded
    r, s = np.indices(size)
    in_window = (r * width + s).reshape(-1)
    p, q = np.indices(switches.shape[2:])
    named = in_window[switches]  # (N, C, P, Q)
    named += p * stride[0] * width + q * stride[1]
    named += (np.arange(images * channels) * height * width).reshape(images, channels, 1, 1)
    return named.reshape(-1)


def _columns(padded: np.ndarray, window: Sides, stride: Sides, rows: slice, width: int) -> np.ndarray:
    """(C*R*S, n*p*Q): under each output position of `rows`, the inputs that its filter sees."""
    images, channels = padded.shape[:2]
    columns = np.empty((channels, *window, images, rows.stop - rows.start, width), padded.dtype)
    for r, s in np.ndindex(*window):
        columns[:, r, s] = padded[_reached(r, s, stride, rows, width)].swapaxes(0, 1)
    return columns.reshape(channels * window[0] * window[1], -1)


def _by_map(outputs: np.ndarray) -> np.ndarray:
    """(n,K,p,Q) -> (K, n*p*Q), the layout of the columns."""
    return np.ascontiguousarray(outputs.swapaxes(0, 1)).reshape(outputs.shape[1], -1)


def _padded(x: np.ndarray, pad: Sides, fill: float = 0.0) -> np.ndarray:
    """x with `pad` rows and columns of `fill` around it; x itself without padding."""
    if pad == (0, 0):
        return x
    padded = np.full((*x.shape[:2], x.shape[2] + 2 * pad[0], x.shape[3] + 2 * pad[1]), fill, x.dtype)
    padded[:, :, pad[0] : pad[0] + x.shape[2], pad[1] : pad[1] + x.shape[3]] = x
    return padded


def _without_padding(padded: np.ndarray, pad: Sides, size: Sides) -> np.ndarray:
    return np.ascontiguousarray(padded[:, :, pad[0] : pad[0] + size[0], pad[1] : pad[1] + size[1]])


def _padding_never_wins(y: np.ndarray, place: np.ndarray, size: Sides, stride: Sides, pad: Sides) -> None:
    """A window whose every input is -inf ties with its padding: its switch is the first place inside the input."""
    first_row = np.maximum(pad[0] - np.arange(y.shape[2]) * stride[0], 0)
    first_column = np.maximum(pad[1] - np.arange(y.shape[3]) * stride[1], 0)
    first = (first_row[:, None] * size[1] + first_column).astype(np.uint8)  # (P, Q)
    np.copyto(place, first, where=np.isneginf(y))


def _sum_over_maps(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """Sum of the maps c + before ... c + after that exist, for each map c of x (N,C,H,W)."""
    total = x.copy()  # the map itself; every window holds it
    maps = x.shape[1]
    for offset in range(max(before, 1 - maps), min(after, maps - 1) + 1):
        if offset > 0:
            total[:, :-offset] += x[:, offset:]
        elif offset < 0:
            total[:, -offset:] += x[:, :offset]
    return total


def _to_minus(beta: float, scale: np.ndarray) -> np.ndarray:
    """scale ** -beta; for the usual beta of 0.75 from square roots, several times faster than a power."""
    if beta == 0.75:
        root = np.sqrt(scale)
        root *= np.sqrt(root)
        return np.reciprocal(root, out=root)
    return scale**-beta
