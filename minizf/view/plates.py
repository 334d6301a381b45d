"""The paper's figure 2: for some maps of a layer, nine projections beside the nine image patches that caused them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from minizf.view.mosaic import enlarge, hatch, mosaic, zoom_for
from minizf.view.normalise import PERCENTILE, Rule, photograph
from minizf.view.style import BODY, DPI, LIGHT, SMALL, Sheet, Theme, line_height

if TYPE_CHECKING:
    from minizf.experiments.top9 import Plate

WIDTH = 9.6  # inches of the body
GAP = 2  # pixels between the cells of a block


def choose_maps(plate: "Plate", count: int, seed: int = 0) -> list[int]:
    """A random subset of the maps that ever answered (paper: "a random subset of feature maps"), in order of number."""
    alive = np.flatnonzero((plate.winners.image >= 0).any(axis=1))
    return sorted(np.random.default_rng(seed).permutation(alive)[:count].tolist())


def draw_plate(
    plate: "Plate",
    data: str,
    maps: Sequence[int] | int = 12,
    seed: int = 0,
    rule: Rule = PERCENTILE,
    title: str = "",
    theme: Theme = LIGHT,
) -> Figure:
    """maps: their numbers, or how many to draw at random with `seed`; data: what the images are, for the caption.

    The default rule cuts off a few outliers, because on paper nobody can turn up the contrast of the deep layers.
    """
    total, k, _, high, wide = plate.projections.shape
    chosen = choose_maps(plate, maps, seed) if isinstance(maps, int) else list(maps)
    check_maps(plate.layer, chosen, total)
    columns = math.ceil(math.sqrt(k))
    zoom = zoom_for(max(high, wide), 64)
    block_w = (columns * (wide * zoom + GAP) - GAP) / DPI
    block_h = (math.ceil(k / columns) * (high * zoom + GAP) - GAP) / DPI
    tile_w, tile_h, apart = 2 * block_w + 0.08, block_h + line_height(BODY) + 0.26, 0.3
    across = max(1, min(len(chosen), int((WIDTH + apart) / (tile_w + apart))))
    drawn = f"{len(chosen)} of {total} maps" + (f", drawn at random with seed {seed}" if isinstance(maps, int) else "")
    sheet = Sheet(
        max(across * (tile_w + apart) - apart, 5.2),
        math.ceil(len(chosen) / across) * tile_h - 0.26,
        title or f"What excites the maps of {plate.layer}",
        f"{drawn}. Left of each pair: what caused its {k} strongest answers, projected down to pixels. Right: those pixels.",
        f"{rule.caption} Strongest first, row by row; one place per image; beside the number of a map its largest and its "
        f"{k}th value. Images: {data}. A unit of {plate.layer} sees {high}x{wide} pixels; hatched: beyond the image's edge.",
        theme,
    )
    paper = tuple(round(255 * c) for c in to_rgb(theme.paper))
    projections = None if rule.name != "layer" else rule(plate.projections)
    for i, number in enumerate(chosen):
        x, y = (i % across) * (tile_w + apart), (i // across) * tile_h
        values = plate.winners.value[number][plate.winners.image[number] >= 0]
        sheet.text(x, y, f"{number}", BODY, weight="bold")
        sheet.text(x + tile_w, y + 0.015, value_range(values), SMALL, color=theme.muted, align="right")
        left = projections[number] if projections is not None else rule(plate.projections[[number]])[0]
        right = photograph(plate.patches[number])
        inside = plate.inside[number].repeat(zoom, axis=-2).repeat(zoom, axis=-1)
        pair = (enlarge(left, zoom), hatch(enlarge(right, zoom), inside))
        for pictures, shift in zip(pair, (0, tile_w - block_w), strict=True):
            pictures = pictures[: len(values)] if len(values) else pictures[:0]
            if len(pictures):
                block = mosaic(pictures, columns, gap=GAP, paper=paper)
                size = (block.shape[1] / DPI, block.shape[0] / DPI)
                sheet.picture(block, x + shift, y + line_height(BODY) + 0.02, *size)
    return sheet.figure


def value_range(values: np.ndarray) -> str:
    """Largest and smallest of the values shown; "silent" if the map never answered."""
    if not len(values):
        return "silent: no answer above 0"
    places = max(0, 2 - math.floor(math.log10(max(abs(values[0]), 1e-30))))
    return " … ".join(f"{value:.{places}f}" for value in (values if len(values) == 1 else values[[0, -1]]))


def check_maps(layer: str, maps: Sequence[int], total: int) -> None:
    """ValueError for a map the layer does not have, or none at all."""
    unknown = [m for m in maps if not 0 <= m < total]
    if unknown:
        raise ValueError(f"{layer} has no map {unknown[0]}; its maps are 0..{total - 1}")
    if not maps:
        raise ValueError(f"no map of {layer} to draw: none ever answered on these images, or an empty list was given")
