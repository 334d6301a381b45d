"""Why a number is believed: what a result must be before its time counts, and what is said of one that is not.

Each way to be fast by being wrong has its own sentence, because the person who reads it wants to know which bug it is.

The allowed error follows from how float32 sums round, not from what happens to pass. A sum of n products of random signs, each
of size s, is about s * sqrt(n); adding them one by one rounds n times and is off by about 2^-24 * sqrt(n) / 2.4 of that.
Allowed is two and a half times as much in the root mean square over all results looked at, and eight times that in any single
one. A result stored in half precision is off by 2^-12 of itself: caught for every sum of up to ten million terms.
"""

import contextlib
import ctypes
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.bench import direct
from kernels.bench.costs import cost
from kernels.bench.operations import Arrays, result_shapes
from kernels.bench.problems import Conv, Linear, Lrn, Pool, Problem

EPS = float(np.finfo(np.float32).eps)
TF32 = 2.0**-10  # what rounding both factors of a product to ten bits costs, relative to the product
WORST = 8  # how much further than the root mean square a single result may be off
POISON_BYTE = 0x7F
POISON = np.uint32(0x7F7F7F7F)  # what fresh memory holds while `poisoned_memory`; as a float 3.4e38, which no result is near
MALLOPT_PERTURB = -6  # malloc.h: M_PERTURB
Outputs = Sequence[np.ndarray | None]
Places = tuple[np.ndarray, ...]


class Rejected(Exception):
    """This implementation's time for this case does not count; the message says why."""


@dataclass(frozen=True)
class Allowed:
    """The error of one result array: in the root mean square, and of a single value. Both 0: exact."""

    rms: float
    worst: float


def allowed(problem: Problem, arrays: Arrays, product_error: float = 0.0, slack: float = 1.0) -> tuple[Allowed, ...]:
    """For each result. product_error: relative error of one product (TF32). slack: for float32 algorithms of other people."""
    shape = problem.shape
    match shape:
        case Conv() | Linear():
            terms = cost(problem).terms
            names = {"deconv_step": ("y", "w")}.get(problem.operation) or [name for name in ("x", "dy", "w") if name in arrays]
            size = np.sqrt(terms) * np.prod([spread(arrays[name]) for name in names])
            bias = spread(arrays["b"]) if "b" in arrays else 0.0
            bound = slack * (0.5 * EPS * (np.sqrt(terms) + 2) * (size + bias) + product_error * size)
            return (Allowed(bound, WORST * bound),)
        case Pool() if problem.operation == "unpool2d":
            if problem.rule in ("max", "last"):
                return (Allowed(0, 0),)
            largest = float(np.abs(arrays["y"]).max())
            return (Allowed(EPS * largest, cost(problem).terms * EPS * largest),)
        case Pool():
            return Allowed(0, 0), Allowed(0, 0)
        case Lrn() if problem.operation == "lrn":
            sizes = spread(arrays["x"]), shape.k + shape.alpha * spread(arrays["x"]) ** 2
            return tuple(Allowed(8 * EPS * size, 8 * WORST * EPS * size) for size in sizes)
        case Lrn():
            return (Allowed(8 * EPS * spread(arrays["dy"]), 8 * WORST * EPS * spread(arrays["dy"])),)
    raise ValueError(f"{problem.name}: no rule says how exact a {type(shape).__name__} must be")


