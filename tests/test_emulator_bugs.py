"""Every kind of mistake a kernel can make is caught by the checked mode, in words, in whatever order threads and blocks run.

One file of small kernels, each with one planted bug; below, for each, where and in which words it is reported.
"""

import os
import re
import signal
import threading

import numpy as np
import pytest

from kernels.emulator import KernelError, Module, empty

pytestmark = pytest.mark.compiler
ORDERS = ("forward", "reverse", "shuffled")
CODE = r"""
#define KERNEL extern "C" __global__ void
#define T threadIdx.x
KERNEL reads_past_the_end(const float* x, float* y) { y[T] = x[T + 1]; }
KERNEL reads_before_the_start(const float* x, float* y) { y[T] = x[(int)T - 1]; }
KERNEL writes_past_the_end(const float* x, float* y) { y[T + 32] = x[T]; }
KERNEL adds_past_the_end(const float* x, float* y) { if (T == 5) atomicAdd(&y[64], x[T]); }
KERNEL null_pointer(const float* x, float* y) { y[T] = x[T]; }
KERNEL reads_unwritten(const float* x, float* y) { y[T] = x[T]; }
KERNEL shared_past_the_end(const float* x, float* y) {
    __shared__ float tile[8][4];
    __shared__ float behind[64];
    behind[T] = x[T];
    (&tile[0][0])[T] = behind[T];
    __syncthreads(); y[T] = tile[T / 8][0];
}
KERNEL dynamic_past_the_end(const float* x, float* y) {
    extern __shared__ float tile[];
    tile[T + 1] = x[T];
}
KERNEL shared_unwritten(const float* x, float* y) {
    __shared__ float tile[64];
    if (T % 2 == 0) tile[T] = x[T];
    __syncthreads();
    y[T] = tile[T];
}
KERNEL left_by_the_block_before(const float* x, float* y) {
    __shared__ float tile[32];
    if (blockIdx.x == 0) tile[T] = x[T];
    __syncthreads();
    y[T + 32 * blockIdx.x] = tile[T];
}
KERNEL no_barrier_before_reading(const float* x, float* y) {
    __shared__ float tile[64];
    tile[T] = x[T];
    __syncthreads();
    tile[T] = x[T] + 1;
    y[T] = tile[63 - T];
}
KERNEL no_barrier_before_writing(const float* x, float* y) {
    __shared__ float tile[64];
    tile[T] = x[T];
    __syncthreads();
    y[T] = tile[(T + 1) % 64];
    tile[T] = 0;
}
KERNEL two_write_one(const float* x, float* y) {
    __shared__ float sum;
    sum = x[T];
    __syncthreads();
    y[T] = sum;
}
KERNEL no_syncwarp(const float* x, float* y) {
    __shared__ float tile[32];
    tile[T] = x[T];
    float other = __shfl_xor_sync(~0u, x[T], 1);
    y[T] = tile[T ^ 1] + other;
}
KERNEL atomic_and_plain(const float* x, float* y) {
    __shared__ float sum;
    if (T == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, x[T]);
    y[T] = sum;
}
KERNEL global_race(const float* x, float* y) { y[T] = x[T]; y[T] += y[T ^ 32]; }
KERNEL blocks_race(const float* x, float* y) { if (T == 0) y[0] = blockIdx.x; }
KERNEL barrier_not_reached(const float* x, float* y) {
    if (T < 40)
        __syncthreads();
    y[T] = x[T];
}
KERNEL two_barriers(const float* x, float* y) {
    if (T < 40)
        __syncthreads();
    else
        __syncthreads();
    y[T] = x[T];
}
KERNEL lane_missing(const float* x, float* y) {
    float v = x[T];
    if (T % 32 < 16) v = __shfl_xor_sync(~0u, v, 1);
    __syncthreads();
    y[T] = v;
}
KERNEL operations_differ(const float* x, float* y) {
    if (T % 32 < 16) y[T] = __shfl_xor_sync(~0u, x[T], 1);
    else __syncwarp();
}
KERNEL not_in_mask(const float* x, float* y) { y[T] = __shfl_xor_sync(0xffff, x[T], 1); }
KERNEL misaligned(const float* x, float* y) { if (T == 0) *(float4*)(y + 4) = *(const float4*)(x + 3); }
KERNEL divides(const float* x, float* y, int zero) { y[T] = x[T] + T / zero; }
KERNEL asserts(const float* x, float* y) { assert(x[T] < 7); }
KERNEL traps(const float* x, float* y) { if (T == 3) __trap(); }
KERNEL too_many_locals(const float* x, float* y) {
    volatile float local[100000];
    local[T] = x[T];
    local[99999 - T] = x[T];
    y[T] = local[T];
}
KERNEL copy_without_wait(const float* x, float* y) {
    __shared__ float tile[64];
    cp_async<4>(&tile[T], &x[T]);
    cp_async_commit();
    __syncthreads();
    y[T] = tile[T];
}
KERNEL waits_for_one_too_few(const float* x, float* y) {
    __shared__ float tile[2][64];
    cp_async<4>(&tile[0][T], &x[T]);
    cp_async_commit();
    cp_async<4>(&tile[1][T], &x[T]);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    y[T] = tile[0][T] + tile[1][T];
}
KERNEL copy_without_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    cp_async<4>(&tile[T], &x[T]);
    cp_async_commit();
    cp_async_wait<0>();
    y[T] = tile[63 - T];
}
KERNEL touches_a_pending_copy(const float* x, float* y) {
    __shared__ float tile[64];
    cp_async<4>(&tile[T], &x[T]);
    tile[T] = 1;
}
KERNEL never_ends(const float* x, float* y) { while (x[T] >= 0) y[T] = T; }
KERNEL never_ends_without_memory(const float* x, float* y) { for (unsigned i = 1; i; i += 2) asm volatile(""); }
KERNEL copy_to_global(const float* x, float* y) { cp_async<4>(&y[T], &x[T]); }
KERNEL copy_misaligned(const float* x, float* y) {
    __shared__ __align__(16) float tile[256];
    cp_async<16>(&tile[4 * T], &x[4 * (T % 4) + 1]);
}
KERNEL counter_set_without_barrier(const float* x, float* y) {
    __shared__ float sum;
    if (T == 0) sum = 0;
    atomicAdd(&sum, x[T]);
    __syncthreads();
    y[T] = sum;
}
KERNEL tree_without_barriers(const float* x, float* y) {
    __shared__ float part[64];
    part[T] = x[T];
    __syncthreads();
    for (int half = 32; half; half /= 2) {
        if (T < half) part[T] += part[T + half];
    }
    if (T == 0) y[0] = part[0];
}
KERNEL scan_with_half_its_barriers(const float* x, float* y) {
    __shared__ float part[64];
    part[T] = x[T];
    __syncthreads();
    for (int d = 1; d < 64; d *= 2) {
        float before = T >= d ? part[T - d] : 0;
        __syncthreads();
        part[T] += before;
    }
    y[T] = part[T];
}
KERNEL next_tile_comes_too_early(const float* x, volatile float* y) {
    __shared__ float tile[64];
    for (int i = 0; i < 3; ++i) {
        tile[T] = x[T] + i;
        __syncthreads();
        y[T] = tile[63 - T];
    }
}
KERNEL barriers_counted_differently(const float* x, float* y) {
    for (int i = 0; i <= T / 32; ++i)
        __syncthreads();
    y[T] = x[T];
}
"""
LINES = {name: number for number, line in enumerate(CODE.split("\n"), 1) for name in re.findall(r"KERNEL (\w+)", line)}
SHARED_RACE = r"{} shared memory that thread {} {}, with no __syncthreads\(\) between: {}, {} in line {}"
T = r"\(\d+, 0, 0\)"
MISSING = r"; is a __syncthreads\(\) missing before this line\?"

