"""Every step of the ladders is right in both languages, reads and writes what its file says, and its bugs are caught."""

import difflib
import json
import re

import numpy as np
import pytest
import strict_device
from numba import float32, int64, uint8

from kernels import emulator
from kernels.cuda.gate import TABLE
from kernels.emulator import KernelError
from kernels.ladder import CONV2D, LADDERS, UNPOOL2D, __main__, on_gpu, running, table
from kernels.ladder.ceilings import GPUS, ceilings
from kernels.ladder.running import ORDERS, WrongResult, bits, check, run
from kernels.ladder.steps import FOLDER
from kernels.numba_cuda import compiling
from kernels.numba_cuda.loader import load

STEPS = {
    f"{ladder.name} {step.name} {language}": (ladder, step, language)
    for ladder in LADDERS.values()
    for step in ladder.steps
    for language in step.languages
}
CUDA = pytest.mark.compiler
cases = [pytest.param(*step, id=name, marks=[CUDA] if step[2] == "cuda" else []) for name, step in STEPS.items()]
every_step = pytest.mark.parametrize(("ladder", "step", "language"), cases)
every_bug = pytest.mark.parametrize(
    ("ladder", "step", "language", "bug"),
    [pytest.param(*case.values, bug, id=f"{case.id} {bug}", marks=case.marks) for case in cases for bug in case.values[1].bugs],
)


@every_step
def test_is_right_on_awkward_shapes_and_reads_what_it_says(ladder, step, language):
    problems = list(ladder.awkward)
    if language == "python" and ladder is CONV2D:  # slow; the last shape is there for the large tiles
        del problems[-1 if step.number < 4 else -2]
    for problem in problems:
        ran = run(ladder, step, problem, language)
        check(ladder, step, problem, ran.output)
        assert ran.traffic == step.claims(problem, language), problem


@every_step
def test_is_right_in_every_order(ladder, step, language):
    problem = ladder.awkward[1]
    for order in ORDERS[1:]:
        check(ladder, step, problem, run(ladder, step, problem, language, order).output)


@every_bug
def test_a_planted_bug_is_caught(ladder, step, language, bug):
    problem = ladder.awkward[1]
    with pytest.raises((KernelError, WrongResult)):
        check(ladder, step, problem, run(ladder, step, problem, language, bug=bug).output)


@pytest.mark.parametrize("language", [pytest.param("cuda", marks=CUDA), "python"])
def test_only_the_scatter_depends_on_the_order(language):
    problem = UNPOOL2D.awkward[1]._replace(H=13, W=17)
    results = [bits(UNPOOL2D, step, problem, language) for step in UNPOOL2D.steps]
    assert results[0] > 1
    assert results[1:] == [1, 1, 1]


@pytest.mark.compiler
def test_both_gathers_give_the_same_bits():
    for problem in UNPOOL2D.awkward:
        gather, fours = (run(UNPOOL2D, UNPOOL2D.steps[i], problem).output for i in (1, 2))
        assert gather.tobytes() == fours.tobytes()


def test_counts_fall_from_step_to_step():
    """The factors that the files and the page name, where tiles are full."""
    problem = CONV2D.shown
    claims = {step.number: step.claims(problem, "cuda") for step in CONV2D.steps}
    reads = {number: claim.global_reads.accesses for number, claim in claims.items()}
    shared = {number: claim.shared_reads.accesses for number, claim in claims.items()}
    assert reads[1] == reads[2] == 2 * problem.products
    assert reads[3] == 2 * problem.products // 16
    assert reads[4] == reads[5] == reads[6] == reads[7] == 2 * problem.products // 128
    assert shared[1] == shared[2] == 0
    assert shared[3] == 2 * problem.products
    assert shared[4] == shared[5] == problem.products // 4
    assert shared[6] == problem.products // 16
    assert claims[6].shared_reads.bytes == claims[5].shared_reads.bytes
    assert shared[7] == 3 * problem.products // 64
    barriers = [step.barriers(problem) for step in CONV2D.steps]
    assert barriers == [0, 0, 18, 36, 18, 18, 18]


def test_unpooling_moves_fewer_bytes_from_step_to_step():
    problem = UNPOOL2D.shown
    ran = [table.Counted(step, problem, running.Ran(None, step.claims(problem, "cuda")), 1) for step in UNPOOL2D.steps]
    moved = [table.bytes_moved(counted) for counted in ran]
    assert moved[0] > moved[1] > moved[2] > moved[3]
    assert moved[2] - moved[3] == 8, "the rectifier's own pass"


@pytest.mark.compiler
@pytest.mark.parametrize("name", LADDERS)
def test_the_page_is_up_to_date(name):
    text = table.README.read_text()
    again = table.filled(text, LADDERS[name], table.block(LADDERS[name], GPUS["h200"]))
    difference = "\n".join(difflib.unified_diff(text.splitlines(), again.splitlines(), lineterm="", n=0))
    assert text == again, f"python -m kernels.ladder --write\n{difference}"


