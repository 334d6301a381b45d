"""What a launch moved: reads and writes of global and shared memory, counted by the checked mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

_watchers: list[list["Traffic"]] = []


@contextmanager
def watching() -> Iterator[list["Traffic"]]:
    """Collects what every checked launch in the block moved, in order, whichever emulator runs it."""
    launches: list[Traffic] = []
    _watchers.append(launches)
    try:
        yield launches
    finally:
        _watchers.remove(launches)


@dataclass(frozen=True)
class Traffic:
    """Accesses (one float4 is one access) and bytes of a launch, and what warps made of them.

    `per_thread`: a structured array (blocks, threads of a block) with the first nine as its fields. Atomics are counted apart.
    Counted over warps, where the emulator of CUDA C++ ran it: `..._requests`, accesses that the lanes of a warp make together;
    `global_..._sectors`, the 32-byte pieces of memory they touch (4 for 32 floats in a row, 32 for a column);
    `shared_..._passes`, how often shared memory had to serve them (one per request of 4 bytes a lane; more are bank conflicts).
    """

    global_reads: int
    global_read_bytes: int
    global_writes: int
    global_write_bytes: int
    shared_reads: int
    shared_read_bytes: int
    shared_writes: int
    shared_write_bytes: int
    atomics: int
    per_thread: np.ndarray
    global_read_requests: int | None = None
    global_read_sectors: int | None = None
    global_write_requests: int | None = None
    global_write_sectors: int | None = None
    shared_read_requests: int | None = None
    shared_read_passes: int | None = None
    shared_write_requests: int | None = None
    shared_write_passes: int | None = None

    def __post_init__(self) -> None:
        for launches in _watchers:
            launches.append(self)

    def __str__(self) -> str:
        rows = [f"{'':14}{'accesses':>14}{'bytes':>16}{'warp requests':>16}"]
        for where, unit in (("global", "sectors"), ("shared", "passes")):
            for what in ("read", "write"):
                count, size = getattr(self, f"{where}_{what}s"), getattr(self, f"{where}_{what}_bytes")
                requests, units = getattr(self, f"{where}_{what}_requests"), getattr(self, f"{where}_{what}_{unit}")
                warps = "" if requests is None else f"{requests:16,} of {units / max(1, requests):.3g} {unit}"
                rows.append(f"{where + ' ' + what + 's':14}{count:14,}{size:16,}{warps}")
        return "\n".join([*rows, f"{'atomics':14}{self.atomics:14,}"])


def traffic_of(counts: np.ndarray, requests: list[list[int]], units: list[list[int]]) -> Traffic:
    """From the runtime's counters (binary.COUNTS), (blocks, threads), and what warps did, [global, shared][reads, writes]."""
    sums = counts.view(np.uint32).reshape(-1, len(counts.dtype.names)).sum(axis=0, dtype=np.int64)
    of_warps = {
        f"{where}_{what}_{name}": numbers[i][j]
        for i, (where, unit) in enumerate((("global", "sectors"), ("shared", "passes")))
        for j, what in enumerate(("read", "write"))
        for name, numbers in (("requests", requests), (unit, units))
    }
    return Traffic(**dict(zip(counts.dtype.names, map(int, sums), strict=True)), per_thread=counts, **of_warps)
