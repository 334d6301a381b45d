"""The smaller and the larger of two numbers: Python's min and max do not compile in every release of Numba's CUDA target."""

from numba import int32

from kernels.numba_cuda.language import cuda


@cuda.jit(device=True)
def smaller(a, b):
    return int32(a) if a < b else int32(b)


@cuda.jit(device=True)
def larger(a, b):
    return int32(a) if a > b else int32(b)
