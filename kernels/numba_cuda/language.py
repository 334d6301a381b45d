"""The name `cuda` that the kernels of this folder are written with.

Importing numba.cuda may fail, and the simulator does without it, so a kernel meets its `cuda` only when `device.py` makes it
ready for a device: numba.cuda on a GPU, the simulated machine on the CPU. Kernels are plain functions until then.
"""

from collections.abc import Callable
from typing import Any


class DeviceFunction:
    """A function that kernels call; made ready together with them."""

    def __init__(self, function: Callable) -> None:
        self.py_func = function

    def __call__(self, *arguments: Any) -> Any:
        raise RuntimeError(f"{self.py_func.__name__} is a device function: only kernels can call it")


class Cuda:
    """Stands for numba.cuda in the text of a kernel."""

    simulated_as_cuda = True

    def jit(self, *, device: bool) -> Callable[[Callable], DeviceFunction]:
        """`@cuda.jit(device=True)` as in Numba. Kernels themselves are not decorated: the device compiles them."""
        if not device:
            raise TypeError("a kernel of this folder is a plain function; only device functions are decorated")
        return DeviceFunction

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"cuda.{name} exists only inside a kernel")


cuda: Any = Cuda()
