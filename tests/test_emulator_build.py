"""Before a kernel runs: what is found in a text, what g++ says, what is kept of it, and which arguments are refused."""

import concurrent.futures
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernels.emulator import CompileError, KernelError, Module, empty
from kernels.emulator.__main__ import main
from kernels.emulator.assembly import place_shared_arrays
from kernels.emulator.compiler import cache_folder
from kernels.emulator.source import kernels_in, name_dynamic_shared, shared_names

compiler = pytest.mark.compiler
SCALE = r"""
extern "C" __global__ void scale(const float* x, float* y, float alpha, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = alpha * x[i];
}
struct Size { int rows; long long columns; };
extern "C" __global__ void shapes(int* y, Size size, const unsigned char* bytes, float4* vectors, bool flag, void* any) {}
"""


@pytest.fixture(scope="module")
def scale():
    return Module(SCALE, name="scale.cu", checked=True).get_function("scale")


@pytest.fixture(scope="module")
def shapes():
    return Module(SCALE, name="scale.cu", checked=True).get_function("shapes")


def test_kernels_are_found_by_name_and_parameters():
    text = """
    template <int N> __global__ void no_template(float* x) {}
    __global__ void forward_declared(float*);
    extern "C" __global__ void __launch_bounds__(128, 2) bounded(const float* __restrict__ x, float (*y)[4], Pair<int, 3> p) {}
    extern "C" { __global__ void in_braces(unsigned char q[], int n = f(1, 2)) { if (n) { } } }
    __global__ void mangled(void) {}
    static __global__ void __attribute__((unused)) quiet(int a) {}
    """
    found = {kernel.name: (kernel.parameters, kernel.extern_c) for kernel in kernels_in(text)}
    assert found.pop("bounded")[1]
    assert found == {"in_braces": (("q", "n"), True), "mangled": ((), False), "quiet": (("a",), False)}


def test_shared_arrays_are_found_and_dynamic_ones_named():
    text = "__shared__ __align__(16) float As[2][BK + 1], Bs[BN]; __shared__ Tile<4, 5> t; __shared__ int n; float no;"
    text += "__shared__ struct { int inner; float x; } s; int neither;"
    assert shared_names(text) == {"As", "Bs", "t", "n", "s"}
    text = "extern __shared__ __align__(16) float s[];\nextern  __shared__\n int q [ ];"
    assert name_dynamic_shared(text).count("\n") == text.count("\n")
    assert name_dynamic_shared(text).count('[] __asm__("minizf_dynamic_shared");') == 2


def test_shared_arrays_lie_apart():
    assembly = "\t.local\t_ZZ1kE1a\n\t.comm\t_ZZ1kE1a,40,32\n\t.type\tk, @function\nk:\n\tcall\tg\n\t.size\tk, .-k\n"
    assembly += "\t.type\tg, @function\ng:\n\tmovss\t_ZZ1kE1a(%rip), %xmm0\n\t.size\tg, .-g\n"
    assembly += "\t.bss\n\t.type\t_ZZ1hE1b, @object\n\t.size\t_ZZ1hE1b, 8\n_ZZ1hE1b:\n\t.zero\t8\n"
    moved, used = place_shared_arrays(assembly, {"a", "b"}, ["k", "g", "h"])
    assert [(array.name, array.offset, array.bytes) for array in used["k"]] == [("a", 256, 40)]
    assert (used["g"], used["h"]) == (used["k"], [])
    assert ".comm" not in moved
    assert "_ZZ1hE1b.unused:" in moved


@compiler
def test_a_compile_error_has_the_lines_of_the_text():
    with pytest.raises(CompileError) as caught:
        Module('// one\n// two\nextern "C" __global__ void k(float* x) {\n    x[0] = nothing;\n}\n', name="folder/broken.cu")
    assert str(caught.value).startswith("broken.cu does not compile:\n")
    assert "broken.cu:4:12: error: 'nothing' was not declared" in str(caught.value)
    with pytest.raises(CompileError, match=r"broken\.cu:2:2: error: #error no"):
        Module("\n#error no\n", name="broken.cu")


