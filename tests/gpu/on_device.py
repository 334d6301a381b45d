"""The checks of `kernel_checks` on a GPU: they speak NumPy, the implementation speaks CuPy; this stands between the two.

`Kernels` looks like the package `kernels`, but for its operations: those take NumPy arrays to the device, call the operation
there, and bring back what came: the results, and what the in-place operations made of their arguments.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import kernels
from kernels import backends

IN_PLACE = ("sgd_update", "renormalise_filters")
HOST_ARGUMENTS = {("softmax_cross_entropy", 1)}  # labels are checked on the host


class Kernels:
    def __getattr__(self, name: str) -> Any:
        known = getattr(kernels, name)
        return crossing(name, known) if name in backends.OPERATIONS else known


def crossing(name: str, operation: Callable) -> Callable:
    def call(*arguments: Any) -> Any:
        sent = [
            kernels.to_device(argument)
            if isinstance(argument, np.ndarray) and (name, place) not in HOST_ARGUMENTS
            else argument
            for place, argument in enumerate(arguments)
        ]
        result = operation(*sent)
        for before, after in zip(arguments, sent, strict=True):
            if isinstance(before, np.ndarray) and name in IN_PLACE:
                before[...] = kernels.to_host(after)
            elif isinstance(before, np.ndarray):
                assert kernels.to_host(after).tobytes() == before.tobytes(), f"{name}: an input on the device was modified"
        outputs = result if isinstance(result, tuple) else (result,)
        assert all(output is None or output.flags.c_contiguous for output in outputs), f"{name}: a result is not C-contiguous"
        back = tuple(None if output is None else kernels.to_host(output) for output in outputs)
        return back if isinstance(result, tuple) else back[0]

    return call


def install(*modules: Any) -> None:
    """The checks in these modules reach the device from now on."""
    for module in modules:
        module.kernels = Kernels()


def fill_outputs_with_nan() -> None:
    """What the implementation in use allocates holds NaN (255 in bytes) until a kernel writes it."""
    device = backends.active().operations.device
    empty = device.empty

    def filled(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        array = empty(shape, dtype)
        array.fill(np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max)
        return array

    device.empty = filled
