"""Who is timed: an implementation of ours by its name, as users call it, with the contract's checks of arguments and all."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import isfinite
from typing import Any, NamedTuple, Protocol

import numpy as np

import kernels
from kernels import backends
from kernels.bench import checking
from kernels.bench.checking import Places
from kernels.bench.operations import Arrays, arguments
from kernels.bench.problems import Problem

EMULATED = "-emulated"  # names that end so run GPU kernels on the processor: checked, never timed


class Contestant(Protocol):
    """Somebody who can do an operation: one of our implementations, or a peer."""

    name: str
    ours: bool
    gpu: bool
    product_error: float  # of one product, relative: TF32 rounds its factors
    slack: float  # how much coarser than plain float32 sums it may be

    def refuses(self, problem: Problem) -> str | None:
        """None, or why this problem is not for it."""

    def active(self) -> AbstractContextManager:
        """What must hold while it is called, outside the time."""

    def load(self, problem: Problem, arrays: Arrays) -> "Loaded":
        """The call to be timed, its arguments where and as it wants them."""

    def outputs(self, problem: Problem, raw: Any) -> tuple[np.ndarray | None, ...]:
        """What came back as the contract's results on the host; None for one it does not compute."""

    def glance(self, problem: Problem, raw: Any, places: Places) -> tuple[bool, tuple[np.ndarray | None, ...]]:
        """(whether all is finite, the values at some places): what can be seen of a result on a GPU without fetching it."""

    def spoil(self, problem: Problem, raw: Any) -> None:
        """Overwrites a result nobody needs, in its own memory, with what no result may hold."""


class Loaded(NamedTuple):
    """A call with its arguments. inputs: what these hold now, where they are copies; on the processor they are not."""

    run: Callable[[], Any]
    inputs: Callable[[], Arrays] | None = None


class Ours:
    """An implementation of the contract; BackendUnavailable or ValueError where it cannot work here."""

    ours = True
    slack = 1.0

    def __init__(self, name: str) -> None:
        with kernels.use(name):
            pass
        self.name = name
        self.gpu = backends.KNOWN[name].array_module != "numpy"
        self.product_error = checking.TF32 if "tf32" in name else 0.0

    def refuses(self, problem: Problem) -> str | None:
        return None

    def active(self) -> AbstractContextManager:
        return kernels.use(self.name)

    def load(self, problem: Problem, arrays: Arrays) -> Loaded:
        function = getattr(kernels, problem.operation)
        with self.active():
            copies = {name: kernels.to_device(array) for name, array in arrays.items()}
        given = arguments(problem, copies)

        def inputs() -> Arrays:
            with self.active():
                return {name: kernels.to_host(array) for name, array in copies.items()}

        return Loaded(lambda: function(*given), inputs if self.gpu else None)

    def outputs(self, problem: Problem, raw: Any) -> tuple[np.ndarray | None, ...]:
        results = raw if isinstance(raw, tuple) else (raw,)
        with self.active():
            return tuple(kernels.to_host(result) for result in results) if self.gpu else results

    def glance(self, problem: Problem, raw: Any, places: Places) -> tuple[bool, tuple[np.ndarray | None, ...]]:
        results = raw if isinstance(raw, tuple) else (raw,)
        with self.active():
            there = tuple(kernels.to_device(axis) for axis in places)
            finite = all(isfinite(float(result.sum())) for result in results)
            return finite, tuple(kernels.to_host(result[there]) for result in results)

    def spoil(self, problem: Problem, raw: Any) -> None:
        for result in raw if isinstance(raw, tuple) else (raw,):
            if self.gpu or result.flags.writeable:
                result.fill(float("nan") if result.dtype.kind == "f" else 255)


def timed(name: str) -> bool:
    """Emulated kernels are right or wrong, never fast or slow."""
    return not name.endswith(EMULATED)
