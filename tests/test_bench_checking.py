"""The checks themselves: definitions against the reference, allowed errors between rounding and half precision, the words."""

import contextlib

import numpy as np
import pytest

import kernels
from kernels import numpy_blas, reference
from kernels.bench import checking, direct
from kernels.bench.checking import Allowed, Rejected
from kernels.bench.guards import guarded
from kernels.bench.operations import FRESH, arguments, inputs, result_shapes
from kernels.bench.problems import Conv, Linear, Pool, Problem, choose

TINY = {problem.name: problem for problem in choose(["tiny"])}


def whole(problem, arrays, module=reference, dtype=np.float64):
    wide = {name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    result = getattr(module, problem.operation)(*arguments(problem, wide))
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", TINY)
def test_definitions_equal_the_reference_everywhere(name):
    problem = TINY[name]
    arrays = inputs(problem, seed=3)
    expected = whole(problem, arrays)
    assert tuple(array.shape for array in expected) == result_shapes(problem)
    for index in np.ndindex(expected[0].shape):
        found = direct.at(problem, arrays, index)
        assert found == pytest.approx([array[index] for array in expected], abs=1e-12)


@pytest.mark.parametrize("name", TINY)
def test_float32_is_within_the_allowance_and_half_precision_is_not(name):
    problem = TINY[name]
    arrays = inputs(problem, seed=5)
    exact, bounds = whole(problem, arrays), checking.allowed(problem, arrays)
    plain = whole(problem, arrays, numpy_blas, np.float32)
    checking.require_equal(plain, exact, bounds)
    checking.require_sample(problem, arrays, plain, bounds, np.random.default_rng(0), 60)
    halved = [array.astype(np.float16).astype(np.float32) if array.dtype.kind == "f" else array for array in plain]
    with pytest.raises(Rejected, match="half precision"):
        checking.require_equal(halved, exact, bounds)
    with pytest.raises(Rejected, match="half precision"):
        checking.require_sample(problem, arrays, halved, bounds, np.random.default_rng(0), 60)


@pytest.mark.parametrize("terms", [10, 1_000, 100_000, 1_000_000])
def test_long_sums_added_one_by_one_pass_and_half_precision_does_not(terms):
    """The worst order of a float32 sum against the allowance; what rounding a result to 11 bits does, far above it."""
    rng = np.random.default_rng(terms)
    problem = Problem("s", "l", "linear_weight_grad", Linear(terms, 1, 30))
    arrays = {"x": rng.standard_normal((terms, 1), np.float32), "dy": rng.standard_normal((terms, 30), np.float32)}
    exact = arrays["dy"].astype(np.float64).T @ arrays["x"]
    one_by_one = np.add.accumulate(arrays["dy"] * arrays["x"], axis=0, dtype=np.float32)[-1][:, None]
    bounds = checking.allowed(problem, arrays)
    checking.require_equal([one_by_one], [exact], bounds)
    with pytest.raises(Rejected, match="half precision"):
        checking.require_equal([one_by_one.astype(np.float16).astype(np.float32)], [exact], bounds)


def test_tensor_core_rounding_is_allowed_to_those_who_say_so():
    problem = TINY["tiny/deep/conv2d"]
    arrays = inputs(problem, seed=7)
    exact = whole(problem, arrays)
    short = {name: (array.view(np.uint32) + 0x1000 & 0xFFFFE000).view(np.float32) for name, array in arrays.items()}
    rounded = whole(problem, short, numpy_blas, np.float32)
    checking.require_equal(rounded, exact, checking.allowed(problem, arrays, checking.TF32))
    with pytest.raises(Rejected):
        checking.require_equal(rounded, exact, checking.allowed(problem, arrays))


def test_one_wrong_value_among_many_is_found_and_shown():
    problem = TINY["tiny/deep/conv2d"]
    arrays = inputs(problem, seed=1)
    exact = whole(problem, arrays)[0]
    wrong = exact.astype(np.float32)
    wrong[1, 7, 3, 2] += 0.01
    with pytest.raises(Rejected, match=r"wrong result: off by up to 0.01 .* at \(1, 7, 3, 2\)"):
        checking.require_equal([wrong], [exact], checking.allowed(problem, arrays))


def test_a_single_value_may_be_eight_times_as_far_off_as_all_together():
    problem = choose(["awkward"], ["conv2d"])[0]
    arrays = inputs(problem, seed=1)
    exact = whole(problem, arrays, numpy_blas)[0]
    bounds = checking.allowed(problem, arrays)
    for far, right in ((6, True), (12, False)):
        result = exact.astype(np.float32)
        result[0, 1, 2, 3] = exact[0, 1, 2, 3] + far * bounds[0].rms
        with contextlib.nullcontext() if right else pytest.raises(Rejected, match="wrong result"):
            checking.require_equal([result], [exact], bounds)


def test_switches_must_be_right_where_values_are():
    problem = TINY["tiny/pool/maxpool2d"]
    arrays = inputs(problem, seed=1)
    y, switches = whole(problem, arrays, numpy_blas, np.float32)
    switches[0, 0, 0, 0] ^= 1
    with pytest.raises(Rejected, match="wrong switches"):
        checking.require_equal([y, switches], whole(problem, arrays), checking.allowed(problem, arrays))


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([np.zeros((2, 5, 5, 4), np.float64)], "returned float64 of shape"),
        ([np.zeros((2, 5, 5, 3), np.float32)], r"of shape \(2, 5, 5, 3\), expected float32 of shape \(2, 5, 5, 4\)"),
        ([np.zeros((2, 5, 5, 4), np.float32, order="F")], "not C-contiguous"),
        ([np.ma.zeros((2, 5, 5, 4), np.float32)], "returned a numpy.ma.*expected a plain array"),
        ([], "returned 0 arrays, expected 1"),
    ],
)
def test_wrong_forms_are_named(outputs, words):
    with pytest.raises(Rejected, match=words):
        checking.require_form(TINY["tiny/conv/conv2d"], outputs)


