"""All that must be asked of a GPU, in one command that takes less than nine minutes and writes one JSON.

    python -m tests.gpu                                     everything, to runs/gpu.json
    python -m tests.gpu --parts loader,correctness          some parts
    python -m tests.gpu --emulated                          the same on the CPU, tiny: is this command itself sound?

    loader        numba.cuda is found across the versions that do not fit each other, and launches one kernel
    correctness   every operation of cuda, cuda-tf32 and numba-cuda against float64, with outputs filled with NaN before
    net           training steps and a projection from layer 5 of zfnet64 that stay on the GPU, against the CPU's
    sanitizer     compute-sanitizer on small shapes: memcheck, racecheck, synccheck, initcheck
    bench         `minizf bench` of the paper's layers, with cuDNN through PyTorch beside it

Each part runs in a process of its own, because one illegal access spoils all later work of a process. The JSON is written
whole after every part, and holds what a part had found when it was stopped. Exit code 0: nothing failed; 1: something did;
2: no GPU.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from .jobs import BUDGET_S, JOBS, TESTS, line_about, run_all

sys.path[:0] = [str(TESTS), str(TESTS.parent)]  # kernel_checks and its neighbours; kernels and minizf, where not installed


def main() -> int:
    options = arguments()
    if options.worker:
        from . import parts

        parts.work(options.worker, Path(options.result), options.emulated, options.limit)
        return 0
    if not options.emulated and (reason := why_not()):
        print(f"There is no GPU to ask here: {reason}.", file=sys.stderr)
        print("`python -m tests.gpu --emulated` runs the same kernels on the CPU, tiny.", file=sys.stderr)
        return 2
    record = run_all(options)
    print(summary(record))
    print(f"written to {options.json}")
    return 1 if any(job["state"] in ("failed", "stopped") for job in record["jobs"].values()) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(JOBS), help="comma-separated: %(default)s")
    parser.add_argument("--json", default="runs/gpu.json", help="where the results go (%(default)s)")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for all parts together (%(default)g)")
    parser.add_argument("--emulated", action="store_true", help="on the CPU, with tiny shapes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=math.inf, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [part for part in options.parts.split(",") if part not in JOBS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(JOBS)}")
    return options


def why_not() -> str | None:
    """Why the GPU implementations cannot be used, in words; None if they can."""
    try:
        import kernels

        kernels.use("cuda")
    except ImportError as error:
        return f"{error}; pip install numpy"
    except kernels.BackendUnavailable as unavailable:
        return unavailable.reason
    return None


def summary(record: dict[str, Any]) -> str:
    lines = [f"\n{name:<24} {line_about(job)}" for name, job in record["jobs"].items()]
    return "".join(lines) + f"\n\n{record['seconds']:.0f} s in all"


if __name__ == "__main__":
    sys.exit(main())
