"""A CUDA source text compiled for the CPU, and its kernels: what `cupy.RawModule` is on a GPU."""

import ctypes
import os
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kernels.emulator import binary
from kernels.emulator.arguments import Extent, Prepared, c_type, prepare
from kernels.emulator.build import BuiltKernel, BuiltModule, build_module
from kernels.emulator.memory import Unwritten, unwritten_at
from kernels.emulator.report import KernelError, Scene, error_from
from kernels.emulator.traffic import Traffic, traffic_of

MODE_VARIABLE, LIMIT_VARIABLE, ORDER_VARIABLE = "MINIZF_EMULATOR", "MINIZF_EMULATOR_LIMIT_S", "MINIZF_EMULATOR_ORDER"
MOST_THREADS = 1024
MOST_BLOCK = (1024, 1024, 64)
MOST_GRID = (2**31 - 1, 65535, 65535)
STATIC_SHARED = 48 << 10
_one_at_a_time = threading.Lock()  # the runtime runs one launch at a time; g++ and Python go on meanwhile


def _from_environment(variable: str, allowed: Sequence[str]) -> str:
    value = os.environ.get(variable, "") or allowed[0]
    if value not in allowed:
        raise ValueError(f"{variable}={value!r}: allowed are {', '.join(allowed)}")
    return value


def checked_by_default() -> bool:
    """Whether kernels watch every access where nobody says: MINIZF_EMULATOR, "checked" or "fast", else checked."""
    return _from_environment(MODE_VARIABLE, ("checked", "fast")) == "checked"


def limit_s() -> float:
    """Seconds a launch may take before it counts as endless: MINIZF_EMULATOR_LIMIT_S, else 60."""
    text = os.environ.get(LIMIT_VARIABLE, "") or "60"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise ValueError(f"{LIMIT_VARIABLE}={text!r}: give a number of seconds above 0")
    return value


class Module:
    """CUDA C++ source text, compiled at once: `Module(code).get_function("name")(grid, block, args)`.

    `options`: macros and include folders as for CuPy. `name`: the file name that messages carry. `checked`: every access is
    checked, or only the result matters; None asks MINIZF_EMULATOR ("checked", the default, or "fast"). `order`: in which order
    blocks and threads run: "forward", "reverse" or "shuffled"; None asks MINIZF_EMULATOR_ORDER, else "forward".
    Raises CompileError, or BackendUnavailable where there is no g++. `kernels`: the names of those found; `not_extern_c`: of
    those that cannot be launched by name; `warnings`: what g++ remarked.
    """

    def __init__(
        self,
        code: str,
        options: Iterable[str] = (),
        name: str = "kernel.cu",
        checked: bool | None = None,
        order: str | None = None,
    ) -> None:
        self.checked = checked_by_default() if checked is None else bool(checked)
        self.order = order or _from_environment(ORDER_VARIABLE, tuple(binary.ORDERS))
        if self.order not in binary.ORDERS:
            raise ValueError(f"order={order!r}: allowed are {', '.join(binary.ORDERS)}")
        self.name = name
        self._built = build_module(code, tuple(options), name, self.checked)
        self._kernels = {name: Kernel(self, self._built, kernel) for name, kernel in self._built.kernels.items()}
        self.kernels = list(self._kernels)
        self.not_extern_c = self._built.not_extern_c
        self.warnings = self._built.warnings

    def get_function(self, name: str) -> "Kernel":
        """The kernel of that name; always the same object."""
        if name in self._kernels:
            return self._kernels[name]
        if name in self.not_extern_c:
            raise ValueError(
                f'{self.name}: write extern "C" before the __global__ of {name}, else its name is not {name} when compiled'
            )
        raise ValueError(f"{self.name} has no kernel {name!r}; it has: {', '.join(self.kernels) or 'none'}")


