"""What the contract refuses, in which words, before any kernel runs; and how an implementation is chosen."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels import backends

PROJECT_FOLDER = Path(kernels.__file__).parents[1]


def f32(*shape):
    return np.zeros(shape, np.float32)


@pytest.fixture(autouse=True)
def _numpy():
    with kernels.use("numpy"):
        yield


@pytest.fixture
def unchosen(monkeypatch):
    """As after import: nobody has chosen yet and the environment says nothing."""
    monkeypatch.setattr(backends, "_active", None)
    monkeypatch.delenv("MINIZF_BACKEND", raising=False)


X, W = f32(2, 3, 9, 7), f32(5, 3, 3, 2)
POOLED, SWITCHES = f32(2, 3, 4, 3), np.zeros((2, 3, 4, 3), np.uint8)
ENDLESS = np.broadcast_to(np.float32(0), (2**15, 1, 2**9, 2**8))

REFUSED = {
    "channels": (
        lambda: kernels.conv2d(X, f32(5, 48, 3, 2)),
        "conv2d: x has 3 channels, the filters expect 48; x is (N, C, H, W), w is (K, C, R, S)",
    ),
    "bias": (lambda: kernels.conv2d(X, W, f32(4)), "conv2d: b has 4 values, w has 5 filters; give one bias for each filter"),
    "filter too large": (
        lambda: kernels.conv2d(f32(1, 3, 4, 5), f32(5, 3, 5, 5), None, 1, (0, 1)),
        "conv2d: filter 5x5 is larger than the padded input 4x7; use a smaller filter or more padding",
    ),
    "window too large": (
        lambda: kernels.maxpool2d(f32(1, 3, 4, 5), 5, 2, (0, 1)),
        "maxpool2d: window 5x5 is larger than the padded input 4x7; use a smaller size or more padding",
    ),
    "padding as large as the window": (
        lambda: kernels.maxpool2d(X, 2, 2, (1, 2)),
        "maxpool2d: padding 1x2 is not smaller than the window 2x2, so a window could hold nothing but padding and would have "
        "no winner; use less padding or a larger window",
    ),
    "more places than a byte": (
        lambda: kernels.relu_maxpool(f32(1, 1, 20, 20), (17, 16), 1),
        "relu_maxpool: window 17x16 has 272 places, a switch (uint8) can name 256; use a smaller size",
    ),
    "dimensions": (
        lambda: kernels.conv2d(X[0], W),
        "conv2d: x has 3 dimensions, shape (3, 9, 7); expected 4: (N, C, H, W)",
    ),
    "table": (lambda: kernels.linear(X, f32(4, 5)), "linear: x has 4 dimensions, shape (2, 3, 9, 7); expected 2: (N, F)"),
    "empty": (
        lambda: kernels.conv2d(f32(2, 0, 9, 7), f32(5, 0, 3, 2)),
        "conv2d: x is empty, shape (2, 0, 9, 7) (N, C, H, W); every size but N must be at least 1",
    ),
    "no filters": (
        lambda: kernels.conv2d(X, f32(0, 3, 3, 2)),
        "conv2d: w is empty, shape (0, 3, 3, 2) (K, C, R, S); every size",
    ),
    "stride 0": (lambda: kernels.conv2d(X, W, None, 0), "conv2d: stride is 0; expected at least 1 in each direction"),
    "stride -1": (
        lambda: kernels.maxpool2d(X, 2, (2, -1)),
        "maxpool2d: stride is (2, -1); expected at least 1 in each direction",
    ),
    "padding -1": (lambda: kernels.conv2d(X, W, None, 1, -1), "conv2d: pad is -1; expected at least 0 in each direction"),
    "elements of the input": (
        lambda: kernels.relu(ENDLESS),
        "relu: x of (32768, 1, 512, 256) has 4294967296 elements, more than the 2^31 - 1 that a 32-bit index reaches; use a "
        "smaller batch",
    ),
    "elements of the output": (
        lambda: kernels.conv2d(f32(1, 1, 2**8, 2**8), f32(2**15 + 1, 1, 1, 1)),
        "conv2d: y of (1, 32769, 256, 256) has 2147549184 elements, more than",
    ),
    "elements of the filters": (
        lambda: kernels.conv2d_weight_grad(f32(1, 2**16, 1, 1), f32(1, 2**15, 1, 1), 1, 0, 1),
        "conv2d_weight_grad: dw of (32768, 65536, 1, 1) has 2147483648 elements, more than the 2^31 - 1 that a 32-bit index "
        "reaches; use fewer maps or smaller filters",
    ),
    "elements with padding": (
        lambda: kernels.conv2d(f32(1, 2, 3, 3), f32(1, 2, 1, 1), None, 2**14, 2**14),
        "conv2d: one image of x with its padding of (2, 32771, 32771) has 2147876882 elements, more than the 2^31 - 1 that a "
        "32-bit index reaches; use less padding or smaller images",
    ),
    "elements with padding on the way back": (
        lambda: kernels.conv2d_transpose(f32(1, 1, 3, 3), f32(1, 2, 1, 1), 2**14, 2**14, 3),
        "conv2d_transpose: one image of dx with its padding of (2, 32771, 32771) has",
    ),
    "elements with padding in the filters' gradient": (
        lambda: kernels.conv2d_weight_grad(f32(1, 2, 3, 3), f32(1, 1, 3, 3), 2**14, 2**14, 1),
        "conv2d_weight_grad: one image of x with its padding of (2, 32771, 32771) has",
    ),
    "stride beyond 32 bits": (
        lambda: kernels.conv2d(X, W, None, 2**31),
        "conv2d: stride is 2147483648; expected at most 2^31 - 1 in each direction",
    ),
    "batch": (
        lambda: kernels.conv2d_weight_grad(X, f32(3, 5, 7, 6), 1, 0, (3, 2)),
        "conv2d_weight_grad: x has 2 images, dy has 3; give one dy for each image",
    ),
    "gradient of another size": (
        lambda: kernels.conv2d_weight_grad(X, f32(2, 5, 7, 6), 2, 1, (3, 2)),
        "conv2d_weight_grad: dy has maps of 7x6, but an input of 9x7 with filters 3x2, stride 2x2 and padding 1x1 gives 5x4 "
        "(floor((9 + 2*1 - 3) / 2) + 1 = 5, floor((7 + 2*1 - 2) / 2) + 1 = 4); correct the input size, the stride or",
    ),
    "signal of another size": (
        lambda: kernels.conv2d_transpose(f32(2, 5, 7, 6), W, 1, 0, (10, 7)),
        "conv2d_transpose: dy has maps of 7x6, but an input of 10x7 with filters 3x2, stride 1x1 and padding 0x0 gives 8x6",
    ),
    "signal of other maps": (
        lambda: kernels.conv2d_transpose(f32(2, 4, 7, 6), W, 1, 0, (9, 7)),
        "conv2d_transpose: dy has 4 maps, w has 5 filters; give one map for each filter",
    ),
    "unpooled size": (
        lambda: kernels.unpool2d(POOLED, SWITCHES, 3, 2, 0, (12, 7)),
        "unpool2d: y has maps of 4x3, but an input of 12x7 with windows 3x3, stride 2x2 and padding 0x0 gives 5x3",
    ),
    "collisions": (
        lambda: kernels.unpool_relu(POOLED, SWITCHES, 3, 2, 0, (9, 7), "average"),
        "unpool_relu: collisions is 'average'; expected one of: sum, max, mean, last",
    ),
    "switches of another shape": (
        lambda: kernels.unpool2d(POOLED, SWITCHES[:1], 3, 2, 0, (9, 7)),
        "unpool2d: switches are (1, 3, 4, 3), y is (2, 3, 4, 3); they must have the same shape",
    ),
    "switches beyond the window": (
        lambda: kernels.unpool2d(POOLED, SWITCHES + np.uint8(9), 3, 2, 0, (9, 7)),
        "unpool2d: a switch names place 9 of a 3x3 window, which has places 0 to 8; use the size that maxpool2d was given",
    ),
    "gradient of another shape": (
        lambda: kernels.relu_grad(f32(2, 3), f32(3, 2)),
        "relu_grad: dy is (2, 3), y is (3, 2); they must have the same shape",
    ),
    "k": (lambda: kernels.lrn(X, 5, 1e-4, 0.75, 0), "lrn: k is 0; expected a finite number greater than 0"),
    "alpha": (lambda: kernels.lrn(X, 5, -1e-4, 0.75, 2), "lrn: alpha is -0.0001; expected a finite number at least 0"),
    "beta": (lambda: kernels.lrn(X, 5, 1e-4, float("nan"), 2), "lrn: beta is nan; expected a finite number"),
    "size of lrn": (lambda: kernels.lrn(X, 0, 1e-4, 0.75, 2), "lrn: size is 0; expected at least 1"),
    "features": (
        lambda: kernels.linear(f32(2, 7), f32(3, 8)),
        "linear: x has 7 features, w expects 8; x is (N, F), w is (G, F)",
    ),
    "outputs": (lambda: kernels.linear_input_grad(f32(2, 7), f32(3, 8)), "linear_input_grad: dy has 7 values, w has 3 rows"),
    "rows": (lambda: kernels.linear_weight_grad(f32(2, 7), f32(3, 8)), "linear_weight_grad: x has 2 images, dy has 3"),
    "signal of other maps than filters": (
        lambda: kernels.deconv_step(POOLED, SWITCHES, 3, 2, 0, f32(4, 2, 1, 1), 1, 0, (9, 7)),
        "deconv_step: y has 3 maps, w has 4 filters; give one map for each filter",
    ),
    "size that pooling did not read": (
        lambda: kernels.deconv_step(POOLED, SWITCHES, 3, 2, 0, f32(3, 2, 3, 3), 2, 0, (9, 7)),
        "deconv_step: y has maps of 4x3, but an input of 4x3 with windows 3x3, stride 2x2 and padding 0x0 gives 1x1",
    ),
    "stride of the pooling": (
        lambda: kernels.deconv_step(POOLED, SWITCHES, 3, 0, 0, f32(3, 2, 1, 1), 1, 0, (9, 7)),
        "deconv_step: pool_stride is 0; expected at least 1",
    ),
    "gradient of three axes": (lambda: kernels.bias_grad(f32(2, 3, 4)), "bias_grad: dy has 3 dimensions, shape (2, 3, 4)"),
    "labels of another batch": (
        lambda: kernels.softmax_cross_entropy(f32(2, 3), np.zeros(3, int)),
        "softmax_cross_entropy: labels are (3,), expected (2,), one for each image",
    ),
    "a class too many": (
        lambda: kernels.softmax_cross_entropy(f32(2, 3), np.array([0, 3])),
        "softmax_cross_entropy: labels are 0 to 3, expected 0 to 2, one of the 3 classes",
    ),
    "a class below 0": (
        lambda: kernels.softmax_cross_entropy(f32(2, 3), np.array([-1, 2])),
        "softmax_cross_entropy: labels are -1",
    ),
    "weights that a copy would leave as they are": (
        lambda: kernels.sgd_update(f32(4, 6)[:, ::2], f32(4, 3), f32(4, 3), 0.1, 0.9, 0),
        "sgd_update: w is changed in place, so it must be C-contiguous and aligned as it is; make it so once with",
    ),
    "weights that are read-only": (
        lambda: kernels.renormalise_filters(np.broadcast_to(np.float32(1), (1, 1)), 0.1),
        "renormalise_filters: w is changed in place, but it is read-only; give a copy of it",
    ),
    "weights that are their own velocity": (
        lambda: kernels.sgd_update(W, W, f32(*W.shape), 0.1, 0.9, 0),
        "sgd_update: w and v share memory; give arrays of their own",
    ),
    "velocity of another shape": (
        lambda: kernels.sgd_update(f32(2, 3), f32(3, 2), f32(2, 3), 0.1, 0.9, 0),
        "sgd_update: w is (2, 3), v is (3, 2); they must have the same shape",
    ),
    "rate": (
        lambda: kernels.sgd_update(f32(2), f32(2), f32(2), -0.1, 0.9, 0),
        "sgd_update: rate is -0.1; expected a finite number at least 0",
    ),
    "no filters to scale": (
        lambda: kernels.renormalise_filters(f32(0, 3), 0.1),
        "renormalise_filters: w is empty, shape (0, 3) (K, C)",
    ),
    "radius": (
        lambda: kernels.renormalise_filters(f32(2), 0),
        "renormalise_filters: radius is 0; expected a finite number greater than 0",
    ),
    "scale": (
        lambda: kernels.lrn_grad(X, X, X, X[:1], 5, 0.1, 0.75),
        "lrn_grad: dy is (2, 3, 9, 7), scale is (1, 3, 9, 7); they must have the same shape",
    ),
}
WRONG_TYPES = {
    "whole numbers": (
        lambda: kernels.conv2d(np.zeros(X.shape, int), W),
        "conv2d: x is int64; the numpy implementation takes float32 or float64; convert it with x.astype(numpy.float32)",
    ),
    "half precision": (lambda: kernels.relu(X.astype(np.float16)), "relu: x is float16; the numpy implementation takes"),
    "mixed": (
        lambda: kernels.conv2d(X, W.astype(np.float64)),
        "conv2d: x is float32, w is float64; give both the same dtype, for example w.astype(x.dtype)",
    ),
    "mixed bias": (lambda: kernels.linear(f32(2, 3), f32(4, 3), np.zeros(4)), "linear: x is float32, b is float64"),
    "a list": (
        lambda: kernels.relu([1.0, 2.0]),
        "relu: x is a builtins.list; the numpy implementation takes numpy arrays of float32; convert it with "
        "numpy.asarray(x, dtype='float32')",
    ),
    "switches of another dtype": (
        lambda: kernels.unpool2d(POOLED, SWITCHES.astype(np.int64), 3, 2, 0, (9, 7)),
        "unpool2d: switches are int64; expected uint8, as maxpool2d returns them",
    ),
    "switches as a list": (lambda: kernels.unpool2d(POOLED, [[0]], 3, 2, 0, (9, 7)), "unpool2d: switches is a builtins.list"),
    "labels that are no integers": (
        lambda: kernels.softmax_cross_entropy(f32(2, 3), f32(2)),
        "softmax_cross_entropy: labels are float32; expected integers, the numbers of the classes",
    ),
    "labels as a list": (
        lambda: kernels.softmax_cross_entropy(f32(2, 3), [0, 1]),
        "softmax_cross_entropy: labels are a builtins.list; labels are checked on the host, so give a NumPy array of integers",
    ),
    "stride 1.5": (lambda: kernels.conv2d(X, W, None, 1.5), "conv2d: stride is 1.5; expected an int or a pair of them"),
    "three strides": (lambda: kernels.conv2d(X, W, None, (1, 2, 3)), "conv2d: stride is (1, 2, 3); expected an int or a pair"),
    "alpha as a word": (lambda: kernels.lrn(X, 5, "small", 0.75, 2), "lrn: alpha is 'small'; expected a number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(monkeypatch, case):
    check_refused(monkeypatch, ValueError, *REFUSED[case])


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_wrong_type(monkeypatch, case):
    check_refused(monkeypatch, TypeError, *WRONG_TYPES[case])


class Unreachable:
    """Operations that must not be called."""

    def __getattr__(self, operation):
        def called(*arguments):
            raise AssertionError(f"the kernel {operation} was reached")

        return called


def check_refused(monkeypatch, kind, action, words):
    """Refused with these words, and no kernel was reached."""
    loaded = backends.active()
    monkeypatch.setattr(backends, "_active", backends.Loaded(loaded.name, loaded.dtypes, Unreachable(), loaded.arrays))
    with pytest.raises(kind) as refusal:
        action()
    assert str(refusal.value).startswith(words)


def test_numba_names_the_way_out_of_float64():
    with kernels.use("numba"), pytest.raises(TypeError) as refusal:
        kernels.relu(np.zeros(3))
    assert str(refusal.value) == (
        "relu: x is float64; the numba implementation takes float32; convert it with x.astype(numpy.float32), or choose "
        'kernels.use("numpy"), which computes in float64 too'
    )


def test_between_host_and_device():
    """On the CPU they are the same; arrays of CuPy's kind (here a stand-in) come over by their own `get`."""
    assert kernels.to_device(X) is kernels.to_host(X) is X

    class OnDevice:
        dtype = X.dtype

        def get(self):
            return X

    assert kernels.to_host(OnDevice()) is X
    assert kernels.to_device(OnDevice()) is not None
    with pytest.raises(TypeError, match=r"^to_host: a builtins\.list came; expected a NumPy or CuPy array"):
        kernels.to_device([1.0])


