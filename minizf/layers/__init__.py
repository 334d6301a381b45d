"""The layers: one page each, with the way up, the gradient's way down, and the deconvnet's way down side by side."""

from minizf.layers.conv import Conv2d
from minizf.layers.dropout import Dropout
from minizf.layers.layer import Layer, NoDeconvRule, Reach
from minizf.layers.linear import Flatten, Linear
from minizf.layers.norm import LRN
from minizf.layers.pool import MaxPool2d
from minizf.layers.relu import ReLU
from minizf.layers.rules import DECONVNET, GRADIENT, GUIDED, Rules
from minizf.layers.softmax import softmax, softmax_cross_entropy

KINDS = {kind.__name__: kind for kind in (Conv2d, ReLU, MaxPool2d, LRN, Flatten, Linear, Dropout)}

__all__ = [
    "DECONVNET", "GRADIENT", "GUIDED", "KINDS", "LRN", "Conv2d", "Dropout", "Flatten", "Layer", "Linear", "MaxPool2d",
    "NoDeconvRule", "ReLU", "Reach", "Rules", "softmax", "softmax_cross_entropy",
]  # fmt: skip
