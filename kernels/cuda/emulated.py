"""The implementations `cuda-emulated` and `cuda-tf32-emulated`: the GPU's kernels executed on the CPU, on NumPy arrays."""

from kernels.cuda.device import Emulated
from kernels.cuda.operations import Operations, TensorCoreOperations

cpu = Emulated()
fp32 = Operations(cpu)
tf32 = TensorCoreOperations(cpu)
