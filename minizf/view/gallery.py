"""A few pictures side by side, each with its name, a note and perhaps a box drawn on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minizf.view.mosaic import enlarge, zoom_for
from minizf.view.normalise import BY_PICTURE, Rule
from minizf.view.style import BODY, DPI, LIGHT, SMALL, Sheet, Theme, line_height

GAP = 0.14  # inches


@dataclass(frozen=True)
class Picture:
    """pixels uint8 (h, w, 3); box (top, left, bottom, right) in pixels, bottom and right exclusive, to be outlined."""

    pixels: np.ndarray
    title: str = ""
    note: str = ""
    box: tuple[int, int, int, int] | None = None


def draw_gallery(
    pictures: Sequence[Picture], title: str, caption: str = "", columns: int = 0, side: float = 1.3, theme: Theme = LIGHT
) -> Figure:
    """Row by row, `columns` in each (0: all in one row); the longer side of every picture is about `side` inches."""
    columns = columns or len(pictures)
    sizes = []
    for picture in pictures:
        high, wide = picture.pixels.shape[:2]
        scale = side / max(high, wide)
        sizes.append((high * scale, wide * scale))
    cell_w, cell_h = max(w for _, w in sizes), max(h for h, _ in sizes)
    head = line_height(BODY) if any(picture.title for picture in pictures) else 0.0
    foot = line_height(SMALL) if any(picture.note for picture in pictures) else 0.0
    rows = math.ceil(len(pictures) / columns)
    step = head + cell_h + foot + GAP
    sheet = Sheet(max(columns * (cell_w + GAP) - GAP, 4.2), rows * step - GAP, title, "", caption, theme)
    for i, (picture, (high, wide)) in enumerate(zip(pictures, sizes, strict=True)):
        x, y = (i % columns) * (cell_w + GAP), (i // columns) * step
        sheet.text(x, y, picture.title, BODY, weight="bold", width=cell_w + GAP / 2)
        zoom = zoom_for(max(picture.pixels.shape[:2]), round(side * DPI))
        axes = sheet.picture(enlarge(picture.pixels, zoom), x, y + head, wide, high, frame=True)
        if picture.box is not None:
            outline(axes, picture.box, zoom, theme)
        sheet.text(x, y + head + high + 0.03, picture.note, SMALL, color=theme.muted, width=cell_w + GAP / 2)
    return sheet.figure


def outline(axes, box: tuple[int, int, int, int], zoom: int, theme: Theme) -> None:
    """A box on a picture whose pixels were enlarged by `zoom`."""
    top, left, bottom, right = (edge * zoom - 0.5 for edge in box)
    for colour, width in ((theme.paper, 2.6), (theme.second, 1.3)):
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width))


def signed_pictures(maps: np.ndarray, rule: Rule = BY_PICTURE) -> np.ndarray:
    """Maps or projections (n, h, w) or (n, C, h, w), C = 1 or 3, as pictures uint8 (n, h, w, 3): zero is mid-grey."""
    stack = maps[:, None] if maps.ndim == 3 else maps
    return rule(stack[None])[0]


def ink_pictures(maps: np.ndarray) -> np.ndarray:
    """Maps of strengths (n, h, w), none negative, as ink: uint8 (n, h, w, 3), white at 0, the largest of each map darkest."""
    if not np.isfinite(maps).all() or maps.min(initial=0) < 0:
        raise ValueError("ink shows strengths from 0 up; these maps hold negative values or NaN: use signed_pictures")
    largest = maps.max(axis=(1, 2), keepdims=True)
    share = maps / np.where(largest > 0, largest, 1)
    paper, ink = np.array((255, 255, 255)), np.array((24, 52, 92))
    return np.rint(paper + (ink - paper) * share[..., None]).astype(np.uint8)
