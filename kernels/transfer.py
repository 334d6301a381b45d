"""Between NumPy and the array library of the implementation in use: for the CPU the same array, for a GPU a copy.

A training step calls `to_device` once for the images and `to_host` for a number or two at the end; everything between stays.
"""

import numpy as np

from kernels.backends import Array, active


def to_device(array: Array) -> Array:
    """An array of any shape and dtype as the implementation in use wants it; itself where it is one already.

    MemoryError says how much of a GPU's memory it needs, and how much is free.
    """
    arrays = active().arrays
    if isinstance(array, arrays.ndarray):
        return array
    here = to_host(array)
    if arrays.__name__ != "cupy":
        return arrays.asarray(here)
    from kernels.cuda.device import memory_for

    with memory_for(arrays, here.shape, here.dtype):
        return arrays.asarray(here)


def to_host(array: Array) -> np.ndarray:
    """The array as NumPy's; itself where it is one already. Waits until a GPU has computed it."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get") and hasattr(array, "dtype"):  # CuPy's, whichever implementation is in use by now
        return array.get()
    raise TypeError(f"to_host: a {type(array).__module__}.{type(array).__qualname__} came; expected a NumPy or CuPy array")


def numbers_to_host(*numbers: Array) -> list[float]:
    """Single numbers, each an array without axes such as `losses.mean()`, as Python's: in one transfer, hence one wait."""
    return to_host(active().arrays.stack(numbers)).tolist()


def on_host() -> bool:
    """Whether the implementation in use computes with NumPy arrays."""
    return active().arrays is np


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """A new array of the library of the implementation in use."""
    return active().arrays.zeros(shape, dtype)


def assign(target: Array, source: Array) -> None:
    """target[...] = source, wherever each of the two lives."""
    target[...] = to_host(source) if isinstance(target, np.ndarray) else to_device(source)


def is_array(value: object) -> bool:
    """Whether it is an array, NumPy's or of the implementation in use."""
    return isinstance(value, np.ndarray | active().arrays.ndarray)