# kernel; the lines after its first where it may be noticed; the message. x and y are arrays of 64 floats.
BUGS = [
    ("reads_past_the_end", (0,), r"reads x\[64\], which has 64 elements"),
    ("reads_before_the_start", (0,), r"reads x\[-1\], which has 64 elements"),
    ("writes_past_the_end", (0,), r"writes y\[(6[4-9]|[789]\d)\], which has 64 elements"),
    ("adds_past_the_end", (0,), r"updates atomically y\[64\], which has 64 elements"),
    ("null_pointer", (0,), "reads through a null pointer"),
    ("reads_unwritten", (0,), r"reads x\[\d+\], which nothing has written"),
    ("shared_past_the_end", (4,), r"writes tile\[(3[2-9]|[456]\d)\] in shared memory, which has 32 elements"),
    ("dynamic_past_the_end", (2,), r"writes byte 256 of the dynamic shared memory, which has 256 bytes \(shared_mem=256\)"),
    ("shared_unwritten", (4,), r"reads shared memory that no thread of its block has written yet: tile\[\d+\]" + MISSING),
    (
        "left_by_the_block_before",
        (4,),
        r"reads shared memory that no thread of its block has written yet: tile\[\d+\]" + MISSING,
    ),
    ("no_barrier_before_reading", (4,), SHARED_RACE.format("writes", T, "read", r"tile\[\d+\]", "read", 38)),
    (
        "no_barrier_before_writing",
        (4, 5),
        r"(reads|writes) shared memory that thread .* (wrote|read), with no __syncthreads\(\) .*",
    ),
    ("two_write_one", (2,), SHARED_RACE.format("writes", T, "wrote", r"sum\[0\]", "written", 49)),
    ("no_syncwarp", (4,), SHARED_RACE.format("reads", T, "wrote", r"tile\[\d+\]", "written", 55)),
    ("atomic_and_plain", (4,), SHARED_RACE.format("updates atomically", T, "read", r"sum\[0\]", "read", 64)),
    ("global_race", (0,), rf"writes y\[\d+\], which thread {T} read in line 66, with no __syncthreads\(\) between"),
    ("blocks_race", (0,), rf"writes y\[0\], which thread {T} of block {T} wrote in line 67: blocks run in no order; give .*"),
    ("barrier_not_reached", (2,), r"waits at __syncthreads\(\), which thread \(40, 0, 0\) never reached: it has finished"),
    (
        "two_barriers",
        (2,),
        r"waits at __syncthreads\(\) while thread \(40, 0, 0\) waits at that of line 77: all threads must .*",
    ),
    ("lane_missing", (2,), r"waits in __shfl_xor_sync for lane 16, thread \(16, 0, 0\), which is at __syncthreads of line 83"),
    (
        "operations_differ",
        (1, 2),
        rf"is at __\w+ while thread {T} of its warp is at __\w+ of line 8[78]: lanes of one mask must .*",
    ),
    ("not_in_mask", (0,), "calls __shfl_xor_sync with a mask that lacks its own lane"),
    ("misaligned", (0,), r"reads 16 bytes at x\[3\], whose address is not a multiple of 16"),
    ("divides", (0,), "divides an integer by zero"),
    ("asserts", (0,), r"assertion failed: x\[T\] < 7"),
    ("traps", (0,), r"stopped by __trap\(\)"),
    ("too_many_locals", None, "needs more than 256 KB for its local variables"),
    (
        "copy_without_wait",
        (5,),
        r"reads shared memory that a cp.async is still filling, no cp_async_wait covers it yet: tile\[\d+\]",
    ),
    ("waits_for_one_too_few", (8,), r"reads shared memory that a cp.async is still filling, no cp_async_wait .*: tile\[\d+\]"),
    ("copy_without_barrier", (5,), r"reads shared memory that no thread of its block has written yet: tile\[\d+\]" + MISSING),
    (
        "touches_a_pending_copy",
        (3,),
        r"writes shared memory that a cp.async is still filling, no cp_async_wait .*: tile\[\d+\]",
    ),
    ("never_ends", None, r"still ran after 0.2 s: a loop without end\? \(MINIZF_EMULATOR_LIMIT_S sets the limit\)"),
    (
        "never_ends_without_memory",
        (0,),
        r"still ran after 0.2 s: a loop without end\? \(MINIZF_EMULATOR_LIMIT_S sets the limit\)",
    ),
    ("copy_to_global", (0,), r"copies with cp.async to y\[\d+\], which is not shared memory"),
    ("copy_misaligned", (2,), r"reads 16 bytes at x\[\d+\], whose address is not a multiple of 16"),
    (
        "counter_set_without_barrier",
        (2, 3),
        r"updates atomically shared memory that (thread \(0, 0, 0\) wrote, with no .*|no thread .* has written yet: .*)",
    ),
    (
        "tree_without_barriers",
        (5,),
        r"(reads|writes) shared memory that thread .* (wrote|read), with no __syncthreads\(\) between: .*",
    ),
    ("scan_with_half_its_barriers", (5, 7), r"(reads|writes) shared memory that .*, with no __syncthreads\(\) between: part.*"),
    ("next_tile_comes_too_early", (3, 5), r"(reads|writes) shared memory that .*, with no __syncthreads\(\) between: tile.*"),
    ("barriers_counted_differently", (2,), rf"waits at __syncthreads\(\), which thread {T} never reached: it has finished"),
]
ONE_WARP = ("no_syncwarp", "left_by_the_block_before")
TWO_BLOCKS = ("blocks_race", "left_by_the_block_before")


