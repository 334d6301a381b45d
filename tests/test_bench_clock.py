"""Clocks: the wall and its second look, a GPU's events with a fake behind them, cold caches, and what a machine is."""

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest

from kernels.bench import clock, environment, roofs, runner
from kernels.bench.checking import Rejected
from kernels.bench.costs import Cost
from kernels.bench.roofs import Roofs


class FakeCuda:
    """A GPU's clock in milliseconds: work is put on streams with its length, events say when the stream gets to them."""

    def __init__(self):
        self.log, self.end = [], 0.0
        self.waits = 0.0  # seconds that Device().synchronize() takes: other streams

    def work(self, name, ms):
        self.log.append(name)
        self.end += ms

    def Event(self):
        event = SimpleNamespace(at=None)

        def record():
            self.log.append("event")
            event.at = self.end

        event.record, event.synchronize = record, lambda: self.log.append("wait")
        return event

    def Device(self):
        return SimpleNamespace(synchronize=lambda: (self.log.append("wait for all"), time.sleep(self.waits)))

    def get_elapsed_time(self, start, stop):
        return stop.at - start.at


def event_clock(cuda):
    return clock.EventClock(cuda, lambda: cuda.work("hold", 0.2), lambda: cuda.work("clear", 0.5))


def test_events_take_the_time_of_the_call_only():
    cuda = FakeCuda()
    taken = event_clock(cuda)
    taken.flush()
    result, seconds = taken.time(lambda: cuda.work("kernel", 3.0) or "result", now=lambda: 0)  # whatever else this machine does
    assert result == "result"
    assert seconds == pytest.approx(3e-3)
    assert cuda.log == ["clear", "hold", "event", "kernel", "event", "wait", "wait for all"]


def test_work_on_another_stream_is_found():
    cuda = FakeCuda()
    cuda.waits = 0.01
    with pytest.raises(Rejected, match=r"another stream after its call of 1\.00 ms"):
        event_clock(cuda).time(lambda: cuda.work("launch", 1.0))


def test_an_event_that_took_no_time_is_no_time():
    with pytest.raises(Rejected, match="the GPU's events say it took 0 s"):
        event_clock(FakeCuda()).time(lambda: None)


def test_a_gpus_clock_is_built_from_cupy():
    """The calls that reach CuPy: a buffer of twice the second cache, a kernel that keeps the GPU busy."""
    asked = []
    filled = SimpleNamespace(fill=lambda value: asked.append("fill"))
    cuda = FakeCuda()
    cuda.Device = lambda: SimpleNamespace(attributes={"L2CacheSize": 50 << 20}, synchronize=lambda: None)
    cupy = SimpleNamespace(
        cuda=cuda,
        uint8=np.uint8,
        int64=np.int64,
        zeros=lambda count, dtype: asked.append(count) or filled,
        RawKernel=lambda text, name: lambda grid, block, arguments: cuda.work(name, 0.1),
    )
    made = clock.gpu_clock(cupy)
    made.flush()
    assert asked == [100 << 20, "fill"]
    assert made.time(lambda: cuda.work("kernel", 2.0))[1] == pytest.approx(2e-3)
    assert "hold" in cuda.log


def test_the_wall_takes_the_time_of_the_call():
    result, seconds = clock.WallClock(1 << 12, 1).time(lambda: time.sleep(0.02) or 5)
    assert result == 5
    assert 0.019 < seconds < 0.2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_flushing_writes_every_byte_of_the_buffer(threads):
    made = clock.WallClock(1 << 16, threads)
    made.flush()
    made.flush()
    assert sum(part.nbytes for part in made.parts) == 1 << 16
    assert all((part == 2).all() for part in made.parts)


def test_the_flush_is_twice_the_last_cache():
    made = runner.ClockShop(2).of(SimpleNamespace(gpu=False))
    assert sum(part.nbytes for part in made.parts) >= 2 * clock.last_cache_bytes() - 8
    assert clock.last_cache_bytes() >= 1 << 18


def test_waiting_until_idle_notices_threads_that_spin():
    rest = iter(range(10_000))
    assert runner.wait_until_idle(used=lambda: 0.0, now=lambda: next(rest) * 1e-3, rest=lambda s: None)
    ticks = iter(range(10_000))

    def spinning():
        return next(ticks) * 1e-3

    assert not runner.wait_until_idle(used=spinning, now=spinning, rest=lambda s: None)


def test_a_machine_is_described_and_its_share_of_time_measured():
    found = environment.describe(2)
    assert found["cpu"]
    assert found["packages"]["numpy"] == np.__version__
    assert found["commit"] is None or re.fullmatch("[0-9a-f]{40}", found["commit"])
    assert found["gpu"] is None
    assert 0 < environment.cpu_share(1, 0.05) < 1.1


