"""The operations as everybody calls them: every argument is checked here, once, before any kernel runs.

    images   x (N, C, H, W)      filters  w (K, C, R, S)      outputs  y (N, K, P, Q)

Arrays are C-contiguous float32 (float64 too in `reference` and `numpy`); others are copied to that layout. All arrays of one
call have the same dtype. `stride`, `pad` and `size` are an int or a pair (height, width). Inputs are never modified and results
are always new arrays, except in `sgd_update` and `renormalise_filters`, which work in place; two runs give the same bits. NaN
and infinity go through as IEEE arithmetic says, without a warning; whether padding times infinity counts as 0 or NaN is left
open.

TypeError: not an array, wrong dtype, mixed dtypes. ValueError: everything else that does not fit.
"""

import numpy as np

from kernels import checks
from kernels.backends import Array, Loaded, active
from kernels.checks import agree, floats, map_size, same_dtype, same_shape
from kernels.sizes import Pair, check_pool_pad, output_size, pair

COLLISIONS = ("sum", "max", "mean", "last")


def conv2d(x: Array, w: Array, b: Array | None = None, stride: Pair = 1, pad: Pair = 0) -> Array:
    """Correlation, as every framework calls convolution.

        y[n,k,p,q] = b[k] + sum over c,r,s of  w[k,c,r,s] * x[n, c, p*stride - pad + r, q*stride - pad + s]

    x (N,C,H,W), w (K,C,R,S), b (K,) or None -> y (N,K,P,Q). Positions outside x count as 0. Paper section 2.
    """
    return _conv("conv2d", x, w, b, stride, pad)


def conv2d_relu(x: Array, w: Array, b: Array | None = None, stride: Pair = 1, pad: Pair = 0) -> Array:
    """relu(conv2d(x, w, b, stride, pad)) in one pass, equal to the two steps bit for bit."""
    return _conv("conv2d_relu", x, w, b, stride, pad)


def conv2d_transpose(dy: Array, w: Array, stride: Pair, pad: Pair, size: Pair) -> Array:
    """The adjoint of conv2d: the gradient for its input, and the deconvnet's filtering step (paper section 2.1).

        dx[n,c,i,j] = sum over k,r,s and the (p,q) with p*stride - pad + r = i, q*stride - pad + s = j
                      of  w[k,c,r,s] * dy[n,k,p,q]

    dy (N,K,P,Q), w (K,C,R,S) -> dx (N,C,H,W). `size` is (H, W), because several sizes give the same (P, Q).
    """
    backend = active()
    dy = floats("conv2d_transpose", backend, "dy", dy, "NKPQ")
    w = floats("conv2d_transpose", backend, "w", w, "KCRS")
    same_dtype("conv2d_transpose", "dy", dy, "w", w)
    step, border = pair("conv2d_transpose", "stride", stride, 1), pair("conv2d_transpose", "pad", pad, 0)
    whole = pair("conv2d_transpose", "size", size, 1)
    agree("conv2d_transpose", "dy has {} maps", dy.shape[1], "w has {} filters", w.shape[0], "give one map for each filter")
    out = output_size("conv2d_transpose", "filter", whole, w.shape[2:], step, border)
    map_size("conv2d_transpose", "dy", dy.shape[2:], out, whole, "filters", w.shape[2:], step, border)
    checks.padded("conv2d_transpose", "dx", w.shape[1], whole, border)
    checks.elements("conv2d_transpose", "dx", (dy.shape[0], w.shape[1], *whole))
    return backend.operations.conv2d_transpose(dy, w, step, border, whole)


