"""Each layer alone: its three ways, what it remembers, how it is cut into windows, and what it refuses."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import reference
from minizf.layers import (
    DECONVNET,
    GRADIENT,
    GUIDED,
    KINDS,
    LRN,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    NoDeconvRule,
    ReLU,
    Rules,
    softmax,
    softmax_cross_entropy,
)

USABLE = [name for name in kernels.backends.BEST_FIRST if kernels.available()[name] is None]  # on the CPU, at its speed


@pytest.fixture(autouse=True)
def in_numpy():
    with kernels.use("numpy"):
        yield


def made(rng, *shape):
    return rng.standard_normal(shape)


@pytest.mark.parametrize("implementation", USABLE)
def test_three_ways_are_the_reference(implementation):
    """Every layer hands its own numbers, stride, padding and sizes to the kernels; all of them uneven."""
    rng = np.random.default_rng(0)
    x = made(rng, 2, 3, 7, 5).astype(np.float32)
    w, b = made(rng, 4, 3, 3, 2).astype(np.float32), made(rng, 4).astype(np.float32)
    with kernels.use(implementation):
        conv = Conv2d(w, b, stride=(2, 1), pad=(1, 2))
        y, tape = conv.forward(x)
        near(y, reference.conv2d(x, w, b, (2, 1), (1, 2)))
        dy = made(rng, *y.shape).astype(np.float32)
        dx, grads = conv.backward(dy, tape)
        down = reference.conv2d_transpose(dy, w, (2, 1), (1, 2), (7, 5))
        near(dx, down)
        near(conv.deconv(dy, tape), down)
        near(grads["weight"], reference.conv2d_weight_grad(x, dy, (2, 1), (1, 2), (3, 2)))
        near(grads["bias"], dy.sum((0, 2, 3)))

        pool = MaxPool2d((3, 2), (2, 1), (1, 0))
        y, tape = pool.forward(x)
        true, switches = reference.maxpool2d(x, (3, 2), (2, 1), (1, 0))
        assert np.array_equal(y, true)
        assert np.array_equal(tape.switches, switches)
        signal = made(rng, *y.shape).astype(np.float32)
        for rule in Rules.KNOWN["collisions"]:
            near(
                pool.deconv(signal, tape, Rules(collisions=rule)),
                reference.unpool2d(signal, switches, (3, 2), (2, 1), (1, 0), (7, 5), rule),
            )
        near(pool.backward(signal, tape)[0], reference.unpool2d(signal, switches, (3, 2), (2, 1), (1, 0), (7, 5), "sum"))

        norm = LRN(3, 0.7, 0.6, 1.5)
        y, tape = norm.forward(x)
        true, scale = reference.lrn(x, 3, 0.7, 0.6, 1.5)
        near(y, true)
        signal = made(rng, *x.shape).astype(np.float32)
        jacobian = reference.lrn_grad(signal, x, true, scale, 3, 0.7, 0.6)
        near(norm.backward(signal, tape)[0], jacobian)
        near(norm.deconv(signal, tape, GRADIENT), jacobian)
        assert norm.deconv(signal, tape) is signal


def near(ours, true):
    assert ours.shape == true.shape
    assert np.abs(ours - true).max() <= 1e-5 * np.abs(true).max()


def test_rectifier_by_every_rule():
    x, r = np.array([[-1.0, 2, -3, 4]]), np.array([[5.0, -6, 7, 8]])
    relu = ReLU()
    y, tape = relu.forward(x)
    assert y.tolist() == [[0, 2, 0, 4]]
    assert relu.backward(r, tape)[0].tolist() == [[0, -6, 0, 8]]
    assert relu.deconv(r, tape, DECONVNET).tolist() == [[5, 0, 7, 8]]
    assert relu.deconv(r, tape, GRADIENT).tolist() == [[0, -6, 0, 8]]
    assert relu.deconv(r, tape, GUIDED).tolist() == [[0, 0, 0, 8]]


def test_fully_connected_ways():
    rng = np.random.default_rng(1)
    x, w, b = made(rng, 2, 3, 2, 5), made(rng, 4, 30), made(rng, 4)
    flatten, linear = Flatten(), Linear(w, b)
    v, shape = flatten.forward(x)
    y, tape = linear.forward(v)
    assert np.allclose(y, x.reshape(2, 30) @ w.T + b)
    dy = made(rng, 2, 4)
    dx, grads = linear.backward(dy, tape)
    assert np.allclose(dx, dy @ w)
    assert np.allclose(linear.deconv(dy, None), dy @ w)
    assert np.allclose(grads["weight"], dy.T @ v)
    assert np.allclose(grads["bias"], dy.sum(0))
    assert flatten.deconv(dx, shape).shape == flatten.backward(dx, shape)[0].shape == x.shape


def test_dropout_keeps_the_expectation():
    x = np.ones((50, 400), np.float32)
    drop = Dropout(0.3)
    y, mask = drop.forward(x, np.random.default_rng(0))
    assert abs(y.mean() - 1) < 0.02
    assert abs((y == 0).mean() - 0.3) < 0.02
    assert np.array_equal(drop.backward(x, mask)[0], mask)
    assert drop.forward(x)[0] is x
    with pytest.raises(ValueError, match="p is 1"):
        Dropout(1)


sides = st.integers(1, 4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_windows_are_parts_of_the_map(data):
    """`window` then `deconv` of the unpadded layer is `deconv` of the whole map, if the signal is zero elsewhere."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    reach = [data.draw(st.tuples(sides, sides)) for _ in range(2)]
    pad = tuple(data.draw(st.integers(0, r - 1)) for r in reach[0])
    size = tuple(data.draw(st.integers(max(1, r - 2 * p), 9)) for r, p in zip(reach[0], pad, strict=True))
    conv = Conv2d(made(rng, 3, 2, *reach[0]), None, reach[1], pad)
    for layer in (conv, MaxPool2d(*reach, pad), LRN(3, 0.5), ReLU()):
        x = made(rng, 3, 2, *size)
        y, tape = layer.forward(x)
        window = tuple(data.draw(st.integers(1, n)) for n in y.shape[2:])
        images = rng.integers(3, size=4)
        origin = np.stack([rng.integers(n - h + 1, size=4) for n, h in zip(y.shape[2:], window, strict=True)], axis=1)
        part = made(rng, 4, y.shape[1], *window)
        whole = np.zeros((4, *y.shape[1:]))
        for target, source, (top, left) in zip(whole, part, origin, strict=True):
            target[:, top : top + window[0], left : left + window[1]] = source
        rules = Rules(lrn="jacobian", rectify="both")
        true = layer.deconv(whole, layer.pick(tape, images) if layer.looks_back(rules) else layer.note(x.shape[1:]), rules)
        alone = layer.unpadded()
        stride, border, cover = (1, 1), (0, 0), window
        if layer.reach:
            stride, border = layer.reach.stride, layer.reach.pad
            cover = tuple((n - 1) * s + r for n, s, r in zip(window, stride, layer.reach.size, strict=True))
        note = alone.window(tape, images, origin, window) if layer.looks_back(rules) else alone.note((2, *cover))
        ours = alone.deconv(part, note, rules)
        assert ours.shape[2:] == cover
        back = np.zeros_like(true)
        for target, source, (top, left) in zip(back, ours, origin * stride - border, strict=True):
            rows, cols = range(max(0, top), min(size[0], top + cover[0])), range(max(0, left), min(size[1], left + cover[1]))
            target[:, rows.start : rows.stop, cols.start : cols.stop] = source[
                :, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
            ]
        assert np.allclose(back, true, atol=1e-12)