@compiler
def test_inline_ptx_is_refused_in_words():
    code = 'extern "C" __global__ void k(int* x) { int lane; asm("mov.u32 %0, %%laneid;" : "=r"(lane)); x[0] = lane; }'
    with pytest.raises(CompileError, match=r"(?s)ptx.cu does not compile:.*inline PTX runs on a GPU only; here cp_async,"):
        Module(code, name="ptx.cu")


@compiler
def test_lines_of_included_texts_carry_their_file():
    code = '#line 1 "inner.cuh"\n__device__ float at(const float* x, int i) {\n    return x[i];\n}\n#line 1 "outer.cu"\n'
    code += 'extern "C" __global__ void k(const float* x, float* y) {\n    y[0] = at(x, 4);\n}\n'
    with pytest.raises(
        KernelError, match=r"^k, block \(0, 0, 0\), thread \(0, 0, 0\), inner.cuh line 2: reads x\[4\]"
    ) as caught:
        Module(code, name="outer.cu", checked=True).get_function("k")(1, 1, (np.zeros(4, np.float32), np.zeros(4, np.float32)))
    assert caught.value.file == "inner.cuh"


@compiler
def test_kernels_asked_for_by_a_wrong_name():
    module = Module(SCALE + "__global__ void mangled(float* x) {}", name="scale.cu")
    assert module.get_function("scale") is module.get_function("scale")
    assert repr(module.get_function("scale")) == "<kernel scale(x, y, alpha, n) of scale.cu, emulated>"
    with pytest.raises(ValueError, match=r"scale\.cu has no kernel 'scales'; it has: scale, shapes"):
        module.get_function("scales")
    with pytest.raises(ValueError, match='write extern "C" before the __global__ of mangled'):
        module.get_function("mangled")


@compiler
def test_options():
    code = 'extern "C" __global__ void k(float* y) { y[0] = VALUE; }'
    y = np.zeros(1, np.float32)
    for options in (("-DVALUE=3",), ("-D", "VALUE=3"), ("--define-macro=VALUE=3", "-std=c++17", "--use_fast_math")):
        Module(code, options).get_function("k")(1, 1, (y,))
        assert y[0] == 3
    with pytest.raises(ValueError, match="compile option '-funroll' is unknown to the emulator"):
        Module(code, ("-funroll",))
    with pytest.raises(ValueError, match="order='sideways': allowed are forward, reverse, shuffled"):
        Module(code, ("-DVALUE=3",), order="sideways")


@compiler
def test_the_environment_chooses(monkeypatch):
    code = 'extern "C" __global__ void k(float* y) { y[threadIdx.x] = 1; }'
    monkeypatch.setenv("MINIZF_EMULATOR", "fast")
    assert not Module(code).checked
    monkeypatch.setenv("MINIZF_EMULATOR", "slow")
    with pytest.raises(ValueError, match="MINIZF_EMULATOR='slow': allowed are checked, fast"):
        Module(code)
    monkeypatch.setenv("MINIZF_EMULATOR", "")
    monkeypatch.setenv("MINIZF_EMULATOR_LIMIT_S", "soon")
    with pytest.raises(ValueError, match="MINIZF_EMULATOR_LIMIT_S='soon': give a number of seconds above 0"):
        Module(code).get_function("k")(1, 1, (np.zeros(1, np.float32),))


X, Y = np.zeros(8, np.float32), np.zeros(8, np.float32)
GOOD = (X, Y, np.float32(2), np.int32(8))


def with_(place, value):
    return (*GOOD[:place], value, *GOOD[place + 1 :])


