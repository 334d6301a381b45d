"""The bench on a device whose arrays are not NumPy's: `strict_device` stands in for the GPU, a fake for its events."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import strict_device

from kernels.bench import clock, runner
from kernels.bench.case import Case
from kernels.bench.contestants import Ours
from kernels.bench.problems import Net, Problem, choose
from kernels.bench.roofs import Roofs
from kernels.bench.runner import ClockShop, Judge, Settings
from minizf.training_step import StepCase

TINY = {problem.name: problem for problem in choose(["tiny"])}
SETTINGS = Settings(caches=("cold", "warm"), least_runs=3, limit_s=0.01)
ROOFS = Roofs({"told": 1e15}, {}, {"copy": 1e15})


class HostEvents:
    """Events that read the host's clock: a device that finishes each call before it returns."""

    class Event:
        def record(self):
            self.at = time.perf_counter_ns()

        def synchronize(self):
            pass

    def Device(self):
        return SimpleNamespace(synchronize=lambda: None)

    def get_elapsed_time(self, start, stop):
        return (stop.at - start.at) * 1e-6


@pytest.fixture
def device(monkeypatch):
    with strict_device.implementation(monkeypatch):
        yield monkeypatch


def race(problem):
    shop = ClockShop(1)
    shop.made[True] = clock.EventClock(HostEvents(), lambda: None, lambda: None)
    case = Case(problem, [Ours("strict-device")])
    return case, runner.run_case(case, SETTINGS, Judge(lambda gpu: ROOFS), shop)


@pytest.mark.parametrize("name", TINY)
def test_every_operation_is_timed_and_checked_on_a_device(device, name):
    case, rows = race(TINY[name])
    assert case.contestants[0].gpu
    for row in rows:
        assert row.rejected is None
        assert row.median_s > 0
        assert len(row.times_s) >= 3


def test_a_training_step_is_timed_on_a_device(device):
    shop = ClockShop(1)
    shop.made[True] = clock.EventClock(HostEvents(), lambda: None, lambda: None)
    case = StepCase(Problem("s", "step", "training_step", Net("zfnet64", 2, 3)), [Ours("strict-device")])
    rows = runner.run_case(case, SETTINGS, Judge(lambda gpu: ROOFS), shop)
    assert [row.rejected for row in rows] == [None, None]
    assert all(row.median_s > 0 for row in rows)
    assert all(isinstance(array, strict_device.DeviceArray) for array in case.racers["strict-device"].net.state().values())


def test_nothing_crosses_to_the_host_while_the_clock_runs(device):
    inside = []

    class Watched(clock.EventClock):
        def time(self, call):
            def watched():
                before = dict(strict_device.crossings)
                result = call()
                inside.append(before == strict_device.crossings)
                return result

            return super().time(watched)

    shop = ClockShop(1)
    shop.made[True] = Watched(HostEvents(), lambda: None, lambda: None)
    runner.run_case(Case(TINY["tiny/pool/maxpool2d"], [Ours("strict-device")]), SETTINGS, Judge(lambda gpu: ROOFS), shop)
    assert inside
    assert all(inside)


def wrong(monkeypatch, operation, change, after=0):
    """The device's operation with `change(result, arguments)` from its call number `after` on."""
    true, calls = getattr(strict_device.Operations, operation), []

    def broken(*arguments):
        calls.append(1)
        result = true(*arguments)
        return result if len(calls) <= after else change(result, arguments)

    monkeypatch.setattr(strict_device.Operations, operation, staticmethod(broken))


def changed_input(result, arguments):
    arguments[0].inner.reshape(-1)[5] += 1
    return result


def unwritten(result, arguments):
    result.inner.reshape(-1)[-3:] = np.nan
    return result


def zeros(result, arguments):
    result.inner[:] = 0
    return result


@pytest.mark.parametrize(
    ("change", "after", "words"),
    [
        (changed_input, 0, "before timing: changed its input x"),
        (unwritten, 0, "before timing: left 3 of 1,140 values unwritten"),
        (zeros, 0, "before timing: returned zeros"),
        (unwritten, 3, "in timed run 1: left 3 of 1,140 values unwritten"),
        (zeros, 3, "in timed run 1: returned zeros"),
        (changed_input, 3, "after timing: changed its input x"),
    ],
)
def test_wrong_work_on_a_device_is_rejected(device, change, after, words):
    wrong(device, "conv2d", change, after)
    problem = TINY["tiny/deep/conv2d"]
    _, rows = race(problem)
    assert any(words in row.rejected for row in rows), [row.rejected for row in rows]
    assert all(row.median_s is None for row in rows)
