"""The implementations `cuda` and `cuda-tf32`: CuPy arrays on an NVIDIA GPU; importing this says why there is none."""

from kernels.cuda.device import Gpu
from kernels.cuda.operations import Operations, TensorCoreOperations

gpu = Gpu()
fp32 = Operations(gpu)
tf32 = TensorCoreOperations(gpu)