def test_other_programs_and_too_many_threads_are_warned_of(monkeypatch):
    monkeypatch.setattr(environment, "cpu_share", lambda threads: 0.6)
    assert "other programs work here" in environment.warnings_about(1)[0]
    monkeypatch.setattr(environment, "cpu_share", lambda threads: 1.0)
    monkeypatch.setattr(environment, "load", lambda: [50.0, 1.0, 1.0])
    monkeypatch.setattr(environment, "ASKED_POLICY", "ACTIVE")
    found = environment.warnings_about(environment.cores() + 1)
    assert [bool(re.search(words, text)) for words, text in zip(("load average 50", "take turns", "spin"), found, strict=True)]


def test_a_peer_is_loaded_with_the_policy_the_person_asked_for(monkeypatch):
    monkeypatch.setenv(environment.POLICY, "passive")  # as ours sets it for its own threads
    for asked in (None, "active"):
        monkeypatch.setattr(environment, "ASKED_POLICY", asked)
        with environment.own_policy():
            assert environment.os.environ.get(environment.POLICY) == asked
        assert environment.os.environ[environment.POLICY] == "passive"


def test_roofs_bound_a_time_by_the_slower_of_two():
    found = Roofs(
        {"loop": 1e9, "product": 2e9, "product in TF32": 8e9}, {1 << 20: {"copy": 8e9}, 1 << 24: {"copy": 4e9}}, {"copy": 1e9}
    )
    assert found.floor(Cost(4e9, 4e9, 1e9, 1), cold=True) == (2.0, "compute")
    assert found.floor(Cost(4e9, 4e9, 1e9, 1), cold=True, tf32=True) == (1.0, "memory")
    assert found.floor(Cost(4e9, 1e9, 4e9, 1), cold=True) == (4.0, "memory")
    assert found.floor(Cost(0, 0, 2 << 20, 1), cold=False)[0] == pytest.approx((2 << 20) / 8e9)
    assert found.floor(Cost(0, 0, 1 << 25, 1), cold=False)[0] == pytest.approx((1 << 25) / 4e9)
    assert Roofs.from_dict(found.as_dict()) == found
    better = found.highest(Roofs({"loop": 3e9}, {1 << 20: {"copy": 1e9}}, {"copy": 5e9, "read": 1e9}))
    assert (better.flops["loop"], better.bandwidth[1 << 20]["copy"], better.memory) == (3e9, 8e9, {"copy": 5e9, "read": 1e9})


@pytest.mark.parametrize(("caches", "roof"), [("cold", 1.6), ("warm", 0.4)])
def test_what_a_gpu_holds_in_its_cache_may_come_faster_than_from_memory(caches, roof):
    found = Roofs({"product": 1e15}, {1 << 24: {"copy": 4e12}}, {"copy": 1e12})
    row = runner.Row("c", "maxpool2d", "", "cuda", True, caches, 0, 1 << 24, median_s=(1 << 24) / 1.6e12)
    judge = runner.Judge(lambda gpu: found)
    if roof > 1:
        with pytest.raises(Rejected, match="160% of the memory roof"):
            judge.place(row, Cost(0, 0, 1 << 24, 1), True, False)
    else:
        judge.place(row, Cost(0, 0, 1 << 24, 1), True, False)
    assert row.of_roof == pytest.approx(roof)


def test_a_gpus_roofs_are_asked_of_cupy(monkeypatch):
    """NumPy stands in for it, the wall for its clock."""
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(Device=lambda: SimpleNamespace(mem_info=(1 << 26, 1 << 30))),
        **{name: getattr(np, name) for name in ("ones", "empty", "copyto", "add", "float32")},
    )

    class Counted:
        def time(self, work):
            start = time.perf_counter()
            return work(), time.perf_counter() - start

    monkeypatch.setattr(roofs, "REPEATS", 1)
    found = roofs.measure_gpu(cupy, Counted())
    assert set(found.memory) == {"copy", "write", "read"}
    assert set(found.bandwidth) == {1 << 22, 1 << 23, 1 << 24, 1 << 25}
    assert list(found.flops) == ["cuBLAS matrix product of 2048"]  # this CuPy has no TF32


def test_roofs_are_measured_here_and_are_higher_than_what_numpy_does():
    found = roofs.measure(1, 1 << 22)
    one = np.ones((256, 256), np.float32)
    assert found.peak > 0.5 * 2 * 256**3 / roofs.shortest(lambda: one @ one)
    assert "loop of fused multiply-adds" in found.flops
    assert set(found.memory) == {"copy", "read", "write"}
    assert 1e8 < found.copy < 1e13
    assert "GFLOP/s" in str(found)
