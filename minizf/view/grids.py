"""Small arrays as pictures: every value in its cell, windows outlined, so that a few numbers can be followed by eye."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from minizf.view.style import BODY, LIGHT, SMALL, Sheet, Theme, font, line_height, text_width, wrap

CELL = 0.28  # inches
ARROW = 0.6  # inches between two grids
OUTLINES = ("#2667a8", "#d9732a", "#23876a", "#8b4fa6")  # windows in turn; they differ in lightness too


@dataclass(frozen=True)
class Grid:
    """An array (H, W) to be drawn.

    title    above it                     step   what leads to it, written over the arrow before it; "" for no arrow
    windows  (top, left, bottom, right), bottom and right exclusive; may reach outside, as padding does
    marks    bool (H, W): cells with a ring, such as the winners of their windows
    note     a line below it                  tinted  False for numbers that are names, not amounts, such as switches
    """

    values: np.ndarray
    title: str
    step: str = ""
    windows: Sequence[tuple[int, int, int, int]] = ()
    marks: np.ndarray | None = None
    note: str = ""
    tinted: bool = True


def draw_grids(rows: Sequence[Sequence[Grid]], title: str, caption: str = "", theme: Theme = LIGHT) -> Figure:
    """Rows of grids, each row read from left to right. Zero cells are white, positive ones blue, negative ones orange."""
    margin = margin_for([grid for row in rows for grid in row])
    widths = [[max(CELL * grid.values.shape[1] + 2 * margin, 0.75, label_width(grid)) for grid in row] for row in rows]
    gaps = [[arrow_width(grid) if i or grid.step else 0.0 for i, grid in enumerate(row)] for row in rows]
    heights = [max(CELL * grid.values.shape[0] for grid in row) + 2 * margin for row in rows]
    notes = [max(len(wrap(grid.note, 9)) for grid in row) * line_height(BODY) + 0.04 for row in rows]
    head = line_height(BODY) + 0.02
    body_h = sum(heights) + sum(notes) + len(rows) * head + 0.12 * (len(rows) - 1)
    body_w = max(sum(w) + sum(g) for w, g in zip(widths, gaps, strict=True))
    sheet = Sheet(max(body_w, 4.2), body_h, title, "", caption, theme)
    y = 0.0
    for row, wide, gap, high, note in zip(rows, widths, gaps, heights, notes, strict=True):
        x = 0.0
        for grid, width, before in zip(row, wide, gap, strict=True):
            if grid.step:
                draw_arrow(sheet, grid.step, x, y + head + high / 2, before)
            x += before
            rows_ = len(grid.values)
            sheet.text(x + margin, y, grid.title, BODY, weight="bold")
            down = y + head + (high - CELL * rows_ - 2 * margin) / 2
            draw_cells(sheet, grid, x, down, margin)
            sheet.text(x + margin, down + CELL * rows_ + 2 * margin + 0.02, grid.note, SMALL, color=theme.muted)
            x += width
        y += head + high + note + 0.12
    return sheet.figure


def draw_cells(sheet: Sheet, grid: Grid, x: float, y: float, margin: float) -> None:
    """One grid with its upper left corner, the margin for outer windows included, at (x, y) inches."""
    high, wide = grid.values.shape
    reach = margin / CELL
    axes = sheet._place(x, y, CELL * wide + 2 * margin, CELL * high + 2 * margin)
    axes.set(xlim=(-reach, wide + reach), ylim=(high + reach, -reach))
    axes.axis("off")
    largest = max(np.nanmax(np.abs(grid.values), initial=0), 1e-12)
    for (i, j), value in np.ndenumerate(grid.values):
        marked = grid.marks is not None and bool(grid.marks[i, j])
        face = tint(value / largest if grid.tinted else 0.0, sheet.theme)
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor=face, edgecolor=sheet.theme.line, linewidth=0.7))
        if not np.isnan(value):
            ink = sheet.theme.muted if value == 0 and grid.tinted else sheet.theme.ink
            text = f"{value:.3g}".replace("-", "−")
            type_ = font(BODY if len(text) < 4 else SMALL, "bold" if marked else "normal")
            axes.text(j + 0.5, i + 0.52, text, ha="center", va="center", color=ink, fontproperties=type_)
        if marked:
            axes.add_patch(Circle((j + 0.5, i + 0.5), 0.37, fill=False, edgecolor=sheet.theme.ink, linewidth=0.9))
    crowded = any(overlap(a, b) for i, a in enumerate(grid.windows) for b in grid.windows[:i])
    for number, (top, left, bottom, right) in enumerate(grid.windows):
        inset = 0.04 + (0.06 * (number % 3) if crowded else 0)  # outlines of overlapping windows lie beside each other
        axes.add_patch(
            Rectangle(
                (left + inset, top + inset),
                right - left - 2 * inset,
                bottom - top - 2 * inset,
                fill=False,
                edgecolor=OUTLINES[number % len(OUTLINES)],
                linewidth=1.7,
            )
        )


def draw_arrow(sheet: Sheet, step: str, x: float, y: float, width: float) -> None:
    """An arrow from left to right at height y, its words above."""
    axes: Axes = sheet._place(x, y - 0.08, width, 0.16)
    axes.set(xlim=(0, width), ylim=(-0.08, 0.08))
    axes.axis("off")
    axes.annotate(
        "", (width - 0.12, 0), (0.12, 0), arrowprops={"arrowstyle": "-|>", "color": sheet.theme.muted, "linewidth": 1.1}
    )
    sheet.text(x + width / 2, y - 0.08 - line_height(SMALL), step, SMALL, color=sheet.theme.muted, align="center")


def tint(share: float, theme: Theme) -> tuple[float, ...]:
    """Paper at 0, towards the theme's first colour at 1 and its second at -1; light enough to write on."""
    if np.isnan(share):
        return to_rgb(theme.paper)
    towards = np.array(to_rgb(theme.first if share > 0 else theme.second))
    paper = np.array(to_rgb(theme.paper))
    return tuple(paper + (towards - paper) * 0.45 * min(abs(share), 1))


def overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    """Whether two boxes share a cell."""
    return max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])


def margin_for(grids: Sequence[Grid]) -> float:
    """Inches that windows reach beyond their grids."""
    out = [0]
    for grid in grids:
        high, wide = grid.values.shape
        out += [max(-top, -left, bottom - high, right - wide, 0) for top, left, bottom, right in grid.windows]
    return max(out) * CELL + (0.03 if max(out) else 0.0)


def label_width(grid: Grid) -> float:
    return max(text_width(grid.title, BODY, "bold"), text_width(grid.note, SMALL)) + 0.1


def arrow_width(grid: Grid) -> float:
    return max(ARROW, text_width(grid.step, SMALL) + 0.2) if grid.step else 0.35
