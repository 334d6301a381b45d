"""Which activation to look at: names and places checked, the strongest place found, the seed laid.

    layer "relu2", map 7, image 0   ->   the position where map 7 responds most   ->   a signal, zero everywhere else

A layer after a Flatten has units instead of maps: there `map` is the unit or class, and there is no position.
"""

import math

import numpy as np

import kernels
from minizf.net import Net, Tape

SEEDS = ("value", "one", "map", "all")


def outputs_of(net: Net, tape: Tape, layer: str) -> np.ndarray:
    """The activations of a layer on the tape; ValueError for an unknown layer and for a tape that ends below it."""
    net.check_layer(layer)
    if layer not in tape.outputs:
        if tape.in_pairs:
            raise ValueError(
                f"no {layer} on this tape: it comes from a training pass, which takes some layers in pairs; run forward "
                "without a random generator to look"
            )
        reached = list(tape.outputs)[-1] if tape.outputs else "no layer"
        raise ValueError(
            f"the tape ends at {reached}, below {layer}: this pass was made with upto={reached!r}; "
            f"run net.forward(x, upto={layer!r}), or further up, to look at {layer}"
        )
    return tape.outputs[layer]


def check_maps(net: Net, layer: str, maps: np.ndarray) -> None:
    """ValueError unless every number names a map (or unit) of this layer."""
    shape = net.shapes[net.check_layer(layer)]
    wrong = maps[(maps < 0) | (maps >= shape[0])]
    if len(wrong):
        word = "map" if len(shape) == 3 else "unit"
        raise ValueError(f"{word} {wrong[0]}: {layer} has {word}s 0..{shape[0] - 1}")


def check_images(count: int, images: np.ndarray) -> None:
    """ValueError unless every number names one of the `count` images of a tape or batch."""
    wrong = images[(images < 0) | (images >= count)]
    if len(wrong):
        raise ValueError(f"image {wrong[0]}: this pass holds images 0..{count - 1}, counted within the batch")


def check_seed(seed: str, at) -> None:
    """ValueError for an unknown seed, and for a position given to a seed that takes whole maps."""
    if seed not in SEEDS:
        raise ValueError(f"seed={seed!r} is not a seed; choose one of {', '.join(SEEDS)}")
    if seed in ("map", "all") and at is not None:
        raise ValueError(f"seed={seed!r} takes every position at once; leave `at` out, or choose seed='value' for one position")


def check_positions(net: Net, layer: str, at: np.ndarray, count: int) -> None:
    """ValueError unless `at` holds `count` pairs (row, column) that lie on the maps of this layer."""
    shape = net.shapes[layer]
    if len(shape) == 1:
        raise ValueError(f"{layer} has {shape[0]} units and no positions; leave `at` out")
    if at.shape != (count, 2):
        raise ValueError(f"positions {at.shape}; expected (row, column) for each unit, ({count}, 2)")
    height, width = shape[1:]
    wrong = at[((at < 0) | (at >= (height, width))).any(axis=1)]
    if len(wrong):
        raise ValueError(
            f"position ({wrong[0][0]}, {wrong[0][1]}): the maps of {layer} are {height}x{width}, "
            f"rows 0..{height - 1} and columns 0..{width - 1}"
        )


def check_values(layer: str, values: np.ndarray) -> None:
    """ValueError when an activation to start from is not a finite number."""
    if values.size and not math.isfinite(abs(values).max()):
        raise ValueError(f"{layer} holds activations that are not finite numbers: NaN or infinity in the images or the weights")


def positions(activations: np.ndarray, images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Where each map of its image responds most, the first of equals: (B, 2); zeros for units after a Flatten."""
    if activations.ndim == 2:
        return kernels.zeros((len(images), 2), np.dtype(int))
    chosen = activations[images, maps]  # (B, P, Q)
    places = kernels.to_host(chosen.reshape(len(chosen), -1).argmax(axis=1))
    return kernels.to_device(np.stack(np.unravel_index(places, chosen.shape[1:]), axis=1))


def activations_at(activations: np.ndarray, images: np.ndarray, maps: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The activation of each unit, (B,)."""
    return activations[images, maps] if activations.ndim == 2 else activations[images, maps, at[:, 0], at[:, 1]]


def lay_seed(
    net: Net, tape: Tape, layer: str, images: np.ndarray, maps: np.ndarray | None, at: np.ndarray | None, seed: str
) -> np.ndarray:
    """The signal that goes down: (B, K, P, Q), or (B, G) after a Flatten. Everything is zero but what the seed names.

    images (B,), maps (B,), at (B, 2) or None for the strongest position of each map. seed:
        "value"  the activation at the unit (the paper)            "one"  1 at the unit
        "map"    the whole map, every position with its value      "all"  all maps of the layer; `maps` plays no part
    """
    check_seed(seed, at)
    activations = outputs_of(net, tape, layer)
    check_images(len(activations), images)
    if seed != "all" and maps is None:
        raise ValueError(f"which map of {layer}? Only seed='all' does without `map`")
    if maps is not None:
        check_maps(net, layer, maps)
    if at is not None:
        check_positions(net, layer, at, len(images))
    # numbers of images and maps were checked on the host; from here on they index arrays that may be a GPU's
    each, images = kernels.to_device(np.arange(len(images))), kernels.to_device(images)
    signal = kernels.zeros((len(images), *activations.shape[1:]), activations.dtype)
    if seed == "all":
        signal[...] = activations[images]
    elif seed == "map":
        maps = kernels.to_device(maps)
        signal[each, maps] = activations[images, maps]
    else:
        maps = kernels.to_device(maps)
        at = positions(activations, images, maps) if at is None else kernels.to_device(at)
        unit = (each, maps) if activations.ndim == 2 else (each, maps, at[:, 0], at[:, 1])
        signal[unit] = 1 if seed == "one" else activations_at(activations, images, maps, at)
    check_values(layer, signal)
    return signal
