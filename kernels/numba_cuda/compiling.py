"""Compiles every kernel of this folder for a GPU that need not be there: PTX by Numba and NVVM, registers and spills by ptxas.

    for one in compiled(tiles.GPU_TILES[0]):
        print(one.name, one.threads, one.registers, one.spilled_bytes)

Needs the CUDA toolkit's libnvvm, and ptxas for the registers.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numba
import numpy as np

from kernels.backends import Array
from kernels.numba_cuda.device import REGISTERS, Device, bound
from kernels.numba_cuda.loader import load
from kernels.numba_cuda.operations import Operations
from kernels.numba_cuda.tiles import Tile

COMPUTE_CAPABILITY = (9, 0)


class Compiled(NamedTuple):
    """A kernel for blocks of `threads`. Without ptxas, registers and bytes are None."""

    name: str
    threads: int
    ptx: str
    registers: int | None
    spilled_bytes: int | None
    local_bytes: int | None  # of the stack: an array that did not fit into registers


class Recorder(Device):
    """Notes what would be launched on a GPU, and with which types."""

    arrays = np
    row_threads = block = 256

    def __init__(self, tile: Tile) -> None:
        super().__init__()
        self.tiles = (tile,)
        self.launches: dict[tuple[Callable, tuple], int] = {}  # kernel and types -> threads of a block

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        return np.empty(shape, dtype)

    def launch(self, kernel: Callable, grid: Any, threads: int, *arguments: Any) -> None:
        self.launches[kernel, tuple(map(numba.typeof, self.prepared(arguments)))] = threads


def why_missing() -> str | None:
    """None if Numba can compile for a GPU here, else the reason."""
    try:
        load()
        from numba.cuda.cudadrv.nvvm import NVVM

        NVVM()
    except Exception as error:  # of Numba's own kinds, which differ between its two targets
        return f"Numba finds no libnvvm ({error}); install NVIDIA's CUDA toolkit, or set CUDA_HOME to its folder"
    return None


def compiled(tile: Tile, products_only: bool = False) -> Iterator[Compiled]:
    """Every kernel, those of products for this tile. `products_only`: without those that no tile changes."""
    cuda = load()
    for (kernel, types), threads in launches(tile).items():
        if kernel.__name__.endswith("_tile") or not products_only:
            ptx = to_ptx(cuda, kernel, types)
            yield Compiled(kernel.__name__, threads, ptx, *resources(ptx, REGISTERS[threads]))


def launches(tile: Tile) -> dict[tuple[Callable, tuple], int]:
    """Every kernel that the operations launch, with this tile for the products."""
    recorder = Recorder(tile)
    operations = Operations(recorder)
    one, switches, b = (1, 1), np.zeros((2, 5, 4, 4), np.uint8), zeros(5)
    images, maps, filters = zeros(2, 3, 8, 8), zeros(2, 5, 8, 8), zeros(5, 3, 3, 3)
    operations.conv2d(images, filters, b, one, one)
    operations.conv2d_transpose(maps, filters, one, one, (8, 8))
    operations.deconv_step(zeros(2, 5, 4, 4), switches, (2, 2), (2, 2), (0, 0), filters, one, one, (8, 8), "sum")
    operations.conv2d_weight_grad(zeros(9, 3, 8, 8), zeros(9, 5, 8, 8), one, one, (3, 3))
    operations.linear(zeros(2, 300), zeros(5, 300), b)
    operations.linear_input_grad(zeros(2, 5), zeros(5, 3))
    operations.linear_weight_grad(zeros(2, 3), zeros(2, 5))
    operations.maxpool2d(images, (2, 2), (2, 2), (0, 0))
    operations.unpool2d(zeros(2, 5, 4, 4), switches, (2, 2), (2, 2), (0, 0), (8, 8), "sum")
    operations.relu(images)
    operations.relu_grad(images, images)
    operations.lrn(images, 5, 0.1, 0.75, 2.0)
    operations.lrn_grad(images, images, images, images, 5, 0.1, 0.75)
    operations.bias_grad(maps)
    operations.softmax_cross_entropy(zeros(2, 3), np.zeros(2, np.int32))
    operations.sgd_update(b, b, b, 0.1, 0.9, 0.0)
    operations.renormalise_filters(filters, 0.1)
    return recorder.launches


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def to_ptx(cuda: Any, kernel: Callable, types: tuple) -> str:
    """Numba asks the driver for the capability of the GPU while it compiles device functions; here the answer is given."""
    device = SimpleNamespace(compute_capability=COMPUTE_CAPABILITY)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        return cuda.compile_ptx(bound(kernel, cuda), types, cc=COMPUTE_CAPABILITY)[0]


def resources(ptx: str, most_registers: int) -> tuple[int | None, int | None, int | None]:
    """(registers, spilled bytes, stack bytes) that ptxas reports."""
    ptxas = shutil.which("ptxas")
    if not ptxas:
        return None, None, None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [ptxas, "-arch=sm_90", "-v", f"--maxrregcount={most_registers}", str(source), "-o", str(source) + ".cubin"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ptxas: {done.stderr}")
    found = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    registers = re.search(r"Used (\d+) registers", done.stderr)
    if not found or not registers:
        raise RuntimeError(f"ptxas said something else than expected: {done.stderr}")
    return int(registers[1]), int(found[2]) + int(found[3]), int(found[1])
