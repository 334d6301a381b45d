"""Which tile a product is cut into, and in how many parts its sums.

A GPU runs a wave of blocks at a time, and the last wave is rarely full, so a smaller tile, less efficient by itself, can be
faster: ZFNet's conv5 at batch 128 is 338 tiles of 128 x 128 where 264 run at once, two waves for the work of 1.3. A product of
few outputs but long sums (a fully connected layer, a batch of one) fills the GPU only when each sum is cut into parts, which a
second pass adds in order: no atomics, the same bits every time.
"""

from dataclasses import dataclass
from functools import lru_cache

STEP = 8  # taps in a step
MULTIPROCESSORS = 132  # of an H100 or H200; on another GPU the choice is less apt, the result equally right
LEAST_STEPS = 8  # a part of a sum shorter than this is mostly filling and emptying the pipeline
START_AND_END = 12  # what a block costs beside its steps, in steps; an estimate
SECOND_PASS = (
    8 * 0.05
)  # what a partial sum costs, written and read: 8 bytes, for each of which 0.05 instructions could be issued
WORTH_IT = (
    0.9  # parts must promise this much: the last wave of large tiles is not as slow as counted, its blocks have more room
)
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Tile:
    """rows x columns sums in one block of `threads`; `resident` blocks on a multiprocessor at once.

    `issued`: the instructions of one thread for one step of 8 taps, counted in the code that NVRTC 13.0 makes for sm_90. The
    multiply-adds among them are 8 * rows * columns / threads.
    """

    rows: int
    columns: int
    threads: int
    resident: int
    issued: int

    @property
    def name(self) -> str:
        return f"{self.rows}x{self.columns}"

    def cost(self, rows: int, columns: int, steps: int, splits: int, groups: int = 1) -> int:
        """Instructions that a multiprocessor issues one after the other, if every wave takes as long as a full one."""
        blocks = -(-rows // self.rows) * -(-columns // self.columns) * groups * splits
        waves = -(-blocks // (MULTIPROCESSORS * self.resident))
        return waves * self.resident * self.threads * (-(-steps // splits) + START_AND_END) * self.issued


CONVOLUTION = (
    Tile(128, 128, 256, 2, 628),
    Tile(128, 96, 128, 3, 964),
    Tile(128, 64, 128, 4, 660),
    Tile(64, 64, 128, 6, 348),
    Tile(128, 32, 128, 5, 406),
)
LINEAR = Tile(128, 128, 256, 2, 659), Tile(128, 64, 128, 3, 648), Tile(128, 32, 128, 5, 404)


@lru_cache(maxsize=1024)
def choose(options: tuple[Tile, ...], rows: int, columns: int, steps: int, groups: int = 1) -> tuple[Tile, int]:
    """The tile and the number of parts that cost least; of equals the larger tile, and parts only where they are worth it."""
    whole = min(options, key=lambda tile: tile.cost(rows, columns, steps, 1, groups))
    most = max(1, steps // LEAST_STEPS)
    pairs = [(tile, splits) for splits in SPLITS if 1 < splits <= most for tile in options]
    if not pairs:
        return whole, 1

    def cost(pair: tuple[Tile, int]) -> float:
        return pair[0].cost(rows, columns, steps, pair[1], groups) + SECOND_PASS * pair[1] * rows * columns * groups

    parts = min(pairs, key=cost)
    return parts if cost(parts) < WORTH_IT * whole.cost(rows, columns, steps, 1, groups) else (whole, 1)
