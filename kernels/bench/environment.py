"""Everything about a machine and its software that a time depends on, for the record and for warnings."""

import contextlib
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "torch", "cupy", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda")
VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OMP_PROC_BIND",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
    "MINIZF_BACKEND",
    "MINIZF_VECTOR_LANES",
    "MALLOC_PERTURB_",
)
CPU_SHARE_WANTED = 0.9
POLICY = "OMP_WAIT_POLICY"
# what the person asked for; `kernels.numba_cpu` sets it for its own threads when it is loaded
ASKED_POLICY = None if "kernels.numba_cpu" in sys.modules else os.environ.get(POLICY)


def describe(threads: int, gpu: bool = False) -> dict[str, Any]:
    """The whole record; what cannot be found out is None."""
    return {
        "cpu": cpu_name(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores_usable": cores(),
        "cores": os.cpu_count(),
        "caches": caches(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None,
        "mhz": cpu_mhz(),
        "threads": threads,
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        "blas": blas(),
        "thread_layer": numba_layer(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "load": load(),
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")) if git("rev-parse", "HEAD") else None,
        "gpu": gpu_record() if gpu else None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    for line in lines_of("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_mhz() -> list[float] | None:
    return [float(line.partition(":")[2]) for line in lines_of("/proc/cpuinfo") if line.startswith("cpu MHz")] or None


def caches() -> dict[str, str]:
    """Sizes as Linux tells them: {"L1 Data": "48K", "L3 Unified": "32768K"}."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (" ".join(lines_of(index / name)) for name in ("level", "type", "size"))
        found[f"L{level} {kind}"] = size
    return found


def lines_of(path: str | os.PathLike) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def blas() -> str | None:
    """NumPy's, as it was built; the core type it chose only if the environment names one."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name')} {found.get('version')}" if found else None


def numba_layer() -> str | None:
    """Which thread pool Numba uses; None before its first parallel loop."""
    numba = sys.modules.get("numba")
    with contextlib.suppress(ValueError, AttributeError):
        return numba.threading_layer() if numba else None
    return None


def load() -> list[float] | None:
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None


def git(*arguments: str) -> str | None:
    """What git says of the folder this file is in; None without git or outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def gpu_record() -> dict[str, Any]:
    """The current CUDA device, its driver and clocks."""
    cupy = importlib.import_module("cupy")
    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    record = {
        "name": properties["name"].decode(),
        "compute_capability": device.compute_capability,
        "memory_bytes": properties["totalGlobalMem"],
        "l2_bytes": properties["l2CacheSize"],
        "multiprocessors": properties["multiProcessorCount"],
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
    }
    return record | gpu_clocks(device.id)


def gpu_clocks(device: int) -> dict[str, str]:
    """What `nvidia-smi` says now of driver, clocks, power and reasons to slow down."""
    asked = (
        "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu,clocks_event_reasons.active"
    )
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--id={device}", f"--query-gpu={asked}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(zip(asked.split(","), map(str.strip, done.stdout.split(",")), strict=False)) if done.returncode == 0 else {}


def set_threads(threads: int) -> list[str]:
    """Every library loaded so far uses this many; returns warnings about those that cannot be told any more."""
    warnings = []
    with contextlib.suppress(ImportError):
        import numba

        most = vars(numba.config)["NUMBA_NUM_THREADS"]
        if threads > most:
            raise ValueError(f"{threads} threads: Numba was started with {most}; set NUMBA_NUM_THREADS")
        numba.set_num_threads(threads)
    if threads != cores() and os.environ.get("OPENBLAS_NUM_THREADS") != str(threads):
        try:
            from threadpoolctl import threadpool_limits

            threadpool_limits(threads, "blas")
        except ImportError:
            way_out = f"begin with OPENBLAS_NUM_THREADS={threads}, or install threadpoolctl"
            warnings.append(f"NumPy's BLAS keeps its own number of threads: {way_out}")
    return warnings


def cpu_share(threads: int, seconds: float = 0.2) -> float:
    """How much of `threads` processors this process gets when it asks for all: under 1 others work here too."""
    stop = time.perf_counter() + seconds
    busy = np.ones(1 << 16, np.float32)

    def work(_: int) -> float:
        began = time.thread_time()  # of this thread alone: the process may have others that spin
        while time.perf_counter() < stop:
            np.multiply(busy, 1.0, out=busy)
        return time.thread_time() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        used = sum(pool.map(work, range(threads)))
    return used / (threads * (time.perf_counter() - began))


def warnings_about(threads: int) -> list[str]:
    """What would spoil the times to come, in words."""
    found = []
    share = cpu_share(threads)
    if share < CPU_SHARE_WANTED:
        found.append(
            f"other programs work here: {threads} threads get {share:.0%} of their time; wait until the machine is quiet"
        )
    elif (now := load()) and now[0] > 0.5 * cores() + 0.5:
        found.append(f"load average {now[0]:g} on {cores()} cores: other programs may be working here")
    if threads > cores():
        found.append(f"{threads} threads on {cores()} usable cores take turns")
    if (ASKED_POLICY or "").lower() == "active":
        found.append("OMP_WAIT_POLICY=active: a peer's waiting threads spin and take cores from Numba's; leave it unset")
    return found


@contextlib.contextmanager
def own_policy() -> Iterator[None]:
    """For importing a peer: its OpenMP reads the policy once, and gets what the person asked for, else its default."""
    before = os.environ.get(POLICY)
    os.environ.pop(POLICY, None)
    if ASKED_POLICY is not None:
        os.environ[POLICY] = ASKED_POLICY
    try:
        yield
    finally:
        os.environ.pop(POLICY, None)
        if before is not None:
            os.environ[POLICY] = before


def thread_note() -> str:
    """What waiting threads do, which decides whether two libraries in one process get in each other's way."""
    ours = os.environ.get(POLICY, "not set")
    theirs = ASKED_POLICY or "not set (they spin for a moment, then sleep)"
    return f"{POLICY} for Numba's threads: {ours}, for a peer's: {theirs}; the bench waits until all rest before each call"
