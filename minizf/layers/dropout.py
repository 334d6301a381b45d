"""Dropout: in training, every unit is silenced with probability p, so that none can rely on another.

    x  -->  y, same shape

forward   training: y = x * mask, mask 0 with probability p, else 1 / (1 - p);      looking: y = x
backward  dx = dy * mask
deconv    nothing: when one looks, nothing was dropped. A signal through a training pass is refused.

Scaling by 1 / (1 - p) while training keeps the expected sum, so that nothing changes afterwards
(Krizhevsky et al. 2012, section 4.2, halves the outputs afterwards instead; the two are the same).
"""

import numpy as np

import kernels
from minizf.layers.layer import Layer, NoDeconvRule
from minizf.layers.rules import DECONVNET, Rules


class Dropout(Layer):
    """Drops each unit with probability `p` when `forward` is given a random generator. The tape is the mask, or None."""

    option_names = ("p",)

    def __init__(self, p: float = 0.5):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}, expected a probability of at least 0 and below 1")
        self.p = p

    def forward(self, x, rng=None):
        if rng is None or self.p == 0:
            return x, None
        mask = (rng.random(x.shape, dtype=np.float32) >= self.p) * x.dtype.type(1 / (1 - self.p))
        mask = kernels.to_device(mask)
        return x * mask, mask

    def backward(self, dy, tape, to_input=True):
        return (dy if tape is None else dy * tape), {}

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        if tape is not None:
            raise NoDeconvRule("Dropout: this tape comes from a training pass; run forward without a random generator to look")
        return r
