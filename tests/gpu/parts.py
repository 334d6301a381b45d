"""What the workers do: each job by its name. A worker writes its findings whole after every step: a kill loses one step.

Findings are a dict: `failures` (texts; empty when all is well), `missing` (a reason, if the job cannot be done here), and
whatever the job has to tell.
"""

import json
import math
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kernels
from kernels import backends
from minizf.files import write_atomic

MOST_FAILURES = 40
DEVICE_LOST = ("CUDARuntimeError", "CUDADriverError", "CudaAPIError")  # nothing works in this process after one of these


class Findings:
    """What a job has found so far; on disk after each `save`."""

    def __init__(self, path: Path, emulated: bool, limit_s: float = math.inf) -> None:
        self.path, self.emulated, self.values = path, emulated, {"failures": []}
        self.ends = time.monotonic() + limit_s

    def save(self, **values: Any) -> None:
        self.values |= values
        write_atomic(self.path, json.dumps(self.values))

    def fail(self, what: str, error: BaseException) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{what}: {type(error).__name__}: {str(error)[:600]} ({Path(last.filename).name}:{last.lineno})"
        if len(self.values["failures"]) < MOST_FAILURES:
            self.values["failures"].append(text)
        self.save(failed=self.values.get("failed", 0) + 1)

    def name(self, implementation: str) -> str:
        return f"{implementation}-emulated" if self.emulated else implementation


def work(job: str, result: Path, emulated: bool, limit_s: float) -> None:
    """Does the job; an error in it is a finding too."""
    findings = Findings(result, emulated, limit_s)
    part, *rest = job.split()
    try:
        WORK[part](findings, *rest)
    except kernels.BackendUnavailable as unavailable:
        findings.save(missing=unavailable.reason)
    except Exception as error:
        findings.fail(job, error)
        findings.save(traceback=traceback.format_exc()[-3000:])
    findings.save()


def environment(findings: Findings) -> None:
    from kernels.bench import environment as bench_environment

    findings.save(**bench_environment.describe(bench_environment.cores(), gpu=not findings.emulated))


def loader(findings: Findings) -> None:
    """Which numba.cuda was found, and one launch through the contract."""
    from kernels.numba_cuda import loader as numba_loader

    if not findings.emulated:
        cuda = numba_loader.load()
        import numba

        findings.save(numba=numba.__version__, numba_cuda=getattr(cuda, "__version__", "Numba's own"), module=cuda.__file__)
    began = time.perf_counter()
    with kernels.use(findings.name("numba-cuda")):
        x = np.array([-1.5, 0.0, 2.5, np.nan], np.float32)
        y = kernels.to_host(kernels.relu(kernels.to_device(x)))
    findings.save(first_launch_s=time.perf_counter() - began)
    assert y.tobytes() == np.array([0.0, 0.0, 2.5, np.nan], np.float32).tobytes(), f"relu gave {y}"


def correctness(findings: Findings, implementation: str) -> None:
    """Every check of `kernel_checks` on all its shapes."""
    check_shapes(findings, implementation, slice(None))
    import kernel_checks

    with kernels.use(findings.name(implementation)):
        tried(findings, "arrays that PyTorch made", lambda: kernel_checks.check_stored(np.dtype(np.float32)))


def shapes(findings: Findings) -> None:
    """Two small shapes of every check, for compute-sanitizer; every array has memory of its own, so that its ends are seen."""
    import cupy

    cupy.cuda.set_allocator(None)
    for implementation in ("cuda", "cuda-tf32"):
        check_shapes(findings, implementation, slice(1, 3), prefill=False)


def check_shapes(findings: Findings, implementation: str, which: slice, prefill: bool = True) -> None:
    import comparing
    import kernel_checks
    import training_checks

    from . import on_device

    on_device.install(comparing, kernel_checks, training_checks)
    done = findings.values.setdefault("cases", 0)
    with kernels.use(findings.name(implementation)):
        if prefill and not findings.emulated:  # the emulator's arrays are so by themselves
            on_device.fill_outputs_with_nan()
        for check, cases in kernel_checks.CHECKS:
            chosen = cases[1:2] if findings.emulated else cases[which]
            for seed, case in enumerate(chosen):
                if not tried(findings, f"{check.__name__} {case}", lambda: check(case, seed, np.dtype(np.float32))):  # noqa: B023
                    return
                done += 1
            findings.save(cases=done)


def tried(findings: Findings, what: str, check: Callable[[], None]) -> bool:
    """Runs a check; False when the device is lost."""
    try:
        check()
    except Exception as error:
        findings.fail(what, error)
        return type(error).__name__ not in DEVICE_LOST
    return True


def net(findings: Findings, implementation: str) -> None:
    from . import whole_net

    whole_net.check(findings, findings.name(implementation))


def bench(findings: Findings) -> None:
    """`minizf bench`, its record kept after every case."""
    from kernels.bench import environment as bench_environment
    from kernels.bench import session
    from kernels.bench.runner import Settings
    from minizf.bench import net_case

    settings = Settings(threads=bench_environment.cores())
    if findings.emulated:
        plan = session.Plan(sets=("tiny",), implementations=("cuda-emulated",), settings=settings)
    else:
        usable = tuple(name for name in ("cuda", "cuda-tf32", "numba-cuda") if backends.available()[name] is None)
        plan = session.Plan(sets=("zfnet",), implementations=usable, settings=settings)

    longest, began = 0.0, time.monotonic()

    def keep(record: dict[str, Any]) -> None:
        nonlocal longest, began
        findings.save(record=record, failures=rejected(record, ours=True), rejected_peers=rejected(record, ours=False))
        longest, began = max(longest, time.monotonic() - began), time.monotonic()
        if record["rows"] and began + longest > findings.ends:
            raise KeyboardInterrupt  # as a person would: what is done counts

    try:
        session.run(plan, keep, net_case=net_case)
    except session.BenchStopped as stopped:
        findings.save(reason=f"{stopped}; there was no time for more")


def rejected(record: dict[str, Any], ours: bool) -> list[str]:
    rows = [row for row in record["rows"] if row["rejected"] and row["ours"] is ours]
    return [f"{row['case']} {row['implementation']}: {row['rejected']}" for row in rows]


WORK: dict[str, Callable[..., None]] = {
    "environment": environment,
    "loader": loader,
    "correctness": correctness,
    "shapes": shapes,
    "net": net,
    "bench": bench,
}
os.environ.setdefault("PYTHONUNBUFFERED", "1")
