"""Two networks to compare: the one the paper looked into, and the one it made out of what it saw, at 64 x 64 pixels.

Both keep what the paper compares (figures 3 and 6): AlexNet reads its input with large filters every fourth pixel, ZFNet with
smaller ones every second. Above that they are alike: five convolutions, three overlapping 3x3 pools with stride 2 (padded by
one, so that the sizes halve exactly), contrast normalisation after the first two, two hidden fully connected layers with
dropout.
"""

from collections.abc import Callable

import numpy as np

from minizf.data.preprocess import SPREAD
from minizf.layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from minizf.net import Net


def zfnet64(classes: int, channels: int = 3, size: int = 64, seed: int = 0) -> Net:
    """ZFNet (Zeiler & Fergus 2014, figure 3) scaled to `size` pixels: first layer 7x7 with stride 2. Weights start random."""
    return five_conv_net(classes, channels, size, seed, window1=7, stride1=2)


def alexnet64(classes: int, channels: int = 3, size: int = 64, seed: int = 0) -> Net:
    """AlexNet (Krizhevsky et al. 2012; dense, as in the paper's replication) scaled: first layer 11x11 with stride 4."""
    return five_conv_net(classes, channels, size, seed, window1=11, stride1=4)


# The first layer starts at half of He's scale, for inputs of spread SPREAD. That is near the paper's 1e-2, and like there it is
# little: what the filters learn soon outweighs what they began with, and every projection, which ends in them, shows it.
FIRST_GAIN = 2 * (0.5 / SPREAD) ** 2

NETS: dict[str, Callable[..., Net]] = {"zfnet64": zfnet64, "alexnet64": alexnet64}


def build(name: str, classes: int, channels: int = 3, size: int = 64, seed: int = 0) -> Net:
    """A net of the zoo by name; ValueError lists the known ones."""
    if name not in NETS:
        raise ValueError(f"no net {name!r} in the zoo; it has {', '.join(NETS)}")
    return NETS[name](classes, channels, size, seed)


def five_conv_net(classes: int, channels: int, size: int, seed: int, window1: int, stride1: int, hidden: int = 256) -> Net:
    """The body both share. He initialisation, so that a net of this depth trains from scratch at this width."""
    rng = np.random.default_rng(seed)
    body: list[tuple[str, Layer]] = [
        ("conv1", conv(rng, 48, channels, window1, stride1, window1 // 2, gain=FIRST_GAIN)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, 2, 1)),
        ("norm1", LRN()),
        ("conv2", conv(rng, 96, 48, 5, 1, 2)),
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, 2, 1)),
        ("norm2", LRN()),
        ("conv3", conv(rng, 128, 96, 3, 1, 1)),
        ("relu3", ReLU()),
        ("conv4", conv(rng, 128, 128, 3, 1, 1)),
        ("relu4", ReLU()),
        ("conv5", conv(rng, 96, 128, 3, 1, 1)),
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, 2, 1)),
        ("flatten", Flatten()),
    ]
    features = Net(body, (channels, size, size)).shapes["flatten"][0]
    head: list[tuple[str, Layer]] = [
        ("fc6", linear(rng, hidden, features)),
        ("relu6", ReLU()),
        ("drop6", Dropout(0.5)),
        ("fc7", linear(rng, hidden, hidden)),
        ("relu7", ReLU()),
        ("drop7", Dropout(0.5)),
        ("fc8", linear(rng, classes, hidden, gain=1.0)),
    ]
    return Net(body + head, (channels, size, size))


def conv(
    rng: np.random.Generator, filters: int, channels: int, window: int, stride: int, pad: int, gain: float = 2.0
) -> Conv2d:
    """A convolution, standard deviation sqrt(gain / inputs of one output), biases 0; gain 2 is He et al. 2015."""
    scale = np.sqrt(gain / (channels * window * window))
    weight = rng.standard_normal((filters, channels, window, window), dtype=np.float32) * np.float32(scale)
    return Conv2d(weight, np.zeros(filters, np.float32), stride, pad)


def linear(rng: np.random.Generator, outputs: int, inputs: int, gain: float = 2.0) -> Linear:
    """A fully connected layer, standard deviation sqrt(gain / inputs): gain 2 before a rectifier, 1 before a softmax."""
    weight = rng.standard_normal((outputs, inputs), dtype=np.float32) * np.float32(np.sqrt(gain / inputs))
    return Linear(weight, np.zeros(outputs, np.float32))
