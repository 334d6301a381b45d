"""Correct kernels run to the right result, checked and fast, in every order, and nothing is reported of them."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from kernels import emulator
from kernels.emulator import KernelError, Module, empty

pytestmark = pytest.mark.compiler
ORDERS = ("forward", "reverse", "shuffled")
CODE = r"""
#define KERNEL extern "C" __global__ void
#define FULL 0xffffffffu
struct Size { int rows, columns; };

KERNEL transpose(const float* __restrict__ x, float* __restrict__ y, Size size) {
    __shared__ float tile[8][9];
    int row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
    if (row < size.rows && column < size.columns) tile[threadIdx.y][threadIdx.x] = x[row * size.columns + column];
    __syncthreads();
    row = blockIdx.x * 8 + threadIdx.y, column = blockIdx.y * 8 + threadIdx.x;
    if (row < size.columns && column < size.rows) y[row * size.rows + column] = tile[threadIdx.x][threadIdx.y];
}
KERNEL block_sum(const float* x, float* y, int n) {          // a tree in shared memory, the last 32 by __syncwarp
    extern __shared__ float part[];
    int t = threadIdx.x;
    float sum = 0;
    for (int i = t; i < n; i += blockDim.x) sum += x[i];
    part[t] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half >= 32; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    if (t < 32)
        for (int half = 16; half; half /= 2) {
            float other = part[t + half];
            __syncwarp();
            part[t] += other;
            __syncwarp();
        }
    if (t == 0) y[blockIdx.x] = part[0];
}
KERNEL warp_sum(const float* x, float* y, int n) {           // lanes beyond n leave early
    int t = threadIdx.x;
    if (t >= n) return;
    float sum = x[t];
    for (int distance = 16; distance; distance /= 2) {
        float other = __shfl_down_sync(FULL, sum, distance);
        if (t + distance < n) sum += other;
    }
    if (t == 0) y[0] = sum;
}
KERNEL halves(const int* x, int* y) {                        // the two halves of a warp go different ways
    int t = threadIdx.x, v = x[t];
    if (t < 16) for (int d = 8; d; d /= 2) v += __shfl_xor_sync(0x0000ffffu, v, d);
    else for (int d = 1; d < 16; d *= 2) v = max(v, __shfl_xor_sync(0xffff0000u, v, d, 16));
    y[t] = v;
}
KERNEL partners(const int* x, int* y) {                      // __syncwarp of parts of a warp orders those lanes
    __shared__ int cell[32];
    int t = threadIdx.x;
    unsigned mask = 0xfu << (t & ~3);
    cell[t] = x[t];
    __syncwarp(mask);
    y[t] = cell[t ^ 3];
}
KERNEL votes(const int* x, unsigned* y) {
    int t = threadIdx.x;
    unsigned odd = __ballot_sync(FULL, x[t] & 1);
    int all = __all_sync(FULL, x[t] >= 0), any = __any_sync(FULL, x[t] > 30), total = __reduce_add_sync(FULL, x[t]);
    unsigned same = __match_any_sync(FULL, x[t] / 8);
    int count = __syncthreads_count(x[t] > 9), both = __syncthreads_and(x[t] > 0), one = __syncthreads_or(x[t] > 30);
    y[t] = t == 0 ? odd : t == 1 ? all : t == 2 ? any : t == 3 ? total : t == 4 ? same : t == 5 ? count : t == 6 ? both : one;
}
KERNEL histogram(const unsigned char* x, int* y, int n) {
    __shared__ int bins[16];
    if (threadIdx.x < 16) bins[threadIdx.x] = 0;
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(&bins[x[i]], 1);
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&y[threadIdx.x], bins[threadIdx.x]);
}
KERNEL bytes(const unsigned char* x, unsigned char* y) {     // neighbours in one word are no race
    __shared__ unsigned char row[64];
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = row[63 - threadIdx.x];
}
KERNEL same_value(float* y) {                                // all write one flag; that it is the same is let pass
    __shared__ int flag;
    flag = 7;
    __syncthreads();
    y[threadIdx.x] = flag;
}
KERNEL pipeline(const float* x, float* y, int tiles) {       // cp.async, three tiles under way
    __shared__ __align__(16) float tile[3][128];
    int t = threadIdx.x;
    float sum = 0;
    for (int i = 0; i < 2; ++i) { cp_async<16>(&tile[i][4 * t], &x[128 * i + 4 * t], i < tiles); cp_async_commit(); }
    for (int i = 0; i < tiles; ++i) {
        cp_async_wait<1>();
        __syncthreads();
        int next = i + 2;
        if (next < tiles) cp_async<16>(&tile[next % 3][4 * t], &x[128 * next + 4 * t]);
        cp_async_commit();
        for (int k = 0; k < 4; ++k) sum += tile[i % 3][(4 * t + k + 5) % 128];
    }
    y[t] = sum;
}
KERNEL double_buffer(const float* x, float* y, int steps) {
    __shared__ float buffer[2][32];
    int t = threadIdx.x;
    buffer[0][t] = x[t];
    __syncthreads();
    for (int i = 0; i < steps; ++i) {
        buffer[~i & 1][t] = buffer[i & 1][(t + 1) % 32];
        __syncthreads();
    }
    y[t] = buffer[steps & 1][t];
}
KERNEL last_block(const float* x, float* part, unsigned* done, float* y) {   // threadFenceReduction of the CUDA samples
    __shared__ bool last;
    part[blockIdx.x] = x[blockIdx.x];
    __threadfence();
    last = atomicInc(done, gridDim.x) == gridDim.x - 1;
    if (last) { y[0] = 0; for (int i = 0; i < gridDim.x; ++i) y[0] += part[i]; }
}
KERNEL vectors(const float4* x, float4* y) {
    float4 v = x[threadIdx.x];
    y[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
}
template <int A, int B> __device__ void product_body(const float* x, float* y) {
    __shared__ float cell[A * B];
    cell[threadIdx.x] = x[threadIdx.x] * A;
    __syncthreads();
    y[threadIdx.x] = cell[A * B - 1 - threadIdx.x];
}
#define PRODUCT(A, B) KERNEL __launch_bounds__(A* B) product_##A##_##B(const float* x, float* y) { product_body<A, B>(x, y); }
PRODUCT(2, 3) PRODUCT(4, 5)
__constant__ float weights[4] = {1, 2, 3, 4};
KERNEL constants(float* y) { y[threadIdx.x] = weights[threadIdx.x] + warpSize; }
"""
RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module", params=["checked", "fast"])
def module(request):
    return Module(CODE, name="good.cu", checked=request.param == "checked")


@pytest.fixture(params=ORDERS)
def launch(module, request):
    return lambda name, *args, **options: module.get_function(name)(*args, order=request.param, **options)


def test_finds_kernels_that_a_macro_makes(module):
    assert module.kernels[-3:] == ["product_2_3", "product_4_5", "constants"]
    assert module.get_function("transpose").parameters == ("x", "y", "size")
    assert module.get_function("product_4_5").shared_size_bytes == 80


def test_tiles_and_structs(launch):
    x, y = floats(13, 21), empty((21, 13))
    launch("transpose", (3, 2), (8, 8), (x, y, np.array((13, 21), [("rows", np.int32), ("columns", np.int32)])))
    assert np.array_equal(y, x.T)


def test_sums(launch):
    x, y = floats(1000), empty(2)
    launch("block_sum", 2, 128, (x, y, np.int32(1000)), shared_mem=512)
    np.testing.assert_allclose(y, x.sum(), rtol=1e-5, atol=1e-4)
    launch("warp_sum", 1, 32, (x, y, np.int32(21)))
    np.testing.assert_allclose(y[0], x[:21].sum(), rtol=1e-5, atol=1e-5)


def test_parts_of_warps(launch):
    x = RNG.permutation(32).astype(np.int32)
    y = empty(32, np.int32)
    launch("halves", 1, 32, (x, y))
    assert (y[:16] == x[:16].sum()).all()
    assert (y[16:] == x[16:].max()).all()
    launch("partners", 1, 32, (x, y))
    assert np.array_equal(y, x[np.arange(32) ^ 3])


def test_votes(launch):
    y = empty(32, np.uint32)
    launch("votes", 1, 32, (np.arange(32, dtype=np.int32), y))
    assert list(y[:8]) == [0xAAAAAAAA, 1, 1, 496, 0xFF, 22, 0, 1]


def test_atomics_and_bytes(launch):
    x, y = RNG.integers(0, 16, 1000).astype(np.uint8), np.zeros(16, np.int32)
    launch("histogram", 8, 128, (x, y, np.int32(1000)))
    assert np.array_equal(y, np.bincount(x, minlength=16))
    out = empty(64, np.uint8)
    launch("bytes", 1, 64, (x, out))
    assert np.array_equal(out, x[63::-1])


def test_a_flag_that_all_threads_write(launch):
    y = empty(64)
    launch("same_value", 1, 64, (y,))
    assert (y == 7).all()


@pytest.mark.parametrize("tiles", [1, 2, 5])
def test_copies_under_way(launch, tiles):
    x, y = floats(5 * 128), empty(32)
    launch("pipeline", 1, 32, (x, y, np.int32(tiles)))
    rotated = np.roll(x[: tiles * 128].reshape(tiles, 128), -5, 1).reshape(tiles, 32, 4)
    np.testing.assert_allclose(y, rotated.sum((0, 2)), rtol=1e-4, atol=1e-5)


def test_double_buffer(launch):
    x, y = floats(32), empty(32)
    launch("double_buffer", 1, 32, (x, y, np.int32(7)))
    assert np.array_equal(y, np.roll(x, -7))


def test_blocks_in_order_by_fence_and_atomic(launch):
    x, part, done, y = floats(9), empty(9), np.zeros(1, np.uint32), empty(1)
    launch("last_block", 9, 1, (x, part, done, y))
    np.testing.assert_allclose(y[0], x.sum(), rtol=1e-5)


def test_vectors_templates_and_constants(launch):
    x, y = floats(32), empty(32)
    launch("vectors", 1, 8, (x, y))
    assert np.array_equal(y, x.reshape(8, 4)[:, ::-1].ravel())
    launch("product_4_5", 1, 20, (x, y))
    assert np.array_equal(y[:20], 4 * x[19::-1])
    launch("constants", 1, 4, (y,))
    assert list(y[:4]) == [33, 34, 35, 36]


def test_counts_are_exact():
    module = Module(CODE, name="good.cu", checked=True)
    x, y = floats(13, 21), empty((21, 13))
    kernel = module.get_function("transpose")
    kernel((3, 2), (8, 8), (x, y, np.array((13, 21), [("rows", np.int32), ("columns", np.int32)])))
    counts = kernel.counts
    assert (counts.global_reads, counts.global_writes, counts.shared_reads, counts.shared_writes) == (273,) * 4
    assert (counts.global_read_bytes, counts.shared_write_bytes, counts.atomics) == (1092, 1092, 0)
    assert counts.per_thread.shape == (6, 64)
    assert (counts.per_thread["global_reads"][0] == 1).all()  # the first block lies wholly inside
    vectors = module.get_function("vectors")
    vectors(1, 8, (x, y))
    assert (vectors.counts.global_reads, vectors.counts.global_read_bytes) == (8, 128)
    histogram = module.get_function("histogram")
    histogram(2, 64, (np.zeros(100, np.uint8), np.zeros(16, np.int32), np.int32(100)))
    assert (histogram.counts.atomics, histogram.counts.global_read_bytes) == (100 + 2 * 16, 100)
    pipeline = module.get_function("pipeline")
    pipeline(1, 32, (floats(640), y, np.int32(5)))
    assert (pipeline.counts.global_reads, pipeline.counts.global_read_bytes) == (5 * 32, 5 * 512)
    assert (pipeline.counts.shared_write_bytes, pipeline.counts.shared_reads) == (5 * 512, 5 * 4 * 32)
    assert "global reads" in str(pipeline.counts)


def test_fast_mode_counts_nothing():
    kernel = Module(CODE, name="good.cu", checked=False).get_function("constants")
    kernel(1, 4, (empty(4),))
    assert kernel.counts is None


def test_what_the_host_writes_is_written():
    kernel = Module(CODE, name="good.cu", checked=True).get_function("vectors")
    x, y = empty(32), empty(32)
    x[:31] = 1
    with pytest.raises(KernelError, match=r"reads 16 bytes|reads x\[\d+\], which nothing has written"):
        kernel(1, 8, (x, y))
    x[31] = 2
    kernel(1, 8, (x, y))
    kernel(1, 8, (y, x))  # what the kernel wrote is written
    assert x[31] == 2


def test_fast_mode_sees_a_broken_guard_band():
    code = 'extern "C" __global__ void off_by_one(float* x, int n) { if (threadIdx.x <= n) x[threadIdx.x] = 1; }'
    kernel = Module(code, checked=False).get_function("off_by_one")
    for size in (31, 32):
        with pytest.raises(KernelError, match=r"^off_by_one: has written memory after the array `x`"):
            kernel(1, 64, (empty(size), np.int32(size)))
    kernel(1, 64, (empty(32), np.int32(31)))


def test_fast_mode_survives_wild_pointers():
    code = 'extern "C" __global__ void wild(float* x, long long far) { x[far] = 1; }'
    kernel = Module(code, name="wild.cu", checked=False).get_function("wild")
    with pytest.raises(KernelError, match=r"wild.cu line 1: touches address 0x[0-9a-f]+, which is no memory of this process"):
        kernel(1, 1, (empty(4), np.int64(1 << 44)))


def test_launches_from_several_threads_do_not_mix():
    kernel = Module(CODE, name="good.cu", checked=True).get_function("double_buffer")
    inputs, wrong = [floats(32) for _ in range(4)], []

    def work(x):
        for steps in range(1, 30):
            y = empty(32)
            kernel(1, 32, (x, y, np.int32(steps)))
            if not np.array_equal(y, np.roll(x, -steps)):
                wrong.append(steps)

    threads = [threading.Thread(target=work, args=(x,)) for x in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_portable_switch_gives_the_same():
    script = (
        "import sys; sys.path[:0] = ['.', 'tests']\n"
        "import numpy as np, test_emulator as t\n"
        "from kernels.emulator import KernelError, Module, empty\n"
        "module = Module(t.CODE, name='good.cu', checked=True)\n"
        "x, y = t.floats(32), empty(32)\n"
        "module.get_function('double_buffer')(1, 32, (x, y, np.int32(7)))\n"
        "assert np.array_equal(y, np.roll(x, -7))\n"
        "try: module.get_function('vectors')(1, 9, (x, y))\n"
        "except KernelError as error: print(error)\n"
    )
    environment = {**os.environ, "MINIZF_EMULATOR_FIBERS": "ucontext"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "thread (8, 0, 0)" in done.stdout


def test_where_there_is_no_compiler_it_says_what_to_install(monkeypatch):
    from kernels.backends import BackendUnavailable

    monkeypatch.setenv("PATH", "")
    assert "apt install g++" in emulator.unavailable_reason()
    with pytest.raises(BackendUnavailable, match="no g\\+\\+ on the PATH; install g\\+\\+: `apt install g\\+\\+`"):
        Module(CODE)
