"""Training takes neighbours in pairs: the same bits as layer by layer, and a tape that says it is not for looking."""

import re

import numpy as np
import pytest

import kernels
from minizf import deconvnet, zoo
from minizf.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, NoDeconvRule, ReLU
from minizf.layers.fused import ConvReLU, ReLUMaxPool, fused_steps, single_steps
from minizf.net import Net

CPU = [name for name in ("numpy", "numba") if kernels.available()[name] is None]


def small_net(rng, dtype=np.float32):
    def weights(*shape):
        return rng.standard_normal(shape).astype(dtype)

    layers = [
        ("conv1", Conv2d(weights(5, 3, 3, 2), weights(5), (2, 1), 1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, 2, 1)),
        ("conv2", Conv2d(weights(7, 5, 2, 3), weights(7), 1, (0, 2))),
        ("relu2", ReLU()),
        ("conv3", Conv2d(weights(4, 7, 1, 1), None)),
        ("relu3", ReLU()),
        ("pool3", MaxPool2d((2, 3), (1, 2))),  # windows overlap
        ("flatten", Flatten()),
        ("fc4", Linear(weights(6, 48), weights(6))),
        ("relu4", ReLU()),
    ]
    return Net(layers, (3, 17, 13))


def steps(net):
    return [(step.first, step.last, type(step.layer).__name__) for step in fused_steps(list(net.layers.items()))]


def test_who_goes_with_whom():
    net = small_net(np.random.default_rng(0))
    assert steps(net) == [
        ("conv1", "conv1", "Conv2d"),
        ("relu1", "pool1", "ReLUMaxPool"),
        ("conv2", "relu2", "ConvReLU"),
        ("conv3", "conv3", "Conv2d"),
        ("relu3", "pool3", "ReLUMaxPool"),
        ("flatten", "flatten", "Flatten"),
        ("fc4", "fc4", "Linear"),
        ("relu4", "relu4", "ReLU"),
    ]
    assert fused_steps([]) == []
    assert [step.last for step in fused_steps(list(net.layers.items())[:2])] == ["relu1"]


def test_a_layer_of_another_kind_stays_by_itself():
    class Leaky(ReLU):
        pass

    net = small_net(np.random.default_rng(0))
    chain = [(name, Leaky() if isinstance(layer, ReLU) else layer) for name, layer in net.layers.items()]
    assert fused_steps(chain) == single_steps(chain)


@pytest.mark.parametrize("implementation", CPU)
def test_same_bits_as_layer_by_layer(implementation):
    rng = np.random.default_rng(5)
    net = small_net(rng)
    x = rng.standard_normal((3, 3, 17, 13), dtype=np.float32)
    x[0, 1, 3, 4] = np.nan
    with kernels.use(implementation):
        y, tape = net.forward(x, rng)
        expected_y, expected_tape = net.forward(x)
        assert tape.in_pairs
        assert not expected_tape.in_pairs
        dy = rng.standard_normal(y.shape, dtype=np.float32)
        dx, grads = net.backward(dy, tape)
        expected_dx, expected = net.backward(dy, expected_tape)
    assert y.tobytes() == expected_y.tobytes()
    assert all(output.tobytes() == expected_tape.outputs[name].tobytes() for name, output in tape.outputs.items())
    assert dx.tobytes() == expected_dx.tobytes()
    assert dx.any()
    assert list(grads) == list(expected)
    assert all(grads[name].tobytes() == expected[name].tobytes() for name in grads)


def test_dropout_draws_the_same_numbers():
    net = zoo.zfnet64(3, size=16)
    x = np.random.default_rng(1).standard_normal((2, 3, 16, 16), dtype=np.float32)
    y, tape = net.forward(x, np.random.default_rng(2))
    for drop in (layer for layer in net.layers.values() if isinstance(layer, Dropout)):
        assert any(step.layer is drop for step in tape.steps)
    rng, expected = np.random.default_rng(2), x
    for layer in net.layers.values():
        expected = layer.forward(expected, rng)[0]
    assert y.tobytes() == expected.tobytes()


def test_a_training_tape_is_not_for_looking():
    rng = np.random.default_rng(0)
    net = small_net(rng)
    _, tape = net.forward(rng.standard_normal((1, 3, 17, 13), dtype=np.float32), rng)
    again = "run forward without a random generator to look"
    with pytest.raises(ValueError, match=rf"no relu1 on this tape: it comes from a training pass.*{again}"):
        deconvnet.project(net, tape, "relu1", 0, 1)
    with pytest.raises(NoDeconvRule, match=rf"pool1: .*training pass, which took relu1 and pool1 in one step.*{again}"):
        deconvnet.project(net, tape, "pool1", 0, 1, rectify="mask")
    with pytest.raises(NoDeconvRule, match=re.escape("ConvReLU has no deconv rule")):
        ConvReLU(net.layers["conv2"]).deconv(np.zeros(1), None, None)


@pytest.mark.parametrize(
    ("pair", "wrong"),
    [
        (ReLUMaxPool, lambda self, dy, tape, to_input=True: self.pool.backward(dy, tape.pool)),
        (ConvReLU, lambda self, dy, tape, to_input=True: self.conv.backward(dy, tape.conv, to_input)),
    ],
    ids=["pool's mask forgotten", "convolution's mask forgotten"],
)
def test_planted_bug_is_caught(monkeypatch, pair, wrong):
    monkeypatch.setattr(pair, "backward", wrong)
    with pytest.raises(AssertionError):
        test_same_bits_as_layer_by_layer("numpy")
