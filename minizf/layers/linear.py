"""The fully connected layer, and the flattening that leads to it.

    x (N, C, H, W)  --Flatten-->  (N, F),  F = C*H*W          x (N, F)  --w (G, F), b (G,)-->  y (N, G)

forward   y  = x w^T + b
backward  dx = dy w;   dw = dy^T x;   db = sum of dy over the images
deconv    r  = r w: transposed weights, no bias, as in a convolution whose filter covers the whole input
"""

import numpy as np

import kernels
from minizf.layers.layer import Layer
from minizf.layers.rules import DECONVNET, Rules


class Flatten(Layer):
    """(N, C, H, W) -> (N, C*H*W), row-major. The tape is the shape that came."""

    way_down = "reshape"

    def output_shape(self, shape):
        return (int(np.prod(shape)),)

    def forward(self, x, rng=None):
        return x.reshape(x.shape[0], -1), x.shape[1:]

    def backward(self, dy, tape, to_input=True):
        return dy.reshape(dy.shape[0], *tape), {}

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        return r.reshape(r.shape[0], *tape)

    def looks_back(self, rules):
        return False

    def note(self, input_shape):
        return input_shape


class Linear(Layer):
    """Fully connected, `weight` (G, F) and `bias` (G,). The tape is the input."""

    array_names = ("weight", "bias")
    way_down = "filter"

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(f"Linear: weight {weight.shape} and bias {bias.shape}, expected (G, F) and (G,)")
        self.weight, self.bias = weight, bias

    def output_shape(self, shape):
        if shape != (self.weight.shape[1],):
            raise ValueError(
                f"Linear: input {shape}, the weights {self.weight.shape} expect ({self.weight.shape[1]},); Flatten first"
            )
        return (self.weight.shape[0],)

    def multiply_adds(self, shape):
        return self.weight.size

    def forward(self, x, rng=None):
        return kernels.linear(x, self.weight, self.bias), x

    def backward(self, dy, tape, to_input=True):
        grads = {"weight": kernels.linear_weight_grad(tape, dy), "bias": kernels.bias_grad(dy)}
        return (self.deconv(dy, tape) if to_input else None), grads

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        return kernels.linear_input_grad(r, self.weight)

    def looks_back(self, rules):
        return False
