"""Make kernels.npz: what PyTorch, in float64, says the kernels' operations give on small awkward shapes.

    python tests/oracle/make_kernel_arrays.py        needs PyTorch (the `oracle` extra)

Inputs are float32, so that both precisions start from the same numbers. Keys are CASE.ARRAY, options are int arrays.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

TARGET = Path(__file__).parent / "kernels.npz"

# x (N,C,H,W), filters K, (R,S), stride, pad
CONVOLUTIONS = (
    ((2, 3, 9, 7), 5, (3, 2), (2, 1), (1, 3)),
    ((3, 2, 5, 11), 4, (1, 2), (3, 4), (0, 0)),
    ((1, 4, 11, 6), 3, (5, 3), (2, 2), (2, 0)),
    ((2, 5, 8, 13), 2, (3, 3), (1, 1), (1, 1)),
)
# x (N,C,H,W), size, stride, pad
POOLS = (
    ((2, 3, 9, 7), (3, 3), (2, 2), (1, 1)),
    ((1, 5, 8, 11), (3, 2), (1, 3), (0, 1)),
    ((3, 2, 5, 13), (2, 4), (3, 2), (1, 2)),
)
# x (N,C,H,W), size, alpha, beta, k
NORMALISATIONS = (
    ((2, 7, 3, 5), 5, 0.5, 0.75, 2.0),
    ((1, 6, 5, 2), 4, 0.9, 0.6, 1.0),
    ((3, 2, 1, 4), 3, 1e-4, 0.75, 2.0),
)


def main() -> None:
    rng = np.random.default_rng(20)
    arrays: dict[str, np.ndarray] = {}
    for number, options in enumerate(CONVOLUTIONS):
        store(arrays, f"conv{number}", convolution(rng, *options))
    for number, options in enumerate(POOLS):
        store(arrays, f"pool{number}", pool(rng, *options))
    for number, options in enumerate(NORMALISATIONS):
        store(arrays, f"lrn{number}", normalisation(rng, *options))
    store(arrays, "linear0", linear(rng, 3, 11, 7))
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {len(arrays)} arrays, {TARGET.stat().st_size} bytes, PyTorch {torch.__version__}")


def store(arrays: dict[str, np.ndarray], case: str, members: dict[str, object]) -> None:
    for name, value in members.items():
        arrays[f"{case}.{name}"] = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def double(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def convolution(rng, shape, filters, window, stride, pad) -> dict[str, object]:
    x, w, b = normal(rng, *shape), normal(rng, filters, shape[1], *window), normal(rng, filters)
    tx, tw, tb = double(x), double(w), double(b)
    y = functional.conv2d(tx, tw, tb, stride, pad)
    dy = normal(rng, *y.shape)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    return {"x": x, "w": w, "b": b, "stride": stride, "pad": pad, "y": y, "dy": dy, "dx": tx.grad, "dw": tw.grad}


def pool(rng, shape, size, stride, pad) -> dict[str, object]:
    """Whole numbers from -4 to 4, so that ties are common; `at` is the winner's place in its whole map."""
    x = rng.integers(-4, 5, shape).astype(np.float32)
    tx = double(x)
    y, at = functional.max_pool2d(tx, size, stride, pad, return_indices=True)
    dy = normal(rng, *y.shape)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    return {"x": x, "size": size, "stride": stride, "pad": pad, "y": y, "at": at, "dy": dy, "dx": tx.grad}


def normalisation(rng, shape, size, alpha, beta, k) -> dict[str, object]:
    x = normal(rng, *shape)
    tx = double(x)
    y = functional.local_response_norm(tx, size, alpha, beta, k)
    dy = normal(rng, *shape)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    return {"x": x, "size": size, "numbers": (alpha, beta, k), "y": y, "dy": dy, "dx": tx.grad}


def linear(rng, images, features, outputs) -> dict[str, object]:
    x, w, b = normal(rng, images, features), normal(rng, outputs, features), normal(rng, outputs)
    tx, tw, tb = double(x), double(w), double(b)
    y = functional.linear(tx, tw, tb)
    dy = normal(rng, *y.shape)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    return {"x": x, "w": w, "b": b, "y": y, "dy": dy, "dx": tx.grad, "dw": tw.grad}


if __name__ == "__main__":
    main()
