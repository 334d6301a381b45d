"""What an operation asks of its arguments before any kernel runs, and how it says no.

Every error names the operation, what came, what was expected and what to do. Checks cost microseconds: small nets call the
operations thousands of times.
"""

from itertools import combinations
from math import isfinite, prod

import numpy as np

from kernels.backends import Array, Loaded
from kernels.sizes import MOST_INDEX, formula

MOST_PLACES = 256  # what a uint8 switch can name
SWITCH = np.dtype(np.uint8)


def floats(operation: str, backend: Loaded, name: str, value: Array, letters: str | None = None) -> Array:
    """The array as the implementation wants it: floating point, C-contiguous, one axis for each of `letters`.

    Without letters any number of axes, N first. Copies only an array that is not contiguous. N may be 0, every other size is
    at least 1.
    """
    kind = backend.arrays.ndarray
    if type(value) is not kind and not isinstance(value, kind):
        raise TypeError(_wrong_type(operation, backend, name, value))
    if value.dtype not in backend.dtypes:
        raise TypeError(_wrong_dtype(operation, backend, name, value))
    return _laid_out(operation, backend, name, value, letters)


def switches(operation: str, backend: Loaded, value: Array, y: Array, window: tuple[int, int]) -> Array:
    """The switches that belong to `y`: uint8, the same shape, each the row-major place of a winner in the window.

    The values are looked at on the host only; reading them back from a GPU would stop it.
    """
    if not isinstance(value, backend.arrays.ndarray):
        raise TypeError(_wrong_type(operation, backend, "switches", value, "uint8"))
    if value.dtype != SWITCH:
        raise TypeError(f"{operation}: switches are {value.dtype}; expected uint8, as maxpool2d returns them")
    if value.shape != y.shape:
        raise ValueError(f"{operation}: switches are {value.shape}, y is {y.shape}; they must have the same shape")
    value = _laid_out(operation, backend, "switches", value, "NCPQ")
    if backend.arrays is np and value.size:
        largest = value.max()
        if largest >= window[0] * window[1]:
            raise ValueError(
                f"{operation}: a switch names place {largest} of a {window[0]}x{window[1]} window, which has places 0 to "
                f"{window[0] * window[1] - 1}; use the size that maxpool2d was given"
            )
    return value


def labels(operation: str, backend: Loaded, value: np.ndarray, images: int, classes: int) -> Array:
    """Class numbers (N,) of the host -> int32 in the implementation's array library."""
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{operation}: labels are a {type(value).__module__}.{type(value).__qualname__}; labels are checked on the host, "
            "so give a NumPy array of integers, whatever the implementation"
        )
    if value.dtype.kind not in "iu":
        raise TypeError(f"{operation}: labels are {value.dtype}; expected integers, the numbers of the classes")
    if value.shape != (images,):
        raise ValueError(f"{operation}: labels are {value.shape}, expected ({images},), one for each image")
    if images and not 0 <= value.min() <= value.max() < classes:
        raise ValueError(
            f"{operation}: labels are {value.min()} to {value.max()}, expected 0 to {classes - 1}, one of the {classes} classes"
        )
    return backend.arrays.asarray(np.ascontiguousarray(value, np.int32))


def in_place(operation: str, backend: Loaded, name: str, value: Array, letters: str | None = None) -> Array:
    """An array that the operation writes to: nothing may be copied, or the caller's would stay as it was."""
    if floats(operation, backend, name, value, letters) is not value:
        raise ValueError(
            f"{operation}: {name} is changed in place, so it must be C-contiguous and aligned as it is; "
            f"make it so once with {backend.arrays.__name__}.array({name}, order='C')"
        )
    if not getattr(value.flags, "writeable", True):  # CuPy's arrays always are
        raise ValueError(f"{operation}: {name} is changed in place, but it is read-only; give a copy of it")
    return value


def apart(operation: str, backend: Loaded, **arrays: Array) -> None:
    """No two of the arrays use the same memory, which one of them is written to."""
    for (name, one), (other_name, other) in combinations(arrays.items(), 2):
        if backend.arrays.may_share_memory(one, other):
            raise ValueError(f"{operation}: {name} and {other_name} share memory; give arrays of their own")


def same_dtype(operation: str, name: str, one: Array, other_name: str, other: Array) -> None:
    if one.dtype is not other.dtype and one.dtype != other.dtype:
        raise TypeError(
            f"{operation}: {name} is {one.dtype}, {other_name} is {other.dtype}; give both the same dtype, "
            f"for example {other_name}.astype({name}.dtype)"
        )


def same_shape(operation: str, name: str, one: Array, other_name: str, other: Array) -> None:
    if one.shape != other.shape:
        raise ValueError(f"{operation}: {name} is {one.shape}, {other_name} is {other.shape}; they must have the same shape")


