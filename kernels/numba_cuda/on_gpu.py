"""numba-cuda: the kernels of this folder on a GPU, arrays are CuPy's. Importing it fails in words where that cannot work."""

from kernels.numba_cuda.device import Gpu
from kernels.numba_cuda.operations import Operations

operations = Operations(Gpu())