def test_the_page_leads_to_every_file():
    links = re.findall(r"\]\(\./([\w/.]+)\)", table.README.read_text())
    files = {path.relative_to(FOLDER).as_posix() for ladder in LADDERS for path in (FOLDER / ladder).glob("[0-9]*")}
    assert files <= set(links)
    assert all((FOLDER / link).is_file() for link in links)


def test_the_page_names_the_numbers_of_the_datasheet():
    page, gpu = table.README.read_text(), GPUS["h200"]
    for number in (
        f"{gpu.memory} TB/s",
        f"{gpu.shared_memory:.0f} TB/s",
        f"adds {gpu.fp32 / 2} million million",
        f"reads {gpu.memory / 4} million million",
        f"waits {gpu.fp32 / 2 / (gpu.memory / 4):.0f} times",
    ):
        assert number in page


def test_every_file_is_a_page():
    for ladder in LADDERS.values():
        kernels = {}
        for step in ladder.steps:
            for language in step.languages:
                text = ladder.text(step, language)
                assert 10 < text.count("\n") <= 120
                assert text.lstrip('/ "').startswith(f"{ladder.name}, step {step.number}: ")
                head, _, _ = text.partition('extern "C"' if language == "cuda" else "@cuda.jit")
                if language == "cuda":
                    assert all(f"\n// {word}" in head for word in ("Idea", "Launch", "Next")) or step.number == 1
                signature = re.search(rf"{ladder.kernel}\(([^)]*)\)", text)[1]
                kernels.setdefault(language, set()).add(" ".join(signature.split()))
        assert all(len(signatures) == 1 for signatures in kernels.values()), "one signature for all steps"
        numbers = [int(path.name.partition("_")[0]) for path in sorted((FOLDER / ladder.name).glob("[0-9]*.cu"))]
        assert numbers == [step.number for step in ladder.steps] == list(range(1, len(numbers) + 1))


def test_the_gate_holds_every_file_to_no_spills():
    """The compiling itself is test_cuda_gate's."""
    kept = json.loads(TABLE.read_text())["files"]
    for ladder in LADDERS.values():
        for step in ladder.steps:
            kernels = kept[f"ladder/{ladder.name}/{step.name}.cu"]
            assert list(kernels) == [ladder.kernel]
            for registers, *_, local_bytes in kernels[ladder.kernel].values():
                assert local_bytes == 0 or len(_) == 0
                assert registers <= 128, "two blocks of 256 threads fit on a multiprocessor"


@pytest.mark.nvvm
@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step[2] == "python"])
def test_numba_keeps_tiles_in_registers(name):
    """Compiled for a GPU that need not be there: no local memory, nothing in double precision."""
    ladder, step, language = STEPS[name]
    kernel = running.python_kernel(ladder, step, ladder.text(step, language))
    array, whole = float32[:, :, :, ::1], int64
    types = (array, array, array, whole, whole)
    if ladder is UNPOOL2D:
        types = (array, uint8[:, :, :, ::1], array, *[whole] * 4)
    ptx = compiling.to_ptx(load(), kernel.py_func, types)
    assert ".f64" not in ptx
    registers, *local = compiling.resources(ptx, 255)
    assert registers <= 255
    assert local == [0, 0]


def test_checking_sees_nan_and_what_nobody_wrote():
    ladder, step, problem = CONV2D, CONV2D.steps[0], CONV2D.awkward[1]
    right = ladder.case(problem, step).expected.astype(np.float32)
    check(ladder, step, problem, right)
    for value in (np.nan, np.inf, right.flat[3] + 1e-4):
        wrong = right.copy()
        wrong.flat[3] = value
        with pytest.raises(WrongResult, match="1 of"):
            check(ladder, step, problem, wrong)


def test_ceilings_name_what_limits():
    gpu = GPUS["h200"]
    starved = ceilings(gpu, products=1000, accesses=2000, sectors=1000, passes=0, tensor_cores=False)[0]
    assert starved.limit == "global memory"
    assert starved.tflops == pytest.approx(4.8 * 2000 / 32000)
    shared = ceilings(gpu, products=3200, accesses=6400, sectors=1, passes=200, tensor_cores=False)[0]
    assert shared.limit == "shared memory"
    assert shared.tflops == pytest.approx(gpu.shared_memory * 6400 / (200 * 128))
    fed = ceilings(gpu, products=640, accesses=160, sectors=1, passes=1, tensor_cores=False)[0]
    assert (fed.limit, fed.tflops) == ("instructions", pytest.approx(67 * 0.8))
    tensors = ceilings(gpu, products=64000, accesses=160, sectors=1, passes=1, tensor_cores=True)[0]
    assert (tensors.limit, tensors.tflops) == ("tensor cores", 494)