@pytest.fixture(scope="module")
def module():
    return Module(CODE, name="bugs.cu", checked=True)


def launch(module, name, order):
    x = {"null_pointer": None, "reads_unwritten": empty(64)}.get(name, np.arange(64, dtype=np.float32))
    extra = (np.int32(0),) if name == "divides" else ()
    shared_mem = 256 if name == "dynamic_past_the_end" else 0
    grid, threads = 2 if name in TWO_BLOCKS else 1, 32 if name in ONE_WARP else 64
    module.get_function(name)(grid, threads, (x, np.zeros(64, np.float32), *extra), shared_mem=shared_mem, order=order)


def test_every_kernel_has_its_line_in_the_table(module):
    assert [name for name, *_ in BUGS] == [name for name in module.kernels]


@pytest.mark.parametrize(("name", "lines", "message"), BUGS, ids=[bug[0] for bug in BUGS])
def test_is_caught_in_every_order(module, name, lines, message, monkeypatch):
    monkeypatch.setenv("MINIZF_EMULATOR_LIMIT_S", "0.2")
    for order in ORDERS:
        with pytest.raises(KernelError) as caught:
            launch(module, name, order)
        error = caught.value
        assert re.fullmatch(message, error.what), f"{order}: {error}"
        assert error.kernel == name
        assert (error.file, len(error.block), len(error.thread)) == ("bugs.cu", 3, 3)
        if lines is not None:
            assert error.line in [LINES[name] + after for after in lines], f"{order}: {error}"
            assert str(error) == f"{name}, block {error.block}, thread {error.thread}, bugs.cu line {error.line}: {error.what}"


def test_after_an_error_the_next_launch_works(module):
    good = Module('extern "C" __global__ void twice(float* x) { __syncthreads(); x[threadIdx.x] *= 2; }', checked=True)
    for name in ("barrier_not_reached", "divides", "lane_missing", "too_many_locals", "copy_without_wait"):
        with pytest.raises(KernelError):
            launch(module, name, "forward")
        x = np.ones(64, np.float32)
        good.get_function("twice")(1, 64, (x,))
        assert (x == 2).all()


def test_ctrl_c_ends_a_launch(module):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        launch(module, "never_ends", "forward")
