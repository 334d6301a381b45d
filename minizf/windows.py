"""The fast way down: a unit's signal touches only the patch of pixels it sees, so only windows of the maps need be walked.

Windows of many units, from many images, go down together as one batch, through the same `deconv` that serves whole maps: a
window is an image of its own that brings its surroundings along instead of padding (frames.py says where each lies). Once a
window is nearly as large as the map, the layer runs on the whole map. The pixels equal the full path's up to the order of sums.

Going up works alike: where the images are given instead of a tape, the forward pass is made for the windows alone if that is
less work than for whole images, and no higher than the way down looks back. With the paper's rules that is the topmost pool
below the unit, for the switches: rectifiers, normalisation and filters do not look back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import kernels
from minizf.frames import Frame, Passage, area, passages, paste, reframe, same
from minizf.layers import DECONVNET, Conv2d, ReLU, Rules
from minizf.layers.deconv_step import one_step, taken_together
from minizf.layers.layer import cut
from minizf.net import Net, Tape, pass_down
from minizf.units import (
    activations_at,
    check_images,
    check_maps,
    check_positions,
    check_seed,
    check_values,
    outputs_of,
    positions,
)

CHUNK_BYTES = 1 << 23  # the largest signal held at a time: enough to keep the kernels busy, small enough for the caches


@dataclass(frozen=True)
class Windows:
    """Projections cut to the receptive field of their unit.

    pixels  (B, C, h, w), zero where the patch sticks out of the image
    boxes   int (B, 4): top, left, bottom, right of each patch in its image, bottom and right exclusive, not clipped
    """

    pixels: np.ndarray
    boxes: np.ndarray


def project_windows(
    net: Net, source: Tape | np.ndarray, layer: str, images, maps, at=None, seed="value", rules: Rules = DECONVNET
) -> Windows:
    """The projections of many units of one layer, each cut to its receptive field. Equal to `project`, many times faster.

    source  a tape, or images (N, C, H, W) as the net reads them: then only the needed part of the forward pass is made
    images  (B,) which image of the source       maps  (B,) which map or unit       at  (B, 2), or None: each map's strongest
    seed    "value", "one", or the values (B,) themselves where they are known, which can spare much of the forward pass

    Memory is bounded by the result and a few times CHUNK_BYTES. Errors as `project`.
    """
    images, maps, at, seed = checked(net, source, layer, images, maps, at, seed, rules)
    field = net.receptive_field(layer)
    dtype = (source.input if isinstance(source, Tape) else source).dtype
    pixels = np.zeros((len(images), net.input_shape[0], *field.size), dtype)
    corners = np.empty((len(images), 2), int)
    for units in chunks(net, layer, images, rules):
        place, given = (None if at is None else at[units]), (seed if isinstance(seed, str) else seed[units])
        place, signal, frame = project_chunk(net, source, layer, images[units], maps[units], place, given, rules)
        corners[units] = field.start + place * field.stride
        paste(signal, frame, [pixels[unit] for unit in units], Frame(corners[units], field.size))
    return Windows(pixels, np.hstack([corners, corners + field.size]))


def chunks(net: Net, layer: str, images: np.ndarray, rules: Rules) -> Iterator[np.ndarray]:
    """Numbers of the units that go down together: CHUNK_BYTES at most, those of one image beside each other."""
    plan = passages(net, layer, np.zeros((1, 2), int), rules)
    count = max(1, CHUNK_BYTES // (4 * max(area(step.inputs) for step in plan)))
    order = np.argsort(images, kind="stable")
    return (order[first : first + count] for first in range(0, len(order), count))


def project_chunk(net, source, layer, images, maps, at, seed, rules) -> tuple[np.ndarray, np.ndarray, Frame]:
    """Units few enough to go down at once -> their positions, their pixels, and where in the images these pixels lie."""
    by_value = isinstance(seed, str) and seed == "value"
    top = needed_pass(net, layer, at, seed, rules)
    tape = source if isinstance(source, Tape) else None
    if tape is None and (at is None or not window_pass_pays(net, layer, images, top, rules)):
        distinct, images = np.unique(images, return_inverse=True)
        _, tape = net.forward(source[distinct], upto=top)
    if at is None:
        at = positions(tape.outputs[layer], images, maps)
    plan = list(passages(net, layer, at, rules))
    unit = Frame(at, (1, 1) if len(net.shapes[layer]) == 3 else ())
    if tape is None:
        notes, activations, frame = climb(plan, source, images, top)
        values = reframe(activations, frame, unit)[np.arange(len(maps)), maps].reshape(-1) if by_value else seed
    else:
        notes = cut_tape(tape, plan, images, rules)
        values = activations_at(tape.outputs[layer], images, maps, at) if by_value else seed
    if by_value:
        check_values(layer, values)
    signal = np.zeros(
        (len(maps), net.shapes[layer][0], *unit.size), (source.input if isinstance(source, Tape) else source).dtype
    )
    signal[np.arange(len(maps)), maps] = np.reshape(1 if isinstance(values, str) else values, (-1, *unit.size))
    return at, descend(plan, notes, signal, unit, maps, rules), plan[-1].below


def descend(plan: list[Passage], notes: dict[str, Any], signal: np.ndarray, frame: Frame, maps: np.ndarray, rules: Rules):
    """The seeds, one map each and lying at `frame`, down to pixels."""
    one_hot = True  # so far only map maps[b] of unit b carries signal
    for step in in_few_steps(plan, rules):
        signal = reframe(signal, frame, step.above)
        if one_hot and isinstance(step.layer, Conv2d) and step.seen.size == step.layer.reach.size and not step.whole:
            signal = step.layer.weight[maps] * signal[np.arange(len(maps)), maps][:, None]  # one filter, once
        else:
            note = notes[step.name] if step.name in notes else step.layer.note(step.inputs)
            signal = pass_down(step.name, step.layer, signal, note, rules)
        one_hot = one_hot and isinstance(step.layer, ReLU)
        signal, frame = reframe(signal, step.seen, step.below), step.below
    return signal


def in_few_steps(plan: list[Passage], rules: Rules) -> Iterator[Passage]:
    """The same way down with neighbours joined (layers/deconv_step.py); the notes are those of a group's first layer.

    A convolution joins only where all its windows lie on those the pooling fills: not at the edge of a map, nor where only one
    of the two takes the whole map. The rectifier keeps zeros, so that it may come before its window is moved.
    """
    for part in taken_together([step.layer for step in plan], rules):
        group = plan[part]
        pool = group[0]
        if group[2:] and same(pool.seen, group[2].above):
            layer = one_step([step.layer for step in group], group[2].inputs)
            yield group[2]._replace(name=pool.name, layer=layer, above=pool.above)
        else:
            yield pool._replace(layer=one_step([step.layer for step in group[:2]], pool.inputs))
            yield from group[2:]


def cut_tape(tape: Tape, plan: list[Passage], images: np.ndarray, rules: Rules) -> dict[str, Any]:
    """What the windows' way down needs of a tape, by layer."""
    return {
        step.name: step.layer.pick(tape[step.name], images)
        if step.whole
        else step.layer.window(tape[step.name], images, *step.above)
        for step in plan
        if step.layer.looks_back(rules)
    }


