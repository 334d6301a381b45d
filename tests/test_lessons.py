"""Every lesson runs from top to bottom, looks like a lesson, and fails where its claims are made false."""

import os
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels.emulator import simulator_machine, simulator_memory
from kernels.ladder import running
from minizf import deconvnet, train
from minizf.experiments import top9
from minizf.layers import ReLU

ROOT = Path(__file__).resolve().parents[1]
LESSONS = {path.stem: path for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))}
DRAWING = 'tags=["hide-input"]'


@dataclass
class Taught:
    """A lesson that ran through: its variables at the end, and the names of its figures."""

    variables: dict
    figures: list[str]


@pytest.fixture(scope="session")
def teach(tmp_path_factory):
    """teach(lesson) -> Taught; each lesson runs once for all tests."""

    @cache
    def once(lesson: str) -> Taught:
        folder = tmp_path_factory.mktemp(lesson)
        with pytest.MonkeyPatch.context() as patch:
            variables = run(lesson, folder, patch)
        return Taught(variables, sorted(path.stem for path in folder.iterdir()))

    return once


def run(lesson: str, folder: Path, patch: pytest.MonkeyPatch) -> dict:
    """Runs a lesson as `python` would, small, with its figures written to a folder; returns its variables."""
    patch.setenv("MINIZF_FIGURES", str(folder))
    patch.delenv("MINIZF_FULL", raising=False)
    return runpy.run_path(str(LESSONS[lesson]), run_name="__main__")


def cells(path: Path) -> list[str]:
    return re.split(r"(?m)^(?=# %%)", path.read_text())[1:]


def test_there_are_lessons():
    assert [name[:2] for name in LESSONS] == [f"{i:02}" for i in range(1, len(LESSONS) + 1)]
    assert len(LESSONS) >= 3


@pytest.mark.parametrize("lesson", LESSONS)
def test_runs_and_shows_its_figures(lesson, teach):
    figures = teach(lesson).figures
    assert figures == sorted(re.findall(r'"(\d\d-[a-z-]+)",?\s*\)', LESSONS[lesson].read_text()))
    assert {name[:2] for name in figures} == {lesson[:2]}, "a figure's name begins with the number of its lesson"


@pytest.mark.parametrize("lesson", LESSONS)
def test_looks_like_a_lesson(lesson):
    parts = cells(LESSONS[lesson])
    opening = parts[0]
    assert opening.startswith("# %% [markdown]\n# # ")
    assert all(f"**{word}**" in opening for word in ("You have", "You will have", "Needs"))
    assert "wrong version" in LESSONS[lesson].read_text().lower()
    assert any(part.startswith("# %% [markdown]") and "# ## Exercise" in part and "*Hint:*" in part for part in parts[-2:])
    told = sum(len(part.splitlines()) for part in parts if DRAWING not in part)
    assert told <= 250, "a lesson is at most 250 lines, cells that only draw not counted"


@pytest.mark.parametrize("lesson", LESSONS)
def test_is_listed_in_the_site(lesson):
    index = (ROOT / "lessons" / "index.md").read_text()
    assert f"]({lesson}.py)" in index
    assert f"\n{lesson}\n" in index


def test_a_false_claim_fails_with_its_line(tmp_path):
    text = LESSONS["02_pooling_with_switches"].read_text()
    claim = "assert slope == 4\n"
    line = text[: text.index(claim)].count("\n") + 1
    false = tmp_path / "false_lesson.py"
    false.write_text(text.replace(claim, "assert slope == 5\n"))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MINIZF_FIGURES": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "error", false], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert f'false_lesson.py", line {line}' in done.stderr
    assert "AssertionError" in done.stderr


# A planted bug each: the library is made wrong in one way, and the lesson must notice.


def last_wins(x, size, stride, pad=0):
    """A tie goes to the last place of a window; square windows."""
    border = [(0, 0), (0, 0), (pad, pad), (pad, pad)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, border, constant_values=-np.inf), (size, size), axis=(2, 3))
    flat = windows[:, :, ::stride, ::stride].reshape(*windows[:, :, ::stride, ::stride].shape[:4], -1)
    return flat.max(axis=-1), (size * size - 1 - flat[..., ::-1].argmax(axis=-1)).astype(np.uint8)


