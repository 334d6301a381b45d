"""The jobs of `python -m tests.gpu`: each in a process of its own, with a time limit; what it found is kept whatever happens.

A job is done by a worker (parts.py) that writes its findings after every step; here they are read, also when the worker was
stopped or died.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
FORMAT = "minizf gpu 1"
BUDGET_S = 530.0
IMPLEMENTATIONS = ("cuda", "cuda-tf32", "numba-cuda")
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
START_S = 15.0  # before a worker's own clock runs, and what it may misjudge
TAIL = 4000  # characters kept of what a process that failed has printed
# part -> its jobs and how long each may take, in seconds; bench comes last and takes what is left
JOBS: dict[str, tuple[tuple[str, float], ...]] = {
    "environment": (("environment", 40),),
    "loader": (("loader", 40),),
    "correctness": (("correctness cuda", 70), ("correctness cuda-tf32", 50), ("correctness numba-cuda", 100)),
    "net": (("net cuda", 40), ("net cuda-tf32", 30)),
    "sanitizer": tuple((f"sanitizer {tool}", 35) for tool in SANITIZERS),
    "bench": (("bench", 400),),
}


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the jobs one after the other; the record is on disk after each."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "emulated": options.emulated,
        "complete": False,
        "jobs": {},
    }
    began = time.monotonic()
    parts = [part for part in JOBS if part in options.parts.split(",")]
    for name, limit_s in (job for part in parts for job in JOBS[part]):
        left = options.budget - (time.monotonic() - began)
        if left < 5:
            record["jobs"][name] = {"state": "left out", "reason": f"the budget of {options.budget:g} s is spent"}
        else:
            print(f"{name} ...", flush=True)
            record["jobs"][name] = run_job(name, min(limit_s, left), options.emulated)
            print(f"{name}: {line_about(record['jobs'][name])}", flush=True)
        record["seconds"] = round(time.monotonic() - began, 1)
        record["complete"] = len(record["jobs"]) == sum(len(JOBS[part]) for part in parts)
        write(Path(options.json), record)
    return record


def run_job(name: str, limit_s: float, emulated: bool) -> dict[str, Any]:
    """What one job found; `state` is passed, failed, stopped (by the time limit) or missing (what it needs is not here)."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        if name.startswith("sanitizer"):
            from . import sanitizer

            found = sanitizer.run(name.split()[1], result, limit_s, emulated)
        else:
            command = [*worker_command(name, result, emulated), "--limit", f"{limit_s - START_S:g}"]
            found = run_worker(command, result, limit_s)
    return found | {"seconds": round(time.monotonic() - began, 1)}


def worker_command(name: str, result: Path, emulated: bool) -> list[str]:
    command = [sys.executable, "-m", "tests.gpu", "--worker", name, "--result", str(result)]
    return [*command, "--emulated"] if emulated else command


def run_worker(command: list[str], result: Path, limit_s: float) -> dict[str, Any]:
    """Runs a worker and reads what it wrote, also when it was stopped or died."""
    state = None
    process = subprocess.Popen(
        command, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    )
    try:
        output = process.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        state = "stopped"
    finally:
        end(process)
    if state == "stopped":
        output = process.communicate()[0]
    died = process.returncode != 0
    found: dict[str, Any] = json.loads(result.read_text()) if result.is_file() else {}
    if died:
        found["output"] = output[-TAIL:]
    if state == "stopped":
        found.setdefault("failures", []).append(f"stopped after {limit_s:.0f} s")
    if state is None:
        state = "missing" if "missing" in found else "failed" if died or found.get("failures") else "passed"
    return {"state": state} | found


def end(process: subprocess.Popen) -> None:
    """Kills it with all that it started: compute-sanitizer's program would go on, on the GPU that the next job measures."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def write(path: Path, record: dict[str, Any]) -> None:
    from minizf.files import write_atomic  # not before we know that NumPy is here

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(record, indent=1) + "\n")


def line_about(job: dict[str, Any]) -> str:
    reason = job.get("missing") or job.get("reason") or (job.get("failures") or [""])[0]
    return f"{job['state']}, {job.get('seconds', 0):.0f} s" + (f": {str(reason).splitlines()[0][:160]}" if reason else "")