def climb(plan: list[Passage], source: np.ndarray, images: np.ndarray, top: str | None):
    """The forward pass on windows of the images, up to layer `top` -> (notes by layer, activations of `top`, their frame)."""
    notes: dict[str, Any] = {}
    if top is None:
        return notes, None, None
    frame = plan[-1].below
    x = cut(source, images, *frame)
    for step in reversed(plan):
        # outside its map a layer reads its padding value; a whole map pads itself, and parts of it that no unit sees are left 0
        x = reframe(x, frame, step.seen, 0.0 if step.whole else step.layer.padding_value)
        x, notes[step.name] = step.layer.forward(x)
        frame = step.above
        if step.name == top:
            break
    return notes, x, frame


def needed_pass(net: Net, layer: str, at, seed, rules: Rules) -> str | None:
    """How far up a forward pass must reach: to the layer itself for its values or positions, else as far as one looks back."""
    return layer if at is None or (isinstance(seed, str) and seed == "value") else highest_look_back(net, layer, rules)


def highest_look_back(net: Net, layer: str, rules: Rules) -> str | None:
    """The topmost layer whose `deconv` needs what the forward pass saw; None if the weights are enough."""
    return next((name for name in reversed(net.chain(layer)) if net.layers[name].looks_back(rules)), None)


