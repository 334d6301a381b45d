"""Which function serves which operation of the contract, on a given device."""

from kernels.backends import Array
from kernels.cuda import convolution, linear, normalisation, pointwise, pooling, tensor_cores, training, weight_grad
from kernels.cuda.device import Device

Sides = tuple[int, int]


class Operations:
    """The operations of `contract.py` as methods; fp32 throughout."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def conv2d(self, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides) -> Array:
        return convolution.conv2d(self.device, x, w, b, stride, pad)

    def conv2d_relu(self, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides) -> Array:
        return convolution.conv2d(self.device, x, w, b, stride, pad, rectify=True)

    def conv2d_transpose(self, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
        return convolution.conv2d_transpose(self.device, dy, w, stride, pad, size)

    def deconv_step(
        self,
        y: Array,
        switches: Array,
        pool_size: Sides,
        pool_stride: Sides,
        pool_pad: Sides,
        w: Array,
        stride: Sides,
        pad: Sides,
        size: Sides,
        collisions: str,
    ) -> Array:
        pool = pool_size, pool_stride, pool_pad
        return convolution.deconv_step(self.device, y, switches, *pool, w, stride, pad, size, collisions)

    def conv2d_weight_grad(self, x: Array, dy: Array, stride: Sides, pad: Sides, filter_size: Sides) -> Array:
        return weight_grad.conv2d_weight_grad(self.device, x, dy, stride, pad, filter_size)

    def bias_grad(self, dy: Array) -> Array:
        return training.bias_grad(self.device, dy)

    def maxpool2d(self, x: Array, size: Sides, stride: Sides, pad: Sides) -> tuple[Array, Array]:
        return pooling.maxpool2d(self.device, x, size, stride, pad)

    def relu_maxpool(self, x: Array, size: Sides, stride: Sides, pad: Sides) -> tuple[Array, Array]:
        return pooling.maxpool2d(self.device, x, size, stride, pad, rectify=True)

    def unpool2d(
        self, y: Array, switches: Array, size: Sides, stride: Sides, pad: Sides, out_size: Sides, collisions: str
    ) -> Array:
        return pooling.unpool2d(self.device, y, switches, size, stride, pad, out_size, collisions)

    def unpool_relu(
        self, y: Array, switches: Array, size: Sides, stride: Sides, pad: Sides, out_size: Sides, collisions: str
    ) -> Array:
        return pooling.unpool2d(self.device, y, switches, size, stride, pad, out_size, collisions, rectify=True)

    def relu(self, x: Array) -> Array:
        return pointwise.relu(self.device, x)

    def relu_grad(self, dy: Array, y: Array) -> Array:
        return pointwise.relu_grad(self.device, dy, y)

    def lrn(self, x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Array]:
        return normalisation.lrn(self.device, x, size, alpha, beta, k)

    def lrn_grad(self, dy: Array, x: Array, y: Array, scale: Array, size: int, alpha: float, beta: float) -> Array:
        return normalisation.lrn_grad(self.device, dy, x, y, scale, size, alpha, beta)

    def linear(self, x: Array, w: Array, b: Array | None) -> Array:
        return linear.linear(self.device, x, w, b)

    def linear_input_grad(self, dy: Array, w: Array) -> Array:
        return linear.linear_input_grad(self.device, dy, w)

    def linear_weight_grad(self, x: Array, dy: Array) -> Array:
        return linear.linear_weight_grad(self.device, x, dy)

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array]:
        return training.softmax_cross_entropy(self.device, logits, labels)

    def sgd_update(self, w: Array, v: Array, dw: Array, rate: float, momentum: float, decay: float) -> None:
        training.sgd_update(self.device, w, v, dw, rate, momentum, decay)

    def renormalise_filters(self, w: Array, radius: float) -> None:
        training.renormalise_filters(self.device, w, radius)


class TensorCoreOperations(Operations):
    """The same with the products of convolutions and fully connected layers rounded to TF32, for the tensor cores."""

    def conv2d(self, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides) -> Array:
        return tensor_cores.conv2d(self.device, x, w, b, stride, pad)

    def conv2d_relu(self, x: Array, w: Array, b: Array | None, stride: Sides, pad: Sides) -> Array:
        return tensor_cores.conv2d(self.device, x, w, b, stride, pad, rectify=True)

    def conv2d_transpose(self, dy: Array, w: Array, stride: Sides, pad: Sides, size: Sides) -> Array:
        return tensor_cores.conv2d_transpose(self.device, dy, w, stride, pad, size)

    def deconv_step(
        self,
        y: Array,
        switches: Array,
        pool_size: Sides,
        pool_stride: Sides,
        pool_pad: Sides,
        w: Array,
        stride: Sides,
        pad: Sides,
        size: Sides,
        collisions: str,
    ) -> Array:
        pool = pool_size, pool_stride, pool_pad
        return tensor_cores.deconv_step(self.device, y, switches, *pool, w, stride, pad, size, collisions)

    def conv2d_weight_grad(self, x: Array, dy: Array, stride: Sides, pad: Sides, filter_size: Sides) -> Array:
        return tensor_cores.conv2d_weight_grad(self.device, x, dy, stride, pad, filter_size)

    def linear(self, x: Array, w: Array, b: Array | None) -> Array:
        return tensor_cores.linear(self.device, x, w, b)

    def linear_input_grad(self, dy: Array, w: Array) -> Array:
        return tensor_cores.linear_input_grad(self.device, dy, w)

    def linear_weight_grad(self, x: Array, dy: Array) -> Array:
        return tensor_cores.linear_weight_grad(self.device, x, dy)
