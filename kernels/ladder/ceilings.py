"""How fast a step could be at best on a named GPU, from the GPU's datasheet and what the step was counted to do.

Handing out instructions, global memory and shared memory take time. The slowest of them alone bounds a step, so each gives a
ceiling, and the lowest counts. Estimates, not measurements: every sector is taken to come from memory, though caches spare the
first steps much of that, and index arithmetic and waiting, which no step is free of, are left out.
"""

from typing import NamedTuple

SECTOR_BYTES = 32
PASS_BYTES = 128  # what a multiprocessor's shared memory delivers in one clock


class Gpu(NamedTuple):
    """From the datasheet: TFLOP/s in fp32 and of tensor cores in dense TF32, memory in TB/s, boost clock in GHz."""

    name: str
    fp32: float
    tf32: float
    memory: float
    multiprocessors: int
    clock: float

    @property
    def shared_memory(self) -> float:
        """TB/s of all multiprocessors together."""
        return self.multiprocessors * PASS_BYTES * self.clock / 1000


GPUS = {
    "h200": Gpu("H200 SXM", 67, 494, 4.8, 132, 1.98),
    "a100": Gpu("A100 SXM 80 GB", 19.5, 156, 2.04, 108, 1.41),
    "rtx4090": Gpu("GeForce RTX 4090", 82.6, 82.6, 1.01, 128, 2.52),
}


class Ceiling(NamedTuple):
    """TFLOP/s, and what it is that cannot go faster."""

    tflops: float
    limit: str


def ceilings(gpu: Gpu, products: int, accesses: int, sectors: int, passes: int, tensor_cores: bool) -> list[Ceiling]:
    """Lowest first. `accesses`: instructions of single threads that read or write memory."""
    flop = 2 * products
    found = [Ceiling(gpu.memory * flop / (sectors * SECTOR_BYTES), "global memory")]
    if passes:
        found.append(Ceiling(gpu.shared_memory * flop / (passes * PASS_BYTES), "shared memory"))
    if tensor_cores:
        found.append(Ceiling(gpu.tf32, "tensor cores"))
    else:  # an instruction that moves a number takes the slot of one that multiplies
        found.append(Ceiling(gpu.fp32 * products / (products + accesses), "instructions"))
    return sorted(found)
