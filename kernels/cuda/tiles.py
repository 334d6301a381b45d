"""Which tile a product is cut into, and in how many parts its sums.

A GPU runs a wave of blocks at a time: `slots` of them. The last wave is rarely full, so a smaller tile, less efficient by itself,
can be faster: ZFNet's conv5 at batch 128 is 338 tiles of 128 x 128 on 264 slots, two waves for the work of 1.3; of 128 x 64 it is
676 on 528. A product with few outputs but long sums (a fully connected layer, a batch of one) fills the GPU only when each sum is
cut into parts, which a second pass adds in order: no atomics, the same bits every time.
"""

from dataclasses import dataclass

H200_MULTIPROCESSORS = 132
LEAST_STEPS = 8  # a part of a sum shorter than this is mostly filling and emptying the pipeline


@dataclass(frozen=True)
class Tile:
    """rows x columns sums in one block of `threads`; `resident` blocks on a multiprocessor at once.

    `slots_each`: instructions a thread issues for one step of 8 taps, counted in the compiled code for sm_90.
    """

    rows: int
    columns: int
    threads: int
    resident: int
    issued: int

    @property
    def name(self) -> str:
        return f"{self.rows}x{self.columns}"

    def cost(self, rows: int, columns: int, steps: int, splits: int, groups: int = 1) -> float:
        """Issue slots of the busiest multiprocessor, for a product of rows x columns with sums of `steps`, `groups` of them."""
        blocks = -(-rows // self.rows) * -(-columns // self.columns) * groups * splits
        waves = -(-blocks // (H200_MULTIPROCESSORS * self.resident))
        return waves * self.resident * self.threads * -(-steps // splits) * self.issued


TILES = (
    Tile(128, 128, 256, 2, 620),
    Tile(128, 64, 128, 4, 680),
    Tile(64, 64, 128, 6, 380),
    Tile(128, 32, 128, 6, 420),
)


def choose(rows: int, columns: int, steps: int, groups: int = 1) -> tuple[Tile, int]:
    """The tile and the number of parts that cost least; the first of equals, so larger tiles and fewer parts."""
    most = max(1, steps // LEAST_STEPS)
    options = [(tile, splits) for splits in _splits(most) for tile in TILES]
    return min(options, key=lambda option: option[0].cost(rows, columns, steps, option[1], groups) * (1 + 0.01 * option[1]))


def _splits(most: int) -> list[int]:
    return [splits for splits in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if splits <= most]