def test_an_array_of_cupy_is_told_the_way_to_the_host():
    stand_in = type("ndarray", (), {"__module__": "cupy", "dtype": X.dtype})()
    with pytest.raises(
        TypeError, match=r"^relu: x is an array of CuPy; .* bring it to the host with cupy\.asnumpy\(x\), or choose"
    ):
        kernels.relu(stand_in)


def test_sizes():
    assert kernels.conv_output_size((224, 223), 7, 2, 1) == (110, 110)
    assert kernels.pool_output_size(110, (3, 2), 2, (1, 0)) == (55, 55)
    assert kernels.conv_output_size(np.int64(5), [5, 1]) == (1, 5)
    with pytest.raises(ValueError, match="conv_output_size: filter 3x3 is larger than the padded input 2x4"):
        kernels.conv_output_size((2, 4), 3)
    with pytest.raises(ValueError, match="pool_output_size: padding 2x2 is not smaller than the window 2x2"):
        kernels.pool_output_size(4, 2, 2, 2)


def test_a_subclass_is_taken_as_the_plain_array(tmp_path):
    np.save(tmp_path / "x.npy", X + 1)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    result = kernels.relu(mapped)
    assert type(result) is np.ndarray
    assert np.array_equal(result, X + 1)


def test_use_for_a_block_and_for_good(unchosen):
    kernels.use("numpy")
    with kernels.use("reference") as name:
        assert name == kernels.current() == "reference"
        with pytest.raises(ZeroDivisionError), kernels.use("numpy"):
            1 / 0  # noqa: B018
        assert kernels.current() == "reference"
    assert kernels.current() == "numpy"
    kernels.use("reference")
    assert kernels.current() == "reference"


