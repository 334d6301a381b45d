"""The deconvnet equals Captum, has the properties it must have, and says clearly what it cannot do."""

import re

import numpy as np
import projection_checks
import pytest
from oracle.random_nets import as_dtype, draw_images, draw_net
from projection_checks import PROPERTIES, check_captum, close, sample_net, stored_names

import kernels
from minizf import deconvnet
from minizf.layers import Conv2d, Dropout, Flatten, Layer, Linear, NoDeconvRule, ReLU, Rules
from minizf.net import Net

USABLE = [name for name in kernels.backends.BEST_FIRST if kernels.available()[name] is None]  # on the CPU, at its speed


@pytest.fixture(autouse=True)
def in_numpy():
    """float64 needs an implementation that has it."""
    with kernels.use("numpy"):
        yield


def test_equals_captum_in_float64():
    assert len(stored_names()) >= 20
    check_captum(np.float64, 1e-10)


@pytest.mark.parametrize("implementation", USABLE)
def test_equals_captum_in_float32(implementation):
    with kernels.use(implementation):
        check_captum(np.float32, 1e-4, stored_names()[::8] if implementation == "reference" else None)


@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__.removeprefix("check_"))
def test_property(check):
    check()


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(100, 106))
def test_equals_captum_live(seed):
    from oracle.torch_nets import captum_projection

    rng = np.random.default_rng(seed)
    net = as_dtype(draw_net(rng, seed % 4 + 1, ("2x2", "3x3")[seed % 2], seed % 3 == 0), np.float64)
    x = draw_images(rng, net).astype(np.float64)
    _, tape = net.forward(x)
    for layer, shape in net.shapes.items():
        if layer == "flatten":
            continue
        image, map = int(rng.integers(len(x))), int(rng.integers(shape[0]))
        at = tuple(int(rng.integers(n)) for n in shape[1:]) or None
        for rules in (Rules(), Rules(rectify="both"), Rules(rectify="mask", lrn="jacobian")):
            ours = deconvnet.project(net, tape, layer, image, map, at, rules=rules)
            close(f"{layer} {map} {at} {rules}", ours, captum_projection(net, x[image], layer, map, at, "value", rules), 1e-10)


def test_strongest_position_is_the_default():
    net, x = sample_net(1)
    _, tape = net.forward(x)
    for layer in net.feature_layers:
        place = np.unravel_index(tape.outputs[layer][2, 1].argmax(), net.shapes[layer][1:])
        here = deconvnet.project(net, tape, layer, 2, 1, at=place)
        assert np.array_equal(deconvnet.project(net, tape, layer, 2, 1), here)


def test_whole_maps_as_seeds():
    """Above the last rectifier everything is linear, so there a map's projection is the sum of its positions'."""
    net, x = sample_net(1)
    _, tape = net.forward(x)
    one_map = sum(deconvnet.project(net, tape, "relu1", 0, 2, at=at) for at in np.ndindex(net.shapes["relu1"][1:]))
    close("map", deconvnet.project(net, tape, "relu1", 0, 2, seed="map"), one_map, 1e-12)
    all_maps = sum(deconvnet.project(net, tape, "relu1", 0, map, seed="map") for map in range(net.shapes["relu1"][0]))
    close("all", deconvnet.project(net, tape, "relu1", 0, seed="all"), all_maps, 1e-12)


def test_rules_by_name():
    net, x = sample_net(1)
    _, tape = net.forward(x)
    lively = int(tape.outputs["relu2"][0].max(axis=(1, 2)).argmax())
    by_rules = deconvnet.project(net, tape, "relu2", 0, lively, rules=Rules(rectify="both", collisions="max"))
    assert np.array_equal(by_rules, deconvnet.project(net, tape, "relu2", 0, lively, rectify="both", collisions="max"))
    assert not np.array_equal(by_rules, deconvnet.project(net, tape, "relu2", 0, lively))


def test_two_passes_do_not_disturb_each_other():
    net, x = sample_net(1)
    _, tape = net.forward(x)
    before = deconvnet.project(net, tape, "relu2", 0, 1)
    net.forward(x[::-1].copy())
    assert np.array_equal(deconvnet.project(net, tape, "relu2", 0, 1), before)


