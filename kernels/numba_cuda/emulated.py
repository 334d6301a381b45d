"""numba-cuda-emulated: the kernels of this folder in the simulator, arrays are NumPy's."""

from kernels.numba_cuda.device import Emulated
from kernels.numba_cuda.operations import Operations

operations = Operations(Emulated())
