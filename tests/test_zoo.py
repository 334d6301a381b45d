"""The two nets: the sizes the paper compares, few parameters, weights by seed."""

import numpy as np
import pytest

from minizf import zoo
from minizf.net import ShapeError


@pytest.mark.parametrize("name", ["zfnet64", "alexnet64"])
def test_keeps_what_the_paper_compares(name):
    net = zoo.build(name, classes=10)
    kinds = [type(layer).__name__ for layer in net.layers.values()]
    assert kinds.count("Conv2d") == 5
    assert [layer.options for layer in net.layers.values() if type(layer).__name__ == "MaxPool2d"] == [
        {"size": 3, "stride": 2, "pad": 1}
    ] * 3
    assert kinds.count("LRN") == 2
    assert kinds.count("Dropout") == 2
    assert net.parameter_count < 1_500_000
    assert net.shapes["fc8"] == (10,)
    first = net.layers["conv1"].reach
    assert (first.size, first.stride) == (((7, 7), (2, 2)) if name == "zfnet64" else ((11, 11), (4, 4)))


def test_maps_halve():
    net = zoo.zfnet64(10)
    assert [net.shapes[name] for name in ("conv1", "pool1", "pool2", "relu5", "pool5")] == [
        (48, 32, 32), (48, 16, 16), (96, 8, 8), (96, 8, 8), (96, 4, 4),
    ]  # fmt: skip


def test_weights_come_from_the_seed():
    one, same, other = zoo.zfnet64(3, seed=5), zoo.zfnet64(3, seed=5), zoo.zfnet64(3, seed=6)
    assert all(np.array_equal(a, b) for a, b in zip(one.state().values(), same.state().values(), strict=True))
    assert not np.array_equal(one.layers["conv1"].weight, other.layers["conv1"].weight)
    for array in one.state().values():
        assert array.dtype == np.float32


def test_signal_neither_dies_nor_explodes():
    net = zoo.zfnet64(10)
    _, tape = net.forward(np.random.default_rng(0).standard_normal((2, 3, 64, 64), dtype=np.float32))
    for name in net.feature_layers:
        assert 0.05 < tape.outputs[name].std() < 5


@pytest.mark.parametrize(("channels", "size"), [(1, 64), (3, 96), (1, 28)])
def test_other_inputs(channels, size):
    net = zoo.zfnet64(4, channels, size)
    assert net.forward(np.ones((1, channels, size, size), np.float32))[0].shape == (1, 4)


def test_unknown_name():
    with pytest.raises(ValueError, match="no net 'resnet' in the zoo; it has zfnet64, alexnet64"):
        zoo.build("resnet", 10)


def test_too_small_an_input():
    with pytest.raises(ShapeError, match="layer 'conv1' does not fit what comes into it"):
        zoo.alexnet64(4, 3, 0)
