"""Runs CUDA C++ kernels on the CPU, behind CuPy's launch signature: no GPU, no CUDA toolkit, only g++.

from kernels.emulator import Module
scale = Module(open("scale.cu").read(), name="scale.cu").get_function("scale")
scale((4,), (256,), (x, np.float32(2), np.int32(x.size)))          x is a NumPy array, changed in place
"""

from kernels.emulator.compiler import CompileError, unavailable_reason
from kernels.emulator.memory import empty
from kernels.emulator.module import Kernel, Module
from kernels.emulator.report import KernelError
from kernels.emulator.traffic import Traffic

__all__ = ["CompileError", "Kernel", "KernelError", "Module", "Traffic", "empty", "unavailable_reason"]
