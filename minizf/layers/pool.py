"""Max pooling that remembers where each maximum came from.

    x (N, C, H, W)  --size, stride, pad-->  y (N, C, P, Q), switches (N, C, P, Q)

forward   y[n,c,p,q]  = max of x over window (p,q);  switches[n,c,p,q] = its place in the window, row-major, the first of equals
backward  dx          = every dy[n,c,p,q] added at the place its switch names
deconv    the same unpooling, applied to the signal instead of the gradient (section 2.1, "Unpooling"). Where windows overlap
          (3x3 with stride 2, in the paper), several may name one place: `rules.collisions` says what happens there, and
          "sum" makes it the adjoint, so that in a network without rectifiers deconvnet and gradient are one.

Switches depend on the image: the same feature projected from two images gives two pictures.
"""

from dataclasses import dataclass

import numpy as np

import kernels
from kernels.checks import places
from kernels.sizes import check_pool_pad
from minizf.layers.conv import covered, spatial_size
from minizf.layers.layer import Layer, Reach, cut, pair
from minizf.layers.rules import DECONVNET, Rules


@dataclass
class PoolTape:
    switches: np.ndarray  # uint8 (N, C, P, Q)
    size: tuple[int, int]  # (H, W): several input sizes give one output size, so it must be remembered


class MaxPool2d(Layer):
    """Maximum over windows of `size` every `stride`; padding never wins. size, stride, pad: an int or (rows, columns)."""

    option_names = ("size", "stride", "pad")
    way_down = "unpool"
    padding_value = float("-inf")

    def __init__(self, size: int | tuple, stride: int | tuple, pad: int | tuple = 0):
        self.size, self.stride, self.pad = size, stride, pad
        self.reach = Reach(pair(size), pair(stride), pair(pad))

    def output_shape(self, shape):
        if len(shape) != 3:
            raise ValueError(f"MaxPool2d expects maps (C, H, W), got {shape}; a Flatten too early?")
        size = spatial_size("MaxPool2d", shape[1:], self.reach)
        check_pool_pad("MaxPool2d", self.reach.size, self.reach.pad)
        places("MaxPool2d", self.reach.size)
        return (shape[0], *size)

    def forward(self, x, rng=None):
        y, switches = kernels.maxpool2d(x, *self.reach)
        return y, PoolTape(switches, x.shape[2:])

    def backward(self, dy, tape, to_input=True):
        return self.deconv(dy, tape), {}

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        return kernels.unpool2d(r, tape.switches, *self.reach, tape.size, rules.collisions)

    def pick(self, tape, images):
        return PoolTape(tape.switches[kernels.to_device(images)], tape.size)

    def window(self, tape, images, origin, size):
        return PoolTape(cut(tape.switches, images, origin, size), covered(size, self.reach))
