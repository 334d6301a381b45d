"""The `numba` implementation of the contract: float32 on the CPU, all cores, the same bits in every run.

Where to start reading: `microkernels.py`, the inner loop that carries every convolution; then `products.py`, the loops around
it; then `conv.py`, `conv_transpose.py` and `weight_grad.py`, which differ only in their tables of addresses.
"""

from kernels.numba_cpu import machine
from kernels.numba_cpu.conv import conv2d, conv2d_relu
from kernels.numba_cpu.conv_transpose import conv2d_transpose, deconv_step
from kernels.numba_cpu.linear import linear, linear_input_grad, linear_weight_grad
from kernels.numba_cpu.norm import lrn, lrn_grad
from kernels.numba_cpu.pool import maxpool2d, relu_maxpool
from kernels.numba_cpu.relu import relu, relu_grad
from kernels.numba_cpu.training import bias_grad, renormalise_filters, sgd_update, softmax_cross_entropy
from kernels.numba_cpu.unpool import unpool2d, unpool_relu
from kernels.numba_cpu.weight_grad import conv2d_weight_grad

__all__ = [
    "bias_grad",
    "conv2d",
    "conv2d_relu",
    "conv2d_transpose",
    "conv2d_weight_grad",
    "deconv_step",
    "linear",
    "linear_input_grad",
    "linear_weight_grad",
    "lrn",
    "lrn_grad",
    "maxpool2d",
    "relu",
    "relu_grad",
    "relu_maxpool",
    "renormalise_filters",
    "sgd_update",
    "softmax_cross_entropy",
    "unpool2d",
    "unpool_relu",
    "vector_code",
]


def vector_code() -> str:
    """Which vector instructions the kernels are compiled to, or why they are plain loops."""
    return machine.DESCRIPTION
