"""Capabilities: a test that needs something this machine lacks is deselected, and the summary says why."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from chromium import browser_path

from kernels.cuda import nvrtc

DATA_FOLDER = Path(os.environ.get("MINIZF_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")


def missing_capabilities(config) -> dict[str, str]:
    """Marker -> why tests with it cannot run here."""
    missing = {}
    if not DATA_FOLDER.is_dir():
        missing["data"] = f"real image sets not found in {DATA_FOLDER}; name their folder in MINIZF_DATA"
    if not all(importlib.util.find_spec(name) for name in ("torch", "captum")):
        missing["torch"] = "PyTorch or Captum is not installed; pip install 'minizf[oracle]'"
    if os.name != "posix" or not browser_path():
        missing["browser"] = "neither Chromium nor Chrome is on the PATH (on POSIX; elsewhere it cannot be driven over a pipe)"
    if not shutil.which("g++"):
        missing["compiler"] = "g++ is not on the PATH; apt install g++ (or your system's package)"
    if reason := nvrtc.why_missing():
        missing["nvrtc"] = reason
    if reason := why_no_nvvm():
        missing["nvvm"] = reason
    if not config.getoption("--run-slow"):
        missing["slow"] = "give --run-slow"
    return missing


def why_no_nvvm() -> str | None:
    if not shutil.which("ptxas"):
        return "ptxas is not on the PATH; install NVIDIA's CUDA toolkit"
    from kernels.numba_cuda.compiling import why_missing

    return why_missing()


def pytest_collection_modifyitems(config, items):
    reasons = missing_capabilities(config)
    config.deselected_for = {}
    kept = []
    for item in items:
        marker = next((marker for marker in reasons if item.get_closest_marker(marker)), None)
        if marker is None:
            kept.append(item)
        else:
            config.deselected_for.setdefault(f"{marker}: {reasons[marker]}", []).append(item)
    for dropped in config.deselected_for.values():
        config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def pytest_terminal_summary(terminalreporter, config):
    for reason, dropped in getattr(config, "deselected_for", {}).items():
        terminalreporter.write_line(f"DESELECTED {len(dropped)} tests marked {reason}")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real image sets, for tests marked `data`."""
    return DATA_FOLDER