class Kernel:
    """A kernel, launched as CuPy launches: `kernel(grid, block, args, shared_mem=0)`, with NumPy arrays changed in place.

    `counts`: the Traffic of the last checked launch, else None. `max_dynamic_shared_size_bytes`: to be raised before a launch
    that wants more than 48 KB of dynamic shared memory.
    """

    def __init__(self, module: Module, built_module: BuiltModule, built: BuiltKernel) -> None:
        self.module, self._in, self._built = module, built_module, built
        self.name = built.name
        self.max_dynamic_shared_size_bytes = STATIC_SHARED
        self.shared_size_bytes = sum(array.bytes for array in built.shared)
        self.counts: Traffic | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(parameter.name for parameter in self._built.parameters)

    @property
    def signature(self) -> str:
        """Its name with the types and names of its parameters."""
        return f"{self.name}({', '.join(f'{c_type(parameter)} {parameter.name}' for parameter in self._built.parameters)})"

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.parameters)}) of {self.module.name}, emulated>"

    def __call__(
        self,
        grid: int | Sequence[int],
        block: int | Sequence[int],
        args: Sequence[Any],
        shared_mem: int = 0,
        *,
        order: str | None = None,
    ) -> None:
        """Run all threads of all blocks. Raises KernelError for what a kernel does wrong, TypeError and ValueError before."""
        grid, block = three_sizes("grid", grid), three_sizes("block", block)
        self._check_limits(grid, block, shared_mem)
        order = order or self.module.order
        if order not in binary.ORDERS:
            raise ValueError(f"order={order!r}: allowed are {', '.join(binary.ORDERS)}")
        prepared = prepare(self._built, tuple(args))
        launch = binary.Launch(call=self._built.call, arguments=prepared.pointers, dynamic_bytes=shared_mem)
        launch.grid[:], launch.block[:] = grid, block
        launch.order, launch.checked, launch.limit_s = binary.ORDERS[order], self.module.checked, limit_s()
        launch.library = self._in.parts
        dynamic = self._in.runtime.minizf_dynamic_shared_memory()
        scene = Scene(self.name, self._in.file, self._in.path, self._in.parts.image, [], dynamic, shared_mem, launch.limit_s)
        self.counts = None
        with _one_at_a_time:
            self._run(launch, prepared, scene)

    def _check_limits(self, grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int) -> None:
        threads = block[0] * block[1] * block[2]
        for what, sizes, most in (("grid", grid, MOST_GRID), ("block", block, MOST_BLOCK)):
            for axis, size, limit in zip("xyz", sizes, most, strict=True):
                if not 1 <= size <= limit:
                    raise ValueError(f"{self.name}: {what} {sizes} has {size} along {axis}; CUDA allows 1 to {limit}")
        if grid[0] * grid[1] * grid[2] > MOST_GRID[0]:
            raise ValueError(
                f"{self.name}: grid {grid} has more blocks than the emulator runs, {MOST_GRID[0]}; launch it in parts"
            )
        if threads > MOST_THREADS:
            raise ValueError(f"{self.name}: block {block} has {threads} threads; CUDA allows {MOST_THREADS}")
        if self.shared_size_bytes > STATIC_SHARED:
            raise ValueError(
                f"{self.name}: its __shared__ arrays take {self.shared_size_bytes} bytes; "
                f"CUDA allows {STATIC_SHARED}: use dynamic shared memory"
            )
        if not 0 <= shared_mem <= min(self.max_dynamic_shared_size_bytes, binary.MOST_SHARED - self.shared_size_bytes):
            raise ValueError(
                f"{self.name}: shared_mem={shared_mem} bytes beside {self.shared_size_bytes} static ones; "
                f"allowed are {self.max_dynamic_shared_size_bytes} "
                f"(raise kernel.max_dynamic_shared_size_bytes) and {binary.MOST_SHARED} for both together"
            )

    def _run(self, launch: binary.Launch, prepared: Prepared, scene: Scene) -> None:
        made_empty = [unwritten_at(extent.begin, extent.end) for extent in prepared.extents]
        regions = self._shared_regions(launch, scene)
        if self.module.checked:
            regions += _argument_regions(prepared.extents, made_empty, launch, scene)
            blocks, threads = int(np.prod(launch.grid, dtype=np.int64)), int(np.prod(launch.block))
            counts = np.zeros((blocks, threads), binary.COUNTS)
            launch.counts = counts.ctypes.data
            shared = np.zeros(sum(region.bytes for region in regions if region.space == binary.SHARED) + 16, np.uint8)
            written = shared.ctypes.data
            for region in regions:
                if region.space == binary.SHARED:
                    region.written, written = written, written + region.bytes
        table = (binary.Region * max(1, len(regions)))(*regions)
        launch.regions, launch.region_count = table, len(regions)
        fault = self._in.runtime.minizf_launch(ctypes.byref(launch))
        if fault < 0:
            raise MemoryError(f"{self.name}: no memory to emulate this launch; use smaller arrays, or fast mode")
        if self.module.checked:
            moved = launch.transactions
            self.counts = traffic_of(counts, [list(row) for row in moved.requests], [list(row) for row in moved.units])
        if fault:
            raise error_from(launch.error, scene)
        if not self.module.checked:
            self._check_guards(prepared.extents, made_empty)

    def _shared_regions(self, launch: binary.Launch, scene: Scene) -> list[binary.Region]:
        regions = []
        for array in self._built.shared:
            words = -(-array.bytes // 4)
            regions.append(_region(launch, self._in.parts.shared + array.offset, array.bytes, binary.SHARED, words))
            scene.regions.append(array)
        if launch.dynamic_bytes:
            words = -(-launch.dynamic_bytes // 4)
            regions.append(_region(launch, scene.dynamic_base, launch.dynamic_bytes, binary.SHARED, words))
            scene.regions.append(None)
        return regions

    def _check_guards(self, extents: list[Extent], made_empty: list[Unwritten | None]) -> None:
        for extent, record in zip(extents, made_empty, strict=True):
            side = record.broken_guard() if record else ""
            if side:
                what = f"has written memory {side} the array `{extent.name}`; run it checked to learn which thread did"
                raise KernelError(self.name, None, None, what, self._in.file)


def three_sizes(what: str, sizes: int | Sequence[int]) -> tuple[int, int, int]:
    """(x, y, z) of a grid or block; what is not given is 1."""
    given = tuple(sizes) if isinstance(sizes, Iterable) else (sizes,)
    if not 1 <= len(given) <= 3 or not all(isinstance(size, int | np.integer) for size in given):
        raise ValueError(f"{what}={sizes!r}: give one to three whole numbers")
    x, y, z = (*map(int, given), 1, 1)[:3]
    return x, y, z


def _region(launch: binary.Launch, base: int, size: int, space: int, words: int) -> binary.Region:
    region = binary.Region(base=base, bytes=size, space=space, shadow=launch.shadow_words)
    launch.shadow_words += words
    return region


def _argument_regions(
    extents: list[Extent], made_empty: list[Unwritten | None], launch: binary.Launch, scene: Scene
) -> list[binary.Region]:
    """One region per array argument; arrays that share memory share its shadow, so that races between them are seen."""
    regions: list[binary.Region] = []
    order = sorted(range(len(extents)), key=lambda i: extents[i].begin)
    shadow: dict[int, int] = {}
    first, end = 0, 0  # of the group of overlapping arrays: its lowest address, rounded down to a word; where it ends
    for i in order:
        extent = extents[i]
        if extent.begin >= end:
            launch.shadow_words += -(-(end - first) // 4) + 1
            first, end = extent.begin // 4 * 4, extent.end
            start = launch.shadow_words
        elif extent.end > end:
            end = extent.end
        shadow[i] = start + (extent.begin - first) // 4
    launch.shadow_words += -(-(end - first) // 4) + 1
    for i, (extent, record) in enumerate(zip(extents, made_empty, strict=True)):
        region = binary.Region(base=extent.begin, bytes=extent.end - extent.begin, space=binary.GLOBAL, shadow=shadow[i])
        region.skew = -_owner(extent.array).ctypes.data % 256
        if record:
            record.notice_host_writes()
        if record and not record.all_written:
            region.written = record.written.ctypes.data + extent.begin - record.begin
        regions.append(region)
        scene.regions.append(extent)
    return regions


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
