"""A page of a data set: images with their labels, and for `scenes` also what is known of them: object, parts, ground."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minizf.data.dataset import Dataset
from minizf.view.mosaic import enlarge, zoom_for
from minizf.view.normalise import photograph
from minizf.view.style import BODY, DPI, LIGHT, SMALL, Sheet, Theme, line_height, text_width

if TYPE_CHECKING:
    from minizf.data.scenes import Scene, Scenes

COLUMNS = 10
TRUTH_COLUMNS = 5
TRUTH_SIDE = 1.8  # inches
PARTS = ("#1f77d0", "#d9622a", "#2a8a57", "#9a48b0", "#b58900", "#c2376f", "#4b5563", "#0f8b8d")  # one colour a part


def choose_samples(dataset: Dataset, count: int, seed: int = 0) -> np.ndarray:
    """Image numbers (n,), the classes in turn as evenly as they come, random within each class: every class is seen early."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    rank = np.empty(len(dataset), np.int64)  # how many of its class come before an image
    for label in range(len(dataset.classes)):
        members = order[dataset.labels[order] == label]
        rank[members] = np.arange(len(members))
    return np.lexsort((dataset.labels, rank))[:count]


def draw_samples(
    dataset: Dataset,
    images: Sequence[int] | int = 60,
    seed: int = 0,
    title: str = "",
    subtitle: str = "",
    theme: Theme = LIGHT,
) -> Figure:
    """images: their numbers, or how many to draw with `seed`. ValueError for none."""
    index = chosen(dataset, images, seed)
    pixels = photograph(dataset.images(index))
    high, wide = pixels.shape[1:3]
    zoom = zoom_for(max(high, wide), 170)
    cell_w, cell_h, gap = wide * zoom / DPI, high * zoom / DPI, 0.09
    columns = min(COLUMNS, len(index))
    step = cell_h + line_height(SMALL) + gap
    size = "x".join(map(str, dataset.image_shape[1:]))
    sheet = Sheet(
        max(columns * (cell_w + gap) - gap, 4.2),
        math.ceil(len(index) / columns) * step - gap,
        title or f"{dataset.name}, {dataset.split}",
        subtitle or f"{len(dataset):,} images of {size} pixels in {len(dataset.classes)} classes",
        f"{selection(dataset, index, images, seed)}; below each its label and its number in the set.",
        theme,
    )
    for i, number in enumerate(index):
        x, y = (i % columns) * (cell_w + gap), (i // columns) * step
        sheet.picture(enlarge(pixels[i], zoom), x, y, cell_w, cell_h)
        below, name = y + cell_h + 0.03, str(int(number))
        sheet.text(x, below, dataset.classes[dataset.labels[number]], SMALL, width=cell_w - 0.06 - 0.065 * len(name))
        sheet.text(x + cell_w, below, name, SMALL, color=theme.muted, align="right")
    return sheet.figure


def draw_truth(
    dataset: "Scenes", images: Sequence[int] | int = 20, seed: int = 0, title: str = "", theme: Theme = LIGHT
) -> Figure:
    """What is known of each image of `scenes`: the object's mask (the rest is faded), boxes of its parts, the ground below.

    images: their numbers, or how many to draw with `seed`.
    """
    index = chosen(dataset, images, seed)
    columns = min(TRUTH_COLUMNS, len(index))
    step_x, step_y = TRUTH_SIDE + 0.16, TRUTH_SIDE + line_height(BODY) + 3 * line_height(SMALL) + 0.16
    sheet = Sheet(
        max(columns * step_x - 0.16, 4.2),
        math.ceil(len(index) / columns) * step_y - 0.16,
        title or f"What is known of {dataset.name}, {dataset.split}",
        "The object stands out from its faded surroundings; boxes are its parts, named below in their colours",
        f"{selection(dataset, index, images, seed)}; beside each label the ground and the number in the set.",
        theme,
    )
    for i, (number, scene) in enumerate(zip(index, dataset.truths(index), strict=True)):
        x, y = (i % columns) * step_x, (i // columns) * step_y
        draw_scene(sheet, scene, x, y)
        y += TRUTH_SIDE + 0.04
        sheet.text(x, y, f"{scene.kind} on {scene.ground}", weight="bold", width=TRUTH_SIDE - 0.3)
        sheet.text(x + TRUTH_SIDE, y, str(int(number)), SMALL, color=theme.muted, align="right")
        write_parts(sheet, list(scene.parts), x, y + line_height(BODY))
    return sheet.figure


def draw_scene(sheet: Sheet, scene: "Scene", x: float, y: float) -> None:
    """The image with all but the object faded, and a box around each part."""
    pixels = photograph(scene.image)
    faded = np.where(scene.mask[..., None], pixels, (0.3 * pixels + 0.7 * 255).astype(np.uint8))
    zoom = zoom_for(len(pixels), round(TRUTH_SIDE * DPI))
    axes = sheet.picture(enlarge(faded, zoom), x, y, TRUTH_SIDE, TRUTH_SIDE, frame=True)
    for (top, left, bottom, right), colour in zip(scene.parts.values(), part_colours(list(scene.parts)), strict=True):
        corner, size = (left * zoom - 0.5, top * zoom - 0.5), ((right - left) * zoom, (bottom - top) * zoom)
        for ink, width in ((sheet.theme.paper, 2.2), (colour, 1.1)):
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=ink, linewidth=width))


def write_parts(sheet: Sheet, parts: list[str], x: float, y: float) -> None:
    """Names of parts in their colours, filled into at most three lines of a picture's width; a pair is named once."""
    at, line = 0.0, 0
    named = dict(zip((part_kind(p) for p in parts), part_colours(parts), strict=True))
    for name, colour in named.items():
        width = text_width(name, SMALL) + 0.09
        if at and at + width > TRUTH_SIDE + 0.09:
            at, line = 0.0, line + 1
        if line == 3:
            return
        sheet.text(x + at, y + line * line_height(SMALL), name, SMALL, color=colour)
        at += width


def part_kind(part: str) -> str:
    """ "left eye" and "right eye" are both an eye."""
    return part.removeprefix("left ").removeprefix("right ").removeprefix("upper ").removeprefix("lower ")


def part_colours(parts: list[str]) -> list[str]:
    """A colour for each part; those of one kind share it."""
    kinds = list(dict.fromkeys(part_kind(p) for p in parts))
    return [PARTS[kinds.index(part_kind(p)) % len(PARTS)] for p in parts]


def chosen(dataset: Dataset, images: Sequence[int] | int, seed: int) -> np.ndarray:
    """Image numbers, given or drawn. ValueError for none."""
    index = choose_samples(dataset, images, seed) if isinstance(images, int) else np.asarray(images)
    if not len(index):
        raise ValueError(f"no images of {dataset.name} to show: the list is empty")
    return index


def selection(dataset: Dataset, index: np.ndarray, images: Sequence[int] | int, seed: int) -> str:
    """How the images were chosen, for the caption."""
    drawn = f", drawn at random with seed {seed}, the classes in turn" if isinstance(images, int) else ""
    return f"{len(index)} images of {np.unique(dataset.labels[index]).size} classes{drawn}"
