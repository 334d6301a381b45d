"""What every implementation must do, as functions that raise AssertionError where the one in use does not.

`test_kernels_agree` runs them on every implementation, `test_planted_bugs` on implementations broken on purpose. They call the
operations through `kernels`, and compare with `kernels.reference` computing in float64 or with arrays that PyTorch made.
"""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from comparing import call, close, exactly, inner, normal, product_error, products_error, same
from training_checks import (
    BIASES,
    FILTERS,
    LOGITS,
    WEIGHTS,
    check_bias_grad,
    check_renormalise_filters,
    check_sgd_update,
    check_softmax_cross_entropy,
)

import kernels
from kernels import reference

STORED = dict(np.load(Path(__file__).parent / "oracle" / "kernels.npz"))


class Conv(NamedTuple):
    x: tuple[int, int, int, int]
    filters: int
    window: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]


class Pool(NamedTuple):
    x: tuple[int, int, int, int]
    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]


class Step(NamedTuple):
    """A convolution followed by a pooling, which `deconv_step` goes down through."""

    conv: Conv
    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]


class Lrn(NamedTuple):
    x: tuple[int, int, int, int]
    size: int
    alpha: float
    beta: float
    k: float


CONVS = (
    Conv((1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0)),
    Conv((2, 3, 9, 7), 5, (3, 3), (2, 1), (1, 3)),  # padding larger than the filter minus one
    Conv((3, 2, 5, 11), 4, (1, 2), (3, 4), (0, 0)),  # stride larger than the filter
    Conv((2, 4, 11, 6), 3, (5, 3), (2, 2), (2, 0)),
    Conv((3, 5, 11, 8), 2, (4, 2), (3, 3), (0, 1)),  # rows and columns that no filter reaches
    Conv((1, 7, 3, 1), 2, (2, 4), (2, 5), (0, 3)),
    Conv((0, 2, 4, 3), 3, (2, 2), (1, 1), (0, 0)),  # no image at all
    Conv((1, 17, 7, 9), 19, (3, 3), (1, 1), (1, 1)),
)
POOLS = (
    Pool((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    Pool((2, 3, 9, 7), (3, 3), (2, 2), (1, 1)),
    Pool((1, 5, 8, 11), (3, 2), (1, 3), (0, 1)),
    Pool((3, 2, 5, 13), (2, 4), (3, 2), (1, 3)),  # windows with a single column inside the input
    Pool((2, 4, 7, 5), (3, 3), (1, 1), (0, 0)),  # up to nine windows name one position
    Pool((0, 3, 4, 5), (2, 2), (2, 2), (0, 0)),
    Pool((1, 2, 17, 16), (16, 16), (1, 5), (0, 0)),  # the largest window a switch can name
)
STEPS = (
    Step(CONVS[0], (1, 1), (1, 1), (0, 0)),
    Step(Conv((2, 3, 13, 11), 5, (3, 2), (2, 1), (1, 0)), (3, 3), (2, 2), (1, 1)),
    Step(Conv((1, 2, 9, 14), 4, (2, 3), (1, 2), (2, 1)), (3, 2), (1, 1), (0, 1)),  # up to six windows name one position
    Step(Conv((3, 5, 8, 7), 2, (1, 2), (3, 2), (0, 0)), (2, 2), (2, 3), (0, 0)),  # stride larger than filter and window
    Step(Conv((0, 2, 4, 3), 3, (2, 2), (1, 1), (0, 0)), (2, 2), (1, 1), (0, 0)),
    Step(Conv((1, 7, 11, 17), 19, (3, 3), (1, 1), (1, 1)), (3, 3), (2, 2), (0, 0)),
)
LRNS = (
    Lrn((1, 1, 1, 1), 5, 0.5, 0.75, 2.0),
    Lrn((2, 7, 3, 5), 5, 0.5, 0.75, 2.0),
    Lrn((1, 6, 5, 2), 4, 0.9, 0.6, 1.0),
    Lrn((3, 2, 1, 4), 9, 1e-4, 0.75, 2.0),  # a window wider than there are maps
    Lrn((0, 3, 2, 4), 3, 0.1, 0.5, 1.0),
)
LINEARS = ((1, 1, 1), (3, 11, 7), (5, 2, 13), (0, 4, 3), (2, 67, 35))  # N, F, G


def conv_arrays(case, seed, dtype):
    rng = np.random.default_rng(seed)
    x = normal(rng, case.x, dtype)
    w = normal(rng, (case.filters, case.x[1], *case.window), dtype)
    out = kernels.conv_output_size(case.x[2:], case.window, case.stride, case.pad)
    return x, w, normal(rng, case.filters, dtype), normal(rng, (case.x[0], case.filters, *out), dtype)


def check_conv2d(case, seed, dtype):
    x, w, b, _ = conv_arrays(case, seed, dtype)
    for bias in (b, None):
        arguments = x, w, bias, case.stride, case.pad
        close("conv2d", call("conv2d", *arguments), *exactly("conv2d", w[0].size, *arguments))


def check_conv2d_transpose(case, seed, dtype):
    _, w, _, dy = conv_arrays(case, seed, dtype)
    arguments = dy, w, case.stride, case.pad, case.x[2:]
    close("conv2d_transpose", call("conv2d_transpose", *arguments), *exactly("conv2d_transpose", w[:, 0].size, *arguments))


def check_conv2d_weight_grad(case, seed, dtype):
    x, _, _, dy = conv_arrays(case, seed, dtype)
    arguments = x, dy, case.stride, case.pad, case.window
    close(
        "conv2d_weight_grad", call("conv2d_weight_grad", *arguments), *exactly("conv2d_weight_grad", dy[:, 0].size, *arguments)
    )


def check_conv2d_relu(case, seed, dtype):
    """Equal to the two steps, bit for bit, NaN and infinity included."""
    x, w, b, _ = conv_arrays(case, seed, dtype)
    for value in (None, np.nan, -np.inf):
        if value is not None:
            x.reshape(-1)[x.size // 2 : x.size // 2 + 1] = value
        for bias in (b, None):
            arguments = x, w, bias, case.stride, case.pad
            same(f"conv2d_relu, {value} in x", call("conv2d_relu", *arguments), call("relu", call("conv2d", *arguments)))


def check_conv_adjoint(case, seed, dtype):
    """<conv(x), dy> = <x, conv_transpose(dy)> = <w, weight_grad(x, dy)>"""
    x, w, _, dy = conv_arrays(case, seed, dtype)
    y = call("conv2d", x, w, None, case.stride, case.pad)
    dx = call("conv2d_transpose", dy, w, case.stride, case.pad, case.x[2:])
    dw = call("conv2d_weight_grad", x, dy, case.stride, case.pad, case.window)
    products = inner(reference.conv2d(abs(x), abs(w), None, case.stride, case.pad), abs(dy))
    bound = ((w.size + dy.size) * np.finfo(dtype).eps + 2 * product_error("conv2d")) * products
    close("<conv(x), dy> and <x, transpose(dy)>", inner(y, dy), inner(x, dx), bound)
    close("<conv(x), dy> and <w, weight_grad>", inner(y, dy), inner(w, dw), bound)


def pool_inputs(case, seed, dtype):
    """Three inputs: all different, many ties, and NaN, infinities and -0.0 among numbers and whole planes of -inf."""
    rng = np.random.default_rng(seed)
    rare = np.array([np.nan, np.inf, -np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0])
    strange = rng.choice(rare, case.x, p=[0.06, 0.04, 0.2, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1]).astype(dtype)
    strange[:, -1] = -np.inf
    return normal(rng, case.x, dtype), rng.integers(-2, 3, case.x).astype(dtype), strange


def check_maxpool2d(case, seed, dtype):
    for x in pool_inputs(case, seed, dtype):
        for operation in ("maxpool2d", "relu_maxpool"):
            y, switches = call(operation, x, *case[1:])
            expected_y, expected_switches = getattr(reference, operation)(x, *case[1:])
            same(f"{operation}: switches", switches, expected_switches)
            close(operation, y, expected_y, 0)


def check_unpool2d(case, seed, dtype):
    rng = np.random.default_rng(seed)
    for x in pool_inputs(case, seed, dtype)[:2]:
        pooled, switches = reference.maxpool2d(x, *case[1:])
        signal = normal(rng, pooled.shape, dtype)
        signal[rng.random(pooled.shape) < 0.02] = np.nan
        for y in (pooled, signal):
            for collisions in kernels.COLLISIONS:
                arguments = y, switches, *case[1:], case.x[2:], collisions
                result = call("unpool2d", *arguments)
                bound = 0
                if collisions in ("sum", "mean"):
                    bound = 81 * np.finfo(dtype).eps * np.nanmax(np.abs(y), initial=0)  # up to nine values
                close(f"unpool2d, {collisions}", result, reference.unpool2d(*arguments), bound)


def check_pool_adjoint(case, seed, dtype):
    """With the switches held, pooling is linear: <pool(x), dy> = <x, unpool(dy)>; and pool(x) is x at the switches."""
    x = pool_inputs(case, seed, dtype)[1]
    y, switches = call("maxpool2d", x, *case[1:])
    dy = normal(np.random.default_rng(seed + 1), y.shape, dtype)
    dx = call("unpool2d", dy, switches, *case[1:], case.x[2:], "sum")
    bound = (2 + case.size[0] * case.size[1]) * np.finfo(dtype).eps * inner(abs(y), abs(dy))
    close("<pool(x), dy> and <x, unpool(dy)>", inner(y, dy), inner(x, dx), bound)


def check_relu(case, seed, dtype):
    for y in pool_inputs(case, seed, dtype):
        for dy in pool_inputs(case, seed + 1, dtype):
            same("relu", call("relu", y), reference.relu(y))
            same("relu_grad", call("relu_grad", dy, y), reference.relu_grad(dy, y))
    flat = y.reshape(-1, y.shape[3])
    same("relu of a table", call("relu", flat), reference.relu(flat))


def check_fused(case, seed, dtype):
    """The fused pairs equal their two steps, bit for bit."""
    for x in pool_inputs(case, seed, dtype):
        two_steps = call("maxpool2d", call("relu", x), *case[1:])
        for what, fused, steps in zip(("y", "switches"), call("relu_maxpool", x, *case[1:]), two_steps, strict=True):
            same(f"relu_maxpool: {what}", fused, steps)
        y, switches = call("maxpool2d", x, *case[1:])
        signal = normal(np.random.default_rng(seed), y.shape, dtype)  # both signs where windows meet
        for values, collisions in product((y, signal), kernels.COLLISIONS):
            arguments = values, switches, *case[1:], case.x[2:], collisions
            same(f"unpool_relu, {collisions}", call("unpool_relu", *arguments), call("relu", call("unpool2d", *arguments)))


def check_deconv_step(case, seed, dtype):
    """Unpool, rectify, filter: the three steps of the reference, in one."""
    _, w, _, maps = conv_arrays(case.conv, seed, dtype)
    pooled, switches = reference.maxpool2d(maps, *case[1:])
    signal = normal(np.random.default_rng(seed), pooled.shape, dtype)
    for y, collisions in product((pooled, signal), kernels.COLLISIONS):
        arguments = y, switches, *case[1:], w, case.conv.stride, case.conv.pad, case.conv.x[2:], collisions
        terms = w[:, 0].size + 9  # and up to nine values of one place
        close(f"deconv_step, {collisions}", call("deconv_step", *arguments), *exactly("deconv_step", terms, *arguments))


def check_lrn(case, seed, dtype):
    rng = np.random.default_rng(seed)
    x, dy = 3 * normal(rng, case.x, dtype), normal(rng, case.x, dtype)
    lrn_and_gradient(case, x, dy)
    for value in (np.nan, np.inf):
        x.reshape(-1)[x.size // 2 : x.size // 2 + 1] = value
        lrn_and_gradient(case, x, dy)


def lrn_and_gradient(case, x, dy):
    y, scale = call("lrn", x, *case[1:])
    expected_y, expected_scale = reference.lrn(x.astype(np.float64), *case[1:])
    bound = (case.x[1] + 8) * np.finfo(x.dtype).eps
    close("lrn: scale", scale, expected_scale, bound * np.nan_to_num(expected_scale, posinf=0))
    close("lrn", y, expected_y, bound * np.abs(np.nan_to_num(expected_y)))
    dx = call("lrn_grad", dy, x, y, scale, case.size, case.alpha, case.beta)
    wide = [array.astype(np.float64) for array in (dy, x, y, scale)]
    expected = reference.lrn_grad(*wide, case.size, case.alpha, case.beta)
    # all terms positive: |dy| * scale ** -beta + 2 * alpha * beta / size * |x| * sum of |dy * y| / scale
    magnitude = reference.lrn_grad(abs(wide[0]), abs(wide[1]), -abs(wide[2]), wide[3], case.size, case.alpha, case.beta)
    close("lrn_grad", dx, expected, bound * np.nan_to_num(magnitude, posinf=0))


def check_linear(case, seed, dtype):
    images, features, outputs = case
    rng = np.random.default_rng(seed)
    x, w, b = (normal(rng, shape, dtype) for shape in ((images, features), (outputs, features), outputs))
    dy = normal(rng, (images, outputs), dtype)
    for bias in (b, None):
        close("linear", call("linear", x, w, bias), *exactly("linear", features, x, w, bias))
    close("linear_input_grad", call("linear_input_grad", dy, w), *exactly("linear_input_grad", outputs, dy, w))
    close("linear_weight_grad", call("linear_weight_grad", x, dy), *exactly("linear_weight_grad", images, x, dy))


def check_non_finite(case, seed, dtype):
    """NaN and infinity in the input reach exactly the outputs that see them."""
    x, w, b, dy = conv_arrays(case, seed, dtype)
    for value in (np.nan, np.inf, -np.inf):
        for array in (x, dy):
            array.reshape(-1)[array.size // 2 : array.size // 2 + 1] = value
        for operation, arguments in (
            ("conv2d", (x, w, b, case.stride, case.pad)),
            ("conv2d_transpose", (dy, w, case.stride, case.pad, case.x[2:])),
        ):
            bound = 1e-3 + products_error(operation, *arguments)
            close(f"{operation} of {value}", call(operation, *arguments), getattr(reference, operation)(*arguments), bound)


def stored(case, dtype):
    """The members of one stored case: float inputs and the incoming gradient in `dtype`, options as tuples."""
    prefix = case + "."
    members = {key.removeprefix(prefix): value for key, value in STORED.items() if key.startswith(prefix)}
    for name, value in members.items():
        if value.dtype == np.float32:
            members[name] = value.astype(dtype)
        elif value.ndim == 1:
            members[name] = tuple(value.tolist())
    return members


def check_stored_conv(case, dtype):
    m = stored(case, dtype)
    size, window, step = m["x"].shape[2:], m["w"].shape[2:], (m["stride"], m["pad"])
    eps = 60 * np.finfo(dtype).eps  # sums of up to 180 products of size one
    for operation, arguments, expected, bound in (
        ("conv2d", (m["x"], m["w"], m["b"], *step), m["y"], eps),
        ("conv2d_transpose", (m["dy"], m["w"], *step, size), m["dx"], eps),
        ("conv2d_weight_grad", (m["x"], m["dy"], *step, window), m["dw"], 3 * eps),
    ):
        close(operation, call(operation, *arguments), expected, bound + products_error(operation, *arguments))


def check_stored_pool(case, dtype):
    m = stored(case, dtype)
    y, switches = call("maxpool2d", m["x"], m["size"], m["stride"], m["pad"])
    same("maxpool2d", y, m["y"].astype(dtype))
    same("switches", switches, places_in_windows(m))
    dx = call("unpool2d", m["dy"], switches, m["size"], m["stride"], m["pad"], m["x"].shape[2:], "sum")
    close("unpool2d", dx, m["dx"], 20 * np.finfo(dtype).eps)


def places_in_windows(m):
    """Switches from `at`, the winner's place in its whole map (row-major)."""
    i, j = np.divmod(m["at"], m["x"].shape[3])
    p, q = np.indices(m["at"].shape)[2:]
    r = i - (p * m["stride"][0] - m["pad"][0])
    s = j - (q * m["stride"][1] - m["pad"][1])
    return (r * m["size"][1] + s).astype(np.uint8)


def check_stored_lrn(case, dtype):
    m = stored(case, dtype)
    size, (alpha, beta, k) = int(m["size"]), m["numbers"]
    y, scale = call("lrn", m["x"], size, alpha, beta, k)
    close("lrn", y, m["y"], 10 * np.finfo(dtype).eps)
    dx = call("lrn_grad", m["dy"], m["x"], y, scale, size, alpha, beta)
    close("lrn_grad", dx, m["dx"], 20 * np.finfo(dtype).eps)


def check_stored_linear(case, dtype):
    m = stored(case, dtype)
    for operation, arguments, expected in (
        ("linear", (m["x"], m["w"], m["b"]), m["y"]),
        ("linear_input_grad", (m["dy"], m["w"]), m["dx"]),
        ("linear_weight_grad", (m["x"], m["dy"]), m["dw"]),
    ):
        bound = 20 * np.finfo(dtype).eps + products_error(operation, *arguments)
        close(operation, call(operation, *arguments), expected, bound)


def check_stored(dtype):
    """Everything that PyTorch computed."""
    for case in sorted({key.split(".")[0] for key in STORED}):
        CHECK_STORED[case.rstrip("0123456789")](case, dtype)


CHECK_STORED = {
    "conv": check_stored_conv,
    "pool": check_stored_pool,
    "lrn": check_stored_lrn,
    "linear": check_stored_linear,
}
CHECKS_OF = {
    "conv2d": ((check_conv2d, CONVS), (check_conv_adjoint, CONVS), (check_non_finite, CONVS)),
    "conv2d_relu": ((check_conv2d_relu, CONVS),),
    "conv2d_transpose": ((check_conv2d_transpose, CONVS), (check_conv_adjoint, CONVS), (check_non_finite, CONVS)),
    "conv2d_weight_grad": ((check_conv2d_weight_grad, CONVS), (check_conv_adjoint, CONVS)),
    "maxpool2d": ((check_maxpool2d, POOLS), (check_pool_adjoint, POOLS)),
    "unpool2d": ((check_unpool2d, POOLS), (check_pool_adjoint, POOLS)),
    "relu": ((check_relu, POOLS),),
    "relu_grad": ((check_relu, POOLS),),
    "relu_maxpool": ((check_fused, POOLS),),
    "unpool_relu": ((check_fused, POOLS),),
    "deconv_step": ((check_deconv_step, STEPS),),
    "lrn": ((check_lrn, LRNS),),
    "lrn_grad": ((check_lrn, LRNS),),
    "linear": ((check_linear, LINEARS),),
    "linear_input_grad": ((check_linear, LINEARS),),
    "linear_weight_grad": ((check_linear, LINEARS),),
    "bias_grad": ((check_bias_grad, BIASES),),
    "softmax_cross_entropy": ((check_softmax_cross_entropy, LOGITS),),
    "sgd_update": ((check_sgd_update, WEIGHTS),),
    "renormalise_filters": ((check_renormalise_filters, FILTERS),),
}
CHECKS = tuple(dict.fromkeys(check for checks in CHECKS_OF.values() for check in checks))
