"""Run as a program: kernels under Numba's own simulator, one block or a few of each, against the same kernels in ours.

Proves that what the kernels say is Numba's language. Apart, because NUMBA_ENABLE_CUDASIM must be set before Numba is imported.
"""

import os
import sys
from pathlib import Path

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.setswitchinterval(1e-4)  # each thread of a block is one of the system's, and they take turns

import numpy as np  # noqa: E402
from numba import cuda  # noqa: E402

from kernels.numba_cuda.device import Emulated, bound  # noqa: E402
from kernels.numba_cuda.operations import Operations  # noqa: E402


class Numbas(Emulated):
    """As our simulator's device, but every launch goes to Numba's."""

    def __init__(self):
        super().__init__()
        self.launched = set()

    def empty(self, shape, dtype=np.float32):
        return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 255, dtype)

    def made_ready(self, kernel, threads):
        self.launched.add(kernel)
        return cuda.jit(bound(kernel, cuda))


def cases(rng):
    def f32(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    one = (1, 1)
    x, w, dy = f32(2, 2, 3, 4), f32(3, 2, 2, 2), f32(2, 3, 2, 3)
    pooled, switches = f32(1, 2, 2, 2), np.array([[[[0, 1], [2, 3]], [[3, 3], [0, 2]]]], np.uint8)
    yield "conv2d_relu", x, w, f32(3), one, (0, 0)
    yield "conv2d_transpose", dy, w, one, (0, 0), (3, 4)
    yield "deconv_step", pooled, switches, (2, 2), one, (0, 0), f32(2, 1, 2, 1), one, (0, 0), (4, 3), "max"
    yield "conv2d_weight_grad", f32(9, 1, 3, 4), f32(9, 2, 3, 4), one, (0, 0), one
    yield "linear", f32(2, 3), f32(4, 3), f32(4)
    yield "linear_input_grad", f32(2, 4), f32(4, 3)
    yield "linear_weight_grad", f32(2, 3), f32(2, 4)
    yield "relu_maxpool", x, (2, 2), (1, 2), one
    yield "unpool2d", pooled, switches, (2, 2), one, (0, 0), (3, 3), "mean"
    yield "relu", f32(5)
    yield "relu_grad", f32(5), f32(5)
    yield "lrn", x, 3, 0.5, 0.75, 2.0
    yield "lrn_grad", x, f32(2, 2, 3, 4), f32(2, 2, 3, 4), abs(f32(2, 2, 3, 4)) + 1, 3, 0.5, 0.75
    yield "bias_grad", dy
    yield "softmax_cross_entropy", f32(2, 11), np.array([3, 10], np.int32)
    yield "sgd_update", f32(5), f32(5), f32(5), 0.1, 0.9, 0.01
    yield "renormalise_filters", f32(2, 11), 0.1


def main():
    ours, numbas = Operations(Emulated()), Operations(Numbas())
    for operation, *arguments in cases(np.random.default_rng(4)):
        results = []
        for operations in (ours, numbas):
            copies = [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]
            result = getattr(operations, operation)(*copies)
            results.append(copies[:2] if result is None else result if isinstance(result, tuple) else (result,))
        for mine, other in zip(*results, strict=True):
            np.testing.assert_allclose(other, mine, rtol=2e-5, atol=2e-6, err_msg=operation)
    print(f"ran {len(numbas.device.launched)} kernels")


main()
