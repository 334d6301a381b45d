"""What must hold whatever the shapes and numbers are, asked of every implementation without a reference to compare with.

Comparisons with the definition are in `test_kernels_agree`. Scaling by a power of two rounds nothing, so laws of scaling hold
bit for bit.
"""

import math

import numpy as np
import pytest
from comparing import call, close, normal, product_error, same
from found_shapes import batch, convs, linears, maps, pools, seeds, side, steps, tables
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_checks import conv_arrays, pool_inputs
from training_checks import changed

import kernels

EMULATED = [name for name in kernels.backends.KNOWN if name.endswith("-emulated")]
AVAILABLE = [name for name, reason in kernels.available().items() if reason is None]
FLOAT32 = np.dtype(np.float32)


def holds(*found, examples=25):
    """A law as a test of every implementation; emulated ones, where each thread is run one by one, get fewer examples."""

    def decorate(law):
        @pytest.mark.parametrize("name", AVAILABLE)
        def test(name):
            count = 3 if name in EMULATED else examples

            @settings(max_examples=count, deadline=None, derandomize=True, database=None)
            @given(st.tuples(*found, seeds))
            def search(drawn):
                with kernels.use(name):
                    law(*drawn)

            search()

        test.__doc__ = law.__doc__
        return test

    return decorate


@holds(convs())
def test_convolutions_scale(case, seed):
    """Twice the input gives twice the output, by all three sums, bit for bit."""
    x, w, _, dy = conv_arrays(case, seed, FLOAT32)
    geometry = case.stride, case.pad
    same("conv2d", call("conv2d", 2 * x, w, None, *geometry), 2 * call("conv2d", x, w, None, *geometry))
    same("its filters", call("conv2d", x, w / 4, None, *geometry), call("conv2d", x, w, None, *geometry) / 4)
    size = case.x[2:]
    same(
        "transpose", call("conv2d_transpose", 2 * dy, w, *geometry, size), 2 * call("conv2d_transpose", dy, w, *geometry, size)
    )
    down = call("conv2d_weight_grad", x, 4 * dy, *geometry, case.window)
    same("weight_grad", down, 4 * call("conv2d_weight_grad", x, dy, *geometry, case.window))


@holds(convs())
def test_one_output_paints_its_filter(case, seed):
    """A single 1 comes down as its filter at its place, cut off at the border, and nothing else (paper, section 2.1)."""
    _, w, _, dy = conv_arrays(case, seed, FLOAT32)
    n, k, p, q = (int(number) for number in np.unravel_index(seed % dy.size, dy.shape))
    dy[:] = 0
    dy[n, k, p, q] = 1
    expected = np.zeros((case.x[0], case.x[1], case.x[2] + 2 * case.pad[0], case.x[3] + 2 * case.pad[1]), np.float32)
    h, v = p * case.stride[0], q * case.stride[1]
    expected[n, :, h : h + case.window[0], v : v + case.window[1]] = w[k]
    expected = expected[:, :, case.pad[0] : case.pad[0] + case.x[2], case.pad[1] : case.pad[1] + case.x[3]]
    painted = call("conv2d_transpose", dy, w, case.stride, case.pad, case.x[2:])
    close("painted", painted, expected, product_error("conv2d_transpose") * abs(expected))


@holds(convs())
def test_images_do_not_mix(case, seed):
    """An image that is not a number spoils its own outputs only."""
    x, w, b, dy = conv_arrays(case, seed, FLOAT32)
    assume(len(x) > 1)
    x[1], dy[1] = np.nan, np.nan
    y = call("conv2d_relu", x, w, b, case.stride, case.pad)
    dx = call("conv2d_transpose", dy, w, case.stride, case.pad, case.x[2:])
    for other in {*range(len(x))} - {1}:
        assert np.isfinite(y[other]).all()
        assert np.isfinite(dx[other]).all()


@holds(pools())
def test_the_winner_is_where_the_switch_says(case, seed):
    """Ties, NaN, infinities and -0.0 included: the value at the switch is y, and nothing in the window comes before it."""
    for x in pool_inputs(case, seed, FLOAT32):
        y, switches = call("maxpool2d", x, *case[1:])
        for n, c, p, q in np.ndindex(y.shape):
            inside = []
            for place in range(math.prod(case.size)):
                r, s = divmod(place, case.size[1])
                i, j = p * case.stride[0] - case.pad[0] + r, q * case.stride[1] - case.pad[1] + s
                if 0 <= i < x.shape[2] and 0 <= j < x.shape[3]:
                    inside.append((place, x[n, c, i, j]))
            values = np.array([value for _, value in inside])
            first = int(np.isnan(values).argmax() if np.isnan(values).any() else values.argmax())
            assert switches[n, c, p, q] == inside[first][0], (n, c, p, q)
            assert np.array_equal(y[n, c, p, q], values[first], equal_nan=True), (n, c, p, q)


@holds(pools())
def test_pooling_and_unpooling_scale(case, seed):
    x = pool_inputs(case, seed, FLOAT32)[0]
    y, switches = call("maxpool2d", x, *case[1:])
    doubled, same_switches = call("maxpool2d", 2 * x, *case[1:])
    same("maxpool2d", doubled, 2 * y)
    same("switches", same_switches, switches)
    for collisions in kernels.COLLISIONS:
        back = call("unpool2d", y, switches, *case[1:], case.x[2:], collisions)
        same(collisions, call("unpool2d", 2 * y, switches, *case[1:], case.x[2:], collisions), 2 * back)


