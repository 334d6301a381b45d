"""Between NumPy and the array library of the implementation in use: for the CPU the same array, for a GPU a copy.

A training step calls `to_device` once for the images and `to_host` for a number or two at the end; everything between stays.
"""

import numpy as np

from kernels.backends import Array, active


def to_device(array: Array) -> Array:
    """An array of any shape and dtype as the implementation in use wants it; itself where it is one already."""
    arrays = active().arrays
    if isinstance(array, arrays.ndarray):
        return array
    return arrays.asarray(to_host(array))


def to_host(array: Array) -> np.ndarray:
    """The array as NumPy's; itself where it is one already. Waits until a GPU has computed it."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get") and hasattr(array, "dtype"):  # CuPy's, whichever implementation is in use by now
        return array.get()
    raise TypeError(f"to_host: a {type(array).__module__}.{type(array).__qualname__} came; expected a NumPy or CuPy array")
