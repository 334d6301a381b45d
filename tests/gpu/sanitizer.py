"""compute-sanitizer, NVIDIA's checker of memory accesses, races, barriers and unwritten memory, around small launches."""

import re
import shutil
from pathlib import Path
from typing import Any

from .jobs import run_worker, worker_command

PLACES = ("/usr/local/cuda/bin/compute-sanitizer", "/usr/local/cuda/compute-sanitizer/compute-sanitizer")
LINES = 60  # kept of what it reports
ERRORS_FOUND = 7  # the exit code we ask for
# a Python that looks for functions its driver is too old for is no finding; CuPy raises the errors that are
OF_A_TOOL = {"memcheck": ("--report-api-errors", "no")}
UNSUPPORTED = re.compile(r"Device not supported|Unable to find injection library|not supported on this", re.IGNORECASE)


def find() -> str | None:
    return shutil.which("compute-sanitizer") or next((place for place in PLACES if Path(place).is_file()), None)


def run(tool: str, result: Path, limit_s: float, emulated: bool) -> dict[str, Any]:
    """Runs the worker `shapes` under one tool; what it reports are failures."""
    if emulated:
        return {"state": "missing", "missing": "the emulator checks every access itself; compute-sanitizer is for a GPU"}
    program = find()
    if program is None:
        return {"state": "missing", "missing": "compute-sanitizer is not on the PATH; it comes with the CUDA toolkit"}
    prefix = [program, "--tool", tool, "--error-exitcode", str(ERRORS_FOUND), "--print-limit", "20", *OF_A_TOOL.get(tool, ())]
    found = run_worker([*prefix, *worker_command("shapes", result, emulated)], result, limit_s)
    report = [line for line in found.get("output", "").splitlines() if line.startswith("=========")]
    if any(UNSUPPORTED.search(line) for line in report):
        return {"state": "missing", "missing": "compute-sanitizer does not support this device", "output": found["output"]}
    if found["state"] == "failed" and report:
        found["failures"] = [*found.get("failures", []), *report[-LINES:]]
    return found
