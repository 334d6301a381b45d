"""`minizf bench` as a person and a script meet it: files, exit codes, words; and the training step it adds to the kernels."""

import json
import re

import numpy as np
import pytest
from bench_records import BRIEF, ROOFS, told_roofs  # noqa: F401
from PIL import Image

import kernels
from kernels.bench import session
from kernels.bench.checking import Rejected
from kernels.bench.contestants import Ours
from kernels.bench.problems import Net, Problem
from kernels.bench.runner import ClockShop, Judge, run_case
from minizf import bench, cli, zoo
from minizf.training_step import OurStep, StepCase, step_cost

pytestmark = pytest.mark.usefixtures("told_roofs")
SHORT = ["bench", "--implementations", "numpy", "--peer", "none", "--runs", "2", "--limit", "0.01", "--caches", "warm"]
TINY = [*SHORT, "--set", "tiny", "--operations", "conv2d,lrn"]


def fails(capsys, arguments, *words):
    capsys.readouterr()
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert "Traceback" not in said


def test_a_short_run_prints_and_keeps_its_record(capsys, caplog, tmp_path):
    path, picture = tmp_path / "new.json", tmp_path / "new.png"
    assert cli.main([*TINY, "--json", str(path), "--plot", str(picture)]) == 0
    said = capsys.readouterr()
    assert "tiny/deep/conv2d" in said.out
    assert "told: a warning" in caplog.text
    record = session.read(path)
    assert record["complete"]
    assert {row["case"] for row in record["rows"]} == {"tiny/conv/conv2d", "tiny/deep/conv2d", "tiny/norm/lrn"}
    assert record["settings"]["settings"] | {"threads": 0} == {
        "caches": ["warm"],
        "least_runs": 2,
        "limit_s": 0.01,
        "noise": 0.01,
        "threads": 0,
        "seed": 0,
    }
    with Image.open(picture) as drawn:
        assert min(drawn.size) > 600


def test_showing_comparing_and_the_readme_time_nothing(capsys, tmp_path, monkeypatch):
    path, page = tmp_path / "new.json", tmp_path / "README.md"
    assert cli.main([*TINY, "--json", str(path)]) == 0
    monkeypatch.setattr(session, "run", None)
    page.write_text("<!-- kernels: written by `minizf bench --readme` -->\n<!-- end of kernels -->\n")
    capsys.readouterr()
    assert cli.main(["bench", "--show", str(path), "--readme", str(page)]) == 0
    assert "tiny/norm/lrn" in capsys.readouterr().out
    assert "Time of ours over that of a peer" in page.read_text()
    assert cli.main(["bench", "--compare", str(path), str(path)]) == 0
    assert "0 slower" in capsys.readouterr().out
    record = json.loads(path.read_text())
    for row in record["rows"]:
        row["median_s"], row["interval_s"] = 9.0, [8.9, 9.1]
    slower = tmp_path / "slower.json"
    slower.write_text(json.dumps(record))
    assert cli.main(["bench", "--compare", str(path), str(slower)]) == 1
    assert "3 slower" in capsys.readouterr().out
    assert cli.main(["bench", "--compare", str(slower), str(path)]) == 0


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(capsys, tmp_path, monkeypatch):
    path, true, cases = tmp_path / "new.json", session.run_case, []

    def interrupted(case, *rest):
        cases.append(case)
        if len(cases) == 2:
            raise KeyboardInterrupt
        return true(case, *rest)

    monkeypatch.setattr(session, "run_case", interrupted)
    assert cli.main([*TINY, "--json", str(path)]) == 130
    said = capsys.readouterr()
    assert f"stopped after 1 of 3 cases; saved. Go on with: minizf bench --resume {path}" in said.err
    assert "tiny/conv/conv2d" in said.out
    monkeypatch.setattr(session, "run_case", true)
    fails(capsys, ["bench", "--resume", str(path), "--runs", "3"], "--runs cannot change in a run that goes on")
    assert cli.main(["bench", "--resume", str(path)]) == 0
    assert session.read(path)["complete"]
    fails(capsys, ["bench", "--resume", str(path)], "nothing is left to time")


