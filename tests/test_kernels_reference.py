"""The definition itself: against arrays that PyTorch computed, and against cases small enough to work out by hand."""

import numpy as np
import pytest
from comparing import call
from kernel_checks import check_stored

import kernels


@pytest.fixture(autouse=True)
def _reference():
    with kernels.use("reference"):
        yield


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_pytorch(dtype):
    check_stored(dtype)


def test_correlation_does_not_flip_the_filter():
    x = np.array([[[[1, 2, 3, 4]]]], np.float64)
    w = np.array([[[[10, 1]]]], np.float64)
    assert kernels.conv2d(x, w, np.array([0.5])).tolist() == [[[[12.5, 23.5, 34.5]]]]
    dy = np.array([[[[1, 0, 2]]]], np.float64)
    assert kernels.conv2d_transpose(dy, w, 1, 0, (1, 4)).tolist() == [[[[10, 1, 20, 2]]]]
    assert kernels.conv2d_weight_grad(x, dy, 1, 0, (1, 2)).tolist() == [[[[1 + 6, 2 + 8]]]]


def test_four_windows_name_one_position():
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 2, 2] = 1
    _, switches = kernels.maxpool2d(x, 3, 2)
    assert switches.tolist() == [[[[8, 6], [2, 0]]]]
    ones = np.ones((1, 1, 2, 2), np.float32)
    counted = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    for y, collisions, expected in (
        (ones, "sum", 4),
        (ones, "max", 1),
        (ones, "mean", 1),
        (counted, "sum", 10),
        (counted, "max", 4),
        (counted, "mean", 2.5),
        (counted, "last", 4),
        (-counted, "max", -1),
        (-counted, "last", -4),
    ):
        back = kernels.unpool2d(y, switches, 3, 2, 0, (5, 5), collisions)
        assert back[0, 0, 2, 2] == expected, collisions
        assert np.count_nonzero(back) == 1


def test_first_wins_a_tie_and_the_first_nan_beats_everything():
    x = np.array([[[[1, 3, 3, np.inf, np.nan, np.nan]]]], np.float32)
    y, switches = kernels.maxpool2d(x, (1, 3), (1, 3))
    assert switches.tolist() == [[[[1, 1]]]]
    assert y[0, 0, 0, 0] == 3
    assert np.isnan(y[0, 0, 0, 1])


def test_padding_never_wins():
    y, switches = kernels.maxpool2d(np.full((1, 1, 2, 2), -np.inf, np.float32), 2, 1, 1)
    assert switches.tolist() == [[[[3, 2, 2], [1, 0, 0], [1, 0, 0]]]]
    assert (y == -np.inf).all()


def test_a_switch_into_the_padding_adds_nothing():
    y = np.ones((1, 1, 1, 1), np.float32)
    back = kernels.unpool2d(y, np.zeros((1, 1, 1, 1), np.uint8), 2, 2, 1, (1, 1))
    assert back.tolist() == [[[[0]]]]


def test_rectified_pairs_differ_from_the_other_order():
    """Rectify, then pool: a window without a positive value is all ties, and its first place wins."""
    x = np.array([[[[-3.0, -1.0, 2.0, -5.0]]]])
    y, switches = kernels.relu_maxpool(x, (1, 2), (1, 2))
    assert (y.tolist(), switches.tolist()) == ([[[[0, 2]]]], [[[[0, 0]]]])
    signal = np.array([[[[-4.0, 6.0]]]])
    back = kernels.unpool_relu(signal, np.array([[[[1, 0]]]], np.uint8), (1, 2), (1, 1), 0, (1, 3))
    assert back.tolist() == [[[[0, 2, 0]]]]


def test_relu_keeps_nan_and_drops_the_sign_of_zero():
    y = call("relu", np.array([-1.0, -0.0, 2.0, np.nan, np.inf]))
    assert np.array_equal(y, [0, 0, 2, np.nan, np.inf], equal_nan=True)
    assert not np.signbit(y[:2]).any()
    dx = kernels.relu_grad(np.array([5.0, np.nan, np.inf, -3.0]), np.array([1.0, 0.0, 0.0, np.nan]))
    assert dx.tolist() == [5, 0, 0, 0]


