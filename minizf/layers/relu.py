"""The rectifier: where backpropagation, guided backpropagation and the deconvnet part.

    x  -->  y, same shape

forward   y  = max(x, 0)
backward  dx = dy where y > 0, else 0          the gradient passes where the *forward activation* was positive
deconv    r  = max(r, 0)                       the paper rectifies the *signal*, whatever the forward pass did (section 2.1,
                                               "Rectification": feature maps are positive, so reconstructions are kept so)

With `rules.rectify` the other two published ways: "mask" is the gradient's, "both" is guided backpropagation's.
"""

import kernels
from minizf.layers.layer import Layer, cut
from minizf.layers.rules import DECONVNET, Rules


class ReLU(Layer):
    """y = max(x, 0); NaN stays NaN. The tape is y itself: it is positive exactly where the gradient passes."""

    way_down = "rectify"

    def forward(self, x, rng=None):
        y = kernels.relu(x)
        return y, y

    def backward(self, dy, tape, to_input=True):
        return kernels.relu_grad(dy, tape), {}

    def deconv(self, r, tape, rules: Rules = DECONVNET):
        if rules.rectify != "signal":
            r = kernels.relu_grad(r, tape)
        return r if rules.rectify == "mask" else kernels.relu(r)

    def window(self, tape, images, origin, size):
        return cut(tape, images, origin, size)

    def looks_back(self, rules):
        return rules.rectify != "signal"
