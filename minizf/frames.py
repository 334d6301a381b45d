"""Where the windows of a batch of units lie, layer by layer, from the unit down to the pixels.

    unit of relu2           1 x 1 of 16 x 16
    conv2  5x5, pad 2       5 x 5 of 16 x 16
    pool1  3x3 /2, pad 1    11 x 11 of 32 x 32
    conv1  7x7 /2, pad 3    27 x 27 of 64 x 64 pixels: the receptive field

A window never holds places that do not exist: at the edge of a map it is moved inwards, or made as small as the map. What a
layer's windows cover of its input may stick out into the padding, as far as the padding goes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minizf.layers import Layer, MaxPool2d, Rules
from minizf.layers.conv import covered
from minizf.net import Net

NEARLY_WHOLE = 0.8  # windows that cover this share of a map gain less than cutting them costs


class Frame(NamedTuple):
    """Windows of some maps: first row and column of each (B, 2), and the size all share."""

    origin: np.ndarray
    size: Any  # (h, w), or () after a Flatten


class Passage(NamedTuple):
    """One layer, and the part of it the windows pass through."""

    name: str
    layer: Layer  # as it is for whole maps, unpadded for windows
    above: Frame  # of its output
    seen: Frame  # the inputs these outputs cover, which may stick out into the padding
    below: Frame  # the part of `seen` that lies on the input map
    whole: bool  # `above` is the whole map
    inputs: tuple[int, ...]  # shape of what this layer reads: (C, *seen.size)


def passages(net: Net, layer: str, at: np.ndarray, rules: Rules) -> Iterator[Passage]:
    """The way of units at positions `at` (B, 2) of a layer, from that layer down to the first."""
    nowhere = np.zeros_like(at)
    frame = Frame(at, (1, 1)) if len(net.shapes[layer]) == 3 else Frame(nowhere, ())
    for name in reversed(net.chain(layer)):
        own, outer, inputs = net.layers[name], net.shapes[name][1:], net.input_shape_of(name)
        inner = Frame(nowhere, inputs[1:])
        above = widened(own, frame, outer, rules)
        seen = above if own.reach is None else window_seen(own, above)
        if above.size == outer or (own.reach is not None and area(seen.size) >= NEARLY_WHOLE * area(inner.size)):
            below = inner if own.reach is None else on_map(window_seen(own, frame), inner.size)
            yield Passage(name, own, Frame(nowhere, outer), inner, below, True, inputs)
        else:
            below = seen if own.reach is None else on_map(window_seen(own, frame), inner.size)
            yield Passage(name, own.unpadded(), above, seen, below, False, (inputs[0], *seen.size))
        frame = below


def widened(layer: Layer, frame: Frame, outer: tuple[int, ...], rules: Rules) -> Frame:
    """The frame with all neighbours that pool from the same inputs, where the collision rule asks how many those are."""
    if not isinstance(layer, MaxPool2d) or rules.collisions == "sum":
        return frame  # in a sum, neighbours without signal do not count
    margin = np.array([(r - 1) // s for r, s in zip(layer.reach.size, layer.reach.stride, strict=True)])
    return on_map(Frame(frame.origin - margin, tuple(int(n) for n in frame.size + 2 * margin)), outer)


def window_seen(layer: Layer, frame: Frame) -> Frame:
    """The inputs that a window of outputs covers."""
    return Frame(frame.origin * layer.reach.stride - layer.reach.pad, covered(frame.size, layer.reach))


def on_map(frame: Frame, size: tuple[int, ...]) -> Frame:
    """The frame cut down to a map of this size and moved onto it: what it held of the map, it still holds."""
    fitting = tuple(min(own, whole) for own, whole in zip(frame.size, size, strict=True))
    return Frame(frame.origin.clip(0, np.subtract(size, fitting)), fitting)


def area(size: tuple[int, ...]) -> int:
    return int(np.prod(size))


def same(here: Frame, there: Frame) -> bool:
    """Whether all windows lie at the same places."""
    return here.size == there.size and np.array_equal(here.origin, there.origin)


def reframe(maps: np.ndarray, here: Frame, there: Frame, fill: float = 0.0) -> np.ndarray:
    """Windows (B, C, h, w) that lie at `here`, as windows at `there`; places they did not hold get `fill`."""
    if same(here, there):
        return maps
    shifts = there.origin - here.origin
    moved = np.full((*maps.shape[:2], *there.size), fill, maps.dtype)
    if (shifts == shifts[0]).all():
        (rows_to, rows_from), (cols_to, cols_from) = map(overlap, shifts[0], here.size, there.size)
        moved[:, :, rows_to, cols_to] = maps[:, :, rows_from, cols_from]
        return moved
    paste(maps, here, moved, there)
    return moved


def paste(maps: np.ndarray, here: Frame, target: Iterable[np.ndarray], there: Frame) -> None:
    """Writes windows (B, C, h, w) that lie at `here` into B targets that lie at `there`, as far as they overlap."""
    for window, whole, shift in zip(maps, target, (there.origin - here.origin).tolist(), strict=True):
        (rows_to, rows_from), (cols_to, cols_from) = map(overlap, shift, here.size, there.size)
        whole[:, rows_to, cols_to] = window[:, rows_from, cols_from]


def overlap(shift: int, here: int, there: int) -> tuple[slice, slice]:
    """Target and source slices along one axis, where target position t holds source position t + shift."""
    first, end = max(0, -shift), max(0, -shift, min(there, here - shift))
    return slice(first, end), slice(first + shift, end + shift)