def test_everything_here_is_available_and_numba_is_best(unchosen):
    assert {name: kernels.available()[name] for name in backends.BEST_FIRST} == {
        "reference": None,
        "numpy": None,
        "numba": None,
    }
    assert kernels.current() == "numba"


def test_environment_variable(unchosen, monkeypatch):
    monkeypatch.setenv("MINIZF_BACKEND", "reference")
    assert kernels.current() == "reference"


def test_unknown_names(unchosen, monkeypatch):
    with pytest.raises(ValueError, match=r"^unknown implementation 'torch'; known: reference, numpy, numba"):
        kernels.use("torch")
    monkeypatch.setenv("MINIZF_BACKEND", "torch")
    with pytest.raises(ValueError, match=r"^environment variable MINIZF_BACKEND: unknown implementation 'torch'; known: "):
        kernels.relu(X)


@pytest.fixture
def without_numba(unchosen, monkeypatch):
    """A machine on which Numba is not installed."""
    monkeypatch.setattr(backends, "_loaded", {})
    for module in [module for module in sys.modules if module.split(".")[0] == "numba" or "numba_cpu" in module]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "numba", None)


def test_without_numba(without_numba):
    with kernels.use("numpy"):
        with pytest.raises(kernels.BackendUnavailable) as refusal:
            kernels.use("numba")
        assert kernels.current() == "numpy"
    reason = kernels.available()["numba"]
    assert "import of numba halted" in reason
    assert reason.endswith("install Numba: pip install 'numba>=0.61'")
    assert str(refusal.value) == f"the numba implementation cannot work here: {reason}"
    assert kernels.current() == "numpy"