def test_tape_of_some_images():
    rng = np.random.default_rng(2)
    x = made(rng, 3, 2, 7, 5)
    images = np.array([2, 0, 2])
    for layer in (MaxPool2d(3, 2), LRN(3, 0.5), ReLU()):
        y, tape = layer.forward(x)
        _, true = layer.forward(x[images])
        r = made(rng, 3, *y.shape[1:])
        assert np.allclose(layer.deconv(r, layer.pick(tape, images), GUIDED), layer.deconv(r, true, GUIDED))


def test_a_layer_of_ones_own_says_what_it_lacks():
    class Mystery(Layer):
        pass

    with pytest.raises(NoDeconvRule, match=re.escape("Mystery has no deconv rule; write its `deconv(r, tape, rules)`")):
        Mystery().deconv(np.zeros((1, 2)), None, DECONVNET)
    with pytest.raises(NoDeconvRule, match="cannot be cut into windows; use the full projection"):
        Mystery().window(None, np.zeros(1, int), np.zeros((1, 2), int), (1, 1))
    with pytest.raises(NoDeconvRule, match="write its `pick"):
        Mystery().pick(("a", "tuple"), np.zeros(1, int))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv2d(np.zeros((2, 3, 3)), None), "filters have shape (2, 3, 3), expected (K, C, R, S)"),
        (lambda: Conv2d(np.zeros((2, 3, 3, 3)), np.zeros(3)), "bias has shape (3,), expected (2,)"),
        (lambda: Linear(np.zeros((2, 3)), np.zeros(3)), "expected (G, F) and (G,)"),
        (lambda: Rules(collisions="overwrite"), "collisions='overwrite' is not a rule; choose one of sum, max, mean, last"),
        (lambda: MaxPool2d(3, 2).output_shape((2, 2, 9)), "(size + 2 * pad - window) // stride + 1"),
    ],
)
def test_refusals(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


def test_constructor_options_are_complete():
    """What a checkpoint stores is enough to build the layer again."""
    rng = np.random.default_rng(3)
    built = [
        Conv2d(made(rng, 2, 3, 3, 2), made(rng, 2), (2, 1), (1, 0)), ReLU(), MaxPool2d((3, 2), 2, (1, 0)),
        LRN(3, 0.1, 0.5, 1.0), Flatten(), Linear(made(rng, 2, 3), made(rng, 2)), Dropout(0.2),
    ]  # fmt: skip
    assert {type(layer).__name__ for layer in built} == set(KINDS)
    for layer in built:
        again = KINDS[type(layer).__name__](**layer.arrays, **layer.options)
        assert repr(again) == repr(layer)
        assert again.reach == layer.reach


def test_softmax_and_loss():
    logits = np.array([[1000.0, 1000, -1000], [0, np.log(3), 0]])
    assert np.allclose(softmax(logits), [[0.5, 0.5, 0], [0.2, 0.6, 0.2]])
    loss, dlogits = softmax_cross_entropy(logits, np.array([0, 1]))
    assert np.isclose(loss, -(np.log(0.5) + np.log(0.6)) / 2)
    assert np.allclose(dlogits, [[-0.25, 0.25, 0], [0.1, -0.2, 0.1]])
    for labels in ([0, 3], [-1, 0], [0]):
        with pytest.raises(ValueError, match=r"labels are .* expected (0 to 2|\(2,\), one for each image)"):
            softmax_cross_entropy(logits, np.array(labels))
