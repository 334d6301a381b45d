"""Who is called when: turns, cold and warm caches, and when it ends, on a case that writes down what happens to it."""

import contextlib
from types import SimpleNamespace

import pytest
from bench_records import ROOFS

from kernels.bench import runner
from kernels.bench.costs import Cost
from kernels.bench.problems import Linear, Problem
from kernels.bench.runner import Judge, Settings


class Diary:
    """A case of two contestants, and the clock and shop around it: every call is a word in `log`."""

    problem = Problem("s", "l", "linear", Linear(2, 3, 4))
    cost = Cost(48.0, 48.0, 152.0, 3)

    def __init__(self, seconds):
        self.contestants = [SimpleNamespace(name=name, ours=name == "A", gpu=False, product_error=0.0) for name in ("A", "B")]
        self.log, self.seconds, self.at, self.refused = [], seconds, 0.0, {}

    def word(self, text):
        self.log.append(text)

    def check_first(self, one):
        return {}

    def refresh(self):
        self.word("new inputs")

    def active(self, one):
        return contextlib.nullcontext()

    def call(self, one):
        return lambda: one.name

    def warm(self, one):
        self.word(f"{one.name} warms up")

    def check(self, one, result):
        assert result == one.name

    def check_last(self, one):
        self.word(f"{one.name} checked whole")

    def drop(self):
        self.word("dropped")

    # the clock and its shop
    def of(self, one):
        return self

    def flush(self):
        self.word("flush")

    def time(self, call):
        name = call()
        self.word(f"{name} timed")
        seconds = self.seconds(name, sum(word == f"{name} timed" for word in self.log))
        self.at += seconds
        return name, seconds


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    waits = []
    monkeypatch.setattr(runner, "wait_until_idle", lambda: waits.append(1))
    return waits


def run(diary, **settings):
    return runner.run_case(diary, Settings(**settings), Judge(lambda gpu: ROOFS), diary, now=lambda: diary.at)


def test_contestants_take_turns_in_both_orders(idle):
    diary = Diary(lambda name, run: 2e-3 if name == "A" else 1e-3)
    rows = run(diary, caches=("cold", "warm"), least_runs=2, limit_s=100.0)
    cold_ab = ["new inputs", "flush", "A timed", "flush", "B timed"]
    warm_ab = ["new inputs", "A warms up", "A timed", "B warms up", "B timed"]
    cold_ba = ["new inputs", "flush", "B timed", "flush", "A timed"]
    warm_ba = ["new inputs", "B warms up", "B timed", "A warms up", "A timed"]
    assert diary.log == [*cold_ab, *warm_ab, *cold_ba, *warm_ba, "A checked whole", "B checked whole", "dropped"]
    assert len(idle) == 8
    ours = next(row for row in rows if row.implementation == "A" and row.caches == "warm")
    assert ours.ratio["B"] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert ours.settled
    assert not next(row for row in rows if row.implementation == "B").ratio


def test_it_goes_on_until_all_are_quiet():
    """A is noisy for its first runs; B waits for it."""
    diary = Diary(lambda name, run: 1e-3 * (3.0 if name == "A" and run in (2, 4, 5) else 1.0))
    rows = run(diary, caches=("warm",), least_runs=3, limit_s=100.0)
    runs = {row.implementation: len(row.times_s) for row in rows}
    assert runs["A"] == runs["B"] > 6
    assert all(row.settled for row in rows)


def test_the_limit_ends_what_never_settles():
    noisy = Diary(lambda name, run: 0.1 * (1 + run % 2))
    rows = run(noisy, caches=("warm",), least_runs=5, limit_s=1.0)
    assert {len(row.times_s) for row in rows} == {5}  # enough runs, and the time is over
    assert not any(row.settled for row in rows)
    slow = Diary(lambda name, run: 10.0 * (1 + run % 2))
    rows = run(slow, caches=("warm",), least_runs=5, limit_s=1.0)
    assert {len(row.times_s) for row in rows} == {runner.FEWEST_RUNS}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"caches": ("hot",)}, "there are warm and cold"),
        ({"limit_s": 0.0}, "must be positive"),
        ({"threads": 0}, "must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Settings(**options)
