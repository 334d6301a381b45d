"""What this machine can do for minizf, what it cannot, and why: in plain words, for `minizf doctor`."""

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kernels
from kernels.transfer import to_device, to_host

CORE = ("numpy", "numba", "matplotlib", "pillow", "safetensors", "tqdm", "jinja2")
EXTRAS = {
    "torch": "to compare with PyTorch (pip install 'minizf[oracle]')",
    "captum": "to compare with Captum's deconvnet (pip install 'minizf[oracle]')",
    "sphinx": "to build the lessons as a site (make docs)",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. ok: True fine, False a fault that stops something, None neither (an extra that is absent)."""

    topic: str
    ok: bool | None
    text: str

    def __str__(self) -> str:
        mark = {True: "yes", False: "NO ", None: " - "}[self.ok]
        return f"{mark}  {self.topic:<12} {self.text}"


def examine() -> list[Finding]:
    """All findings; each examination is short, so the whole takes a few seconds (the first time Numba compiles)."""
    return [*machine(), *packages(), *implementations(), *places()]


def machine() -> list[Finding]:
    """Python, processor, memory."""
    version = platform.python_version()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [
        Finding("python", sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)"),
        Finding("processor", True, f"{platform.machine()}, {usable} of {os.cpu_count()} cores usable"),
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found.append(Finding("memory", memory > 2 << 30, f"{memory / 2**30:.1f} GiB (training the demo takes under 2)"))
    return found


def packages() -> list[Finding]:
    """What is installed: the core must be, the extras may be."""
    core = {name: version_of(name) for name in CORE}
    missing = [name for name, version in core.items() if version is None]
    text = ", ".join(f"{name} {version}" for name, version in core.items() if version)
    if missing:
        text += f"; missing: {', '.join(missing)} (pip install {' '.join(missing)})"
    found = [Finding("packages", not missing, text)]
    for name, purpose in EXTRAS.items():
        version = version_of(name)
        found.append(Finding(name, True if version else None, version or f"not installed; only needed {purpose}"))
    return found


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def implementations() -> list[Finding]:
    """Each kernel implementation: usable and right, or why not."""
    found = []
    chosen = None
    try:
        chosen = kernels.current()
    except (ValueError, kernels.BackendUnavailable) as error:  # what the environment asks for
        found.append(Finding("backend", False, f"{error}; unset the variable, or name another"))
    for name, reason in kernels.available().items():
        if reason is not None:
            found.append(Finding(name, None, f"cannot be used: {reason}"))
            continue
        in_use = ", in use now" if name == chosen else ""
        wrong = self_check(name)
        found.append(Finding(name, not wrong, wrong or f"usable, agrees with the definition{details(name)}{in_use}"))
    return found


def details(name: str) -> str:
    """What an implementation says of itself, such as the vector width it found."""
    if name != "numba":
        return ""
    return f" ({importlib.import_module('kernels.numba_cpu').vector_code()})"


def self_check(name: str) -> str:
    """Convolves and pools a few numbers and compares with the reference; empty when right, else what is wrong.

    The numbers have few bits: every sum is exact, whatever its order and also where products are rounded to TF32.
    """
    rng = np.random.default_rng(0)
    x = rng.integers(-16, 17, (2, 3, 9, 7)).astype(np.float32) / 8
    w = rng.integers(-16, 17, (5, 3, 3, 3)).astype(np.float32) / 8
    results = []
    for backend in ("reference", name):
        with kernels.use(backend):
            y = kernels.conv2d(to_device(x), to_device(w), None, 2, 1)
            results.append([to_host(result) for result in (y, *kernels.maxpool2d(y, 3, 2, 1))])
    right = all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    return "" if right else "gives wrong results on this machine; please report it, and use another: MINIZF_BACKEND=numpy"


def places() -> list[Finding]:
    """Where files go: room for runs, and a folder for compiled kernels."""
    free = shutil.disk_usage(".").free
    found = [Finding("disk", free > 1 << 30, f"{free / 2**30:.1f} GiB free here (a run takes about 0.1)")]
    home = Path(kernels.__file__).parent
    beside = os.access(home, os.W_OK)
    text = "compiled kernels are kept beside their source" if beside else "compiled kernels are kept in the user's cache folder"
    return [*found, Finding("cache", True, f"{text} (NUMBA_CACHE_DIR moves them)")]
