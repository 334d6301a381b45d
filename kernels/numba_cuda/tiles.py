"""How the products of convolutions and fully connected layers are cut: a block of threads makes rows x columns sums.

Each thread keeps thread_rows x thread_columns of them in registers. In every step the block copies `depth` columns of the left
factor and `depth` rows of the right one to shared memory, where rows + columns numbers serve rows * columns products.
"""

from dataclasses import dataclass
from functools import cache

from numba import float32

from kernels.numba_cuda.language import cuda

DEPTH = 8  # the tables of kernels.cuda.geometry are filled up to a multiple of it


@dataclass(frozen=True)
class Tile:
    rows: int
    columns: int
    thread_rows: int
    thread_columns: int

    @property
    def threads(self) -> int:
        return self.rows // self.thread_rows * (self.columns // self.thread_columns)

    def blocks(self, rows: int, columns: int) -> tuple[int, int]:
        """How many tiles cover rows x columns sums: (along the columns, along the rows)."""
        return -(-columns // self.columns), -(-rows // self.rows)


GPU_TILES = (Tile(128, 128, 8, 8), Tile(64, 128, 8, 8), Tile(32, 128, 4, 8), Tile(8, 128, 8, 1))
SIMULATOR_TILES = (Tile(8, 16, 4, 2),)  # small products and few threads: Python runs them one by one
H200_MULTIPROCESSORS = 132


def choose(tiles: tuple[Tile, ...], rows: int, columns: int) -> Tile:
    """The tile that wastes least: sums beyond rows x columns, and multiprocessors that the last wave leaves idle."""

    def cost(tile: Tile) -> float:
        across, down = tile.blocks(rows, columns)
        waves = -(-across * down // H200_MULTIPROCESSORS)
        loads = tile.thread_rows * tile.thread_columns + tile.thread_rows + tile.thread_columns
        return waves * tile.threads * loads

    return min(tiles, key=cost)


def parts(blocks: int, steps: int, least: int) -> int:
    """Into how many parts sums of `steps` steps are cut, so that few blocks still fill the GPU; at least `least` steps each."""
    return max(1, min(2 * H200_MULTIPROCESSORS // blocks, steps // least))


@cache
def multiply(tile: Tile):
    """The device function for one step: sums[i, j] += left[d, row i] * right[d, column j], d = 0 ... DEPTH - 1.

    left (DEPTH, rows + 4) and right (DEPTH, columns) in shared memory, sums (thread_rows, thread_columns) in registers.
    A thread's rows and columns lie apart, so that the threads of a warp read neighbours: no two in one bank.
    """
    row_count, column_count = tile.thread_rows, tile.thread_columns
    row_step, column_step = tile.rows // row_count, tile.columns // column_count

    @cuda.jit(device=True)
    def multiply_step(left, right, sums, row, column):
        rows = cuda.local.array(row_count, float32)
        columns = cuda.local.array(column_count, float32)
        for d in range(DEPTH):
            for i in range(row_count):
                rows[i] = left[d, row + i * row_step]
            for j in range(column_count):
                columns[j] = right[d, column + j * column_step]
            for i in range(row_count):
                for j in range(column_count):
                    sums[i, j] += rows[i] * columns[j]

    return multiply_step
