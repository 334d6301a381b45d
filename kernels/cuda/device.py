"""Where kernels run: a GPU through CuPy, or the CPU through the emulator. Both take the same files and the same launches.

    device.empty((2, 3, 5))                         a new array, of the device's array library
    device.launch("relu.cu", "relu", (blocks,), (256,), (x, y, np.int32(x.size)))

A kernel takes pointers, `int`, `float` and structs by value; on this side that is an array, or None for a null pointer,
np.int32(...), np.float32(...) and a 0-d structured array. (Python's own int would arrive as 64 bits, its float as a double.)

A `.cu` file includes no header of the toolkit. It may say `#include "geometry.cuh"` for a file of this folder: the text is put
there before anybody compiles it, each file once. `prelude.cuh` comes first, on a GPU.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kernels.backends import Array, BackendUnavailable

FOLDER = Path(__file__).parent
INCLUDE = re.compile(r'#include "([\w.]+)"\n')
UNASKED_BYTES = 40 * 1024  # of DYN_SHARED; with what a kernel declares itself, a launch gets 48 KB without asking for more
GRID_LIMITS = (2**31 - 1, 65535, 65535)
MOST_TABLES = 256


@cache
def source(file: str) -> str:
    """The text of a file of this folder, with the .cuh files it names put in; errors keep the lines of each file."""
    seen: set[str] = set()

    def whole(name: str) -> str:
        text = (FOLDER / name).read_text()

        def put_in(match: re.Match) -> str:
            inner, line = match[1], text.count("\n", 0, match.end()) + 1
            if inner in seen:
                return "\n"
            seen.add(inner)
            return f'{whole(inner)}\n#line {line} "{name}"\n'

        return f'#line 1 "{name}"\n' + INCLUDE.sub(put_in, text)

    return whole(file)


class Device:
    """What both kinds share: compiled modules, tables, and the checks of a launch."""

    name: str
    arrays: ModuleType
    most_shared_bytes = 227 * 1024  # that a block can have; an H200's

    def __init__(self) -> None:
        self._modules: dict[tuple, Any] = {}
        self._functions: dict[tuple, Any] = {}
        self._tables: dict[tuple, Array] = {}

    def empty(self, shape: tuple[int, ...], dtype: type = np.float32) -> Array:
        raise NotImplementedError

    def compiled(self, text: str, file: str, options: tuple[str, ...]) -> Any:
        raise NotImplementedError

    def place(self) -> int:
        """Which of several GPUs is in use: tables live on one."""
        return 0

    def module(self, file: str, options: tuple[str, ...] = ()) -> Any:
        """The kernels of a file of this folder, compiled on first use."""
        if (file, options) not in self._modules:
            self._modules[file, options] = self.compiled(source(file), file, options)
        return self._modules[file, options]

    def launch(
        self,
        file: str,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        args: tuple,
        shared_bytes: int = 0,
        options: tuple[str, ...] = (),
    ) -> None:
        """Run `kernel` of `file` on grid x block threads, with `shared_bytes` of DYN_SHARED memory for each block."""
        for blocks, limit, axis in zip(grid, GRID_LIMITS, "xyz", strict=False):
            if not 1 <= blocks <= limit:
                raise ValueError(f"{kernel}: a grid of {blocks} blocks along {axis}; a GPU takes 1 to {limit}")
        for argument in args:
            if isinstance(argument, int | float):
                raise TypeError(f"{kernel}: argument {argument!r} is Python's; say np.int32 or np.float32")
        if (file, options, kernel) not in self._functions:
            self._functions[file, options, kernel] = self.module(file, options).get_function(kernel)
        function = self._functions[file, options, kernel]
        if shared_bytes > UNASKED_BYTES:
            function.max_dynamic_shared_size_bytes = shared_bytes
        function(tuple(map(int, grid)), tuple(map(int, block)), args, shared_mem=shared_bytes)

    def table(self, key: tuple, build: Callable[[], np.ndarray]) -> Array:
        """A small array that depends on `key` only, made by `build()` on the host and kept on the device."""
        key = (self.place(), *key)
        if key not in self._tables:
            if len(self._tables) == MOST_TABLES:
                del self._tables[next(iter(self._tables))]  # the oldest
            self._tables[key] = self.arrays.asarray(build())
        return self._tables[key]


class Gpu(Device):
    """The current CUDA device, through CuPy. Raises BackendUnavailable, or ImportError without CuPy, where there is none."""

    name = "cuda"

    def __init__(self) -> None:
        super().__init__()
        import cupy

        reason = why_no_gpu(cupy)
        if reason:
            raise BackendUnavailable(self.name, reason)
        self.arrays = cupy
        self.most_shared_bytes = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]

    def empty(self, shape: tuple[int, ...], dtype: type = np.float32) -> Array:
        with memory_for(self.arrays, shape, dtype):
            return self.arrays.empty(shape, dtype)

    def compiled(self, text: str, file: str, options: tuple[str, ...]) -> Any:
        # CuPy adds -ftz=true: numbers below 1.2e-38 count as 0
        return self.arrays.RawModule(code=f"{source('prelude.cuh')}\n{text}", options=("--std=c++17", *options))

    def place(self) -> int:
        return self.arrays.cuda.runtime.getDevice()


class Emulated(Device):
    """The CPU, executing the same files block by block; every launch is checked. Raises BackendUnavailable without g++."""

    name = "cuda-emulated"

    def __init__(self) -> None:
        super().__init__()
        from kernels import emulator

        reason = emulator.unavailable_reason()
        if reason:
            raise BackendUnavailable(self.name, reason)
        self.arrays = np
        self.emulator = emulator

    def empty(self, shape: tuple[int, ...], dtype: type = np.float32) -> Array:
        return self.emulator.empty(shape, dtype)

    def compiled(self, text: str, file: str, options: tuple[str, ...]) -> Any:
        return self.emulator.Module(text, options, name=file)


def why_no_gpu(cupy: ModuleType) -> str | None:
    """None if CuPy can compute here, else what is missing, in words."""
    runtime = cupy.cuda.runtime
    try:
        devices = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        needs, has = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion() // 1000  # CUDA 13 of 13020
        if has == 0:
            return (
                f"CuPy {cupy.__version__} finds no NVIDIA driver; install one for CUDA {needs} or newer, beside an NVIDIA GPU"
            )
        if has < needs:
            return (
                f"CuPy {cupy.__version__} needs a driver for CUDA {needs}, the one installed is for CUDA {has}; install a "
                f"newer driver, or CuPy for that one: pip install cupy-cuda{has}x"
            )
        return f"the NVIDIA driver says: {error}; look at what `nvidia-smi` says"
    if devices == 0:
        return "the NVIDIA driver shows no GPU; look at what `nvidia-smi` says, and at CUDA_VISIBLE_DEVICES"
    try:
        cupy.cuda.nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError) as error:
        return f"CuPy does not find the CUDA compiler NVRTC ({error}); pip install nvidia-cuda-nvrtc"
    return None


@contextmanager
def memory_for(cupy: ModuleType, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[None]:
    """CuPy makes an array in here; where it does not fit, MemoryError in words instead of CuPy's own."""
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError:
        free, total = cupy.cuda.runtime.memGetInfo()
        raise MemoryError(too_little_memory(shape, np.dtype(dtype), free, total)) from None


def too_little_memory(shape: tuple[int, ...], dtype: np.dtype, free: int, total: int) -> str:
    """What to say when an array of this shape does not fit: how much is needed, and which batch would fit."""
    needed = prod(shape) * dtype.itemsize
    words = f"an array of {shape} needs {_size(needed)} of GPU memory; {_size(free)} of {_size(total)} are free"
    fits = free * shape[0] // needed if len(shape) == 4 else 0  # (N, C, H, W); other arrays are not a batch of anything
    return words + (f"; use a batch of {fits} or fewer" if 0 < fits < shape[0] else "; use a smaller batch or smaller images")


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
