"""The bench finds out every implementation that is fast by being wrong, and says which way it is wrong."""

import importlib
import time
from pathlib import Path

import pytest
from attacks import __path__ as folder

from kernels import backends
from kernels.backends import FLOAT32, Implementation
from kernels.bench import clock, runner
from kernels.bench.case import Case
from kernels.bench.contestants import Ours
from kernels.bench.problems import Conv, Problem
from kernels.bench.roofs import Roofs
from kernels.bench.runner import ClockShop, Judge, Settings

PROBLEM = Problem("attacks", "conv", "conv2d", Conv((6, 8, 12, 10), 8, (3, 3), (1, 1), (1, 1)))
QUICK = Settings(caches=("cold", "warm"), least_runs=4, limit_s=0.05)
FOUND_OUT = {
    "cached": ("before timing", "memory of an earlier result: a cached output"),
    "first_call_only": ("before timing", "result of earlier inputs for new ones"),
    "rescales": ("before timing", "wrong result: off by up to"),
    "partial": ("before timing", "values unwritten"),
    "zeros": ("before timing", "returned zeros"),
    "changes_input": ("before timing", "changed its input x"),
    "patched_timer": ("before timing", "replaced the timer time.perf_counter"),
    "half_precision": ("before timing", "rounded to half precision"),
    "view_of_input": ("before timing", "returned memory of its input x"),
    "skips_images": (
        "before timing",
        "right for 0 to 2, wrong for 3 to 5 of the first axis (0 to 5): part of the batch skipped",
    ),
    "returns_early": ("before timing", "still changing after the call had returned"),
    "uninitialised": ("before timing", "returned memory it never wrote"),
    "tired": ("in timed run", ""),  # which values are there instead depends on what the memory held
    "one_missing": ("in timed run", "left 1 of 5,760 values unwritten"),
    "one_wrong": ("", "wrong result: off by up to 0.01"),  # a sample may meet it, else the check at the end does
    "early_later": ("in timed run", "still changing after the call had returned"),
    "lazy": ("before timing", "returned a attacks.lazy.Lazy, expected a plain array"),
    "wrong_layout": ("before timing", "not C-contiguous"),
    "changes_filters": ("before timing", "changed its input w"),
    "writes_beyond": ("before timing", "wrote beyond its input x"),
    "reads_beyond": ("before timing", "left 80 of 5,760 values unwritten (NaN"),
    "no_corners": ("before timing", "wrong result: off by up to"),
}


@pytest.fixture
def attack(monkeypatch):
    """Registers a module of `attacks` as an implementation, read anew."""

    def register(name):
        importlib.reload(importlib.import_module(f"attacks.{name}"))
        monkeypatch.setitem(backends.KNOWN, name, Implementation(name, f"attacks.{name}", (FLOAT32,), "-"))
        monkeypatch.delitem(backends._loaded, name, raising=False)
        return Ours(name)

    monkeypatch.setattr(backends, "_loaded", dict(backends._loaded))
    return register


def small_shop():
    shop = ClockShop(1)
    shop.made[False] = clock.WallClock(1 << 16, 1)
    return shop


def judged(flops=1e15):
    return Judge(lambda gpu: Roofs({"told": flops}, {}, {"copy": 1e15}))


def race(*contestants, judge=None):
    return runner.run_case(Case(PROBLEM, contestants), QUICK, judge or judged(), small_shop())


def test_every_attack_is_listed_here():
    assert {path.stem for path in Path(folder[0]).glob("*.py")} - {"__init__"} == set(FOUND_OUT)


@pytest.mark.parametrize("name", FOUND_OUT)
def test_attack_is_rejected(attack, name):
    when, why = FOUND_OUT[name]
    rows = race(attack(name), Ours("numpy"))
    honest, cheating = ([row for row in rows if row.ours and row.implementation == who] for who in ("numpy", name))
    for row in cheating:
        assert row.rejected.startswith(when)
        assert why in row.rejected
        assert row.median_s is None
        assert not row.times_s
    assert [row.rejected for row in honest] == [None, None]
    assert all(row.median_s > 0 for row in honest)


def test_a_patched_timer_is_put_back(attack):
    true = time.perf_counter
    race(attack("patched_timer"))
    assert time.perf_counter is true


def test_a_timer_patched_in_a_timed_call_is_noticed(monkeypatch):
    monkeypatch.setattr(time, "monotonic", time.monotonic)  # restores it, should the clock not
    with pytest.raises(clock.Rejected, match=r"replaced the timer time\.monotonic"):
        clock.WallClock(1 << 16, 1).time(lambda: setattr(time, "monotonic", lambda: 0.0))


def test_a_lying_clock_is_noticed_by_the_other():
    stands = clock.WallClock(1 << 16, 1)
    with pytest.raises(clock.Rejected, match="two clocks disagree"):
        stands.time(lambda: time.sleep(0.002), now=iter([0, 1000]).__next__)
    with pytest.raises(clock.Rejected, match="two clocks disagree"):
        stands.time(lambda: None, now=iter([5, 5]).__next__)


def test_faster_than_the_machine_is_an_error():
    measured = []
    judge = Judge(lambda gpu: measured.append(gpu) or Roofs({"told": 1e3}, {}, {"copy": 1e15}))
    rows = race(Ours("numpy"), judge=judge)
    assert all("of the compute roof, more than the 15% that noise explains" in row.rejected for row in rows)
    assert all(row.of_roof is None and not row.times_s for row in rows)
    assert len(measured) > 1  # the roof was measured again before anybody was accused
