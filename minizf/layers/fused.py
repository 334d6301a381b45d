"""Neighbours that training passes in one step, so that what lies between them is never written to memory.

    Conv2d, ReLU       x (N, C, H, W)  --conv2d_relu-->  y (N, K, P, Q)
    ReLU, MaxPool2d    x (N, C, H, W)  --relu_maxpool-->  y, switches (N, C, P, Q)

forward   the two layers' own, one after the other
backward  Conv2d, ReLU: the two layers' own. ReLU, MaxPool2d: dx = unpool(dy where y > 0, else 0), the mask before the unpooling
          instead of after it. A switch names a place whose rectified value is y itself, so the two masks are one, and the
          smaller maps hold a quarter of the numbers.
deconv    none: who looks wants to see what lies between. A pass for looking takes every layer by itself; what
          the signal then passes in one step on its way down, deconv_step.py says.

Results equal those of the single layers bit for bit.
"""

from typing import NamedTuple

import numpy as np

import kernels
from minizf.layers.conv import Conv2d, ConvTape
from minizf.layers.layer import Layer
from minizf.layers.pool import MaxPool2d, PoolTape
from minizf.layers.relu import ReLU


class ConvReLUTape(NamedTuple):
    conv: ConvTape
    y: np.ndarray  # (N, K, P, Q)


class ConvReLU(Layer):
    """A convolution and its rectifier; the parameters are the convolution's."""

    def __init__(self, conv: Conv2d):
        self.conv = conv

    def forward(self, x, rng=None):
        y = kernels.conv2d_relu(x, self.conv.weight, self.conv.bias, self.conv.reach.stride, self.conv.reach.pad)
        return y, ConvReLUTape(ConvTape(x, x.shape[2:]), y)

    def backward(self, dy, tape, to_input=True):
        return self.conv.backward(kernels.relu_grad(dy, tape.y), tape.conv, to_input)


class ReLUMaxPoolTape(NamedTuple):
    y: np.ndarray  # (N, C, P, Q)
    pool: PoolTape


class ReLUMaxPool(Layer):
    """A rectifier and the pooling above it."""

    def __init__(self, pool: MaxPool2d):
        self.pool = pool

    def forward(self, x, rng=None):
        y, switches = kernels.relu_maxpool(x, *self.pool.reach)
        return y, ReLUMaxPoolTape(y, PoolTape(switches, x.shape[2:]))

    def backward(self, dy, tape, to_input=True):
        return self.pool.backward(kernels.relu_grad(dy, tape.y), tape.pool, to_input)


class Step(NamedTuple):
    """One layer of a net, or two that go in one step."""

    first: str  # the name under which its parameters are known
    last: str  # the name of the layer whose output it gives
    layer: Layer


def single_steps(chain: list[tuple[str, Layer]]) -> list[Step]:
    """Every layer by itself: a pass for looking."""
    return [Step(name, name, layer) for name, layer in chain]


def fused_steps(chain: list[tuple[str, Layer]]) -> list[Step]:
    """The same chain with neighbours in pairs where that saves memory traffic: a pass for training.

    A rectifier goes with the pool above it, or else with the convolution below it. Only these very classes: one derived from
    them may do something else.
    """
    steps: list[Step] = []
    waiting = list(chain)
    while waiting:
        (name, layer), *others = waiting
        pair: Layer | None = None
        above = [type(other) for _, other in others[:2]]
        if type(layer) is Conv2d and above[:1] == [ReLU] and above != [ReLU, MaxPool2d]:
            pair = ConvReLU(layer)
        elif type(layer) is ReLU and others and type(others[0][1]) is MaxPool2d:
            pair = ReLUMaxPool(others[0][1])
        steps.append(Step(name, others[0][0] if pair else name, pair or layer))
        waiting = others[1:] if pair else others
    return steps