def zero_pads(x, size, stride, pad=0):
    """Padding is 0 and may win."""
    return honest_pool(np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)]), size, stride)


def overwrites(y, switches, size, stride, pad, out_size, collisions="sum"):
    return honest_unpool(y, switches, size, stride, pad, out_size, "last" if collisions == "sum" else collisions)


def unflipped(dy, w, stride, pad, size):
    return honest_transpose(dy, np.ascontiguousarray(w[:, :, ::-1, ::-1]), stride, pad, size)


def mean_wins(layer, activations, numbers):
    _, numbers, at = honest_responses(layer, activations, numbers)
    return activations.mean(axis=(2, 3)).T, numbers, at


def shifted(*args, **named):
    found = honest_windows(*args, **named)
    return deconvnet.Windows(np.roll(found.pixels, 1, axis=-1), found.boxes)


honest_pool, honest_unpool, honest_transpose = kernels.maxpool2d, kernels.unpool2d, kernels.conv2d_transpose
honest_traffic = running.traffic_of
honest_responses, honest_windows = top9.responses, top9.project_windows


def seeds_everything(net, tape, layer, images, maps, at, seed):
    return tape.outputs[layer][images]


def rectifies_nothing(self, r, tape, rules=None):
    return r


def rectifies_as_gradient(self, r, tape, rules=None):
    return r if tape is None else kernels.relu_grad(r, tape)


def unpools_double(*args):
    return 2 * honest_unpool(*args)


def sees_no_race(self, number, does, other, did):
    return None


def always_forward(self, items):
    return list(items)


def counts_bytes(counts):
    return running.Traffic(*(running.Memory(memory.bytes, memory.bytes) for memory in honest_traffic(counts)))


BUGS = {
    "01 windows a pixel aside": (top9, "project_windows", shifted),
    "01 winners by the mean": (top9, "responses", mean_wins),
    "01 all activations stay": (deconvnet, "lay_seed", seeds_everything),
    "02 last wins a tie": (kernels, "maxpool2d", last_wins),
    "02 padding wins": (kernels, "maxpool2d", zero_pads),
    "02 overwritten, not summed": (kernels, "unpool2d", overwrites),
    "03 filters not flipped": (kernels, "conv2d_transpose", unflipped),
    "03 no rectifier": (ReLU, "deconv", rectifies_nothing),
    "03 rectified by the forward mask": (ReLU, "deconv", rectifies_as_gradient),
    "03 unpooling doubles": (kernels, "unpool2d", unpools_double),
    "03 all activations stay": (deconvnet, "lay_seed", seeds_everything),
    "04 races go unseen": (simulator_memory.Watched, "race", sees_no_race),
    "04 threads always come in one order": (simulator_machine.Machine, "ordered", always_forward),
    "04 bytes counted as reads": (running, "traffic_of", counts_bytes),
}


@pytest.mark.parametrize("bug", BUGS)
def test_notices_a_planted_bug(bug, teach, monkeypatch, tmp_path):
    where, name, wrong = BUGS[bug]
    lesson = next(lesson for lesson in LESSONS if lesson.startswith(bug[:2]))
    if lesson == "01_tour":
        learned = teach(lesson).variables

        def fit(run, net, *args, **named):
            net.load_state(learned["net"].state())
            return learned["rows"]

        monkeypatch.setattr(train, "fit", fit)  # the lesson's own training, not done again
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        run(lesson, tmp_path, monkeypatch)


def test_notices_that_nothing_was_learned(teach, monkeypatch, tmp_path):
    rows = teach("01_tour").variables["rows"]
    monkeypatch.setattr(train, "fit", lambda *args, **named: rows)
    with pytest.raises(AssertionError, match="learned"):
        run("01_tour", tmp_path, monkeypatch)