def test_a_rejected_result_ends_with_1(capsys, monkeypatch):
    true = kernels.numpy_blas.lrn
    monkeypatch.setattr(kernels.numpy_blas, "lrn", lambda *arguments: tuple(array * 0 for array in true(*arguments)))
    assert cli.main([*SHORT, "--set", "tiny", "--operations", "lrn"]) == 1
    assert "REJECTED before timing: returned zeros" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "zfnet65"], ["no set 'zfnet65'", "deepbench"]),
        (["--operations", "convolve"], ["no operation 'convolve'", "deconv_step"]),
        (["--implementations", "fast"], ["unknown implementation 'fast'"]),
        (["--peer", "caffe"], ["no peer 'caffe'", "or none"]),
        (["--caches", "hot"], ["caches 'hot': there are warm and cold"]),
        (["--json", "no/such/folder/x.json"], ["there is no folder no/such/folder"]),
        (["--json", "."], [". is a folder; name a file in it"]),
        (["--readme", __file__], [f"{__file__}: the page has no place for the table", "<!-- end of kernels -->"]),
        (["--noise", "0"], ["noise", "must be positive"]),
        (["--limit", "nan"], ["time limit", "must be positive"]),
        (["--show", "old.json", "--set", "zfnet"], ["--set goes with timing", "leave it out"]),
        (["--compare", "old.json", "new.json", "--full"], ["--full goes with timing"]),
        (["--show", "nothing.json"], ["nothing.json"]),
        (["--compare", "nothing.json", "nothing.json"], ["nothing.json"]),
    ],
)
def test_what_cannot_be_done_is_said(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    fails(capsys, ["bench", "--quiet", *arguments], *words)


def test_a_full_disk_is_said_and_the_old_record_stays(capsys, tmp_path, monkeypatch):
    path = tmp_path / "new.json"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minizf.files.os.fsync", full)
    fails(capsys, [*TINY, "--json", str(path)], "not written (No space left on device)", "the previous file is unchanged")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_list_names_everything(capsys):
    assert cli.main(["bench", "--list"]) == 0
    said = capsys.readouterr().out
    for word in ("seven", "convnet-benchmarks", "awkward", "deconv_step", "numba", "cuda-emulated"):
        assert word in said


def test_defaults_are_two_minutes_of_zfnet64():
    options = cli.parser().parse_args(["bench"])
    plan, earlier, path = bench.planned(options)
    assert (plan.sets, plan.peers, earlier, path) == (("zfnet64",), None, None, None)
    assert len(plan.problems()) * plan.settings.limit_s < 90
    assert plan.settings.caches == ("warm", "cold")
    full = bench.planned(cli.parser().parse_args(["bench", "--full", "--noise", "0.5"]))[0]
    assert (full.settings.least_runs, full.settings.noise) == (20, 0.005)


STEP = Problem("s", "step", "training_step", Net("zfnet64", 3, 5))


def test_a_training_step_is_a_case_like_others():
    case = StepCase(STEP, [Ours("numpy"), Ours("reference")])
    assert list(case.refused) == ["reference"]
    rows = run_case(case, BRIEF, Judge(lambda gpu: ROOFS), ClockShop(1))
    timed = next(row for row in rows if row.implementation == "numpy")
    assert timed.rejected is None
    assert timed.median_s > 0
    assert re.fullmatch(
        r"within \de-\d\d of NumPy in float64|within \d\.\de-\d\d of NumPy in float64", timed.checked["gradients"]
    )


def test_a_training_step_costs_three_passes_but_one():
    net = zoo.zfnet64(10)
    conv1 = 48 * 32 * 32 * 3 * 7 * 7
    forward = conv1 + 96 * 16 * 16 * 48 * 25 + 64 * 9 * (128 * 96 + 128 * 128 + 96 * 128) + 1536 * 256 + 256 * 256 + 256 * 10
    assert step_cost(net, 2).flop == 2 * 2 * (3 * forward - conv1)


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        ("gradient", "its gradient of conv1.weight is off by"),
        ("still", "left its weights as they were"),
        ("images", "changed its images"),
        ("loss", "its loss is nan"),
    ],
)
def test_a_wrong_training_step_is_rejected(monkeypatch, breakage, words):
    true_step, true_gradients = OurStep.step, OurStep.gradients

    def gradients(self, images, labels):
        found = true_gradients(self, images, labels)
        if images.dtype == np.float32:
            found["conv1.weight"] = found["conv1.weight"] * np.float32(1.01)
        return found

    def step(self, images, labels):
        if breakage == "still":
            return 1.0
        loss = true_step(self, images, labels)
        if breakage == "images":
            images[0] += 1
        return float("nan") if breakage == "loss" else loss

    if breakage == "gradient":
        monkeypatch.setattr(OurStep, "gradients", gradients)
    else:
        monkeypatch.setattr(OurStep, "step", step)
    rows = run_case(StepCase(STEP, [Ours("numpy")]), BRIEF, Judge(lambda gpu: ROOFS), ClockShop(1))
    assert words in rows[0].rejected


@pytest.mark.torch
def test_pytorchs_step_is_ours():
    """The same gradients and, after a step without dropout, the same weights."""
    from minizf.training_step import TorchStep

    torch = pytest.importorskip("torch")
    peer = session.peers.find("torch", False, 1)
    case = StepCase(STEP, [Ours("numpy"), peer])
    assert case.refused == {}
    for one in case.contestants:
        case.check_first(one)
    nets = [zoo.zfnet64(5, seed=1) for _ in range(2)]
    for net in nets:
        net.layers["drop6"].p = net.layers["drop7"].p = 0.0
    racers = OurStep(nets[0], 0), TorchStep(torch, nets[1])
    with kernels.use("numpy"):
        losses = [[racer.step(racer.placed(case.images[0]), case.labels) for _ in range(3)] for racer in racers]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, array in racers[0].state().items():
        assert np.allclose(array, racers[1].state()[name], atol=1e-5), name


def test_a_step_off_in_its_gradient_shows_in_words():
    case = StepCase(STEP, [Ours("numpy")])
    case.racers["numpy"].net.layers["fc8"].bias[:] = np.nan
    with pytest.raises(Rejected, match="its gradient of"), np.errstate(all="ignore"):
        case.check_last(case.contestants[0])
