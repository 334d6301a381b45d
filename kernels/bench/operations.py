"""Each operation as the bench calls it: its inputs, its arguments, and its full result from an independent computation.

A case's inputs are named arrays, drawn once; `FRESH` names the one that gets new values before every timed call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels import numpy_blas
from kernels.bench.problems import Conv, Linear, Lrn, Pool, Problem

Arrays = dict[str, np.ndarray]

FRESH = {
    "conv2d": "x",
    "conv2d_relu": "x",
    "conv2d_transpose": "dy",
    "conv2d_weight_grad": "x",
    "deconv_step": "y",
    "maxpool2d": "x",
    "relu_maxpool": "x",
    "unpool2d": "y",
    "lrn": "x",
    "lrn_grad": "dy",
    "linear": "x",
    "linear_input_grad": "dy",
    "linear_weight_grad": "x",
}
OUTPUTS = {"maxpool2d": ("y", "switches"), "relu_maxpool": ("y", "switches"), "lrn": ("y", "scale")}  # others: one


def inputs(problem: Problem, seed: int) -> Arrays:
    """Normally distributed float32 arrays of the problem's shape; switches are those of a pooling of random numbers."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    shape, operation = problem.shape, problem.operation
    match shape:
        case Conv() if operation == "deconv_step":
            switches = numpy_blas.maxpool2d(normal(*shape.y), shape.pooled.size, shape.pooled.stride, shape.pooled.pad)[1]
            return {"y": normal(*shape.pooled.y), "switches": switches, "w": normal(*shape.w)}
        case Conv():
            drawn = {"x": shape.x, "w": shape.w, "b": shape.w[:1], "dy": shape.y}
            wanted = {"conv2d_transpose": ("dy", "w"), "conv2d_weight_grad": ("x", "dy")}.get(operation, ("x", "w", "b"))
            return {name: normal(*drawn[name]) for name in wanted}
        case Pool() if operation == "unpool2d":
            switches = numpy_blas.maxpool2d(normal(*shape.x), shape.size, shape.stride, shape.pad)[1]
            return {"y": normal(*shape.y), "switches": switches}
        case Pool():
            return {"x": normal(*shape.x)}
        case Lrn():
            x = 3 * normal(*shape.x)  # so that the sum of squares counts beside k
            if operation == "lrn":
                return {"x": x}
            y, scale = numpy_blas.lrn(x, shape.size, shape.alpha, shape.beta, shape.k)
            return {"dy": normal(*shape.x), "x": x, "y": y, "scale": scale}
        case Linear():
            sizes = {
                "x": (shape.images, shape.features),
                "w": (shape.outputs, shape.features),
                "b": (shape.outputs,),
                "dy": (shape.images, shape.outputs),
            }
            wanted = {"linear_input_grad": ("dy", "w"), "linear_weight_grad": ("x", "dy")}.get(operation, ("x", "w", "b"))
            return {name: normal(*sizes[name]) for name in wanted}
    raise ValueError(f"{problem.name}: no inputs are known for a {type(shape).__name__}")


def arguments(problem: Problem, arrays: dict[str, Any]) -> tuple:
    """The contract's arguments for these arrays, of whichever array library."""
    shape, a = problem.shape, arrays
    match problem.operation, shape:
        case "conv2d" | "conv2d_relu", Conv():
            return a["x"], a["w"], a["b"], shape.stride, shape.pad
        case "conv2d_transpose", Conv():
            return a["dy"], a["w"], shape.stride, shape.pad, shape.x[2:]
        case "conv2d_weight_grad", Conv():
            return a["x"], a["dy"], shape.stride, shape.pad, shape.window
        case "deconv_step", Conv():
            pooled = shape.pooled
            windows = pooled.size, pooled.stride, pooled.pad
            return a["y"], a["switches"], *windows, a["w"], shape.stride, shape.pad, shape.x[2:], problem.rule
        case "maxpool2d" | "relu_maxpool", Pool():
            return a["x"], shape.size, shape.stride, shape.pad
        case "unpool2d", Pool():
            return a["y"], a["switches"], shape.size, shape.stride, shape.pad, shape.x[2:], problem.rule
        case "lrn", Lrn():
            return a["x"], shape.size, shape.alpha, shape.beta, shape.k
        case "lrn_grad", Lrn():
            return a["dy"], a["x"], a["y"], a["scale"], shape.size, shape.alpha, shape.beta
        case _, Linear():
            return tuple(a.values())
    raise ValueError(f"{problem.name}: a {type(shape).__name__} is no shape for {problem.operation}")


def result_shapes(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """The shape of each result."""
    shape = problem.shape
    match problem.operation, shape:
        case "conv2d" | "conv2d_relu", Conv():
            return (shape.y,)
        case "conv2d_transpose" | "deconv_step", Conv():
            return (shape.x,)
        case "conv2d_weight_grad", Conv():
            return (shape.w,)
        case "maxpool2d" | "relu_maxpool", Pool():
            return shape.y, shape.y
        case "unpool2d", Pool():
            return (shape.x,)
        case "lrn", Lrn():
            return shape.x, shape.x
        case "lrn_grad", Lrn():
            return (shape.x,)
        case "linear", Linear():
            return ((shape.images, shape.outputs),)
        case "linear_input_grad", Linear():
            return ((shape.images, shape.features),)
        case "linear_weight_grad", Linear():
            return ((shape.outputs, shape.features),)
    raise ValueError(f"{problem.name}: a {type(shape).__name__} is no shape for {problem.operation}")


def expected(problem: Problem, arrays: Arrays, dtype: type) -> tuple[np.ndarray, ...]:
    """The whole result by matrix products and slices of NumPy, computing in `dtype`."""
    wide = {name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    function: Callable = getattr(numpy_blas, problem.operation)
    result = function(*arguments(problem, wide))
    return result if isinstance(result, tuple) else (result,)
