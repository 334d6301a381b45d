"""The operations of a convolutional network, each with several implementations that give the same results.

    import kernels
    y, switches = kernels.maxpool2d(x, size=3, stride=2, pad=1)

    kernels.available()             {"reference": None, "numpy": None, "numba": "No module named 'numba'; ..."}
    kernels.current()               the name of the implementation in use
    kernels.use("numpy")            choose one for the whole process
    with kernels.use("numpy"): ...  choose one for a block

Without a choice, the environment variable MINIZF_BACKEND decides, else the fastest that works here.
`contract.py` states what every operation means; `reference.py` is the definition in plain loops.
"""

from pathlib import Path

from kernels import backends, contract
from kernels.backends import BackendUnavailable, available, current, use
from kernels.contract import (
    COLLISIONS,
    conv2d,
    conv2d_transpose,
    conv2d_weight_grad,
    linear,
    linear_input_grad,
    linear_weight_grad,
    lrn,
    lrn_grad,
    maxpool2d,
    relu,
    relu_grad,
    relu_maxpool,
    unpool2d,
    unpool_relu,
)
from kernels.sizes import conv_output_size, pool_output_size

__all__ = [
    "COLLISIONS",
    "PROJECT",
    "BackendUnavailable",
    "available",
    "backends",
    "contract",
    "conv2d",
    "conv2d_transpose",
    "conv2d_weight_grad",
    "conv_output_size",
    "current",
    "linear",
    "linear_input_grad",
    "linear_weight_grad",
    "lrn",
    "lrn_grad",
    "maxpool2d",
    "pool_output_size",
    "relu",
    "relu_grad",
    "relu_maxpool",
    "unpool2d",
    "unpool_relu",
    "use",
]

PROJECT = "minizf"  # tells this package from any other named `kernels`; minizf asks for it

if __name__ != "kernels" or Path(contract.__file__).parent != Path(__file__).parent:
    raise ImportError(
        f"`kernels` from {__file__} (imported as {__name__!r}) works with modules of {contract.__file__}: these are two "
        "packages; put minizf's project folder first on the path, or uninstall the other (`pip uninstall kernels`)"
    )
