"""First-layer filters as pictures: they act on pixels, so their weights can be looked at as they are (the paper's figure 6)."""

import math

import numpy as np
from matplotlib.figure import Figure

from minizf.net import Net
from minizf.view.mosaic import enlarge, zoom_for
from minizf.view.normalise import BY_LAYER, BY_MAP, Rule
from minizf.view.style import DPI, LIGHT, SMALL, Sheet, Theme

RULES = {
    "filter": "Zero is mid-grey; each filter is divided by its own largest absolute weight, so strengths do not compare.",
    "layer": "Zero is mid-grey; all filters share one scale, the largest absolute weight of the layer, so strengths compare.",
}


def filter_pictures(weight: np.ndarray, rule: str = "filter") -> np.ndarray:
    """weight (K, C, R, S), C = 1 or 3 -> uint8 (K, R, S, 3); rule "filter" (own scale each) or "layer" (one scale for all)."""
    if rule not in RULES:
        raise ValueError(f"no normalisation {rule!r} for filters; choose one of {', '.join(RULES)}")
    scaling: Rule = BY_MAP if rule == "filter" else BY_LAYER
    return scaling(weight[:, None])[:, 0]


def first_filters(net: Net) -> tuple[str, np.ndarray]:
    """Name and weights (K, C, R, S) of the layer that reads the pixels; ValueError if they make no pictures."""
    name, layer = next(iter(net.layers.items()))
    weight = layer.arrays.get("weight")
    if weight is None or weight.ndim != 4 or weight.shape[1] not in (1, 3):
        raise ValueError(
            f"the first layer, {name!r}, is not a convolution over grey or colour pixels; its filters make no picture"
        )
    return name, weight


def draw_filters(net: Net, rule: str = "filter", title: str = "", subtitle: str = "", theme: Theme = LIGHT) -> Figure:
    """All filters of the first layer, numbered, in order. `rule` as in filter_pictures."""
    name, weight = first_filters(net)
    pictures = filter_pictures(weight, rule)
    count, channels, high, wide = weight.shape
    columns = full_rows(count)
    zoom = zoom_for(max(high, wide), 96)
    cell_w, cell_h, gap, label = wide * zoom / DPI, high * zoom / DPI, 0.07, 0.15
    rows = math.ceil(count / columns)
    layer = net.layers[name]
    sheet = Sheet(
        max(columns * (cell_w + gap) - gap, 4.2),
        rows * (cell_h + gap + label) - gap,
        title or f"What layer 1 looks for: its {count} filters",
        subtitle
        or f"{name}: {high}x{wide} pixels, {'colour' if channels == 3 else 'grey'}, every {layer.options['stride']} pixels",
        f"{RULES[rule]} A filter answers most to a patch of image that looks like it.",
        theme,
    )
    for i, picture in enumerate(enlarge(pictures, zoom)):
        x, y = (i % columns) * (cell_w + gap), (i // columns) * (cell_h + gap + label)
        sheet.text(x, y, str(i), SMALL, color=theme.muted)
        sheet.picture(picture, x, y + label, cell_w, cell_h)
    return sheet.figure


def full_rows(count: int) -> int:
    """A number of columns that gives a picture wider than high, with a full last row where one can be had."""
    columns = range(math.ceil(math.sqrt(count)), max(2 * math.ceil(math.sqrt(count)), 9))
    return min((c for c in columns if count % c == 0), default=min(count, columns[len(columns) // 2]))
