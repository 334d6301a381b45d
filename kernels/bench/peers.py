"""Other people's libraries at the same problems: the same values in the same layout, the same threads, their best known call.

    torch        PyTorch: on the processor (oneDNN); on a GPU cuDNN in float32 with TF32 off, cudnn.benchmark on
    torch-tf32   the same on a GPU with TF32 allowed for convolutions and matrix products
    scipy        scipy.signal.correlate and BLAS through scipy.linalg, for small problems

Where PyTorch has two ways to do something (the input gradient: `conv_transpose2d` and `convolution_backward`), both are tried
first on the problem and the faster is timed.
"""

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from kernels.bench import checking, environment
from kernels.bench.checking import Places
from kernels.bench.contestants import Loaded
from kernels.bench.costs import cost
from kernels.bench.operations import Arrays, result_shapes
from kernels.bench.problems import Conv, Lrn, Pool, Problem

KNOWN = ("torch", "torch-tf32", "scipy")
WINOGRAD_SLACK = 16.0  # cuDNN may use algorithms whose float32 error is larger than that of plain sums
SCIPY_MOST_FLOP = 3e8


class PeerMissing(RuntimeError):
    """The peer asked for is not installed, or cannot work here."""


def find(name: str, gpu: bool, threads: int) -> Any:
    """The peer of that name; ValueError for a name that does not exist, PeerMissing where it cannot be had."""
    if name not in KNOWN:
        raise ValueError(f"no peer {name!r}; there are: {', '.join(KNOWN)} (or none)")
    if name == "torch-tf32" and not gpu:
        raise PeerMissing("torch-tf32 needs an implementation on a GPU beside it (--implementations cuda)")
    library = name.partition("-")[0]
    try:
        return Scipy() if library == "scipy" else Torch(name, gpu, threads)
    except ImportError as error:
        raise PeerMissing(f"the peer {library} cannot be used: {error}; pip install {library}, or --peer none") from error


class Torch:
    """PyTorch on the processor, or on a GPU beside an implementation there."""

    ours = False

    def __init__(self, name: str, gpu: bool, threads: int) -> None:
        with environment.own_policy():
            import torch

        if gpu and not torch.cuda.is_available():
            raise PeerMissing("this PyTorch finds no CUDA device, and a time on the processor says nothing about one on a GPU")
        self.torch, self.name, self.gpu = torch, name, gpu
        self.tf32 = name == "torch-tf32"
        self.product_error = checking.TF32 if self.tf32 else 0.0
        self.slack = WINOGRAD_SLACK if gpu else 2.0
        self.best: dict[str, int] = {}  # problem -> which of its ways is fastest
        torch.set_num_threads(threads)

    def refuses(self, problem: Problem) -> str | None:
        if problem.rule != "sum":
            return f"PyTorch has no unpooling with the rule {problem.rule!r}"
        return None

    @contextlib.contextmanager
    def active(self):
        backends = self.torch.backends
        backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = self.tf32
        backends.cudnn.benchmark = True
        with self.torch.no_grad():
            yield

    def load(self, problem: Problem, arrays: Arrays) -> Loaded:
        tensors = {name: self.torch.from_numpy(array) for name, array in arrays.items()}
        if self.gpu:
            tensors = {name: tensor.cuda() for name, tensor in tensors.items()}
        ways = TORCH_WAYS[problem.operation](self.torch, problem.shape, tensors)
        if problem.name not in self.best:
            self.best[problem.name] = 0 if len(ways) == 1 else int(np.argmin([self.seconds(way) for way in ways]))

        def inputs() -> Arrays:
            return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

        return Loaded(ways[self.best[problem.name]], inputs if self.gpu else None)

    def seconds(self, way: Callable[[], Any]) -> float:
        """The shortest of three calls after one that warms up."""
        took = []
        with self.active():
            for _ in range(4):
                start = time.perf_counter()
                way()
                if self.gpu:
                    self.torch.cuda.synchronize()
                took.append(time.perf_counter() - start)
        return min(took[1:])

    def outputs(self, problem: Problem, raw: Any) -> tuple[np.ndarray | None, ...]:
        results = [tensor.detach().cpu().numpy() for tensor in (raw if isinstance(raw, tuple) else (raw,))]
        if problem.operation in ("maxpool2d", "relu_maxpool"):
            return results[0], switches(problem.shape, results[1])
        if problem.operation == "lrn":
            return results[0], None  # it keeps no scale
        return tuple(results)

    def glance(self, problem: Problem, raw: Any, places: Places) -> tuple[bool, tuple[np.ndarray | None, ...]]:
        results = raw if isinstance(raw, tuple) else (raw,)
        there = tuple(self.torch.from_numpy(axis).to(results[0].device) for axis in places)
        finite = bool(np.isfinite(float(results[0].sum())))
        return finite, (results[0][there].cpu().numpy(), *[None] * (len(result_shapes(problem)) - 1))

    def spoil(self, problem: Problem, raw: Any) -> None:
        for tensor in raw if isinstance(raw, tuple) else (raw,):
            tensor.detach().fill_(float("nan") if tensor.is_floating_point() else -1)