def window_pass_pays(net: Net, layer: str, images: np.ndarray, top: str | None, rules: Rules) -> bool:
    """Whether a forward pass on windows takes fewer multiply-adds than one on the whole of the distinct images."""
    if top is None:
        return True
    if rules != DECONVNET:
        return False  # other rules look at neighbours and places outside the windows' own pass
    needed = set(net.chain(top))
    plan = [step for step in passages(net, layer, np.zeros((1, 2), int), rules) if step.name in needed]
    windows = sum(step.layer.multiply_adds(step.inputs) for step in plan) * len(images)
    whole = sum(net.layers[name].multiply_adds(net.input_shape_of(name)) for name in needed) * len(np.unique(images))
    return windows < whole


def shared_pass(net: Net, x: np.ndarray, images: dict[str, np.ndarray], rules: Rules = DECONVNET) -> Tape | np.ndarray:
    """The best source for units of several layers whose positions and values are known: one tape for all, or the images.

    images: for each layer, the numbers of its units' images in x.
    """
    tops = {layer: highest_look_back(net, layer, rules) for layer in images}
    if all(window_pass_pays(net, layer, images[layer], top, rules) for layer, top in tops.items()):
        return x
    names = list(net.layers)
    return net.forward(x, upto=max((top for top in tops.values() if top), key=names.index))[1]


def whole(name: str, numbers) -> np.ndarray:
    """The numbers as an int array; TypeError for others, which would be cut off without a word."""
    array = np.asarray(numbers)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} are {array.dtype}; expected whole numbers, for example {name}.astype(int)")
    return array.astype(int, copy=False)


def checked(net: Net, source, layer, images, maps, at, seed, rules):
    """The arguments as arrays; ValueError for anything that does not exist in this net or source."""
    if not kernels.on_host():
        raise ValueError(
            f"windows are cut on the CPU, but the {kernels.current()} implementation keeps its arrays on a GPU; project there "
            "with project_units, or go back: net.to_host() and kernels.use('numba')"
        )
    images, maps = whole("images", images), whole("maps", maps)
    net.check_layer(layer)
    check_maps(net, layer, maps)
    if at is not None:
        at = whole("at", at)
        check_positions(net, layer, at, len(maps))
    elif len(net.shapes[layer]) == 1:
        at = np.zeros((len(maps), 2), int)
    if isinstance(source, Tape):
        outputs_of(net, source, needed_pass(net, layer, at, seed, rules) or next(iter(net.layers)))
    elif source.shape[1:] != net.input_shape:
        raise ValueError(
            f"images of shape {source.shape[1:]} came, the net expects {net.input_shape}; resize or crop them first"
        )
    if images.ndim != 1 or images.shape != maps.shape:
        raise ValueError(f"images {images.shape} and maps {maps.shape}; expected one of each for every unit, (B,)")
    check_images(len(source.input if isinstance(source, Tape) else source), images)
    if not isinstance(seed, str):
        seed = np.asarray(seed)
        if seed.shape != maps.shape:
            raise ValueError(f"seed values {seed.shape}; expected one for every unit, {maps.shape}")
    else:
        check_seed(seed, at)
        if seed in ("map", "all"):
            raise ValueError(f"seed={seed!r} starts from whole maps, not from one unit each; use `project` or `project_units`")
    return images, maps, at, seed