def conv2d_weight_grad(x: Array, dy: Array, stride: Pair, pad: Pair, filter_size: Pair) -> Array:
    """The gradient of conv2d for its filters.

        dw[k,c,r,s] = sum over n,p,q of  dy[n,k,p,q] * x[n, c, p*stride - pad + r, q*stride - pad + s]

    x (N,C,H,W), dy (N,K,P,Q) -> dw (K,C,R,S). `filter_size` is (R, S).
    """
    backend = active()
    x = floats("conv2d_weight_grad", backend, "x", x, "NCHW")
    dy = floats("conv2d_weight_grad", backend, "dy", dy, "NKPQ")
    same_dtype("conv2d_weight_grad", "x", x, "dy", dy)
    step, border = pair("conv2d_weight_grad", "stride", stride, 1), pair("conv2d_weight_grad", "pad", pad, 0)
    sides = pair("conv2d_weight_grad", "filter_size", filter_size, 1)
    _batch("conv2d_weight_grad", x, dy)
    out = output_size("conv2d_weight_grad", "filter", x.shape[2:], sides, step, border)
    map_size("conv2d_weight_grad", "dy", dy.shape[2:], out, x.shape[2:], "filters", sides, step, border)
    checks.padded("conv2d_weight_grad", "x", x.shape[1], x.shape[2:], border)
    checks.elements("conv2d_weight_grad", "dw", (dy.shape[1], x.shape[1], *sides), "use fewer maps or smaller filters")
    return backend.operations.conv2d_weight_grad(x, dy, step, border, sides)


def maxpool2d(x: Array, size: Pair, stride: Pair, pad: Pair = 0) -> tuple[Array, Array]:
    """The largest value of each window, and its place: the switches of paper section 2.1.

    x (N,C,H,W) -> y (N,C,P,Q), switches (N,C,P,Q) uint8: the winner's place in its window of R x S, r * S + s.
    The first in row-major order wins a tie. Padding never wins, so it must be smaller than the window. NaN beats every number
    and the first NaN wins. At most 256 places in a window.
    """
    return _pool("maxpool2d", x, size, stride, pad)


def relu_maxpool(x: Array, size: Pair, stride: Pair, pad: Pair = 0) -> tuple[Array, Array]:
    """maxpool2d(relu(x), size, stride, pad) in one pass; y and switches equal the two steps bit for bit."""
    return _pool("relu_maxpool", x, size, stride, pad)


def unpool2d(y: Array, switches: Array, size: Pair, stride: Pair, pad: Pair, out_size: Pair, collisions: str = "sum") -> Array:
    """Every value back at the place its switch names, 0 elsewhere (paper section 2.1).

    y, switches (N,C,P,Q) -> x (N,C,H,W). `out_size` is (H, W); size, stride and pad are those of the pooling. A switch that
    names a place in the padding adds nothing. Windows that overlap may name the same position; `collisions` says what it gets:

        "sum"   the sum: the adjoint of pooling, its gradient        "mean"  the sum divided by how many windows name it
        "max"   the largest (a NaN beats all)                        "last"  that of the last window, (p,q) in row-major order
    """
    return _unpool("unpool2d", y, switches, size, stride, pad, out_size, collisions)


def unpool_relu(
    y: Array, switches: Array, size: Pair, stride: Pair, pad: Pair, out_size: Pair, collisions: str = "sum"
) -> Array:
    """relu(unpool2d(...)) in one pass, equal to the two steps bit for bit: the deconvnet's unpool and rectify."""
    return _unpool("unpool_relu", y, switches, size, stride, pad, out_size, collisions)


def deconv_step(
    y: Array,
    switches: Array,
    pool_size: Pair,
    pool_stride: Pair,
    pool_pad: Pair,
    w: Array,
    stride: Pair,
    pad: Pair,
    size: Pair,
    collisions: str = "sum",
) -> Array:
    """One step of the deconvnet, down through a pooling, a ReLU and a convolution: unpool, rectify, filter (paper, figure 1).

        r  = unpool_relu(y, switches, pool_size, pool_stride, pool_pad, (P, Q), collisions)
        dx = conv2d_transpose(r, w, stride, pad, size)

    y, switches (N,K,P',Q'), w (K,C,R,S) -> dx (N,C,H,W). `size` is (H, W), what the convolution read; (P, Q) is what it gave
    and the pooling read. Equal to the steps up to rounding: an implementation need never write down the maps (N,K,P,Q).
    """
    operation, backend = "deconv_step", active()
    w = floats(operation, backend, "w", w, "KCRS")
    step, border = pair(operation, "stride", stride, 1), pair(operation, "pad", pad, 0)
    whole = pair(operation, "size", size, 1)
    maps = output_size(operation, "filter", whole, w.shape[2:], step, border)
    y, switches, *pooling = _unpooling(
        operation, backend, y, switches, (pool_size, pool_stride, pool_pad), maps, collisions, prefix="pool_"
    )
    same_dtype(operation, "y", y, "w", w)
    agree(operation, "y has {} maps", y.shape[1], "w has {} filters", w.shape[0], "give one map for each filter")
    checks.elements(operation, "the unpooled signal", (*y.shape[:2], *maps))
    checks.padded(operation, "dx", w.shape[1], whole, border)
    checks.elements(operation, "dx", (y.shape[0], w.shape[1], *whole))
    return backend.operations.deconv_step(y, switches, *pooling, w, step, border, whole, collisions)


