"""The fully connected layer: a convolution over a map of one pixel.

With H = W = R = S = 1 the images are the pixels, and the three loops of the convolution are the three matrix products.
"""

from kernels.numba_cpu.conv import conv2d
from kernels.numba_cpu.conv_transpose import conv2d_transpose
from kernels.numba_cpu.weight_grad import conv2d_weight_grad


def _as_maps(matrix):
    return matrix.reshape(*matrix.shape, 1, 1)


def linear(x, w, b):
    """x (N,F), w (G,F), b (G,) or None -> y (N,G)."""
    return conv2d(_as_maps(x), _as_maps(w), b, (1, 1), (0, 0))[:, :, 0, 0]


def linear_input_grad(dy, w):
    """dy (N,G), w (G,F) -> dx (N,F)."""
    return conv2d_transpose(_as_maps(dy), _as_maps(w), (1, 1), (0, 0), (1, 1))[:, :, 0, 0]


def linear_weight_grad(x, dy):
    """x (N,F), dy (N,G) -> dw (G,F)."""
    return conv2d_weight_grad(_as_maps(x), _as_maps(dy), (1, 1), (0, 0), (1, 1))[:, :, 0, 0]
