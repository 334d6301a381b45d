"""Which implementation does the work: `kernels.use(name)`, else MINIZF_BACKEND, else the fastest that works here.

An implementation is a module, or an object in one, that has every operation of `contract.py` under the same name, taking
arguments that the contract has already checked: C-contiguous arrays of one of its `dtypes` (perhaps read-only), and (height,
width) pairs of int. It is imported when first used, so `import kernels` needs NumPy only. The choice holds for the whole
process, all threads.

GPU implementations are asked for by name; the automatic choice stays on the CPU. Those called `-emulated` execute the same
kernels on the CPU, slowly and checking every step, with NumPy arrays.
"""

import importlib
import os
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

ENVIRONMENT_VARIABLE = "MINIZF_BACKEND"
Array = Any  # an `ndarray` of the implementation's array library: NumPy's, or on a GPU CuPy's
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


class BackendUnavailable(RuntimeError):
    """The implementation asked for is known but cannot work here; `reason` says why and what to install."""

    def __init__(self, name: str, reason: str, asked_by: str = "") -> None:
        super().__init__(f"{asked_by}the {name} implementation cannot work here: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True)
class Implementation:
    """What the contract must know about an implementation before it is imported."""

    name: str
    module: str
    dtypes: tuple[np.dtype, ...]
    remedy: str
    array_module: str = "numpy"  # whose `ndarray` the operations take and return
    attribute: str = ""  # the object in the module whose methods are the operations; "": the module's functions are


@dataclass(frozen=True)
class Loaded:
    """An implementation that works here: its operations, and the array library they compute with."""

    name: str
    dtypes: tuple[np.dtype, ...]
    operations: Any  # module or object; Any, because each has the contract's functions and a type checker cannot know
    arrays: ModuleType


GPU_REMEDY = "it needs an NVIDIA GPU, its driver and CuPy: pip install cupy-cuda13x"
NUMBA_CUDA_REMEDY = "it needs an NVIDIA GPU, its driver, Numba and CuPy: pip install numba-cuda cupy-cuda13x"
EMULATOR_REMEDY = "it needs the C++ compiler g++: apt install g++ (or your system's way)"
SIMULATOR_REMEDY = "it needs Numba and greenlet: pip install greenlet"
KNOWN = {
    known.name: known
    for known in (
        Implementation("reference", "kernels.reference", (FLOAT32, FLOAT64), "install NumPy: pip install numpy"),
        Implementation("numpy", "kernels.numpy_blas", (FLOAT32, FLOAT64), "install NumPy: pip install numpy"),
        Implementation("numba", "kernels.numba_cpu", (FLOAT32,), "install Numba: pip install 'numba>=0.61'"),
        Implementation("cuda", "kernels.cuda.on_gpu", (FLOAT32,), GPU_REMEDY, "cupy", "fp32"),
        Implementation("cuda-tf32", "kernels.cuda.on_gpu", (FLOAT32,), GPU_REMEDY, "cupy", "tf32"),
        Implementation("cuda-emulated", "kernels.cuda.emulated", (FLOAT32,), EMULATOR_REMEDY, attribute="fp32"),
        Implementation("cuda-tf32-emulated", "kernels.cuda.emulated", (FLOAT32,), EMULATOR_REMEDY, attribute="tf32"),
        Implementation("numba-cuda", "kernels.numba_cuda.on_gpu", (FLOAT32,), NUMBA_CUDA_REMEDY, "cupy", "operations"),
        Implementation(
            "numba-cuda-emulated", "kernels.numba_cuda.emulated", (FLOAT32,), SIMULATOR_REMEDY, attribute="operations"
        ),
    )
}
BEST_FIRST = ("numba", "numpy", "reference")
OPERATIONS = (
    "conv2d",
    "conv2d_relu",
    "conv2d_transpose",
    "conv2d_weight_grad",
    "maxpool2d",
    "unpool2d",
    "relu",
    "relu_grad",
    "relu_maxpool",
    "unpool_relu",
    "deconv_step",
    "lrn",
    "lrn_grad",
    "linear",
    "linear_input_grad",
    "linear_weight_grad",
    "bias_grad",
    "softmax_cross_entropy",
    "sgd_update",
    "renormalise_filters",
)

_active: Loaded | None = None
_loaded: dict[str, Loaded] = {}


def active() -> Loaded:
    """The implementation in use; chosen now if nobody has chosen yet."""
    global _active
    if _active is None:
        _active = _first_choice()
    return _active


def current() -> str:
    """The name of the implementation in use."""
    return active().name


def available() -> dict[str, str | None]:
    """Each known implementation: None if it works here, else the reason in words and what to install.

    Tries them, so the first call takes as long as importing all of them.
    """
    return {name: _reason(name) for name in KNOWN}


class use:
    """Choose the implementation for the whole process: `use("numpy")`, or for a block: `with use("numpy"): ...`.

    Raises ValueError for a name that does not exist and BackendUnavailable for one that cannot work here; the choice
    in force then stays as it was.
    """

    def __init__(self, name: str) -> None:
        global _active
        chosen = _load(name)
        self._before = _active
        self.name = name
        _active = chosen

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        global _active
        _active = self._before

    def __repr__(self) -> str:
        return f"kernels.use({self.name!r})"


def _first_choice() -> Loaded:
    name = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if name:
        return _load(name, asked_by=f"environment variable {ENVIRONMENT_VARIABLE}: ")
    return next(_load(name) for name in BEST_FIRST if _reason(name) is None)


def _reason(name: str) -> str | None:
    try:
        _load(name)
    except BackendUnavailable as unavailable:
        return unavailable.reason
    return None


def _load(name: str, asked_by: str = "") -> Loaded:
    if name in _loaded:
        return _loaded[name]
    if name not in KNOWN:
        raise ValueError(f"{asked_by}unknown implementation {name!r}; known: {', '.join(KNOWN)}")
    known = KNOWN[name]
    try:
        arrays = importlib.import_module(known.array_module)
        operations: Any = importlib.import_module(known.module)
        if known.attribute:
            operations = getattr(operations, known.attribute)
    except BackendUnavailable as unavailable:  # the module says it in its own words
        raise BackendUnavailable(name, unavailable.reason, asked_by) from unavailable
    except (ImportError, OSError) as error:
        raise BackendUnavailable(name, f"{error}; {known.remedy}", asked_by) from error
    missing = [operation for operation in OPERATIONS if not hasattr(operations, operation)]
    if missing:  # also what an old folder without code imports as
        raise BackendUnavailable(name, f"{known.module} lacks {', '.join(missing)}; install minizf again", asked_by)
    _loaded[name] = Loaded(name, known.dtypes, operations, arrays)
    return _loaded[name]
