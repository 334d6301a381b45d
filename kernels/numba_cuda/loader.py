"""Imports numba.cuda across the versions that do not fit each other.

`numba.cuda` exists twice: inside Numba, and as NVIDIA's package numba-cuda, which takes over `import numba.cuda` where it is
installed. What goes wrong (all seen with Numba 0.68, numba-cuda 0.20 to 0.30, NumPy 2.4 and 2.5):

    numba-cuda registers numpy.row_stack, trapz and in1d, which NumPy 2.5 has dropped: every compilation fails
        -> the names are put back for the moment in which it registers
    most releases of numba-cuda fit few releases of Numba: AttributeError, ImportError or RuntimeError on import
    numba-cuda without the CUDA run-time library: ImportError, or RuntimeError
        -> Numba's own target is used instead
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

DROPPED = {"row_stack": "vstack", "trapz": "trapezoid", "in1d": "isin"}  # name -> what has taken its place
REDIRECTOR = "NumbaCudaFinder"  # numba-cuda's entry in sys.meta_path
MISFITS = (AttributeError, ImportError, OSError, RuntimeError)

_loaded: ModuleType | None = None


def load() -> Any:
    """numba.cuda: NVIDIA's if it fits, else Numba's own. ImportError in words if neither can be imported."""
    global _loaded
    if _loaded is None:
        with dropped_names(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about NumPy's next releases, at import
            try:
                _loaded = imported()
            except MISFITS as first:
                without_redirection()
                try:
                    _loaded = imported()
                except MISFITS as second:
                    raise ImportError(f"numba.cuda cannot be imported: {first}; Numba's own: {second}") from second
    from numba import config

    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # type: ignore[attr-defined]  # small arrays are legitimate
    return _loaded


def imported() -> ModuleType:
    from numba import cuda

    if not hasattr(cuda, "jit"):
        raise ImportError("numba.cuda has no jit")
    try:
        import numba.cuda.np.arraymath
        import numba.cuda.np.arrayobj  # noqa: F401  (they register NumPy's names, so while the names are there)
    except ModuleNotFoundError:
        pass  # Numba's own target has no such modules
    return cuda


@contextmanager
def dropped_names() -> Iterator[None]:
    """NumPy with the names that it has dropped."""
    added = [name for name, instead in DROPPED.items() if not hasattr(np, name) and hasattr(np, instead)]
    for name in added:
        setattr(np, name, getattr(np, DROPPED[name]))
    try:
        yield
    finally:
        for name in added:
            delattr(np, name)


def without_redirection() -> None:
    """From now on `import numba.cuda` finds Numba's own target."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != REDIRECTOR]
    for name in [name for name in sys.modules if name == "numba.cuda" or name.startswith("numba.cuda.")]:
        del sys.modules[name]
    import numba

    if hasattr(numba, "cuda"):
        del numba.cuda


def why_unusable(cuda: Any) -> str | None:
    """None if this numba.cuda can launch kernels here, else the reason."""
    try:
        if cuda.is_available():
            return None
        error = cuda.cuda_error() if hasattr(cuda, "cuda_error") else None
    except Exception as failure:  # whatever a driver's library throws
        error = failure
    words = " ".join(str(error or "").split())
    return f"{origin(cuda)} finds no usable GPU: {words or 'is the NVIDIA driver installed?'}"


def origin(cuda: Any) -> str:
    """Which of the two packages this numba.cuda comes from."""
    if "numba_cuda" in Path(getattr(cuda, "__file__", None) or "").parts:
        return f"numba-cuda {version('numba-cuda')}"
    return f"numba.cuda of Numba {version('numba')}"
