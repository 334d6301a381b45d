"""Importing numba.cuda where its releases do not fit: each clash is acted out with a package made for the test."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import numpy as np
import pytest

from kernels.numba_cuda import loader

# A folder that stands for the site-packages of numba-cuda: its finder takes over `import numba.cuda`, as its .pth file does.
FINDER = """
import importlib.util, sys
class NumbaCudaFinder:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.cuda":
            return importlib.util.spec_from_file_location(name, {file!r}, submodule_search_locations=[{folder!r}])
sys.meta_path.insert(0, NumbaCudaFinder())
"""
REGISTERING = """
import numpy as np
names = [np.row_stack, np.trapz, np.in1d]
"""


def run(tmp_path, cuda, program, registering=None):
    """A fresh Python in which numba-cuda is `cuda`, and NumPy has first lost the names of 2.5; its output."""
    folder = tmp_path / "numba_cuda" / "cuda"
    (folder / "np").mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(cuda))
    if registering is not None:
        (folder / "np" / "__init__.py").write_text("")
        (folder / "np" / "arrayobj.py").write_text("")
        (folder / "np" / "arraymath.py").write_text(registering)
    lost = "import numpy\nfor name in ('row_stack', 'trapz', 'in1d'):\n    vars(numpy).pop(name, None)\n"
    start = FINDER.format(file=str(folder / "__init__.py"), folder=str(folder))
    text = f"{lost}\n{start}\nfrom kernels.numba_cuda import loader\n{textwrap.dedent(program)}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, cwd=Path(loader.__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FITS = """
__version__ = "0.30.4"
def jit(): pass
"""
SHOW = """
    cuda = loader.load()
    print(getattr(cuda, "__version__", "built in"), cuda.__file__.split("/")[-2:], cuda.jit is not None, loader.load() is cuda)
    import numpy
    print([name for name in loader.DROPPED if name in vars(numpy)])
"""


def test_names_that_numpy_has_dropped_are_there_while_they_are_registered(tmp_path):
    """numba-cuda on NumPy 2.5: without the names AttributeError; afterwards NumPy is as it was."""
    shown = run(tmp_path, FITS, SHOW, REGISTERING)
    assert shown.startswith("0.30.4 ['cuda', '__init__.py'] True True\n")
    assert shown.endswith("[]\n")


def test_without_the_names_it_would_not_fit(tmp_path):
    program = """
    import pytest
    with pytest.raises(AttributeError, match="row_stack"):
        loader.imported()
    """
    run(tmp_path, FITS, program, REGISTERING)


@pytest.mark.parametrize(
    "failure",
    [
        "raise ImportError('libcudart.so: cannot open shared object file')",
        "raise RuntimeError('CUDA run-time library not found')",
        "raise AttributeError('module numba.core has no attribute x')",
        "raise OSError('libcudart.so.13: invalid ELF header')",
        "__version__ = 'an empty shell'",
    ],
)
def test_a_misfit_gives_way_to_numbas_own_target(tmp_path, failure):
    shown = run(tmp_path, failure, SHOW)
    assert shown.startswith("built in ['cuda', '__init__.py'] True True\n")
    assert shown.endswith("[]\n")


def test_a_misfit_in_what_it_registers_gives_way_too(tmp_path):
    assert run(tmp_path, FITS, SHOW, "raise AttributeError('numba.core.typing.npydecl')").startswith("built in")


def test_both_failing_says_both(tmp_path):
    """A Numba whose own target is gone, as announced, beside a numba-cuda that does not fit."""
    program = """
    class Gone:
        def find_spec(self, name, path=None, target=None):
            if name == "numba.cuda":
                raise ModuleNotFoundError("No module named 'numba.cuda'")
    sys.meta_path.insert(1, Gone())
    try:
        loader.load()
    except ImportError as error:
        print(error)
    """
    shown = run(tmp_path, "raise ImportError('no libcudart')", program)
    assert shown == "numba.cuda cannot be imported: no libcudart; Numba's own: No module named 'numba.cuda'\n"


def test_this_machine_gets_one_and_is_left_alone():
    before = set(vars(np))
    assert callable(loader.load().jit)
    assert set(vars(np)) == before


class Unusable:
    def is_available(self):
        return False

    def cuda_error(self):
        return "\nCUDA_ERROR_NO_DEVICE,\nsee above\n"


class Broken(Unusable):
    def is_available(self):
        raise OSError("libcuda.so.1: wrong ELF class")


class Usable(Unusable):
    def is_available(self):
        return True


def test_reasons():
    finds = f"numba.cuda of Numba {numba.__version__} finds no usable GPU: "
    assert loader.why_unusable(Unusable()) == finds + "CUDA_ERROR_NO_DEVICE, see above"
    assert loader.why_unusable(Broken()) == finds + "libcuda.so.1: wrong ELF class"
    assert loader.why_unusable(Usable()) is None