def test_the_command_checks_counts_and_breaks(capsys):
    small = ["--language", "python", "--shape", "C2 H6 W5 K3"]
    assert __main__.main(["unpool2d", "--language", "python", "--step", "2", "--shape", "H6 W5"]) == 0
    assert "2_gather" in capsys.readouterr().out
    assert __main__.main(["conv2d", "--step", "3", "--break", "second-barrier", *small]) == 1
    assert "data race" in capsys.readouterr().out
    assert __main__.main(["conv2d", "--language", "python", "--step", "1", "--break", "guard"]) == 1
    said = capsys.readouterr().out  # whole blocks on the usual problem; the awkward ones are tried next
    assert "nothing went wrong" in said
    assert "outside global array x" in said
    assert __main__.main([]) == 0
    assert "examples:" in capsys.readouterr().out


def test_a_wrong_step_is_reported(capsys, monkeypatch):
    monkeypatch.setattr(running, "check", lambda *arguments: None)

    def refuse(*arguments):
        raise WrongResult("1 of 3 outputs are wrong")

    monkeypatch.setattr(__main__, "check", refuse)
    assert __main__.main(["unpool2d", "--language", "python", "--step", "2"]) == 1
    assert "2_gather: 1 of 3 outputs are wrong" in capsys.readouterr().out


class StandIn:
    """For a GPU: arrays that stay on the device as CuPy's do, kernels in the emulator, and a clock that counts launches."""

    arrays = strict_device

    def __init__(self):
        self.launches = 0

    def empty(self, shape):
        return strict_device.DeviceArray(np.empty(shape, np.float32))

    def compiled(self, text, file, options):
        module = emulator.Module(text, options, name=file)

        class Compiled:
            def get_function(_, name):
                def launch(grid, block, arguments):
                    self.launches += 1
                    inner = [a.inner if isinstance(a, strict_device.DeviceArray) else a for a in arguments]
                    module.get_function(name)(grid, block, tuple(inner))

                return launch

        return Compiled()

    def time(self, call):
        call()
        return None, 1e-6 * self.launches

    def flush(self):
        pass


@pytest.fixture
def stand_in(monkeypatch):
    device = StandIn()
    monkeypatch.setattr("kernels.cuda.device.Gpu", lambda: device)
    monkeypatch.setattr("kernels.bench.clock.gpu_clock", lambda arrays: device)
    monkeypatch.setattr(on_gpu, "RUNS", 3)
    return device


@pytest.mark.compiler
@pytest.mark.parametrize("name", LADDERS)
def test_times_are_medians_of_kernels_that_are_right(name, stand_in, capsys):
    ladder = LADDERS[name]
    for step in ladder.steps:
        stand_in.launches = 0
        warm = len(ladder.awkward) + on_gpu.WARM_UP
        assert on_gpu.microseconds(ladder, step, ladder.awkward[1]) == pytest.approx(warm + 2), "of three runs the second"
    shape = " ".join(f"{letter}{size}" for letter, size in ladder.awkward[1]._asdict().items())
    assert __main__.main([name, "--time", "--step", "2", "--shape", shape]) == 0
    assert ladder.steps[1].name in capsys.readouterr().out


@pytest.mark.compiler
def test_wrong_kernels_have_no_time(stand_in, monkeypatch):
    step = CONV2D.steps[5]
    monkeypatch.setattr(
        stand_in, "compiled", lambda *_: StandIn.compiled(stand_in, CONV2D.text(step, "cuda", "places"), "6.cu", ())
    )
    with pytest.raises(WrongResult):
        on_gpu.microseconds(CONV2D, step, CONV2D.awkward[1])


def test_without_a_gpu_times_are_refused_in_words(monkeypatch, capsys):
    def missing():
        raise ImportError("No module named 'cupy'")

    monkeypatch.setattr("kernels.cuda.device.Gpu", missing)
    assert __main__.main(["conv2d", "--time", "--shape", "C1"]) == 2
    assert "real times need an NVIDIA GPU and CuPy (pip install 'minizf[cuda]')" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["conv2d", "--step", "9"], "has no step 9 in cuda; it has 1, 2"),
        (["conv2d", "--step", "7", "--language", "python"], "has no step 7 in python; it has 1, 2, 3, 4, 5"),
        (["conv2d", "--shape", "C3 H"], "is not understood; write it like: N1 C16"),
        (["conv2d", "--shape", "C3 Z4"], "is not understood"),
        (["conv2d", "--shape", "H1"], "larger than the padded input 1x18"),
        (["conv2d", "--shape", "stride0"], "stride is 0; expected at least 1"),
        (["unpool2d", "--shape", "pad3"], "padding 3x3 is not smaller than the window"),
        (["conv2d", "--step", "3", "--break", "nonsense"], "nothing to break by the name 'nonsense'"),
    ],
)
def test_commands_that_make_no_sense_are_refused(command, words, capsys):
    assert __main__.main(command) == 2
    assert words in capsys.readouterr().err