def test_unwritten_values_are_counted():
    output = np.ones((3, 4), np.float32)
    checking.require_written([output])
    output[1] = np.nan
    output[2, 0] = checking.POISON.view(np.float32)
    with pytest.raises(Rejected, match="left 5 of 12 values unwritten"):
        checking.require_written([output])
    with pytest.raises(Rejected, match="memory it never wrote"):
        checking.require_written([np.full(5, np.nan, np.float32)])
    checking.require_written([np.full((2, 2), 3e38, np.float32)])  # finite, though their sum is not


def test_fresh_memory_is_poisoned_where_the_c_library_can():
    with checking.poisoned_memory() as poisoned:
        fresh = np.empty(1_000_003, np.float32)
    if poisoned:
        assert (fresh.view(np.uint32) == checking.POISON).all()
    with checking.poisoned_memory():
        pass
    assert not (np.zeros(1_000_003, np.float32)).any()


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_001])
def test_a_fingerprint_sees_every_byte(size):
    array = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    before = checking.fingerprint(array)
    assert checking.fingerprint(array.copy()) == before
    for place in {0, size // 2, size - 1} if size else ():
        array[place] ^= 4
        assert checking.fingerprint(array) != before
        array[place] ^= 4


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_guard_bands_lie_close_and_notice_a_byte(dtype):
    one = guarded(np.arange(21, dtype=dtype).reshape(3, 7))
    assert one.array.tolist() == np.arange(21).reshape(3, 7).tolist()
    assert one.array.flags.c_contiguous
    assert one.array.flags.aligned
    assert one.array.ctypes.data % 64 == 0
    assert one.intact()
    one.array[:] = 0
    assert one.intact()
    for place in (one.start - 1, one.start + one.array.nbytes, 0, -1):
        one.memory[place] = 0
        assert not one.intact()
        one.memory[place] = 0xFF


def test_samples_take_corners_and_every_image():
    places = checking.sample((8, 3, 5), np.random.default_rng(0), 40)
    rows = np.array(places).T.tolist()
    assert rows[:2] == [[0, 0, 0], [7, 2, 4]]
    assert set(places[0]) == set(range(8))
    assert len(rows) == 40
    assert (np.array(rows) < (8, 3, 5)).all()


def test_exact_means_exact():
    problem = Problem("s", "l", "unpool2d", Pool((1, 2, 6, 6), (2, 2), (2, 2), (0, 0)), "max")
    arrays = inputs(problem, 0)
    assert checking.allowed(problem, arrays) == (Allowed(0, 0),)
    right = whole(problem, arrays, numpy_blas, np.float32)[0]
    checking.require_equal([right], whole(problem, arrays), [Allowed(0, 0)])
    with pytest.raises(Rejected):
        checking.require_equal([np.nextafter(right, np.float32(9))], whole(problem, arrays), [Allowed(0, 0)])


def test_the_array_that_is_renewed_matters_to_every_result():
    for problem in TINY.values():
        arrays = inputs(problem, 0)
        before = whole(problem, arrays, kernels.numpy_blas, np.float32)
        arrays[FRESH[problem.operation]] *= np.float32(-1.37)
        after = whole(problem, arrays, kernels.numpy_blas, np.float32)
        assert any(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def test_what_no_rule_covers_is_an_error():
    with pytest.raises(ValueError, match="no rule says how exact"):
        checking.allowed(Problem("s", "l", "x", None), {})
    assert isinstance(TINY["tiny/conv/conv2d"].shape, Conv)