def test_normalisation_counts_one_more_map_before_than_after_for_an_even_size():
    x = np.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    _, scale = kernels.lrn(x, 2, 2.0, 1.0, 0.5)
    assert scale.ravel().tolist() == [0.5 + 1, 0.5 + 1 + 4, 0.5 + 4 + 9, 0.5 + 9 + 16]


def test_bias_and_rectifier_in_one():
    x, w, b = np.array([[[[1.0, -3, 2, np.nan]]]]), np.array([[[[2.0]]], [[[-1.0]]]]), np.array([1.0, -1.0])
    y = kernels.conv2d_relu(x, w, b)
    assert np.array_equal(y, [[[[3, 0, 5, np.nan]], [[0, 2, 0, np.nan]]]], equal_nan=True)
    assert kernels.conv2d_relu(x[..., :1], -w).tolist() == [[[[0]], [[1]]]]


def test_one_step_down_unpools_then_rectifies_then_filters():
    """Windows of two at stride 1 over three places; both name the middle one, the third names the last."""
    y, switches = np.array([[[[6.0, -4, 3]]]]), np.array([[[[1, 0, 1]]]], np.uint8)
    filters = np.array([[[[1.0, 10]]]])
    for collisions, unpooled in (("sum", [0, 2, 0, 3]), ("max", [0, 6, 0, 3]), ("last", [0, 0, 0, 3]), ("mean", [0, 1, 0, 3])):
        down = kernels.deconv_step(y, switches, (1, 2), 1, 0, filters, 1, 0, (1, 5), collisions)
        assert down.tolist() == [[[np.convolve(unpooled, [1, 10]).tolist()]]], collisions


def test_bias_gradient_sums_over_images_and_pixels():
    assert kernels.bias_grad(np.arange(12.0).reshape(2, 3, 2, 1)).tolist() == [1 + 13, 5 + 17, 9 + 21]
    assert kernels.bias_grad(np.array([[1.0, 2], [3, 5], [0, 1]])).tolist() == [4, 8]


def test_loss_is_the_surprise_at_the_true_class():
    logits = np.log(np.array([[1.0, 3, 4], [2, 1, 1]])) + np.array([[0], [5000]])
    losses, dlogits = kernels.softmax_cross_entropy(logits, np.array([1, 0]))
    np.testing.assert_allclose(losses, -np.log([3 / 8, 1 / 2]), rtol=1e-12)
    np.testing.assert_allclose(dlogits, [[1 / 16, 3 / 16 - 1 / 2, 1 / 4], [1 / 4 - 1 / 2, 1 / 8, 1 / 8]], rtol=1e-12)


def test_a_step_down_the_slope():
    w, v, dw = np.array([2.0, -1.0]), np.array([0.5, 4.0]), np.array([3.0, 0.0])
    assert kernels.sgd_update(w, v, dw, rate=0.1, momentum=0.5, decay=0.2) is None
    np.testing.assert_allclose(v, [0.25 - 0.3 - 0.04, 2 + 0.02], rtol=1e-14)
    np.testing.assert_allclose(w, [2 - 0.09, -1 + 2.02], rtol=1e-14)
    kernels.sgd_update(w, v, dw, 0.0, 0.5, 0.2)
    np.testing.assert_allclose(v, [-0.045, 1.01], rtol=1e-14)


def test_only_filters_beyond_the_radius_are_scaled():
    w = np.array([[[3.0, -4], [0, 0]], [[0.1, 0.1], [0.1, 0.1]]])  # RMS 2.5 and 0.1
    kernels.renormalise_filters(w, 0.5)
    np.testing.assert_allclose(w, [[[0.6, -0.8], [0, 0]], [[0.1, 0.1], [0.1, 0.1]]], rtol=1e-15)