def switches(shape: Pool, flat: np.ndarray) -> np.ndarray:
    """PyTorch's indices into the whole map as places in their windows."""
    i, j = np.divmod(flat, shape.x[3])
    p, q = np.ogrid[: shape.out[0], : shape.out[1]]
    rows = i - (p * shape.stride[0] - shape.pad[0])
    return (rows * shape.size[1] + j - (q * shape.stride[1] - shape.pad[1])).astype(np.uint8)


def flat_indices(shape: Pool, switches: Any, torch: Any) -> Any:
    """Our switches as PyTorch's indices, int64 into the whole map."""
    places = switches.to(torch.int64)
    p = torch.arange(shape.out[0], device=places.device)[:, None]
    q = torch.arange(shape.out[1], device=places.device)
    i = p * shape.stride[0] - shape.pad[0] + places // shape.size[1]
    return i * shape.x[3] + q * shape.stride[1] - shape.pad[1] + places % shape.size[1]


def conv_forward(torch: Any, shape: Conv, t: dict[str, Any]) -> list[Callable]:
    return [lambda: torch.nn.functional.conv2d(t["x"], t["w"], t["b"], shape.stride, shape.pad)]


def conv_forward_relu(torch: Any, shape: Conv, t: dict[str, Any]) -> list[Callable]:
    return [lambda: torch.nn.functional.conv2d(t["x"], t["w"], t["b"], shape.stride, shape.pad).relu_()]


def backward_of(torch: Any, shape: Conv, dy: Any, x: Any, w: Any, which: int) -> Any:
    """The gradient for the input (which = 0) or the filters (1), as autograd calls it."""
    mask = [which == 0, which == 1, False]
    return torch.ops.aten.convolution_backward(dy, x, w, None, shape.stride, shape.pad, (1, 1), False, (0, 0), 1, mask)[which]


def conv_input_grad(torch: Any, shape: Conv, t: dict[str, Any]) -> list[Callable]:
    empty = torch.empty(shape.x, device=t["w"].device)
    whole = [
        (out - 1) * step - 2 * pad + side
        for out, step, pad, side in zip(shape.out, shape.stride, shape.pad, shape.window, strict=True)
    ]
    rest = [size - side for size, side in zip(shape.x[2:], whole, strict=True)]
    ways: list[Callable] = [lambda: backward_of(torch, shape, t["dy"], empty, t["w"], 0)]
    if all(0 <= left < step for left, step in zip(rest, shape.stride, strict=True)):
        ways.append(lambda: torch.nn.functional.conv_transpose2d(t["dy"], t["w"], None, shape.stride, shape.pad, rest))
    return ways


def conv_weight_grad(torch: Any, shape: Conv, t: dict[str, Any]) -> list[Callable]:
    empty = torch.empty(shape.w, device=t["x"].device)
    return [lambda: backward_of(torch, shape, t["dy"], t["x"], empty, 1)]


def unpool(torch: Any, shape: Pool, y: Any, indices: Any, empty: Any) -> Any:
    """Adds where windows meet: what `max_unpool2d` does not do, and the gradient of max pooling does."""
    back = torch.ops.aten.max_pool2d_with_indices_backward
    return back(y, empty, shape.size, shape.stride, shape.pad, (1, 1), False, indices)


def deconv_step(torch: Any, shape: Conv, t: dict[str, Any]) -> list[Callable]:
    empty = torch.empty(shape.y, device=t["w"].device)
    indices = flat_indices(shape.pooled, t["switches"], torch)
    held = dict(t)

    def step(way: int) -> Any:
        held["dy"] = unpool(torch, shape.pooled, t["y"], indices, empty).relu_()
        return ways[way]()

    ways = conv_input_grad(torch, shape, held)  # which read held["dy"] when called
    return [lambda way=way: step(way) for way in range(len(ways))]


def max_pool(torch: Any, shape: Pool, t: dict[str, Any]) -> list[Callable]:
    pool = torch.nn.functional.max_pool2d
    return [lambda: pool(t["x"], shape.size, shape.stride, shape.pad, return_indices=True)]


