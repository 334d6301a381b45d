"""Local response normalisation: each value divided by the strength of its neighbours in other maps.

    x (N, C, H, W)  --size maps, alpha, beta, k-->  y, same shape

forward   scale[n,c] = k + alpha / size * sum of x[n,j]^2 over the `size` maps j centred at c;      y = x * scale^-beta
backward  dx[n,c]    = dy[n,c] * scale[n,c]^-beta
                       - 2 alpha beta / size * x[n,c] * sum over the same maps j of dy[n,j] * y[n,j] / scale[n,j]
deconv    nothing: the paper uses no contrast normalisation on the way down (section 2.1), so the signal passes as it is.
          `rules.lrn = "jacobian"` sends it through `backward` instead, as the gradient would go.

The formula is Krizhevsky et al. 2012, section 3.3, with alpha divided by `size` as PyTorch and Caffe do.
"""

from dataclasses import dataclass

import numpy as np

import kernels
from minizf.layers.layer import Layer, cut
from minizf.layers.rules import DECONVNET, Rules


@dataclass
class LRNTape:
    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray


class LRN(Layer):
    """Contrast normalisation across `size` neighbouring maps at each position."""

    option_names = ("size", "alpha", "beta", "k")
    way_down = "skip"

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def output_shape(self, shape):
        if len(shape) != 3:
            raise ValueError(f"LRN expects maps (C, H, W), got {shape}; a Flatten too early?")
        return shape

    def forward(self, x, rng=None):
        y, scale = kernels.lrn(x, self.size, self.alpha, self.beta, self.k)
        return y, LRNTape(x, y, scale)

    def backward(self, dy, tape, to_input=True):
        return kernels.lrn_grad(dy, tape.x, tape.y, tape.scale, self.size, self.alpha, self.beta), {}

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        return r if rules.lrn == "skip" else self.backward(r, tape)[0]

    def pick(self, tape, images):
        images = kernels.to_device(images)
        return LRNTape(tape.x[images], tape.y[images], tape.scale[images])

    def window(self, tape, images, origin, size):
        return LRNTape(*(cut(maps, images, origin, size) for maps in (tape.x, tape.y, tape.scale)))

    def looks_back(self, rules):
        return rules.lrn != "skip"
