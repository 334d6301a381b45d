"""The chain of layers: equal to PyTorch up and down, shapes checked when built, errors that name the layer."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from oracle.random_nets import as_dtype, draw_net, rebuild, small_zfnet
from projection_checks import close

import kernels
from minizf.layers import LRN, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, softmax_cross_entropy
from minizf.net import Net, ShapeError

STORED = Path(__file__).parent / "oracle" / "nets.npz"
NETS = ("zfnet", "random1", "random2", "random3", "random4")
PAIRS = [
    (n, d)
    for n in (*kernels.backends.BEST_FIRST, "cuda-emulated")
    if kernels.available()[n] is None
    for d in (np.float64, np.float32)
    if d in kernels.backends.KNOWN[n].dtypes
]


@cache
def stored() -> dict[str, np.ndarray]:
    return dict(np.load(STORED))


def check_against_pytorch(name: str, dtype, tolerance: float) -> None:
    """Logits, loss, and every gradient of one stored net."""
    own = {key.removeprefix(f"{name}."): array for key, array in stored().items() if key.startswith(f"{name}.")}
    net = as_dtype(rebuild(json.loads(str(own["spec"])), own), dtype)
    logits, tape = net.forward(own["x"].astype(dtype))
    close(f"{name} logits", logits, own["logits"], tolerance)
    loss, dlogits = softmax_cross_entropy(logits, own["labels"])
    assert abs(loss - own["loss"]) <= tolerance * abs(own["loss"])
    dx, grads = net.backward(dlogits, tape)
    close(f"{name} dx", dx, own["dx"], tolerance)
    assert set(grads) == set(net.state())
    for key, grad in grads.items():
        assert grad.dtype == dtype
        close(f"{name} {key}", grad, own[f"grad.{key}"], tolerance)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("implementation", "dtype"), PAIRS)
def test_equals_pytorch(name, implementation, dtype):
    with kernels.use(implementation):
        check_against_pytorch(name, dtype, 1e-10 if dtype == np.float64 else 1e-4)


def bias_gradient_of_one_image(patch):
    true = Conv2d.backward
    patch(
        Conv2d,
        "backward",
        lambda s, dy, t, to_input=True: ((r := true(s, dy, t, to_input))[0], r[1] | {"bias": dy[0].sum((1, 2))}),
    )


def gradient_through_silent_units(patch):
    patch(ReLU, "backward", lambda self, dy, tape, to_input=True: (dy, {}))


def normalisation_skipped(patch):
    patch(LRN, "backward", lambda self, dy, tape, to_input=True: (dy, {}))


def weights_not_transposed(patch):
    patch(Linear, "deconv", lambda self, r, tape, rules=None: kernels.linear_input_grad(r, self.weight[:, ::-1].copy()))


def loss_summed_instead_of_mean(patch):
    true = softmax_cross_entropy
    patch(
        __import__(__name__),
        "softmax_cross_entropy",
        lambda logits, labels: (true(logits, labels)[0], true(logits, labels)[1] * 3),
    )


@pytest.mark.parametrize(
    "bug",
    [
        bias_gradient_of_one_image,
        gradient_through_silent_units,
        normalisation_skipped,
        weights_not_transposed,
        loss_summed_instead_of_mean,
    ],
)
def test_planted_bug_is_caught(monkeypatch, bug):
    bug(monkeypatch.setattr)
    with kernels.use("numpy"), pytest.raises(AssertionError):
        check_against_pytorch("zfnet", np.float64, 1e-10)


@pytest.mark.torch
def test_equals_pytorch_live():
    from oracle.torch_nets import passes

    rng = np.random.default_rng(77)
    with kernels.use("numpy"):
        net = as_dtype(draw_net(rng, 3, "3x3", normalised=True), np.float64)
        x, labels = rng.standard_normal((2, *net.input_shape)), np.array([1, 4])
        true = passes(net, x, labels)
        logits, tape = net.forward(x)
        dx, grads = net.backward(softmax_cross_entropy(logits, labels)[1], tape)
    for key, grad in (grads | {"dx": dx}).items():
        close(key, grad, true["dx" if key == "dx" else f"grad.{key}"], 1e-10)


def filters(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [("conv1", Conv2d(filters(4, 2, 3, 3), None))],
            "layer 'conv1' does not fit what comes into it, (3, 8, 7): Conv2d: 3 maps",
        ),
        ([("pool1", MaxPool2d(9, 2))], "layer 'pool1' does not fit what comes into it, (3, 8, 7): MaxPool2d: a 9x9 window"),
        ([("pool1", MaxPool2d(2, 0))], "layer 'pool1' does not fit what comes into it, (3, 8, 7): MaxPool2d: stride (0, 0)"),
        ([("pool1", MaxPool2d(2, 2, 2))], "MaxPool2d: padding 2x2 is not smaller than the window 2x2"),
        ([("pool1", MaxPool2d(17, 1, 8))], "MaxPool2d: window 17x17 has 289 places"),
        ([("conv1", Conv2d(filters(4, 3, 3, 3), None, 1, -1))], "Conv2d: stride (1, 1), padding (-1, -1)"),
        ([("fc1", Linear(filters(4, 168), filters(4)))], "Flatten first"),
        (
            [("flat", Flatten()), ("fc1", Linear(filters(4, 160), filters(4)))],
            "layer 'fc1' does not fit what comes into it, (168,)",
        ),
        ([("flat", Flatten()), ("norm", LRN())], "layer 'norm' does not fit what comes into it, (168,)"),
        ([("flat", Flatten()), ("conv", Conv2d(filters(4, 3, 3, 3), None))], "a Flatten too early?"),
    ],
)
def test_sizes_that_do_not_work_out(layers, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        Net(layers, (3, 8, 7))


def test_two_layers_of_one_name():
    with pytest.raises(ValueError, match="two layers share a name: relu"):
        Net([("relu", ReLU()), ("relu", ReLU())], (3, 8, 7))


def test_images_of_another_size():
    net = small_zfnet(np.random.default_rng(0))
    with pytest.raises(ShapeError, match=re.escape("images of shape (3, 23, 29) came, the net expects (3, 29, 23)")):
        net.forward(filters(2, 3, 23, 29))


def test_upto_stops_there():
    net = small_zfnet(np.random.default_rng(0))
    x = np.ones((2, 3, 29, 23), np.float32)
    y, tape = net.forward(x, upto="norm1")
    assert list(tape.outputs) == ["conv1", "relu1", "pool1", "norm1"]
    assert np.array_equal(y, net.forward(x)[1].outputs["norm1"])
    with pytest.raises(ValueError, match="no layer 'norm9' in this net; it has conv1, relu1,"):
        net.forward(x, upto="norm9")


def test_backward_without_the_input():
    net = small_zfnet(np.random.default_rng(0))
    y, tape = net.forward(np.ones((2, 3, 29, 23), np.float32))
    nothing, grads = net.backward(np.ones_like(y), tape, to_input=False)
    dx, same = net.backward(np.ones_like(y), tape)
    assert nothing is None
    assert dx.shape == (2, 3, 29, 23)
    assert all(np.array_equal(grads[key], same[key]) for key in same)


def test_dropout_acts_in_training_only():
    net = small_zfnet(np.random.default_rng(0))
    x = np.ones((2, 3, 29, 23), np.float32)
    quiet = net.forward(x)[0]
    assert np.array_equal(quiet, net.forward(x)[0])
    assert not np.array_equal(quiet, net.forward(x, rng=np.random.default_rng(1))[0])
    drops = [name for name, layer in net.layers.items() if isinstance(layer, Dropout)]
    tape = net.forward(x, rng=np.random.default_rng(1))[1]
    assert all(set(np.unique(tape[name])) <= {0, 2} for name in drops)


def test_state_of_another_architecture_changes_nothing():
    net = small_zfnet(np.random.default_rng(0))
    before = {name: array.copy() for name, array in net.state().items()}
    wrong = {name: array + 1 for name, array in before.items()}
    wrong["fc8.bias"] = filters(5)
    del wrong["conv2.weight"]
    with pytest.raises(ValueError, match=re.escape("conv2.weight is missing; fc8.bias is (5,), the net's is (4,)")):
        net.load_state(wrong)
    assert all(np.array_equal(before[name], array) for name, array in net.state().items())
    net.load_state({name: array + 1 for name, array in before.items()})
    assert all(np.array_equal(before[name] + 1, array) for name, array in net.state().items())


def test_receptive_fields_by_hand():
    net = small_zfnet(np.random.default_rng(0))
    fields = {name: net.receptive_field(name) for name in net.layers}
    assert fields["conv1"] == ((7, 7), (2, 2), (-3, -3))
    assert fields["pool1"] == ((11, 11), (4, 4), (-5, -5))  # 7 + 2 * 2; start -3 - 1 * 2
    assert fields["relu2"] == ((27, 27), (4, 4), (-13, -13))  # 11 + 4 * 4; start -5 - 2 * 4
    assert fields["conv3"] == ((51, 51), (8, 8), (-25, -25))  # pool2: 35, start -17; then + 2 * 8
    assert fields["fc8"].size == (29, 23)
    assert fields["relu2"].box(2, 1) == (-5, -9, 22, 18)


def test_summary_counts():
    net = small_zfnet(np.random.default_rng(0))
    table = net.summary()
    conv2 = next(line for line in table.splitlines() if line.startswith("conv2"))
    assert conv2.split() == [
        "conv2",
        "Conv2d",
        "5x5",
        "/1",
        "pad",
        "2",
        "8",
        "x",
        "8",
        "x",
        "6",
        "1,208",
        "27x27",
        "4",
        "57,600",
    ]
    assert f"{sum(a.size for a in net.state().values()):,}" in table.splitlines()[-1]
    assert "('conv2', Conv2d(weight=8x6x5x5, bias=8, stride=1, pad=2))" in repr(net)


def test_feature_layers():
    assert small_zfnet(np.random.default_rng(0)).feature_layers == ["relu1", "relu2", "relu3", "relu4", "relu5"]
    bare = Net([("conv1", Conv2d(filters(2, 3, 1, 1), None)), ("conv2", Conv2d(filters(2, 2, 1, 1), None))], (3, 8, 7))
    assert bare.feature_layers == ["conv1", "conv2"]


def test_a_net_without_layers_and_a_batch_without_images_are_refused():
    with pytest.raises(ShapeError, match="at least one layer"):
        Net([], (3, 5, 7))
    net = Net([("flatten", Flatten())], (3, 5, 7))
    with pytest.raises(ShapeError, match="no images came"):
        net.forward(np.zeros((0, 3, 5, 7), np.float32))
