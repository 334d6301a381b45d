"""The operations of a convolutional network, each with several implementations that give the same results.

    import kernels
    y, switches = kernels.maxpool2d(x, size=3, stride=2, pad=1)

    kernels.available()             {"reference": None, "numpy": None, "numba": "No module named 'numba'; ..."}
    kernels.current()               the name of the implementation in use
    kernels.use("numpy")            choose one for the whole process
    with kernels.use("numpy"): ...  choose one for a block

    kernels.to_device(array)        a NumPy array as the implementation in use wants it; to_host the way back

Without a choice, the environment variable MINIZF_BACKEND decides, else the fastest that works here.
`contract.py` states what every operation means; `reference.py` is the definition in plain loops.
"""

from pathlib import Path

from kernels import backends, contract
from kernels.backends import BackendUnavailable, available, current, use
from kernels.contract import (
    COLLISIONS,
    bias_grad,
    conv2d,
    conv2d_relu,
    conv2d_transpose,
    conv2d_weight_grad,
    deconv_step,
    linear,
    linear_input_grad,
    linear_weight_grad,
    lrn,
    lrn_grad,
    maxpool2d,
    relu,
    relu_grad,
    relu_maxpool,
    renormalise_filters,
    sgd_update,
    softmax_cross_entropy,
    unpool2d,
    unpool_relu,
)
from kernels.sizes import conv_output_size, pool_output_size
from kernels.transfer import assign, is_array, numbers_to_host, on_host, to_device, to_host, zeros

__all__ = [
    "COLLISIONS",
    "PROJECT",
    "BackendUnavailable",
    "assign",
    "available",
    "backends",
    "bias_grad",
    "contract",
    "conv2d",
    "conv2d_relu",
    "conv2d_transpose",
    "conv2d_weight_grad",
    "conv_output_size",
    "current",
    "deconv_step",
    "is_array",
    "linear",
    "linear_input_grad",
    "linear_weight_grad",
    "lrn",
    "lrn_grad",
    "maxpool2d",
    "numbers_to_host",
    "on_host",
    "pool_output_size",
    "relu",
    "relu_grad",
    "relu_maxpool",
    "renormalise_filters",
    "sgd_update",
    "softmax_cross_entropy",
    "to_device",
    "to_host",
    "unpool2d",
    "unpool_relu",
    "use",
    "zeros",
]

PROJECT = "minizf"  # tells this package from any other named `kernels`; minizf asks for it

if __name__ != "kernels" or Path(contract.__file__).parent != Path(__file__).parent:
    raise ImportError(
        f"`kernels` from {__file__} (imported as {__name__!r}) works with modules of {contract.__file__}: these are two "
        "packages; put minizf's project folder first on the path, or uninstall the other (`pip uninstall kernels`)"
    )