def relu(x: Array) -> Array:
    """0.0 where x <= 0, else x: NaN stays NaN and -0.0 becomes 0.0. Any shape, N first."""
    backend = active()
    return backend.operations.relu(floats("relu", backend, "x", x))


def relu_grad(dy: Array, y: Array) -> Array:
    """dy where y > 0, else 0.0, whatever dy holds there. `y` is what relu returned; `relu_grad(dy, x)` is the same thing."""
    backend = active()
    dy = floats("relu_grad", backend, "dy", dy)
    y = floats("relu_grad", backend, "y", y)
    same_dtype("relu_grad", "dy", dy, "y", y)
    same_shape("relu_grad", "dy", dy, "y", y)
    return backend.operations.relu_grad(dy, y)


def lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Array]:
    """Local response normalisation across maps (Krizhevsky et al. 2012, section 3.3; alpha divided by size, as in PyTorch).

        scale[n,c] = k + alpha / size * sum of x[n,d]^2 over the maps d = c - size // 2 ... c + (size - 1) // 2 that exist
        y          = x * scale ** -beta

    x (N,C,H,W) -> y, scale (N,C,H,W). alpha >= 0 and k > 0, so scale is positive.
    """
    backend = active()
    x = floats("lrn", backend, "x", x, "NCHW")
    maps, factor, power = _lrn_numbers("lrn", size, alpha, beta)
    return backend.operations.lrn(x, maps, factor, power, checks.number("lrn", "k", k, above=0.0))


def lrn_grad(dy: Array, x: Array, y: Array, scale: Array, size: int, alpha: float, beta: float) -> Array:
    """The gradient of lrn for its input; `y` and `scale` are what lrn returned.

        dx[n,d] = dy[n,d] * scale[n,d] ** -beta
                  - 2 * alpha * beta / size * x[n,d] * sum of dy[n,c] * y[n,c] / scale[n,c] over the c whose window holds d

    All arrays (N,C,H,W).
    """
    backend = active()
    dy = floats("lrn_grad", backend, "dy", dy, "NCHW")
    x = floats("lrn_grad", backend, "x", x, "NCHW")
    y = floats("lrn_grad", backend, "y", y, "NCHW")
    scale = floats("lrn_grad", backend, "scale", scale, "NCHW")
    for name, other in (("x", x), ("y", y), ("scale", scale)):
        same_dtype("lrn_grad", "dy", dy, name, other)
        same_shape("lrn_grad", "dy", dy, name, other)
    return backend.operations.lrn_grad(dy, x, y, scale, *_lrn_numbers("lrn_grad", size, alpha, beta))


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """The fully connected layer: y[n,g] = b[g] + sum over f of w[g,f] * x[n,f].

    x (N,F), w (G,F), b (G,) or None -> y (N,G).
    """
    backend = active()
    x = floats("linear", backend, "x", x, "NF")
    w = floats("linear", backend, "w", w, "GF")
    same_dtype("linear", "x", x, "w", w)
    agree("linear", "x has {} features", x.shape[1], "w expects {}", w.shape[1], "x is (N, F), w is (G, F)")
    if b is not None:
        b = floats("linear", backend, "b", b, "G")
        same_dtype("linear", "x", x, "b", b)
        agree("linear", "b has {} values", b.shape[0], "w has {} rows", w.shape[0], "give one bias for each row of w")
    checks.elements("linear", "y", (x.shape[0], w.shape[0]))
    return backend.operations.linear(x, w, b)