def relu_max_pool(torch: Any, shape: Pool, t: dict[str, Any]) -> list[Callable]:
    pool = torch.nn.functional.max_pool2d
    return [lambda: pool(t["x"].relu(), shape.size, shape.stride, shape.pad, return_indices=True)]


def max_unpool(torch: Any, shape: Pool, t: dict[str, Any]) -> list[Callable]:
    empty, indices = torch.empty(shape.x, device=t["y"].device), flat_indices(shape, t["switches"], torch)
    return [lambda: unpool(torch, shape, t["y"], indices, empty)]


def normalise(torch: Any, shape: Lrn, t: dict[str, Any]) -> list[Callable]:
    return [lambda: torch.nn.functional.local_response_norm(t["x"], shape.size, shape.alpha, shape.beta, shape.k)]


def normalise_grad(torch: Any, shape: Lrn, t: dict[str, Any]) -> list[Callable]:
    with torch.enable_grad():
        x = t["x"].detach().requires_grad_()
        y = torch.nn.functional.local_response_norm(x, shape.size, shape.alpha, shape.beta, shape.k)
    return [lambda: torch.autograd.grad(y, x, t["dy"], retain_graph=True)[0]]


TORCH_WAYS: dict[str, Callable[[Any, Any, dict[str, Any]], list[Callable]]] = {
    "conv2d": conv_forward,
    "conv2d_relu": conv_forward_relu,
    "conv2d_transpose": conv_input_grad,
    "conv2d_weight_grad": conv_weight_grad,
    "deconv_step": deconv_step,
    "maxpool2d": max_pool,
    "relu_maxpool": relu_max_pool,
    "unpool2d": max_unpool,
    "lrn": normalise,
    "lrn_grad": normalise_grad,
    "linear": lambda torch, shape, t: [lambda: torch.nn.functional.linear(t["x"], t["w"], t["b"])],
    "linear_input_grad": lambda torch, shape, t: [lambda: t["dy"] @ t["w"]],
    "linear_weight_grad": lambda torch, shape, t: [lambda: t["dy"].T @ t["x"]],
}


class Scipy:
    """What SciPy offers: correlation map by map, and BLAS."""

    name, ours, gpu, product_error, slack = "scipy", False, False, 0.0, WINOGRAD_SLACK

    def __init__(self) -> None:
        import scipy.linalg.blas
        import scipy.signal

        self.correlate, self.sgemm = scipy.signal.correlate, scipy.linalg.blas.sgemm

    def refuses(self, problem: Problem) -> str | None:
        if problem.operation not in ("conv2d", "linear", "linear_input_grad", "linear_weight_grad"):
            return f"SciPy has nothing for {problem.operation}"
        if cost(problem).flop > SCIPY_MOST_FLOP and problem.operation == "conv2d":
            return f"SciPy's correlation would take seconds for more than {SCIPY_MOST_FLOP / 1e9:g} GFLOP"
        return None

    def active(self) -> AbstractContextManager:
        return contextlib.nullcontext()

    def load(self, problem: Problem, arrays: Arrays) -> Loaded:
        a = arrays
        match problem.operation:
            case "conv2d":
                return Loaded(lambda: self.conv2d(problem.shape, a["x"], a["w"], a["b"]))
            case "linear":  # BLAS counts columns first: y.T = w @ x.T, and arrays seen so are not copied
                return Loaded(lambda: self.sgemm(1, a["w"].T, a["x"].T, trans_a=True).T + a["b"])
            case "linear_input_grad":
                return Loaded(lambda: self.sgemm(1, a["w"].T, a["dy"].T).T)
        return Loaded(lambda: self.sgemm(1, a["x"].T, a["dy"].T, trans_b=True).T)

    def conv2d(self, shape: Conv, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """One correlation for each image and filter; strides leave out what was computed."""
        padded = np.pad(x, ((0, 0), (0, 0), (shape.pad[0],) * 2, (shape.pad[1],) * 2))
        y = np.empty(shape.y, np.float32)
        for n, image in enumerate(padded):
            for k, filters in enumerate(w):
                y[n, k] = self.correlate(image, filters, "valid")[0, :: shape.stride[0], :: shape.stride[1]] + b[k]
        return y

    def outputs(self, problem: Problem, raw: Any) -> tuple[np.ndarray | None, ...]:
        return (np.ascontiguousarray(raw),)

    def glance(self, problem: Problem, raw: Any, places: Places) -> tuple[bool, tuple[np.ndarray | None, ...]]:
        raise NotImplementedError("SciPy computes on the processor")

    def spoil(self, problem: Problem, raw: Any) -> None:
        raw.fill(np.nan)
