"""A short run of the bench for tests: real kernels, told roofs, no warm-up of the machine."""

import pytest

from kernels.bench import environment, session
from kernels.bench.roofs import Roofs
from kernels.bench.runner import Settings
from kernels.bench.session import Plan

ROOFS = Roofs({"told": 1e15}, {1 << 20: {"copy": 1e15}}, {"copy": 1e15, "read": 1e14})
BRIEF = Settings(caches=("warm",), least_runs=2, limit_s=0.01)
CONVOLUTIONS = Plan(("tiny",), ("conv2d",), ("numpy",), (), settings=BRIEF)
MIXED = Plan(("tiny",), ("conv2d", "maxpool2d", "linear"), ("numpy", "reference"), (), settings=BRIEF)


@pytest.fixture(autouse=True)
def told_roofs(monkeypatch):
    """Nothing of the machine is measured, and no library's threads change for the tests that follow."""
    monkeypatch.setattr(environment, "set_threads", lambda threads: [])
    monkeypatch.setattr(session, "measured", lambda on_gpu, threads, shop: ROOFS)
    monkeypatch.setattr(environment, "warnings_about", lambda threads: ["told: a warning"])