def linear_input_grad(dy: Array, w: Array) -> Array:
    """The gradient of linear for its input: dx[n,f] = sum over g of dy[n,g] * w[g,f].  dy (N,G), w (G,F) -> dx (N,F)."""
    backend = active()
    dy = floats("linear_input_grad", backend, "dy", dy, "NG")
    w = floats("linear_input_grad", backend, "w", w, "GF")
    same_dtype("linear_input_grad", "dy", dy, "w", w)
    agree("linear_input_grad", "dy has {} values", dy.shape[1], "w has {} rows", w.shape[0], "dy is (N, G), w is (G, F)")
    checks.elements("linear_input_grad", "dx", (dy.shape[0], w.shape[1]))
    return backend.operations.linear_input_grad(dy, w)


def linear_weight_grad(x: Array, dy: Array) -> Array:
    """The gradient of linear for its weights: dw[g,f] = sum over n of dy[n,g] * x[n,f].  x (N,F), dy (N,G) -> dw (G,F)."""
    backend = active()
    x = floats("linear_weight_grad", backend, "x", x, "NF")
    dy = floats("linear_weight_grad", backend, "dy", dy, "NG")
    same_dtype("linear_weight_grad", "x", x, "dy", dy)
    _batch("linear_weight_grad", x, dy)
    checks.elements("linear_weight_grad", "dw", (dy.shape[1], x.shape[1]), "use fewer features")
    return backend.operations.linear_weight_grad(x, dy)


def bias_grad(dy: Array) -> Array:
    """The gradient of conv2d or linear for its bias: dy summed over all but its maps.

    dy (N,K,P,Q) -> db (K,), db[k] = sum over n,p,q of dy[n,k,p,q]; dy (N,K) -> db (K,), db[k] = sum over n of dy[n,k].
    """
    backend = active()
    letters = "NK" if getattr(dy, "ndim", 4) == 2 else "NKPQ"
    return backend.operations.bias_grad(floats("bias_grad", backend, "dy", dy, letters))


def softmax_cross_entropy(logits: Array, labels: np.ndarray) -> tuple[Array, Array]:
    """The surprise at the true class, in nats, and the gradient of its mean over the images.

        p[n,g] = exp(logits[n,g]) / sum over j of exp(logits[n,j])          (paper section 2: a softmax, cross-entropy loss)
        losses[n] = -log p[n, labels[n]]        dlogits[n,g] = (p[n,g] - (1 if g is labels[n] else 0)) / N

    logits (N,G), labels (N,) -> losses (N,), dlogits (N,G). The largest logit of a row is subtracted first, so that exp cannot
    overflow. Labels are a NumPy array of integers 0 ... G-1 whatever the implementation: they are checked on the host.
    """
    backend = active()
    logits = floats("softmax_cross_entropy", backend, "logits", logits, "NG")
    classes = checks.labels("softmax_cross_entropy", backend, labels, *logits.shape)
    return backend.operations.softmax_cross_entropy(logits, classes)


def sgd_update(w: Array, v: Array, dw: Array, rate: float, momentum: float, decay: float) -> None:
    """One step of gradient descent with momentum and weight decay, in place (Krizhevsky et al. 2012, section 5).

        v <- momentum * v - rate * dw - rate * decay * w          w <- w + v

    w, v, dw have the same shape, any. w and v must be C-contiguous and writeable; dw is only read.
    """
    backend = active()
    w = checks.in_place("sgd_update", backend, "w", w)
    v = checks.in_place("sgd_update", backend, "v", v)
    dw = floats("sgd_update", backend, "dw", dw)
    for name, other in (("v", v), ("dw", dw)):
        same_dtype("sgd_update", "w", w, name, other)
        same_shape("sgd_update", "w", w, name, other)
    checks.apart("sgd_update", backend, w=w, v=v, dw=dw)
    numbers = (("rate", rate), ("momentum", momentum), ("decay", decay))
    backend.operations.sgd_update(w, v, dw, *(checks.number("sgd_update", name, value, least=0.0) for name, value in numbers))


def renormalise_filters(w: Array, radius: float) -> None:
    """Every filter whose root mean square exceeds `radius` is scaled back to it, in place (paper section 3).

        rms[k] = sqrt(mean of the squares of all numbers of w[k])        w[k] <- w[k] * radius / rms[k]  where rms[k] > radius

    w (K, ...), C-contiguous and writeable. A filter that holds a NaN stays as it is.
    """
    backend = active()
    w = checks.in_place("renormalise_filters", backend, "w", w, "KCRS"[: getattr(w, "ndim", 4)])
    backend.operations.renormalise_filters(w, checks.number("renormalise_filters", "radius", radius, above=0.0))