def test_without_numba_the_environment_does_not_fall_back(without_numba, monkeypatch):
    monkeypatch.setenv("MINIZF_BACKEND", "numba")
    with pytest.raises(
        kernels.BackendUnavailable, match="environment variable MINIZF_BACKEND: the numba implementation cannot"
    ):
        kernels.relu(X)


def test_an_incomplete_implementation_is_not_available(unchosen, monkeypatch):
    monkeypatch.setattr(backends, "_loaded", {})
    monkeypatch.delattr("kernels.numba_cpu.unpool_relu")
    assert kernels.available()["numba"] == "kernels.numba_cpu lacks unpool_relu; install minizf again"
    assert kernels.current() == "numpy"


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT_FOLDER), **environment},
    )


def test_import_loads_nothing_but_numpy():
    done = run_python("import sys, kernels; print('numba' in sys.modules, 'kernels.reference' in sys.modules)")
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_another_package_of_that_name(tmp_path):
    """The modules of another `kernels` under our __init__: what installing both in one place can leave."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_bytes((PROJECT_FOLDER / "kernels" / "__init__.py").read_bytes())
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import kernels"
    done = run_python(f"import kernels.contract, sys; del sys.modules['kernels']; {code}")
    assert done.returncode == 1
    assert "these are two packages" in done.stderr
    assert "pip uninstall kernels" in done.stderr
