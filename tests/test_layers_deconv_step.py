"""The way down in few steps: who goes with whom, by which rules, and the same pixels as layer by layer."""

import numpy as np
import pytest
from projection_checks import ALL_RULES, check_few_steps, sample_units, step_net

import kernels
from minizf import deconvnet, zoo
from minizf.layers import DECONVNET, Conv2d, MaxPool2d, NoDeconvRule, ReLU, Rules
from minizf.layers.deconv_step import DeconvStep, UnpoolReLU, one_step, taken_together
from minizf.net import Net

CPU = [name for name in ("numpy", "numba") if kernels.available()[name] is None]


@pytest.fixture(autouse=True)
def in_numpy():
    with kernels.use("numpy"):
        yield


@pytest.fixture
def called(monkeypatch):
    """The operations of the way down, in order of their calls."""
    calls = []
    for name in ("deconv_step", "unpool_relu", "unpool2d", "relu", "relu_grad", "conv2d_transpose", "linear_input_grad"):
        true = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda *given, name=name, true=true: calls.append(name) or true(*given))
    return calls


def groups(net, layer, rules=DECONVNET):
    names = net.chain(layer)[::-1]
    return [names[part] for part in taken_together([net.layers[name] for name in names], rules)]


def test_who_goes_with_whom():
    net, _ = step_net()
    assert groups(net, "fc6") == [
        ["fc6"], ["relu5"], ["fc5"], ["flatten"], ["pool4"], ["conv4"], ["pool3", "relu3", "conv3"], ["pool2b", "relu2b"],
        ["norm2"], ["pool2", "relu2", "conv2"], ["pool1", "relu0"], ["pool0"],
    ]  # fmt: skip
    assert groups(net, "relu2") == [["relu2"], ["conv2"], ["pool1", "relu0"], ["pool0"]]
    assert groups(net, "pool0") == [["pool0"]]
    assert list(taken_together([], Rules())) == []


@pytest.mark.parametrize("rectify", ["mask", "both"])
def test_other_rectifiers_look_at_what_lies_between(rectify):
    net, _ = step_net()
    assert groups(net, "fc6", Rules(rectify=rectify)) == [[name] for name in net.chain("fc6")[::-1]]


@pytest.mark.parametrize("place", range(3))
def test_a_layer_of_another_kind_stays_by_itself(place):
    class OtherPool(MaxPool2d):
        pass

    class OtherReLU(ReLU):
        pass

    class OtherConv(Conv2d):
        pass

    weight = np.ones((2, 3, 1, 1))
    layers = [MaxPool2d(2, 2), ReLU(), Conv2d(weight, None)]
    layers[place] = (OtherPool(2, 2), OtherReLU(), OtherConv(weight, None))[place]
    together = [layers[part] for part in taken_together(layers, Rules())]
    assert together == ([layers[:2], layers[2:]] if place == 2 else [[layer] for layer in layers])


def test_groups_as_layers():
    pool, relu, conv = MaxPool2d(2, 2), ReLU(), Conv2d(np.ones((2, 3, 1, 1)), None)
    assert one_step([conv], (3, 5, 7)) is conv
    pair, step = one_step([pool, relu], (3, 5, 7)), one_step([pool, relu, conv], (3, 5, 7))
    assert (type(pair), type(step), step.size) == (UnpoolReLU, DeconvStep, (5, 7))
    with pytest.raises(ValueError, match="no one step for"):
        one_step([relu, conv], (3, 5, 7))


@pytest.mark.parametrize("implementation", CPU)
def test_same_bits_as_layer_by_layer(implementation):
    with kernels.use(implementation):
        check_few_steps(np.float32, exact=True, tolerance=1e-5)


def test_every_way_down_but_the_trace_takes_few_steps(called):
    net, x = step_net()
    _, tape = net.forward(x)
    called.clear()
    deconvnet.project_units(net, tape, "fc6", [1, 2], [0, 3])
    assert called == [
        "linear_input_grad", "relu", "linear_input_grad", "unpool2d", "conv2d_transpose", "deconv_step", "unpool_relu",
        "deconv_step", "unpool_relu", "unpool2d",
    ]  # fmt: skip
    called.clear()
    deconvnet.trace(net, tape, "fc6", 1, 0)
    assert called.count("unpool2d") == 6
    assert not {"deconv_step", "unpool_relu"} & set(called)


def test_windows_take_few_steps_too(called):
    net = zoo.zfnet64(3)
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    _, tape = net.forward(x, upto="relu2")
    called.clear()
    deconvnet.project_windows(net, tape, "relu2", [0, 0], [5, 6], [(8, 8), (7, 9)])
    assert called == ["relu", "deconv_step"]  # conv2 lays down one filter
    called.clear()
    deconvnet.project_windows(net, tape, "relu2", [0, 0], [5, 6], [(8, 8), (0, 15)])
    assert called == ["relu", "unpool_relu", "conv2d_transpose"]  # a window of conv1 was moved off the edge


@pytest.mark.parametrize("rules", [rules for rules in ALL_RULES if rules.rectify != "signal"])
def test_other_rectifiers_take_every_layer_by_itself(called, rules):
    net, x = step_net()
    _, tape = net.forward(x)
    images, maps, at = sample_units(net, "relu3", len(x))
    deconvnet.project_units(net, tape, "relu3", images, maps, at, "value", rules)
    deconvnet.project_windows(net, tape, "relu3", images, maps, at, "value", rules)
    assert "unpool2d" in called
    assert not {"deconv_step", "unpool_relu"} & set(called)


def test_a_training_tape_is_still_refused():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 3, 2, 2))
    net_layers = [("conv1", Conv2d(weight, None)), ("relu1", ReLU()), ("pool1", MaxPool2d(2, 2))]
    net = Net(net_layers, (3, 7, 9))
    _, tape = net.forward(rng.standard_normal((1, 3, 7, 9)), rng)
    with pytest.raises(NoDeconvRule, match="training pass, which took relu1 and pool1 in one step"):
        deconvnet.project(net, tape, "pool1", 0, 1)
