"""Runs a step: on the CPU (the emulator for CUDA C++, the simulator for Numba CUDA), or on a GPU; checks it and counts."""

import linecache
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from kernels.ladder.steps import Ladder, Memory, Step, Traffic, floats

ORDERS = ("forward", "reverse", "shuffled")
SEED = 0


class WrongResult(ValueError):
    """A kernel ran to its end, and its result is not what the reference says."""


class Ran(NamedTuple):
    """One launch. `sectors` of 32 bytes that its warps fetched or touched, `passes` through shared memory: CUDA C++ only."""

    output: np.ndarray
    traffic: Traffic
    sectors: int | None = None
    passes: int | None = None


def run(ladder: Ladder, step: Step, problem: Any, language: str = "cuda", order: str = "forward", bug: str = "") -> Ran:
    """One launch on the CPU, every access checked and counted; KernelError where the kernel does what it must not."""
    case = ladder.case(problem, step, SEED)
    launch, shape = step.launch(problem), case.expected.shape
    text = ladder.text(step, language, bug)
    if language == "python":
        from kernels.emulator import simulator

        output = np.zeros(shape, np.float32) if step.cleared else simulator.empty(shape)
        kernel = simulator.jit(python_kernel(ladder, step, text), checked=True)
        kernel.order = order
        kernel[launch.grid, launch.block](*case.inputs, output, *case.python_numbers)
        return Ran(output, traffic_of(kernel.counts))
    from kernels import emulator

    output = np.zeros(shape, np.float32) if step.cleared else emulator.empty(shape)
    kernel = emulator.Module(text, name=ladder.path(step, language).name, checked=True).get_function(ladder.kernel)
    kernel(launch.grid, launch.block, (*case.inputs, output, *map(np.int32, case.numbers)), order=order)
    counts = kernel.counts
    sectors = counts.global_read_sectors + counts.global_write_sectors
    return Ran(output, traffic_of(counts), sectors, counts.shared_read_passes + counts.shared_write_passes)


def check(ladder: Ladder, step: Step, problem: Any, output: np.ndarray) -> None:
    """Raises WrongResult, which says where the output differs, unless all of it is within rounding of the reference's."""
    case = ladder.case(problem, step, SEED)
    nan = np.isnan(case.expected)
    error = np.abs(np.where(nan, 0, output) - np.where(nan, 0, case.expected))
    wrong = ~(error <= case.bound) if not nan.any() else np.where(nan, ~np.isnan(output), ~(error <= np.nan_to_num(case.bound)))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise WrongResult(
            f"{wrong.sum()} of {wrong.size} outputs are wrong, the first at {place}: "
            f"{output[place]:.6g}, expected {case.expected[place]:.6g}"
        )


def bits(ladder: Ladder, step: Step, problem: Any, language: str = "cuda") -> int:
    """How many different results the thread schedules give, bit for bit: 1 where the order does not matter."""
    return len({run(ladder, step, problem, language, order).output.tobytes() for order in ORDERS})


def python_kernel(ladder: Ladder, step: Step, text: str) -> Callable:
    """The Numba kernel of a step's text; its file is the real one where the text was not changed."""
    path = ladder.path(step, "python")
    if text == path.read_text():
        return getattr(import_module(f"kernels.ladder.{ladder.name}.{step.name}"), ladder.kernel)
    name = f"{path.name} (broken)"
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name  # for the lines in errors
    names: dict[str, Any] = {}
    exec(compile(text, name, "exec"), names)
    return names[ladder.kernel]


def traffic_of(counts: Any) -> Traffic:
    """What the emulator or the simulator counted; an atomic addition is a read and a write."""
    atomics = floats(counts.atomics)
    return Traffic(
        Memory(counts.global_reads, counts.global_read_bytes) + atomics,
        Memory(counts.global_writes, counts.global_write_bytes) + atomics,
        Memory(counts.shared_reads, counts.shared_read_bytes),
        Memory(counts.shared_writes, counts.shared_write_bytes),
    )
