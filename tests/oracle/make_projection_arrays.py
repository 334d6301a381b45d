"""Make projections.npz: what Captum, in float64, says the projections of random nets are.

    python tests/oracle/make_projection_arrays.py        needs PyTorch and Captum (the `oracle` extra)

Weights and images are float32, so that both precisions start from the same numbers; projections are float64, as they came. A
net has the keys NET.spec (JSON: architecture, and the units looked at), NET.x, NET.pixels, and parameters NET.LAYER.ARRAY.
"""

import json
from pathlib import Path

import captum
import numpy as np
import torch
from random_nets import as_dtype, describe, draw_images, draw_net
from torch_nets import captum_projection

import kernels
from minizf.layers import Rules
from minizf.net import Net

TARGET = Path(__file__).parent / "projections.npz"
NETS = 24
OTHER_RULES = (
    {"rectify": "both"},
    {"rectify": "mask"},
    {"rectify": "mask", "lrn": "jacobian"},
    {"rectify": "both", "lrn": "jacobian"},
)


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for number in range(NETS):
        rng = np.random.default_rng(number)
        net = draw_net(rng, stride=number % 4 + 1, pool="2x2" if number % 8 < 4 else "3x3", normalised=number % 3 == 2)
        x = draw_images(rng, net)
        units = draw_units(rng, net, x)
        wide = as_dtype(net, np.float64)
        pixels = [captum_projection(wide, x[u["image"]], **asked(u)) for u in units]
        name = f"net{number:02}"
        arrays[f"{name}.spec"] = np.array(json.dumps(describe(net) | {"units": units}))
        arrays[f"{name}.x"], arrays[f"{name}.pixels"] = x, np.stack(pixels)
        arrays |= {f"{name}.{key}": array for key, array in net.state().items()}
    np.savez_compressed(TARGET, **arrays)
    projections = sum(len(array) for key, array in arrays.items() if key.endswith("pixels"))
    print(f"{TARGET.name}: {NETS} nets, {projections} projections, {TARGET.stat().st_size} bytes")
    print(f"Captum {captum.__version__}, PyTorch {torch.__version__}")


def draw_units(rng: np.random.Generator, net: Net, x: np.ndarray) -> list[dict]:
    """One unit of every layer by value, a corner and a seed of one, and the other ways to rectify from the topmost maps."""
    _, tape = net.forward(x)
    units = []
    for layer, activations in tape.outputs.items():
        if layer != "flatten":
            units.append(draw_unit(rng, layer, activations))
    top = list(net.layers)[list(net.layers).index("flatten") - 1]
    units.append(draw_unit(rng, top, tape.outputs[top]) | {"at": [0, 0], "seed": "one"})
    units.append(draw_unit(rng, "fc2", tape.outputs["fc2"]) | {"seed": "one"})
    return units + [draw_unit(rng, top, tape.outputs[top]) | {"rules": rules} for rules in OTHER_RULES]


def draw_unit(rng: np.random.Generator, layer: str, activations: np.ndarray) -> dict:
    """A unit that responds, if the layer has one."""
    places = np.argwhere(activations > 0)
    place = places[rng.integers(len(places))] if len(places) else np.zeros(activations.ndim, int)
    image, map, *at = map_to_int(place)
    return {"layer": layer, "image": image, "map": map, "at": at or None, "seed": "value", "rules": {}}


def map_to_int(numbers) -> list[int]:
    return [int(n) for n in numbers]


def asked(unit: dict) -> dict:
    """A unit's entry as the arguments of `captum_projection`."""
    return {key: unit[key] for key in ("layer", "map", "at", "seed")} | {"rules": Rules(**unit["rules"])}


if __name__ == "__main__":
    with kernels.use("numpy"):
        main()
