"""The way down, step by step: the signal after each unpooling, rectification and filtering, until it is pixels."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minizf.deconvnet import Step, percent
from minizf.view.gallery import ink_pictures
from minizf.view.mosaic import enlarge, zoom_for
from minizf.view.normalise import BY_PICTURE, Rule, photograph
from minizf.view.style import BODY, DPI, LIGHT, SMALL, Sheet, Theme, line_height

SIDE = 1.3  # inches of a picture
ACROSS = (6, 5, 7)  # panels in a row: whichever fills the last row best
SAID = {
    "seed": "one activation, all others 0",
    "unpool": "to each maximum's place",
    "rectify": "negative signal cut off",
    "filter": "painted with the filters",
    "skip": "normalisation skipped",
    "jacobian": "derivative of normalisation",
    "reshape": "units become maps again",
    "pass": "unchanged",
}


def energy(signal: np.ndarray) -> np.ndarray:
    """Strength at each position: the root of the sum of squares over the maps. (C, h, w) -> (h, w); (F,) -> nearly square."""
    if signal.ndim == 3:
        return np.sqrt(np.square(signal, dtype=np.float64).sum(axis=0))
    wide = math.ceil(math.sqrt(len(signal)))
    cells = np.zeros(wide * math.ceil(len(signal) / wide))
    cells[: len(signal)] = np.abs(signal)
    return cells.reshape(-1, wide)


def draw_trace(
    steps: Sequence[Step],
    image: np.ndarray | None = None,
    title: str = "The way down",
    rule: Rule = BY_PICTURE,
    theme: Theme = LIGHT,
) -> Figure:
    """steps: what deconvnet.trace gives, the seed first; image uint8 (C, H, W): shown at the end for comparison."""
    panels = len(steps) + (image is not None)
    tile_w, tile_h = SIDE + 0.24, SIDE + 2 * line_height(BODY) + 2 * line_height(SMALL) + 0.36
    across = min(panels, max(ACROSS, key=lambda n: (panels - 1) % n / n))
    sheet = Sheet(
        max(across * tile_w - 0.24, 4.2),
        math.ceil(panels / across) * tile_h - 0.2,
        title,
        f"{len(steps)} steps from {steps[0].name} to pixels, read row by row",
        "Signals of many maps: the root of their sum of squares at each position; white is 0, darkest the step's max. "
        "Bars: the share of values that are not zero. Pixels, the last step: " + rule.caption,
        theme,
    )
    for i, step in enumerate(steps):
        x, y = (i % across) * tile_w, (i // across) * tile_h
        is_last = i == len(steps) - 1 and step.signal.ndim == 3 and len(step.signal) in (1, 3)
        strength = np.abs(step.signal) if is_last else energy(step.signal)
        pixels = rule(step.signal[None, None])[0, 0] if is_last else ink_pictures(strength[None])[0]
        draw_step(sheet, step, pixels, float(strength.max()), x, y, is_first=i == 0)
    if image is not None:
        x, y = (len(steps) % across) * tile_w, (len(steps) // across) * tile_h
        sheet.text(x, y, "the image", weight="bold")
        sheet.text(x, y + line_height(BODY), "for comparison", SMALL, color=theme.muted)
        place(sheet, photograph(image), x, y + picture_top())
    return sheet.figure


def draw_step(sheet: Sheet, step: Step, pixels: np.ndarray, largest: float, x: float, y: float, is_first: bool) -> None:
    """One panel: what was done, the signal, its size, and how much of it is not zero."""
    theme = sheet.theme
    sheet.text(x, y, step.operation, weight="bold")
    sheet.text(x + SIDE, y, step.name, color=theme.muted, align="right")
    sheet.text(x, y + line_height(BODY), SAID.get(step.operation, ""), SMALL, color=theme.muted, width=SIDE + 0.1)
    place(sheet, pixels, x, y + picture_top())
    below = y + picture_top() + SIDE + 0.06
    sheet.text(x, below, " × ".join(map(str, step.signal.shape)), SMALL)
    sheet.text(x + SIDE, below, f"max {largest:.2g}", SMALL, color=theme.muted, align="right")
    below += line_height(SMALL)
    filled = 1 - step.zeros
    sheet.box(x, below + 0.03, 0.55, 0.05, theme.line)
    sheet.box(x, below + 0.03, max(0.55 * filled, 0.008 if filled else 0), 0.05, theme.first)
    sheet.text(x + SIDE, below, f"{percent(step.zeros)} zero", SMALL, color=theme.muted, align="right")
    if not is_first:
        sheet.text(x - 0.12, y + picture_top() + SIDE / 2 - 0.1, "›", 12, color=theme.muted, align="center")


def place(sheet: Sheet, pixels: np.ndarray, x: float, y: float) -> None:
    """A picture of SIDE inches, framed."""
    high, wide = pixels.shape[:2]
    scale = SIDE / max(high, wide)
    sheet.picture(enlarge(pixels, zoom_for(max(high, wide), round(SIDE * DPI))), x, y, wide * scale, high * scale, frame=True)


def picture_top() -> float:
    return line_height(BODY) + line_height(SMALL) + 0.04
