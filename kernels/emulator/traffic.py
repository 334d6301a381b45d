"""What a launch moved: reads and writes of global and shared memory, counted by the checked mode."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Traffic:
    """Accesses (one float4 is one access) and bytes of a launch, and what warps made of them.

    `per_thread` has shape (blocks, threads of a block) and the same names as fields. `..._sectors`: 32-byte pieces of global
    memory that the accesses of each warp touched, one instruction at a time; 4 per access of 32 floats is the least.
    `shared_..._passes`: how often shared memory had to serve an instruction of a warp; more than its bytes need (128 at a time)
    are bank conflicts.
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

    def __str__(self) -> str:
        rows = [f"{'':16}{'accesses':>14}{'bytes':>16}"]
        for where in ("global", "shared"):
            for what in ("read", "write"):
                count, size = getattr(self, f"{where}_{what}s"), getattr(self, f"{where}_{what}_bytes")
                rows.append(f"{where + ' ' + what + 's':16}{count:14,}{size:16,}")
        return "\n".join([*rows, f"{'atomics':16}{self.atomics:14,}"])


FIELDS = (
    ("global_reads", "accesses", 0, 0),
    ("global_read_bytes", "bytes", 0, 0),
    ("global_writes", "accesses", 0, 1),
    ("global_write_bytes", "bytes", 0, 1),
    ("shared_reads", "accesses", 1, 0),
    ("shared_read_bytes", "bytes", 1, 0),
    ("shared_writes", "accesses", 1, 1),
    ("shared_write_bytes", "bytes", 1, 1),
)


def traffic_of(counts: np.ndarray) -> Traffic:
    """From the runtime's counters (binary.COUNTS) of shape (blocks, threads)."""
    per_thread = np.empty(counts.shape, [(name, np.uint32) for name, *_ in FIELDS] + [("atomics", np.uint32)])
    for name, kind, space, direction in FIELDS:
        per_thread[name] = counts[kind][..., space, direction]
    per_thread["atomics"] = counts["atomics"]
    totals = {name: int(per_thread[name].sum(dtype=np.int64)) for name in per_thread.dtype.names}
    return Traffic(**totals, per_thread=per_thread)
