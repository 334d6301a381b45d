"""The compile gate is open for the kernels as they are, and shuts for each fault it is there to find."""

import ctypes
import json

import pytest

from kernels.cuda import gate, nvrtc
from kernels.cuda.gate import Resources, faults, parse

pytestmark = pytest.mark.nvrtc

TABLE = {"a.cu": {"add": {"sm_90": Resources(20, 64)}}}
KERNEL = 'extern "C" __global__ void add(float* x, int n) {\n    x[n] += 1.f;\n}\n'
ARRAY_INDEXED_AT_RUN_TIME = """extern "C" __global__ void huge(float* x, int n) {
    float held[512];
    for (int i = 0; i < 512; ++i) held[i] = x[i * n];
    for (int i = 0; i < n; ++i) held[(int)x[i] % 512] += held[i * i % 512];
    for (int i = 0; i < 512; ++i) x[i] = held[i];
}
"""
MANY_VALUES_AT_ONCE = """extern "C" __global__ void many(float* x) {
    float held[64];
#pragma unroll
    for (int i = 0; i < 64; ++i) held[i] = x[i * 3];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 64; ++i) x[i] = held[63 - i] * held[i] + held[(i * 7) % 64];
}
"""


@pytest.fixture(scope="module")
def compiler():
    return nvrtc.Nvrtc()


@pytest.fixture(scope="module")
def outcome(compiler):
    return gate.compile_all(compiler, gate.all_files())


def test_every_file_compiles_and_the_table_holds(compiler, outcome):
    version, table = gate.read_table()
    assert outcome.errors == []
    assert faults(compiler.version, outcome.files, version, table) == []


def test_the_table_is_of_this_compiler_and_complete(compiler, outcome):
    version, table = gate.read_table()
    assert version == compiler.version
    names = gate.targets(compiler)
    assert names[:2] == ("sm_80", "sm_90")
    assert gate.number_of(names[2]) == max(compiler.architectures) > 90
    assert all(set(taken) == set(names) for kernels in table.values() for taken in kernels.values())
    assert {"cuda/maxpool.cu", "cuda/unpool.cu", "ladder/conv2d/1_naive.cu"} <= set(table)


def test_the_written_table_reads_back_the_same(tmp_path, monkeypatch, outcome):
    path = tmp_path / "resources.json"
    monkeypatch.setattr(gate, "TABLE", path)
    path.write_text(gate.table_text("13.0", outcome.files))
    without_local = {
        file: {kernel: {a: t._replace(local_bytes=0) for a, t in taken.items()} for kernel, taken in kernels.items()}
        for file, kernels in outcome.files.items()
    }
    assert gate.read_table() == ("13.0", without_local)
    assert json.loads(path.read_text())["nvrtc"] == "13.0"


def test_a_syntax_error_names_file_and_line(compiler):
    broken = KERNEL.replace("+= 1.f;", "+= 1.f")
    result = gate.compile_all(compiler, {"broken.cu": f'#line 1 "broken.cu"\n{broken}', "good.cu": KERNEL})
    assert len(result.errors) == 3  # once for each architecture
    assert all("broken.cu(3): error" in error for error in result.errors)
    assert set(result.files["good.cu"]["add"]) == set(gate.targets(compiler))


def test_an_error_in_an_included_file_names_that_file(compiler):
    text = gate.whole_text(gate.KERNELS / "cuda" / "maxpool.cu")
    broken = text.replace("cp_async_commit();\n    cp_async_wait<0>();", "cp_async_comit();\n    cp_async_wait<0>();")
    assert broken != text
    with pytest.raises(nvrtc.CompileError, match=r'band\.cuh\(\d+\): error: identifier "cp_async_comit" is undefined'):
        compiler.compile(broken, "maxpool.cu", "sm_90")


