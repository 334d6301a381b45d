"""What a problem costs at least: floating-point operations, bytes, and the terms of its longest sum, from the shape alone.

    convolution, forward or either gradient    FLOP = 2 * N*K*P*Q * C*R*S      bytes = x + w + y, each once
    linear, forward or either gradient         FLOP = 2 * N*F*G                bytes = x + w + y, each once
    pooling, normalisation                     FLOP = 0: bound by memory       bytes = what the contract reads and writes, once

`Cost.flop` is the number everybody quotes, for GFLOP/s. `Cost.least_flop` leaves out what a right answer does not need,
products with padding and with values that unpooling leaves zero, and is what a time is held against: nobody may be faster.
"""

from dataclasses import dataclass
from math import prod

from kernels.bench.problems import Conv, Linear, Lrn, Pool, Problem

FLOAT, SWITCH = 4, 1  # bytes


@dataclass(frozen=True)
class Cost:
    flop: float
    least_flop: float
    bytes: float
    terms: int  # products in the longest sum


def cost(problem: Problem) -> Cost:
    """The cost of one call."""
    match problem.shape:
        case Conv():
            return deconv_step(problem.shape) if problem.operation == "deconv_step" else conv(problem.operation, problem.shape)
        case Pool():
            return pool(problem.operation, problem.shape)
        case Lrn():
            arrays = {"lrn": 3, "lrn_grad": 5}[problem.operation]  # x, y, scale; and dy, dx
            return Cost(0, 0, arrays * FLOAT * prod(problem.shape.x), problem.shape.size)
        case Linear():
            return linear(problem.operation, problem.shape)
    raise ValueError(f"{problem.name}: {type(problem.shape).__name__} has no cost here")


def conv(operation: str, shape: Conv) -> Cost:
    (images, channels, *size), (filters, _, *window) = shape.x, shape.w
    flop = 2 * prod(shape.y) * prod(shape.w[1:])
    inside = [taps_inside(*axis) for axis in zip(size, window, shape.stride, shape.pad, shape.out, strict=True)]
    read = prod(shape.x)
    if operation != "conv2d_transpose":  # which writes all of it
        reached = [reach(*axis) for axis in zip(size, window, shape.stride, shape.pad, shape.out, strict=True)]
        read = images * channels * prod(reached)
    terms = {
        "conv2d_transpose": filters * prod(-(-r // s) for r, s in zip(window, shape.stride, strict=True)),
        "conv2d_weight_grad": images * prod(shape.out),
    }.get(operation, prod(shape.w[1:]))
    least = 2 * images * filters * channels * prod(inside)
    return Cost(flop, least, FLOAT * (read + prod(shape.w) + prod(shape.y)), terms)


def deconv_step(shape: Conv) -> Cost:
    """Only the pooled values, half of which are rectified away, need products; the maps between need not exist."""
    dense = conv("conv2d_transpose", shape)
    pooled = prod(shape.pooled.y)
    moved = (FLOAT + SWITCH) * pooled + FLOAT * (prod(shape.w) + prod(shape.x))
    share = min(1.0, 0.45 * pooled / prod(shape.y))  # 0.45: of random signs, a little less than half is positive
    return Cost(dense.flop, dense.least_flop * share, moved, dense.terms)


def pool(operation: str, shape: Pool) -> Cost:
    whole = prod(shape.x)
    if operation != "unpool2d":
        axes = zip(shape.x[2:], shape.size, shape.stride, shape.pad, shape.out, strict=True)
        whole = prod(shape.x[:2]) * prod(reach(*axis) for axis in axes)
    covering = prod(-(-side // step) for side, step in zip(shape.size, shape.stride, strict=True))
    return Cost(0, 0, FLOAT * whole + (FLOAT + SWITCH) * prod(shape.y), covering)


def linear(operation: str, shape: Linear) -> Cost:
    images, features, outputs = shape.images, shape.features, shape.outputs
    flop = 2 * images * features * outputs
    terms = {"linear": features, "linear_input_grad": outputs, "linear_weight_grad": images}[operation]
    return Cost(flop, flop, FLOAT * (images * features + outputs * features + images * outputs), terms)


def taps_inside(size: int, window: int, stride: int, pad: int, out: int) -> int:
    """Pairs of an output and a tap that meet the input and not its padding, along one axis."""
    return sum(0 <= p * stride - pad + r < size for p in range(out) for r in range(window))


def reach(size: int, window: int, stride: int, pad: int, out: int) -> int:
    """Input positions that some window reads, along one axis."""
    return len({i for p in range(out) for i in range(p * stride - pad, p * stride - pad + window) if 0 <= i < size})
