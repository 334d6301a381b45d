"""Matrix products: the fully connected layer and its two gradients, and the second pass of sums that were cut into parts.

    sums[row, column] = sum over d of  left[row * left_row + d * left_depth] * right[d * right_depth + column * right_column]

Strides instead of transposed copies. Threads that follow each other read along whichever stride is 1.
"""

from functools import cache

from numba import float32, int32, uint32

from kernels.backends import Array
from kernels.numba_cuda.bounds import smaller
from kernels.numba_cuda.device import Device
from kernels.numba_cuda.language import cuda
from kernels.numba_cuda.tiles import DEPTH, Tile, choose, multiply, parts

LEAST_STEPS = 8


@cache
def product(tile: Tile, left_along_depth: bool, right_along_depth: bool):
    """The kernel for one tile size; the flags say along which direction each factor lies side by side in memory."""
    ROWS, COLUMNS, THREADS = tile.rows, tile.columns, tile.threads
    THREAD_ROWS, THREAD_COLUMNS = tile.thread_rows, tile.thread_columns
    ROW_STEP, COLUMN_STEP = ROWS // THREAD_ROWS, COLUMNS // THREAD_COLUMNS
    LEFT_WIDTH, RIGHT_WIDTH = ROWS + 4, COLUMNS + 4
    multiply_step = multiply(tile)

    def product_tile(
        left, right, b, y, rows, columns, depth, part_depth, left_row, left_depth, right_depth, right_column, biased
    ):  # fmt: skip
        left_tile = cuda.shared.array((DEPTH, LEFT_WIDTH), float32)
        right_tile = cuda.shared.array((DEPTH, RIGHT_WIDTH), float32)
        sums = cuda.local.array((THREAD_ROWS, THREAD_COLUMNS), float32)
        thread = uint32(cuda.threadIdx.x)
        first_row, first_column = int32(cuda.blockIdx.y * ROWS), int32(cuda.blockIdx.x * COLUMNS)
        first, end = int32(cuda.blockIdx.z * part_depth), smaller(depth, (cuda.blockIdx.z + 1) * part_depth)
        row, column = thread // COLUMN_STEP, thread % COLUMN_STEP
        for i in range(THREAD_ROWS):
            for j in range(THREAD_COLUMNS):
                sums[i, j] = float32(0)
        for step in range(first, end, int32(DEPTH)):
            for more in range(0, ROWS * DEPTH, THREADS):
                if left_along_depth:
                    i, d = thread // DEPTH + more // DEPTH, thread % DEPTH
                else:
                    i, d = thread % ROWS, thread // ROWS + more // ROWS
                value = float32(0)
                if first_row + i < rows and step + d < end:
                    value = left[uint32((first_row + i) * left_row + (step + d) * left_depth)]
                if i < ROWS and d < DEPTH:
                    left_tile[d, i] = value
            for more in range(0, COLUMNS * DEPTH, THREADS):
                if right_along_depth:
                    j, d = thread // DEPTH + more // DEPTH, thread % DEPTH
                else:
                    j, d = thread % COLUMNS, thread // COLUMNS + more // COLUMNS
                value = float32(0)
                if first_column + j < columns and step + d < end:
                    value = right[uint32((step + d) * right_depth + (first_column + j) * right_column)]
                if j < COLUMNS and d < DEPTH:
                    right_tile[d, j] = value
            cuda.syncthreads()
            multiply_step(left_tile, right_tile, sums, row, column)
            cuda.syncthreads()
        for i in range(THREAD_ROWS):
            for j in range(THREAD_COLUMNS):
                at_row, at_column = int32(first_row + row + i * ROW_STEP), int32(first_column + column + j * COLUMN_STEP)
                if at_row < rows and at_column < columns:
                    value = sums[i, j]
                    if biased:
                        value += b[at_column]
                    y[uint32((cuda.blockIdx.z * rows + at_row) * columns + at_column)] = value

    return product_tile


def add_parts(partial, b, y, count, columns, biased):
    """y[i] = partial[0, i] + partial[1, i] + ... in this order, so that two runs give the same bits."""
    at = cuda.grid(1)
    if at < y.size:
        total = float32(0)
        for part in range(count):
            total += partial[int32(part * y.size + at)]
        if biased:
            total += b[at % columns]
        y[at] = total


def linear(device: Device, x: Array, w: Array, b: Array | None) -> Array:
    """x (N,F), w (G,F), b (G,) or None -> y (N,G)."""
    (images, features), outputs = x.shape, w.shape[0]
    return multiplied(device, x, w, (images, outputs, features), (features, 1, 1, features), b)


def linear_input_grad(device: Device, dy: Array, w: Array) -> Array:
    """dy (N,G), w (G,F) -> dx (N,F)."""
    (images, outputs), features = dy.shape, w.shape[1]
    return multiplied(device, dy, w, (images, features, outputs), (outputs, 1, features, 1))


def linear_weight_grad(device: Device, x: Array, dy: Array) -> Array:
    """x (N,F), dy (N,G) -> dw (G,F)."""
    (images, features), outputs = x.shape, dy.shape[1]
    return multiplied(device, dy, x, (outputs, features, images), (1, outputs, features, 1))


def multiplied(
    device: Device,
    left: Array,
    right: Array,
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int, int],
    b: Array | None = None,
) -> Array:
    """`sizes`: rows, columns, depth; `strides`: left_row, left_depth, right_depth, right_column -> (rows, columns)."""
    rows, columns, depth = sizes
    y = device.empty((rows, columns))
    if not y.size:
        return y
    tile = choose(device.tiles, rows, columns)
    across, down = tile.blocks(rows, columns)
    steps = -(-depth // DEPTH)
    part_steps = -(-steps // parts(across * down, steps, LEAST_STEPS))
    count = max(1, -(-steps // max(part_steps, 1)))
    kernel = product(tile, strides[1] == 1, strides[2] == 1)
    numbers = *sizes, part_steps * DEPTH, *strides
    run = device.launch, kernel, (across, down, count), tile.threads, left.reshape(-1), right.reshape(-1)
    sum_in_parts(device, run, b, y, count, columns, numbers)
    return y


def sum_in_parts(device: Device, run: tuple, b: Array | None, y: Array, count: int, columns: int, numbers: tuple) -> None:
    """Launches a product of `count` parts, and adds them up where there is more than one."""
    launch, *start = run
    bias = y.reshape(-1) if b is None else b
    if count == 1:
        launch(*start, bias, y.reshape(-1), *numbers, b is not None)
        return
    partial = device.empty((count, y.size))
    launch(*start, bias, partial.reshape(-1), *numbers, False)
    device.elementwise(add_parts, y.size, partial.reshape(-1), bias, y.reshape(-1), count, columns, b is not None)