def spread(array: np.ndarray) -> float:
    """Root mean square, of at most some ten thousand values taken evenly."""
    flat = array.reshape(-1)
    some = flat[:: max(1, flat.size // 10_007)].astype(np.float64)
    return float(np.sqrt(np.mean(some * some)))


def require_form(problem: Problem, outputs: Outputs) -> None:
    """The right number of plain arrays, of the right type, shape and layout."""
    shapes = result_shapes(problem)
    if len(outputs) != len(shapes):
        raise Rejected(f"returned {len(outputs)} arrays, expected {len(shapes)}")
    for number, (output, shape) in enumerate(zip(outputs, shapes, strict=True)):
        if output is None:
            continue
        dtype = np.dtype(np.uint8 if number == 1 and isinstance(problem.shape, Pool) else np.float32)
        if type(output) is not np.ndarray:
            raise Rejected(f"returned a {type(output).__module__}.{type(output).__qualname__}, expected a plain array")
        if output.shape != shape or output.dtype != dtype:
            raise Rejected(f"returned {output.dtype} of shape {output.shape}, expected {dtype} of shape {shape}")
        if not output.flags.c_contiguous:
            raise Rejected(f"returned an array that is not C-contiguous (strides {output.strides})")


def require_own_memory(outputs: Outputs, arrays: Arrays, earlier: Outputs = ()) -> None:
    """A result is new memory: no input's, and not that of a result somebody still holds."""
    for output in outputs:
        for name, array in arrays.items():
            if output is not None and np.may_share_memory(output, array):
                raise Rejected(f"returned memory of its input {name}, expected a new array")
        if output is not None and any(old is not None and np.may_share_memory(output, old) for old in earlier):
            raise Rejected("returned the memory of an earlier result: a cached output, expected a new array")


def require_unchanged(arrays: Arrays, before: dict[str, int]) -> None:
    """The inputs are what they were."""
    for name, array in arrays.items():
        if fingerprint(array) != before[name]:
            raise Rejected(f"changed its input {name}")


def fingerprint(array: np.ndarray) -> int:
    """Changes when the content does; for large arrays a sum of all words, which runs at the speed of memory."""
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = content.size // 8 * 8
    if whole < 1 << 20:
        return zlib.crc32(content.data)
    return int(np.add.reduce(content[:whole].view(np.uint64))) ^ zlib.crc32(content[whole:].data)


def require_finished(outputs: Outputs, at_return: int, wait_s: float = 0.0) -> None:
    """What was returned does not change any more; `at_return` is its print then."""
    time.sleep(wait_s)
    if fingerprints(outputs) != at_return:
        raise Rejected("its result was still changing after the call had returned: work goes on in another thread or stream")


def fingerprints(outputs: Outputs) -> int:
    return hash(tuple(fingerprint(output) for output in outputs if output is not None))


def require_written(outputs: Outputs) -> None:
    """Every value is a finite number somebody wrote."""
    for output in outputs:
        if output is None or output.dtype.kind != "f":
            continue
        with np.errstate(invalid="ignore", over="ignore"):  # the sum of finite numbers this size is finite: a quick first look
            if np.isfinite(output.sum()) and not (output.view(np.uint32) == POISON).any():
                continue
        bad = int(np.count_nonzero(~np.isfinite(output) | (output.view(np.uint32) == POISON)))
        if bad == output.size:
            raise Rejected("returned memory it never wrote")
        if bad:
            raise Rejected(f"left {bad:,} of {output.size:,} values unwritten (NaN or what the memory held before)")


def require_equal(outputs: Outputs, want: Sequence[np.ndarray], bounds: Sequence[Allowed]) -> None:
    """Every value of every result against one computed independently."""
    for number, (output, true, bound) in enumerate(zip(outputs, want, bounds, strict=True)):
        if output is None:
            continue
        worst, square = 0.0, 0.0
        for got, right in zip(pieces(output), pieces(true), strict=True):
            error = np.abs(got.astype(np.float64) - right)
            worst, square = max(worst, float(error.max(initial=0))), square + float(np.sum(error * error))
        rms = np.sqrt(square / max(1, output.size))
        if not (worst <= bound.worst and rms <= bound.rms):
            raise Rejected(explain(np.ravel(output), np.ravel(true), bound, output.shape, number))


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Flat parts of a few megabytes, so that differences need no second copy of a large result."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, 1 << 20):
        yield flat[start : start + (1 << 20)]


def require_sample(
    problem: Problem, arrays: Arrays, outputs: Outputs, bounds: Sequence[Allowed], rng: np.random.Generator, count: int
) -> None:
    """Some values of every result against the definition: corners, and random ones over all images."""
    places = sample(result_shapes(problem)[0], rng, count)
    require_values(problem, arrays, places, [None if output is None else output[places] for output in outputs], bounds)


def require_values(problem: Problem, arrays: Arrays, places: Places, values: Outputs, bounds: Sequence[Allowed]) -> None:
    """The values every result has at some places against the definition."""
    true = np.array([direct.at(problem, arrays, position) for position in zip(*map(np.ndarray.tolist, places), strict=True)]).T
    for number, (output, want, bound) in enumerate(zip(values, true, bounds, strict=True)):
        if output is None:
            continue
        got = output.astype(np.float64)
        error = np.abs(got - want)
        # the mean of few squares scatters: twice the allowance for a sample
        if not (error.max() <= bound.worst and np.sqrt(np.mean(error * error)) <= 2 * bound.rms):
            raise Rejected(explain(got, want, bound, result_shapes(problem)[0], number, places))


def sample(shape: tuple[int, ...], rng: np.random.Generator, count: int) -> Places:
    """The first and the last position, and random ones, the first axis (images) covered evenly; one array for each axis."""
    places = [np.concatenate([[0, side - 1], rng.integers(side, size=max(0, count - 2))]) for side in shape]
    places[0][2:] = np.arange(len(places[0]) - 2) * shape[0] // max(1, len(places[0]) - 2)
    return tuple(places)


def explain(got, want, bound: Allowed, shape: tuple[int, ...], number: int, places: tuple | None = None) -> str:
    """Which mistake it looks like. got, want: flat; places: their positions where they are a sample."""
    if not got[want != 0].any():
        return "returned zeros"
    error = np.abs(got.astype(np.float64) - want)
    at = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
    where = tuple(int(axis[at]) for axis in places) if places else tuple(int(i) for i in np.unravel_index(at, shape))
    rms = np.sqrt(np.mean(error**2))
    text = f"off by up to {error[at]:.3g} (allowed {bound.worst:.3g}), in the mean {rms:.3g} (allowed {bound.rms:.3g})"
    bits = got.astype(np.float32)[got != 0].view(np.uint32)
    places_in_windows = number == 1 and bool((want == np.rint(want)).all())
    if (
        not places_in_windows
        and np.mean(bits & 0x1FFF == 0) > 0.99
        and np.mean(error <= 2.0**-7 * np.abs(want) + bound.worst) > 0.99
    ):
        return f"rounded to half precision or the like: {text}"
    images = (places[0] if places else np.arange(got.size) * shape[0] // got.size).astype(int)
    if halves := skipped(images, ~(error <= max(bound.worst, 1e-30)), want != 0):
        return f"{halves} of the first axis (0 to {shape[0] - 1}): part of the batch skipped"
    what = "switches" if places_in_windows else "result"
    return f"wrong {what}: {text}; at {where} {float(got[at]):.6g} instead of {float(want[at]):.6g}"


def skipped(images: np.ndarray, wrong: np.ndarray, telling: np.ndarray) -> str:
    """ "right for 0 to 3, wrong for 4 to 7" where each image is altogether right or nearly altogether wrong; else empty."""
    bad, good = set(images[wrong].tolist()), set(images[~wrong & telling].tolist())
    all_wrong = bad and np.mean(wrong[np.isin(images, list(bad)) & telling]) > 0.9
    if not good or not all_wrong or bad & good or len(images) < 3 * len(bad | good):
        return ""
    return f"right for {listed(good)}, wrong for {listed(bad)}"


def listed(numbers: set[int]) -> str:
    ordered = sorted(numbers)
    return f"{ordered[0]} to {ordered[-1]}" if len(ordered) > 2 else " and ".join(map(str, ordered))


def spoil(outputs: Outputs) -> None:
    """Fills a result nobody needs with what no result may hold, so that whoever gets its memory next must write it."""
    for output in outputs:
        if output is not None and output.flags.writeable:
            output.fill(np.nan if output.dtype.kind == "f" else 255)


@contextlib.contextmanager
def poisoned_memory() -> Iterator[bool]:
    """Where the C library can (glibc): memory comes filled with POISON_BYTE. Yields whether it does. For untimed calls only."""
    mallopt = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
    done = bool(mallopt and mallopt(MALLOPT_PERTURB, POISON_BYTE ^ 0xFF))
    try:
        yield done
    finally:
        if done:
            mallopt(MALLOPT_PERTURB, 0)
