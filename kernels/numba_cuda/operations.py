"""Which function serves which operation of the contract: each takes the device first, then the operation's arguments."""

from functools import partial
from typing import Any

from kernels.numba_cuda import convolution, normalisation, pointwise, pooling, products, training, unpooling, weight_grad
from kernels.numba_cuda.device import Device

FUNCTIONS: dict[str, Any] = {
    "conv2d": convolution.conv2d,
    "conv2d_relu": partial(convolution.conv2d, rectify=True),
    "conv2d_transpose": convolution.conv2d_transpose,
    "deconv_step": convolution.deconv_step,
    "conv2d_weight_grad": weight_grad.conv2d_weight_grad,
    "linear": products.linear,
    "linear_input_grad": products.linear_input_grad,
    "linear_weight_grad": products.linear_weight_grad,
    "maxpool2d": pooling.maxpool2d,
    "relu_maxpool": partial(pooling.maxpool2d, rectify=True),
    "unpool2d": unpooling.unpool2d,
    "unpool_relu": partial(unpooling.unpool2d, rectify=True),
    "relu": pointwise.relu,
    "relu_grad": pointwise.relu_grad,
    "lrn": normalisation.lrn,
    "lrn_grad": normalisation.lrn_grad,
    "bias_grad": training.bias_grad,
    "softmax_cross_entropy": training.softmax_cross_entropy,
    "sgd_update": training.sgd_update,
    "renormalise_filters": training.renormalise_filters,
}


class Operations:
    """The operations of `contract.py` on one device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        if name not in FUNCTIONS:
            raise AttributeError(f"numba-cuda has no operation {name!r}")
        return partial(FUNCTIONS[name], self.device)
