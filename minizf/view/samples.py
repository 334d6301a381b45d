"""A page of a data set: images with their labels, and for `scenes` what is known about them (object, parts, ground)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minizf.data.dataset import Dataset
from minizf.view.mosaic import enlarge, zoom_for
from minizf.view.normalise import photograph
from minizf.view.style import DPI, LIGHT, SMALL, Sheet, Theme, line_height

COLUMNS = 10


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
    overlay: np.ndarray | None = None,
    note: str = "",
    theme: Theme = LIGHT,
) -> Figure:
    """images: their numbers, or how many to draw with `seed`.

    overlay: uint8 (n, h, w, 3), drawn in place of the plain images, with `note` as its sentence in the caption.
    """
    index = choose_samples(dataset, images, seed) if isinstance(images, int) else np.asarray(images)
    if not len(index):
        raise ValueError(f"no images of {dataset.name} to show: the list is empty")
    pixels = photograph(dataset.images(index)) if overlay is None else overlay
    high, wide = pixels.shape[1:3]
    zoom = zoom_for(max(high, wide), 170)
    cell_w, cell_h, gap = wide * zoom / DPI, high * zoom / DPI, 0.09
    columns = min(COLUMNS, len(index))
    step = cell_h + line_height(SMALL) + gap
    shown = np.unique(dataset.labels[index]).size
    drawn = f", drawn at random with seed {seed}, the classes in turn" if isinstance(images, int) else ""
    size = "x".join(map(str, dataset.image_shape[1:]))
    sheet = Sheet(
        max(columns * (cell_w + gap) - gap, 4.2),
        math.ceil(len(index) / columns) * step - gap,
        title or f"{dataset.name}, {dataset.split}",
        subtitle or f"{len(dataset):,} images of {size} pixels in {len(dataset.classes)} classes",
        f"{len(index)} images of {shown} classes{drawn}; below each its label and its number in the set. {note}",
        theme,
    )
    for i, number in enumerate(index):
        x, y = (i % columns) * (cell_w + gap), (i // columns) * step
        sheet.picture(enlarge(pixels[i], zoom), x, y, cell_w, cell_h)
        below, name = y + cell_h + 0.03, str(int(number))
        sheet.text(x, below, dataset.classes[dataset.labels[number]], SMALL, width=cell_w - 0.06 - 0.065 * len(name))
        sheet.text(x + cell_w, below, name, SMALL, color=theme.muted, align="right")
    return sheet.figure