@pytest.mark.parametrize(("text", "options"), [(ARRAY_INDEXED_AT_RUN_TIME, ()), (MANY_VALUES_AT_ONCE, ("--maxrregcount=24",))])
def test_local_memory_is_found(compiler, text, options):
    result = gate.compile_all(compiler, {"bad.cu": text}, options)
    (kernel,) = result.files["bad.cu"]
    version = compiler.version
    wrong = faults(version, result.files, version, result.files)
    assert len(wrong) == 3
    assert f"bad.cu: {kernel} for sm_80 keeps" in wrong[0]
    assert "in local memory" in wrong[0]
    assert faults(version, gate.compile_all(compiler, {"bad.cu": KERNEL}).files, version, {"bad.cu": {"add": {}}})[
        0
    ].startswith("bad.cu: add has no entry for sm_80")


def test_more_registers_or_shared_memory_than_the_table(compiler):
    for taken, what in ((Resources(25, 64), "25 registers"), (Resources(20, 65), "65 bytes of static shared memory")):
        (wrong,) = faults("13.0", {"a.cu": {"add": {"sm_90": taken}}}, "13.0", TABLE)
        assert f"add for sm_90 takes {what}" in wrong
        assert "--write" in wrong
    for as_good in (Resources(20, 64), Resources(19, 0), Resources(24, 64)):  # registers come in eights
        assert faults("13.0", {"a.cu": {"add": {"sm_90": as_good}}}, "13.0", TABLE) == []


def test_another_release_of_the_compiler_is_not_compared_but_its_spills_are():
    assert faults("13.5", {"a.cu": {"add": {"sm_90": Resources(99, 64)}}}, "13.0", TABLE) == []
    assert len(faults("13.5", {"a.cu": {"add": {"sm_90": Resources(10, 0, 8)}}}, "13.0", TABLE)) == 1


def test_a_kernel_that_the_table_does_not_know():
    (wrong,) = faults("13.0", {"a.cu": TABLE["a.cu"] | {"new": {"sm_90": Resources(9, 0)}}}, "13.0", TABLE)
    assert wrong.startswith("a.cu: new is not in resources.json")
    assert gate.UPDATE in wrong


def test_an_entry_whose_kernel_is_gone():
    assert faults("13.0", {}, "13.0", TABLE) == [f"a.cu: add is in resources.json but no longer exists; {gate.UPDATE}"]


def test_a_file_without_kernels():
    (wrong,) = faults("13.0", {"empty.cu": {}}, "13.0", {})
    assert wrong.startswith("empty.cu: no kernel in it")


def test_the_log_of_two_kernels():
    log = """ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, used 1 barriers, 64 bytes smem
ptxas info    : Compiling entry function 'two' for 'sm_90'
ptxas info    : Function properties for two
    8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers
"""
    assert parse(log) == {"one": Resources(20, 64, 0), "two": Resources(32, 0, 12)}


def test_the_command_says_what_is_wrong_and_writes_what_came_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gate, "TABLE", tmp_path / "resources.json")
    monkeypatch.setattr(gate, "all_files", lambda: {"a.cu": KERNEL})
    assert gate.main([]) == 1
    assert "a.cu: add is not in resources.json" in capsys.readouterr().out
    assert gate.main(["--write"]) == 0
    assert "the gate is open" in capsys.readouterr().out
    assert gate.main([]) == 0
    before = (tmp_path / "resources.json").read_text()
    monkeypatch.setattr(gate, "all_files", lambda: {"a.cu": "nonsense"})
    assert gate.main(["--write"]) == 1  # what does not compile is not written
    assert (tmp_path / "resources.json").read_text() == before


def test_without_nvrtc_the_command_says_what_to_install(monkeypatch, capsys):
    def no_library(name, **options):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(nvrtc, "library", lambda: None)
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert gate.main([]) == 2
    assert "pip install nvidia-cuda-nvrtc" in capsys.readouterr().err
    assert "pip install nvidia-cuda-nvrtc" in nvrtc.why_missing()