def agree(operation: str, left: str, left_count: int, right: str, right_count: int, fix: str) -> None:
    """Two counts that must be equal: `x has 3 channels, the filters expect 48; <fix>`."""
    if left_count != right_count:
        raise ValueError(f"{operation}: {left.format(left_count)}, {right.format(right_count)}; {fix}")


def map_size(
    operation: str,
    name: str,
    came: tuple[int, int],
    expected: tuple[int, int],
    size: tuple[int, int],
    what: str,
    window: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
) -> None:
    """The maps of `name` have the size that the formula gives for an input of `size`."""
    if came != expected:
        raise ValueError(
            f"{operation}: {name} has maps of {came[0]}x{came[1]}, but an input of {size[0]}x{size[1]} with {what} "
            f"{window[0]}x{window[1]}, stride {stride[0]}x{stride[1]} and padding {pad[0]}x{pad[1]} gives "
            f"{formula(size, window, stride, pad)}; correct the input size, the stride or the padding"
        )


def places(operation: str, window: tuple[int, int]) -> None:
    """A switch is a byte, so a pooling window has at most 256 places."""
    if window[0] * window[1] > MOST_PLACES:
        raise ValueError(
            f"{operation}: window {window[0]}x{window[1]} has {window[0] * window[1]} places, a switch (uint8) can name "
            f"{MOST_PLACES}; use a smaller size"
        )


def elements(operation: str, name: str, shape: tuple[int, ...], fix: str = "use a smaller batch") -> None:
    if prod(shape) > MOST_INDEX:
        raise ValueError(
            f"{operation}: {name} of {shape} has {prod(shape)} elements, more than the 2^31 - 1 that a 32-bit index "
            f"reaches; {fix}"
        )


def padded(operation: str, name: str, maps: int, size: tuple[int, int], pad: tuple[int, int]) -> None:
    """One image with its padding: whoever writes a border around it indexes that."""
    whole = maps, size[0] + 2 * pad[0], size[1] + 2 * pad[1]
    elements(operation, f"one image of {name} with its padding", whole, "use less padding or smaller images")


def number(operation: str, name: str, value: float, least: float = -float("inf"), above: float = -float("inf")) -> float:
    """A finite number, at least `least` and greater than `above`."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{operation}: {name} is {value!r}; expected a number") from None
    if not isfinite(result) or result < least or result <= above:
        bound = f" at least {least:g}" if isfinite(least) else f" greater than {above:g}" if isfinite(above) else ""
        raise ValueError(f"{operation}: {name} is {value!r}; expected a finite number{bound}")
    return result


def _laid_out(operation: str, backend: Loaded, name: str, value: Array, letters: str | None) -> Array:
    if letters is None:
        letters = "NCHW"[: value.ndim] if value.ndim else "N"
    if value.ndim != len(letters):
        raise ValueError(
            f"{operation}: {name} has {value.ndim} dimensions, shape {value.shape}; expected {len(letters)}: "
            f"({', '.join(letters)})"
        )
    if value.size == 0 and 0 in value.shape[letters[0] == "N" :]:
        raise ValueError(
            f"{operation}: {name} is empty, shape {value.shape} ({', '.join(letters)}); every size but N must be at least 1"
        )
    if value.size > MOST_INDEX:
        elements(operation, name, value.shape)
    flags = value.flags
    if flags.c_contiguous and getattr(flags, "aligned", True) and type(value) is backend.arrays.ndarray:
        return value
    return backend.arrays.array(value, order="C", copy=True)


def _wrong_type(operation: str, backend: Loaded, name: str, value: Array, dtype: str = "float32") -> str:
    library = backend.arrays.__name__
    if library == "numpy" and type(value).__module__.split(".")[0] == "cupy":
        return (
            f"{operation}: {name} is an array of CuPy; the {backend.name} implementation takes numpy arrays of {dtype}; "
            f"bring it to the host with cupy.asnumpy({name}), or choose an implementation for the GPU with kernels.use"
        )
    return (
        f"{operation}: {name} is a {type(value).__module__}.{type(value).__qualname__}; the {backend.name} implementation "
        f"takes {library} arrays of {dtype}; convert it with {library}.asarray({name}, dtype={dtype!r})"
    )


def _wrong_dtype(operation: str, backend: Loaded, name: str, value: Array) -> str:
    takes = " or ".join(str(dtype) for dtype in backend.dtypes)
    way_out = f"convert it with {name}.astype(numpy.float32)"
    if value.dtype == np.float64:
        way_out += ', or choose kernels.use("numpy"), which computes in float64 too'
    return f"{operation}: {name} is {value.dtype}; the {backend.name} implementation takes {takes}; {way_out}"
