"""Convolution: every filter laid over every place, the overlaps summed.

    x (N, C, H, W)  --K filters w (K, C, R, S), stride, pad-->  y (N, K, P, Q),   P = (H + 2 pad - R) // stride + 1

forward   y[n,k,p,q]   = b[k] + sum over c,r,s of  w[k,c,r,s] * x[n, c, p*stride - pad + r, q*stride - pad + s]
backward  dx           = every dy[n,k,p,q] laid down again, weighted by w[k], where it was read: the transposed convolution
          dw[k,c,r,s]  = sum over n,p,q of  dy[n,k,p,q] * x[n, c, p*stride - pad + r, q*stride - pad + s];   db = sum of dy
deconv    the same transposed convolution, of the signal instead of the gradient. Seen from the input it is a convolution with
          each filter flipped vertically and horizontally, as the paper says (section 2.1, "Filtering"). The bias is left out.

So far deconvnet and gradient agree; they part at the rectifier (relu.py).
"""

from dataclasses import dataclass

import numpy as np

import kernels
from kernels.sizes import output_size
from minizf.layers.layer import Layer, Reach, each, pair
from minizf.layers.rules import DECONVNET, Rules


@dataclass
class ConvTape:
    x: np.ndarray | None  # (N, C, H, W); None where only `deconv` will be asked, which needs no input
    size: tuple[int, int]  # (H, W): several input sizes give one output size, so it must be remembered


class Conv2d(Layer):
    """Convolution with filters `weight` (K, C, R, S) and `bias` (K,) or None; stride and pad an int or (rows, columns)."""

    array_names = ("weight", "bias")
    option_names = ("stride", "pad")
    way_down = "filter"

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None, stride: int | tuple = 1, pad: int | tuple = 0):
        if weight.ndim != 4:
            raise ValueError(f"Conv2d: filters have shape {weight.shape}, expected (K, C, R, S)")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(f"Conv2d: bias has shape {bias.shape}, expected ({weight.shape[0]},), one value a filter")
        self.weight, self.bias, self.stride, self.pad = weight, bias, stride, pad
        self.reach = Reach(pair(weight.shape[2:]), pair(stride), pair(pad))

    def output_shape(self, shape):
        if len(shape) != 3:
            raise ValueError(f"Conv2d expects maps (C, H, W), got {shape}; a Flatten too early?")
        if shape[0] != self.weight.shape[1]:
            raise ValueError(f"Conv2d: {shape[0]} maps come in, the filters {self.weight.shape} expect {self.weight.shape[1]}")
        return (self.weight.shape[0], *spatial_size("Conv2d", shape[1:], self.reach))

    def multiply_adds(self, shape):
        return self.weight[0].size * int(np.prod(self.output_shape(shape)))

    def forward(self, x, rng=None):
        y = kernels.conv2d(x, self.weight, self.bias, self.reach.stride, self.reach.pad)
        return y, ConvTape(x, x.shape[2:])

    def backward(self, dy, tape, to_input=True):
        size = self.reach.size
        grads = {"weight": kernels.conv2d_weight_grad(tape.x, dy, self.reach.stride, self.reach.pad, size)}
        if self.bias is not None:
            grads["bias"] = kernels.bias_grad(dy)
        return (self.deconv(dy, tape) if to_input else None), grads

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        return kernels.conv2d_transpose(r, self.weight, self.reach.stride, self.reach.pad, tape.size)

    def looks_back(self, rules):
        return False

    def note(self, input_shape):
        return ConvTape(None, input_shape[1:])


def spatial_size(layer: str, size: tuple[int, int], reach: Reach) -> tuple[int, int]:
    """(P, Q) of a sliding window's output; ValueError with the formula when no window fits."""
    if min(reach.stride) < 1 or min(reach.pad) < 0:
        raise ValueError(
            f"{layer}: stride {reach.stride}, padding {reach.pad}; expected a stride from 1 and a padding from 0 up"
        )
    try:
        return output_size(layer, "window", size, *reach)
    except ValueError:
        raise ValueError(
            f"{layer}: a {reach.size[0]}x{reach.size[1]} window, stride {reach.stride}, padding {reach.pad}, does not fit "
            f"an input of {size[0]}x{size[1]}: (size + 2 * pad - window) // stride + 1 is below 1; "
            "use a smaller window, more padding or a larger input"
        ) from None


def covered(size: tuple[int, int], reach: Reach) -> tuple[int, int]:
    """(h, w) of the input under a block of `size` neighbouring outputs."""
    return each(lambda n, r, s: (n - 1) * s + r, size, reach.size, reach.stride)
