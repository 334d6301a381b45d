"""Make nets.npz: what PyTorch, in float64, says the loss and all gradients of whole nets are.

    python tests/oracle/make_net_arrays.py        needs PyTorch (the `oracle` extra)

Weights and images are float32, so that both precisions start from the same numbers. The keys of a net: NET.spec (JSON: its
architecture), NET.x, NET.labels, NET.logits, NET.loss, NET.dx, parameters NET.LAYER.ARRAY, gradients NET.grad.LAYER.ARRAY.
"""

import json
from pathlib import Path

import numpy as np
import torch
from random_nets import describe, draw_images, draw_net, small_zfnet
from torch_nets import passes

import kernels

TARGET = Path(__file__).parent / "nets.npz"


def main() -> None:
    rng = np.random.default_rng(5)
    nets = {"zfnet": small_zfnet(rng)}
    nets |= {f"random{stride}": draw_net(rng, stride, ("2x2", "3x3")[stride % 2], stride > 2) for stride in (1, 2, 3, 4)}
    arrays: dict[str, np.ndarray] = {}
    for name, net in nets.items():
        x = draw_images(rng, net, 3)
        labels = rng.integers(net.shapes[list(net.layers)[-1]][0], size=3)
        own = {"spec": np.array(json.dumps(describe(net))), "x": x, "labels": labels} | net.state() | passes(net, x, labels)
        arrays |= {f"{name}.{key}": array for key, array in own.items()}
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {len(nets)} nets, {len(arrays)} arrays, {TARGET.stat().st_size} bytes, PyTorch {torch.__version__}")


if __name__ == "__main__":
    with kernels.use("numpy"):
        main()