@compiler
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (GOOD[:3], r"scale takes 4 arguments \(const float\* x, float\* y, float alpha, int n\), got 3"),
        (with_(2, np.float64(2)), r"argument 3 `alpha` is float64, the kernel takes float; pass numpy.float32\(...\)"),
        (
            with_(2, 2.0),
            r"argument 3 `alpha` is a Python float, which is passed as float64, the kernel takes float; pass numpy.float32",
        ),
        (with_(2, np.int32(2)), r"argument 3 `alpha` is int32, the kernel takes float; pass numpy.float32\(...\)"),
        (
            with_(3, 8),
            r"argument 4 `n` is a Python int, which is passed as int64, the kernel takes int; pass numpy.int32\(...\)",
        ),
        (with_(3, X), r"argument 4 `n` is an array of shape \(8,\), the kernel takes int by value; pass a number"),
        (with_(3, "8"), r"argument 4 `n` is str, the kernel takes int; pass a number"),
        (
            with_(0, X.astype(np.float64)),
            r"argument 1 `x` is an array of float64, the kernel takes const float\*; convert it with .astype",
        ),
        (with_(0, X.astype(np.int32)), r"argument 1 `x` is an array of int32, the kernel takes const float\*"),
        (
            with_(1, np.float32(1)),
            r"argument 2 `y` is float32, the kernel takes float\*; pass a NumPy array, or None for a null pointer",
        ),
        (
            with_(1, np.array(1, np.float32)),
            r"argument 2 `y` is a 0-d array, which is passed by value; the kernel takes float\*",
        ),
        (with_(1, [1.0]), r"argument 2 `y` is list, the kernel takes float\*; pass a NumPy array"),
    ],
)
def test_wrong_arguments_are_refused(scale, arguments, message):
    with pytest.raises(TypeError, match=message):
        scale(1, 8, arguments)


@compiler
def test_arrays_whose_rows_lie_apart(scale):
    for view in (X[::2], X[::-1], np.zeros((3, 2), np.float32).T):
        with pytest.raises(ValueError, match=r"argument 1 `x` does not lie row by row in memory .* numpy.ascontiguousarray"):
            scale(1, 8, with_(0, view))


@compiler
def test_a_cache_folder_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIZF_EMULATOR_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"MINIZF_EMULATOR_CACHE='.*file': File exists; name a folder"):
        Module(SCALE)


@compiler
def test_double_precision_is_remarked():
    text = 'extern "C" __global__ void halve(float* x) { x[0] = x[0] * %s; }'
    assert "implicit conversion from 'float' to 'double'" in Module(text % "0.5").warnings
    assert not Module(text % "0.5f").warnings


@compiler
def test_read_only_and_misaligned_arrays(scale, shapes):
    fixed = X.copy()
    fixed.flags.writeable = False
    scale(1, 8, with_(0, fixed))  # const: fine
    with pytest.raises(ValueError, match=r"argument 2 `y` is read-only, the kernel takes float\* and may write it"):
        scale(1, 8, with_(1, fixed))
    size = np.array((1, 2), np.dtype([("rows", np.int32), ("columns", np.int64)], align=True))
    good = (np.zeros(1, np.int32), size, np.zeros(3, bool), empty(8), np.bool_(True), None)
    shapes(1, 1, good)
    with pytest.raises(TypeError, match="argument 2 `size` has 12 bytes, the kernel takes a struct of 16; pass a 0-d array"):
        shapes(1, 1, (good[0], np.array((1, 2), [("rows", np.int32), ("columns", np.int64)]), *good[2:]))
    with pytest.raises(
        ValueError, match="argument 4 `vectors` begins at an address that is not a multiple of 16, as struct of 16 bytes"
    ):
        shapes(1, 1, (*good[:3], empty(8)[1:], *good[4:]))


@compiler
@pytest.mark.parametrize(
    ("grid", "block", "shared_mem", "message"),
    [
        (1, 1025, 0, r"block \(1025, 1, 1\) has 1025 along x; CUDA allows 1 to 1024"),
        (1, (64, 32), 0, r"block \(64, 32, 1\) has 2048 threads; CUDA allows 1024"),
        (1, (1, 1, 65), 0, r"has 65 along z; CUDA allows 1 to 64"),
        ((1, 65536), 1, 0, r"grid \(1, 65536, 1\) has 65536 along y; CUDA allows 1 to 65535"),
        (0, 1, 0, r"grid \(0, 1, 1\) has 0 along x"),
        ((2**20, 4096), 1, 0, r"has more blocks than the emulator runs, 2147483647; launch it in parts"),
        ((1, 1, 1, 1), 1, 0, "grid=.*: give one to three whole numbers"),
        (1.5, 1, 0, "give one to three whole numbers"),
        (
            1,
            1,
            49153,
            r"shared_mem=49153 bytes beside 0 static ones; allowed are 49152 \(raise kernel.max_dynamic_shared_size_bytes\)",
        ),
        (1, 1, -1, "shared_mem=-1 bytes"),
    ],
)
def test_launches_beyond_the_limits_of_cuda(scale, grid, block, shared_mem, message):
    with pytest.raises(ValueError, match=message):
        scale(grid, block, GOOD, shared_mem=shared_mem)


