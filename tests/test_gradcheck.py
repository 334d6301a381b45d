"""The gradient check passes where the gradient is right, fails where it is not, and says what it left out."""

import numpy as np
import pytest
from oracle.random_nets import draw_images, small_zfnet

import kernels
from minizf.gradcheck import GradReport, gradcheck
from minizf.layers import LRN, Conv2d, Linear, MaxPool2d, ReLU
from minizf.net import Net


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    net = small_zfnet(rng)
    return net, draw_images(rng, net)


def test_passes_on_a_whole_net(case):
    net, x = case
    report = gradcheck(net, x, samples=12)
    assert report.ok, str(report)
    assert report.checked > 100
    assert report.worst < 1e-6
    assert str(report).startswith("gradient check passed:")


def test_leaves_the_net_as_it_was(case):
    net, x = case
    before = {name: array.copy() for name, array in net.state().items()}
    images = x.copy()
    gradcheck(net, x, samples=2)
    assert all(array.dtype == np.float32 and np.array_equal(before[name], array) for name, array in net.state().items())
    assert np.array_equal(images, x)


def scaled(true, key, factor):
    def backward(self, dy, tape, to_input=True):
        dx, grads = true(self, dy, tape, to_input)
        return dx, grads | {key: grads[key] * factor}

    return backward


def down_scaled(true, factor):
    return lambda self, dy, tape, to_input=True: (true(self, dy, tape, to_input)[0] * factor, {})


@pytest.mark.parametrize(
    ("layer", "wrong"),
    [
        (Conv2d, scaled(Conv2d.backward, "weight", 1.001)),
        (Conv2d, scaled(Conv2d.backward, "bias", 0.999)),
        (Linear, scaled(Linear.backward, "weight", -1)),
        (LRN, lambda self, dy, tape, to_input=True: (dy, {})),
        (ReLU, lambda self, dy, tape, to_input=True: (dy, {})),
        (MaxPool2d, down_scaled(MaxPool2d.backward, 1.01)),
    ],
)
def test_catches_a_wrong_gradient(monkeypatch, case, layer, wrong):
    net, x = case
    monkeypatch.setattr(layer, "backward", wrong)
    report = gradcheck(net, x, samples=6)
    assert not report.ok
    assert "gradient check FAILED" in str(report)
    assert "backward says" in report.failures[0]


def test_skips_and_counts_kinks():
    """At exactly 0 a rectifier has no slope: stepping either way wakes or silences the unit."""
    net = Net([("conv1", Conv2d(np.ones((1, 1, 1, 1)), np.zeros(1))), ("relu1", ReLU())], (1, 2, 3))
    x = np.array([0.0, 1, 2, 0, 3, -1]).reshape(1, 1, 2, 3)
    report = gradcheck(net, x, samples=6)
    assert report.skipped >= 2
    assert report.ok, str(report)
    assert f"{report.skipped} skipped at kinks" in str(report)


def test_nothing_checked_is_no_pass():
    assert not GradReport().ok
    assert "nothing could be checked" in str(GradReport())


def test_reference_loops_can_be_checked_too():
    rng = np.random.default_rng(4)
    layers = [("conv1", Conv2d(rng.standard_normal((2, 1, 2, 3)), rng.standard_normal(2))), ("pool1", MaxPool2d(2, 1))]
    with kernels.use("reference"):
        report = gradcheck(Net(layers, (1, 4, 5)), rng.standard_normal((2, 1, 4, 5)), samples=5)
    assert report.ok, str(report)