@holds(pools())
def test_windows_that_do_not_overlap_need_no_rule(case, seed):
    """Each position is named once at most: all rules agree bit for bit, and pooling again finds the values again."""
    size, stride = case.size, tuple(max(r, s) for r, s in zip(case.size, case.stride, strict=True))
    x = abs(pool_inputs(case, seed, FLOAT32)[0]) + 1
    y, switches = call("maxpool2d", x, size, stride, case.pad)
    results = [call("unpool2d", y, switches, size, stride, case.pad, case.x[2:], rule) for rule in kernels.COLLISIONS]
    for rule, result in zip(kernels.COLLISIONS, results, strict=True):
        same(rule, result, results[0])
    again, found = call("maxpool2d", results[0], size, stride, case.pad)
    same("pooled again", again, y)
    same("switches", found, switches)


@holds(steps(), examples=15)
def test_a_step_down_of_what_is_negative_is_nothing(case, seed):
    """What unpooling leaves negative is cut off before the filters, so nothing of it is painted."""
    x, w, b, _ = conv_arrays(case.conv, seed, FLOAT32)
    y, switches = call("relu_maxpool", call("conv2d", x, w, b, case.conv.stride, case.conv.pad), *case[1:])
    for collisions in kernels.COLLISIONS:
        down = call("deconv_step", -1 - y, switches, *case[1:], w, case.conv.stride, case.conv.pad, case.conv.x[2:], collisions)
        assert not down.any(), collisions
        other = call("deconv_step", 2 * y, switches, *case[1:], w, case.conv.stride, case.conv.pad, case.conv.x[2:], collisions)
        down = call("deconv_step", y, switches, *case[1:], w, case.conv.stride, case.conv.pad, case.conv.x[2:], collisions)
        same(f"twice the signal, {collisions}", other, 2 * down)


@holds(linears)
def test_a_fully_connected_layer_is_a_convolution_of_one_pixel(case, seed):
    images, features, outputs = case
    rng = np.random.default_rng(seed)
    x, w, dy = (normal(rng, shape, FLOAT32) for shape in ((images, features), (outputs, features), (images, outputs)))
    maps_x, maps_w, maps_dy = (array.reshape(*array.shape, 1, 1) for array in (x, w, dy))

    def bound(terms, one, other):
        error = 2 * ((terms + 2) * np.finfo(np.float32).eps + product_error("linear"))
        return error * (abs(one).astype(np.float64) @ abs(other))

    close("linear", call("linear", x, w, None), call("conv2d", maps_x, maps_w, None)[:, :, 0, 0], bound(features, x, w.T))
    down = call("conv2d_transpose", maps_dy, maps_w, 1, 0, 1)[:, :, 0, 0]
    close("linear_input_grad", call("linear_input_grad", dy, w), down, bound(outputs, dy, w))
    grad = call("conv2d_weight_grad", maps_x, maps_dy, 1, 0, 1)[:, :, 0, 0]
    close("linear_weight_grad", call("linear_weight_grad", x, dy), grad, bound(images, dy.T, x))


@holds(st.tuples(batch, maps, side, side))
def test_rectifying_twice_is_rectifying_once(shape, seed):
    x = normal(np.random.default_rng(seed), shape, FLOAT32)
    y = call("relu", x)
    same("twice", call("relu", y), y)
    same("what passes and what is cut off", y - call("relu", -x), x)
    same("mask of y and of x", call("relu_grad", x, y), call("relu_grad", x, x))


@holds(tables)
def test_a_loss_is_positive_and_its_gradient_moves_nothing_in_sum(shape, seed):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * normal(rng, shape, FLOAT32), rng.integers(0, shape[1], shape[0])
    losses, dlogits = call("softmax_cross_entropy", logits, labels)
    rows = np.arange(shape[0])
    assert (losses >= 0).all()
    assert (dlogits[rows, labels] <= 0).all()
    others = np.ones(shape, bool)
    others[rows, labels] = False
    assert (dlogits[others] >= 0).all()
    close("sum of the gradient", dlogits.sum(axis=1), np.zeros(shape[0]), 1e-6 * shape[1])
    close("probability of the truth", 1 + shape[0] * dlogits[rows, labels], np.exp(-losses.astype(np.float64)), 2e-6)


@holds(tables | st.tuples(batch, maps, side, side))
def test_a_filter_scaled_back_lies_on_the_radius(shape, seed):
    w = normal(np.random.default_rng(seed), shape, FLOAT32)
    radius = 0.3

    def rms(filters):
        return np.sqrt(np.mean(filters.reshape(len(filters), -1).astype(np.float64) ** 2, axis=1))

    (after,) = changed("renormalise_filters", (w,), radius)
    close("RMS", rms(after), np.minimum(rms(w), radius), 1e-5)
    same("direction", np.sign(after), np.sign(w))


@holds(st.tuples(batch, maps, side))
def test_a_step_without_slope_coasts(shape, seed):
    """No gradient and no decay: v falls by the momentum alone, and a weight at rest stays where it is."""
    rng = np.random.default_rng(seed)
    w, v, nothing = normal(rng, shape, FLOAT32), normal(rng, shape, FLOAT32), np.zeros(shape, np.float32)
    at_rest, still = changed("sgd_update", (w, nothing), nothing, 0.1, 0.5, 0.0)
    same("weights at rest", at_rest, w)
    assert not still.any()
    moved, slower = changed("sgd_update", (w, v), nothing, 0.1, 0.5, 0.0)
    same("velocity", slower, v / 2)
    same("weights", moved, w + v / 2)