REFUSALS = [
    (dict(layer="relu9"), "no layer 'relu9' in this net; it has conv1, relu1,"),
    (dict(map=99), "map 99: relu2 has maps 0..4"),
    (dict(map=-1), "map -1: relu2 has maps 0..4"),
    (dict(map=None), "which map of relu2?"),
    (dict(image=3), "image 3: this pass holds images 0..2"),
    (dict(at=(1, 50)), "position (1, 50): the maps of relu2 are"),
    (dict(at=(1, 2, 3)), "expected (row, column) for each unit"),
    (dict(layer="fc2", map=5), "unit 5: fc2 has units 0..4"),
    (dict(layer="fc2", at=(0, 0)), "fc2 has 5 units and no positions; leave `at` out"),
    (dict(seed="max"), "seed='max' is not a seed; choose one of value, one, map, all"),
    (dict(seed="map", at=(0, 0)), "seed='map' takes every position at once; leave `at` out"),
    (dict(rectify="guided"), "rectify='guided' is not a rule; choose one of signal, mask, both"),
    (dict(colisions="max"), "rules one can name are rectify, collisions, lrn"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSALS)
@pytest.mark.parametrize("ask", [deconvnet.project, deconvnet.trace])
def test_says_what_it_does_not_know(ask, wrong, message):
    net, x = sample_net(0)
    assert net.shapes["relu2"][0] == 5
    _, tape = net.forward(x)
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        ask(net, tape, **{"layer": "relu2", "image": 0, "map": 1} | wrong)


def test_tape_that_ends_below():
    net, x = sample_net(0)
    _, tape = net.forward(x, upto="pool1")
    with pytest.raises(ValueError, match=r"the tape ends at pool1, below relu2.*run net.forward\(x, upto='relu2'\)"):
        deconvnet.project(net, tape, "relu2", 0, 0)
    assert deconvnet.project(net, tape, "relu1", 0, 0).shape == net.input_shape


def test_pixels_that_are_not_numbers():
    net, x = sample_net(0)
    x[1, 0, 3, 3] = np.nan
    _, tape = net.forward(x)
    with pytest.raises(ValueError, match="fc2 holds activations that are not finite numbers"):
        deconvnet.project(net, tape, "fc2", 1, 0)
    assert np.isfinite(deconvnet.project(net, tape, "fc2", 0, 0)).all()


def test_layer_without_a_rule():
    class Square(Layer):
        def forward(self, x, rng=None):
            return x * x, x

    net, x = sample_net(0)
    layers = list(net.layers.items())
    with_square = Net([*layers[:2], ("square", Square()), *layers[2:]], net.input_shape)
    _, tape = with_square.forward(x)
    with pytest.raises(NoDeconvRule, match="through layer 'square': Square has no deconv rule"):
        deconvnet.project(with_square, tape, "fc2", 0, 0)
    with pytest.raises(NoDeconvRule, match="Square"):
        deconvnet.project_windows(with_square, tape, "relu2", [0], [0])
    assert deconvnet.project(with_square, tape, "relu1", 0, 0).any(), "below it, nothing is missing"


def test_training_pass_is_refused():
    rng = np.random.default_rng(0)
    layers = [("flatten", Flatten()), ("drop", Dropout(0.5)), ("fc", Linear(rng.standard_normal((3, 12)), np.zeros(3)))]
    net = Net(layers, (1, 3, 4))
    _, tape = net.forward(rng.standard_normal((1, 1, 3, 4)), rng=rng)
    with pytest.raises(NoDeconvRule, match=r"layer 'drop'.*training pass"):
        deconvnet.project(net, tape, "fc", 0, 0)


def test_convolution_without_bias_and_nothing_else():
    weight = np.random.default_rng(0).standard_normal((2, 1, 3, 2))
    net = Net([("conv1", Conv2d(weight, None)), ("relu1", ReLU())], (1, 3, 2))
    _, tape = net.forward(np.ones((1, 1, 3, 2)))
    unit = int(tape.outputs["relu1"][0].argmax())
    assert np.allclose(deconvnet.project(net, tape, "relu1", 0, unit), weight[unit] * tape.outputs["relu1"][0, unit])


def test_checks_compare_something():
    with pytest.raises(AssertionError, match=r"relative error"):
        close("itself", np.ones(3), np.full(3, 1.1), 1e-3)
    with pytest.raises(AssertionError, match="not finite"):
        close("itself", np.full(3, np.nan), np.ones(3), 1e-3)
    assert projection_checks.stored_names()