@compiler
def test_dynamic_shared_memory_that_the_launch_forgot():
    module = Module('extern "C" __global__ void forgetful() { extern __shared__ float s[]; s[threadIdx.x] = 1; }', checked=True)
    with pytest.raises(
        KernelError, match="writes dynamic shared memory, but the launch has none; give its size in bytes as sh"
    ):
        module.get_function("forgetful")(1, 32, ())


@compiler
def test_limits_of_shared_memory():
    code = "template <int N> __device__ void use() { __shared__ float a[N]; a[threadIdx.x] = 1; }\n"
    code += 'extern "C" __global__ void many() { use<8192>(); use<4097>(); }\n'
    code += 'extern "C" __global__ void few() { use<4097>(); DYN_SHARED(float, d); d[58111 - 4104] = 1; }\n'
    module = Module(code, checked=True)
    with pytest.raises(
        ValueError, match="its __shared__ arrays take 49156 bytes; CUDA allows 49152: use dynamic shared memory"
    ):
        module.get_function("many")(1, 1, ())
    few = module.get_function("few")
    few.max_dynamic_shared_size_bytes = 232448
    with pytest.raises(ValueError, match="and 232448 for both together"):
        few(1, 1, (), shared_mem=232448)
    few(1, 1, (), shared_mem=216 * 1000 + 32)


@compiler
def test_a_broken_cache_is_built_anew(tmp_path, monkeypatch):
    script = f"import numpy as np\nfrom kernels.emulator import Module\ny = np.zeros(8, np.float32)\ncode = {SCALE!r}\n"
    for runtime in cache_folder().glob("runtime-*"):  # only the kernels are built here
        if "." not in runtime.name:
            shutil.copytree(runtime, tmp_path / runtime.name)
    monkeypatch.setenv("MINIZF_EMULATOR_CACHE", str(tmp_path))
    script += "Module(code).get_function('scale')(1, 8, (y + 1, y, np.float32(2), np.int32(8)))\nassert (y == 2).all()\n"

    def in_a_new_process():
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    in_a_new_process()
    built = sorted(tmp_path.glob("kernel-*/kernels.so"))
    assert len(built) == 1
    whole = built[0].read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:5000] + bytes(100) + whole[5100:], b""):
        built[0].write_bytes(damage)
        in_a_new_process()
        assert built[0].read_bytes() == whole
    (built[0].parent / "build.json").write_text("{")
    in_a_new_process()
    assert sorted(path.name for path in tmp_path.iterdir() if "." in path.name) == []  # nothing half made is left


@compiler
def test_many_build_the_same_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIZF_EMULATOR_CACHE", str(tmp_path))
    script = f"from kernels.emulator import Module\nprint(*Module({SCALE!r}).kernels)"
    command = [sys.executable, "-c", script]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, timeout=120), range(3)))
    assert [run.stdout for run in runs] == ["scale shapes\n"] * 3, runs[0].stderr
    assert len(list(tmp_path.iterdir())) == 2  # the runtime and the kernels


@compiler
def test_the_command_lists_kernels(tmp_path, capsys):
    file = tmp_path / "scale.cu"
    file.write_text(SCALE + "__global__ void mangled() {}\n")
    assert main([str(file)]) == 0
    out = capsys.readouterr().out
    assert "scale(const float* x, float* y, float alpha, int n)   0 bytes of shared memory" in out
    assert (
        "shapes(int* y, struct of 16 bytes size, const unsigned char* bytes, struct of 16 bytes* vectors, bool flag, void* any)"
        in out
    )
    assert 'mangled: cannot be launched by name; write extern "C" before its __global__' in out
    file.write_text("int nothing;\n")
    assert main([str(file)]) == 1
    file.write_text("int nothing = nobody;\n")
    assert main([str(file), str(Path("no") / "file.cu")]) == 1
    assert "scale.cu:1:15: error: 'nobody' was not declared" in capsys.readouterr().err
