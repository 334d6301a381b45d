"""Neighbours that the deconvnet's signal passes in one step, so that what lies between them is never written to memory.

    MaxPool2d, ReLU            r (N, K, P', Q')  --unpool_relu-->  r (N, K, P, Q)
    MaxPool2d, ReLU, Conv2d    r (N, K, P', Q')  --deconv_step-->  r (N, C, H, W)      the paper's figure 1, from top to bottom

deconv    the layers' own, one after the other: unpool, rectify, filter. Only where the *signal* is rectified: the other rules
          look at the forward pass between the two steps, and have to stop there.

Results equal those of the single layers: bit for bit without a convolution, up to the order of its sums with one. `trace`
shows what lies between, and takes every layer by itself.
"""

from collections.abc import Iterator

import kernels
from minizf.layers.conv import Conv2d
from minizf.layers.layer import Layer
from minizf.layers.pool import MaxPool2d
from minizf.layers.relu import ReLU
from minizf.layers.rules import DECONVNET, Rules


class UnpoolReLU(Layer):
    """Down through a pooling and the rectifier below it. The tape is the pooling's."""

    def __init__(self, pool: MaxPool2d):
        self.pool = pool

    def pick(self, tape, images):
        return self.pool.pick(tape, images)

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        return kernels.unpool_relu(r, tape.switches, *self.pool.reach, tape.size, rules.collisions)


class DeconvStep(UnpoolReLU):
    """And through the convolution below these, which read maps of `size` (H, W)."""

    def __init__(self, pool: MaxPool2d, conv: Conv2d, size: tuple[int, int]):
        self.pool, self.conv, self.size = pool, conv, size

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        filters = self.conv.weight, self.conv.reach.stride, self.conv.reach.pad
        return kernels.deconv_step(r, tape.switches, *self.pool.reach, *filters, self.size, rules.collisions)


def taken_together(layers: list[Layer], rules: Rules) -> Iterator[slice]:
    """Which of these layers, from the top down, the signal can pass in one step: one, or two or three as above.

    Only these very classes: one derived from them may do something else.
    """
    here = 0
    while here < len(layers):
        kinds = [type(layer) for layer in layers[here : here + 3]]
        count = 1
        if rules.rectify == "signal" and kinds[:2] == [MaxPool2d, ReLU]:
            count = 3 if kinds[2:] == [Conv2d] else 2
        yield slice(here, here + count)
        here += count


def one_step(layers: list[Layer], read: tuple[int, ...]) -> Layer:
    """A group of `taken_together` as one layer, for its `deconv`. read: the shape of one image, as its last layer reads it."""
    match layers:
        case [MaxPool2d() as pool, ReLU(), Conv2d() as conv]:
            return DeconvStep(pool, conv, (read[1], read[2]))
        case [MaxPool2d() as pool, ReLU()]:
            return UnpoolReLU(pool)
        case [layer]:
            return layer
    raise ValueError(f"no one step for {layers}; expected what `taken_together` gives")