def _conv(operation: str, x: Array, w: Array, b: Array | None, stride: Pair, pad: Pair) -> Array:
    backend = active()
    x = floats(operation, backend, "x", x, "NCHW")
    w = floats(operation, backend, "w", w, "KCRS")
    same_dtype(operation, "x", x, "w", w)
    step, border = pair(operation, "stride", stride, 1), pair(operation, "pad", pad, 0)
    agree(
        operation, "x has {} channels", x.shape[1], "the filters expect {}", w.shape[1], "x is (N, C, H, W), w is (K, C, R, S)"
    )
    if b is not None:
        b = floats(operation, backend, "b", b, "K")
        same_dtype(operation, "x", x, "b", b)
        agree(operation, "b has {} values", b.shape[0], "w has {} filters", w.shape[0], "give one bias for each filter")
    out = output_size(operation, "filter", x.shape[2:], w.shape[2:], step, border)
    checks.padded(operation, "x", x.shape[1], x.shape[2:], border)
    checks.elements(operation, "y", (x.shape[0], w.shape[0], *out))
    return getattr(backend.operations, operation)(x, w, b, step, border)


def _pool(operation: str, x: Array, size: Pair, stride: Pair, pad: Pair) -> tuple[Array, Array]:
    backend = active()
    x = floats(operation, backend, "x", x, "NCHW")
    window, step, border = _pool_pairs(operation, size, stride, pad)
    out = output_size(operation, "window", x.shape[2:], window, step, border)
    checks.elements(operation, "y", (*x.shape[:2], *out))
    return getattr(backend.operations, operation)(x, window, step, border)


def _unpool(
    operation: str, y: Array, switches: Array, size: Pair, stride: Pair, pad: Pair, out_size: Pair, collisions: str
) -> Array:
    backend = active()
    whole = pair(operation, "out_size", out_size, 1)
    y, switches, *pooling = _unpooling(operation, backend, y, switches, (size, stride, pad), whole, collisions)
    checks.elements(operation, "x", (*y.shape[:2], *whole))
    return getattr(backend.operations, operation)(y, switches, *pooling, whole, collisions)


def _unpooling(
    operation: str,
    backend: Loaded,
    y: Array,
    switches: Array,
    pooling: tuple[Pair, Pair, Pair],
    whole: tuple[int, int],
    collisions: str,
    prefix: str = "",
) -> tuple[Array, Array, tuple[int, int], tuple[int, int], tuple[int, int]]:
    """y, switches, size, stride and pad of an unpooling to maps of size `whole`, all checked."""
    y = floats(operation, backend, "y", y, "NCPQ")
    window, step, border = _pool_pairs(operation, *pooling, prefix)
    if collisions not in COLLISIONS:
        known = ", ".join(COLLISIONS)
        raise ValueError(f"{operation}: collisions is {collisions!r}; expected one of: {known}")
    out = output_size(operation, "window", whole, window, step, border)
    map_size(operation, "y", y.shape[2:], out, whole, "windows", window, step, border)
    return y, checks.switches(operation, backend, switches, y, window), window, step, border


def _pool_pairs(
    operation: str, size: Pair, stride: Pair, pad: Pair, prefix: str = ""
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    window, step, border = (
        pair(operation, f"{prefix}size", size, 1),
        pair(operation, f"{prefix}stride", stride, 1),
        pair(operation, f"{prefix}pad", pad, 0),
    )
    check_pool_pad(operation, window, border)
    checks.places(operation, window)
    return window, step, border


def _lrn_numbers(operation: str, size: int, alpha: float, beta: float) -> tuple[int, float, float]:
    maps = pair(operation, "size", size, 1)[0]
    return maps, checks.number(operation, "alpha", alpha, least=0.0), checks.number(operation, "beta", beta)


def _batch(operation: str, x: Array, dy: Array) -> None:
    agree(operation, "x has {} images", x.shape[0], "dy has {}", dy.shape[0], "give one dy for each image")
