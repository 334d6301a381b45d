"""How the kernels are compiled: once for a machine, kept on disk, and announced.

Numba keeps compiled code beside the source and compiles again when that one file changes. Our kernels call one another across
files and bake in tile sizes, so they are stamped with all files of this package and with the tiles: touch any, and everything
is compiled afresh.
"""

import hashlib
import logging
import os
from pathlib import Path

# Threads that wait for others should sleep: by default they spin, and on a machine where other programs want the cores too, a
# step then takes several times as long. OpenMP reads this when Numba starts its threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
import numpy as np
from numba.core import event

from kernels.numba_cpu import machine

log = logging.getLogger("minizf.kernels")


ZERO = np.int64(0)  # for a piece's argument; for a bare 0 Numba compiles the piece once more


def _stamp() -> tuple[str, int]:
    digest = hashlib.sha256(f"{machine.DESCRIPTION} {machine.ROWS} {machine.FLAT_ROWS} {machine.FLAT_VECTORS}".encode())
    files = sorted(Path(__file__).parent.glob("*.py"))
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest(), len(files)


STAMP = _stamp()


def _compiled(function, **options):
    dispatcher = numba.njit(cache=True, error_model="numpy", **options)(function)
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = STAMP
    return dispatcher


def kernel(function):
    """Compile a function whose `prange` loop is shared between the processor's cores."""
    return _compiled(function, parallel=True, nogil=True)


def piece(function):
    """Compile a function that only kernels call, not Python: the work of one core."""
    return _compiled(function, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def reduction(function):
    """A `piece` that adds up numbers in the order that vectors like; compiled once, so it is the same order in every run."""
    return _compiled(function, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"reassoc", "contract"})


class _Announce(event.Listener):
    """Say one line when the first kernel of this process has to be compiled; stay silent when all come from disk."""

    said = False

    def on_start(self, event):
        ours = str(event.data["dispatcher"].py_func.__module__).startswith("kernels.numba_cpu")
        if ours and not self.said:
            self.said = True
            log.warning("compiling the CPU kernels for this machine: once, about 20 s in all; later starts load them from disk")

    def on_end(self, event):
        pass


event.register("numba:compile", _Announce())
