"""The look of every figure, in one place: paper, ink, type sizes, and a sheet that is laid out in inches.

    +-----------------------------+
    | Title                       |   bold, left
    | what one sees, in a line    |   muted
    |                             |
    |   the body, from (0, 0)     |   pictures and axes placed in inches from its top left corner
    |                             |
    | Caption: rule, data, units. |   muted, wrapped to the width
    +-----------------------------+

Only matplotlib's object interface is used (no pyplot), so figures neither need a screen nor share state. The type is DejaVu
Sans, which matplotlib brings along.
"""

import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle

from minizf.files import write_atomic

DPI = 200
MARGIN = 0.32  # inches, on all sides
TITLE, BODY, SMALL = 12.5, 8.0, 6.8  # type sizes in points
CAPTION_GAP = 0.2  # inches between body and caption
LEADING = 1.5  # distance of lines, in type sizes
FAMILY = "DejaVu Sans"


@dataclass(frozen=True)
class Theme:
    """Colours by their part. `first` and `second` differ in lightness too, for readers who do not see hues."""

    paper: str
    ink: str
    muted: str
    line: str
    first: str
    second: str


LIGHT = Theme(paper="#ffffff", ink="#1b1d22", muted="#626772", line="#d8dae0", first="#2667a8", second="#d9732a")
DARK = Theme(paper="#17181c", ink="#ecedf1", muted="#a3a7b2", line="#3a3d46", first="#7fb6ee", second="#f2a65e")


class Sheet:
    """One figure. `width` x `height` inches is the body, title and caption come on top of it.

    Positions are inches from the body's top left corner, y downwards, as one reads.
    """

    def __init__(self, width: float, height: float, title: str, subtitle: str = "", caption: str = "", theme: Theme = LIGHT):
        self.width, self.height, self.theme = width, height, theme
        under, lines = wrap(subtitle, width, BODY), wrap(caption, width, BODY)
        head = line_height(TITLE) + len(under) * line_height(BODY) + 0.14
        foot = CAPTION_GAP + len(lines) * line_height(BODY) if lines else 0
        self._left, self._top = MARGIN, MARGIN + head
        self._full = (width + 2 * MARGIN, height + head + foot + 2 * MARGIN)
        self.figure = Figure(figsize=self._full, dpi=DPI, facecolor=theme.paper)
        FigureCanvasAgg(self.figure)
        self.text(0, -head, title, TITLE, weight="bold")
        for start, block in ((line_height(TITLE) - head, under), (height + CAPTION_GAP, lines)):
            for i, line in enumerate(block):
                self.text(0, start + i * line_height(BODY), line, color=theme.muted)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = BODY,
        color: str = "",
        weight: str = "normal",
        align: str = "left",
        width: float | None = None,
    ) -> None:
        """One line of text, its top at y; cut with an ellipsis where it would exceed `width` inches."""
        text = printable(text)
        while width is not None and len(text) > 2 and text_width(text, size, weight) > width:
            text = text.rstrip("…")[:-1].rstrip() + "…"
        self.figure.text(
            (self._left + x) / self._full[0],
            1 - (self._top + y) / self._full[1],
            text,
            fontproperties=font(size, weight),
            color=color or self.theme.ink,
            ha=align,
            va="top",
            parse_math=False,
        )

    def picture(self, pixels: np.ndarray, x: float, y: float, width: float, height: float, frame: bool = False) -> Axes:
        """Pixels (h, w, 3) uint8, each a sharp little square; a thin frame where the picture has no edge of its own."""
        axes = self._place(x, y, width, height)
        axes.imshow(pixels, interpolation="nearest", aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(visible=frame, color=self.theme.line, linewidth=0.6)
        return axes

    def axes(self, x: float, y: float, width: float, height: float, xlabel: str = "", ylabel: str = "") -> Axes:
        """Axes in house style: no box, light horizontal lines, the unit's name above the upper left corner."""
        theme, axes = self.theme, self._place(x, y, width, height)
        axes.set_facecolor("none")
        for side, spine in axes.spines.items():
            spine.set(visible=side == "bottom", color=theme.muted, linewidth=0.7)
        axes.grid(axis="y", color=theme.line, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelsize=BODY, labelcolor=theme.muted, labelfontfamily=FAMILY, pad=4)
        axes.set_xlabel(xlabel, color=theme.muted, fontproperties=font(BODY))
        if ylabel:
            self.text(x - 0.38, y - 1.7 * line_height(BODY), ylabel, weight="bold")  # flush with its tick labels
        return axes

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A filled rectangle, for bars."""
        full_w, full_h = self._full
        corner = ((self._left + x) / full_w, 1 - (self._top + y + height) / full_h)
        self.figure.patches.append(
            Rectangle(
                corner, width / full_w, height / full_h, facecolor=color, edgecolor="none", transform=self.figure.transFigure
            )
        )

    def _place(self, x: float, y: float, width: float, height: float) -> Axes:
        full_w, full_h = self._full
        return self.figure.add_axes(
            ((self._left + x) / full_w, 1 - (self._top + y + height) / full_h, width / full_w, height / full_h)
        )


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes the figure as PNG, whole or not at all. ValueError for a name that promises another format."""
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"{path}: pictures are written as PNG; end the name in .png")
    write_atomic(path, png(figure))


def font(size: float, weight: str = "normal") -> FontProperties:
    return FontProperties(family=FAMILY, size=size, weight=weight)


def line_height(size: float) -> float:
    """Inches from one line to the next."""
    return size * LEADING / 72


@cache
def _measure():
    return FigureCanvasAgg(Figure(dpi=72)).get_renderer()


def text_width(text: str, size: float = BODY, weight: str = "normal") -> float:
    """Inches a line of text takes."""
    return _measure().get_text_width_height_descent(text, font(size, weight), False)[0] / 72


def wrap(text: str, width: float, size: float = BODY) -> list[str]:
    """Words filled into lines of at most `width` inches."""
    lines: list[str] = []
    for word in printable(text).split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@cache
def _known_characters() -> frozenset[int]:
    return frozenset(get_font(findfont(font(BODY))).get_charmap())


def printable(text: str) -> str:
    """Text on one line, characters that the type does not have shown as an open square: class names may be any unicode."""
    return "".join(c if ord(c) in _known_characters() else "□" for c in " ".join(str(text).split()))
