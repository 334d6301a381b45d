"""One image through a net: what it takes it for, which maps answer most, and what each of them answered to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from minizf.deconvnet import project_units
from minizf.layers import DECONVNET, Rules, softmax
from minizf.net import Net, Tape
from minizf.view.gallery import ink_pictures
from minizf.view.mosaic import enlarge, zoom_for
from minizf.view.normalise import BY_PICTURE, Rule, photograph
from minizf.view.style import BODY, DPI, LIGHT, SMALL, Sheet, Theme, line_height

SIDE = 1.12  # inches of a small picture, one of three for a map
ALONE = 1.72  # of a projection on its own, for a unit without a place
LARGE = 2.3  # of the image
GUESSES = 5


def strongest_maps(activations: np.ndarray, count: int) -> list[int]:
    """The `count` maps (or units) of one image's activations (K, P, Q) or (K,) with the largest values, strongest first."""
    largest = activations.reshape(len(activations), -1).max(axis=1)
    return np.argsort(-largest, kind="stable")[:count].tolist()


def draw_look(
    net: Net,
    tape: Tape,
    image: np.ndarray,
    layer: str,
    classes: Sequence[str] | None = None,
    maps: Sequence[int] | int = 6,
    rules: Rules = DECONVNET,
    rule: Rule = BY_PICTURE,
    label: int | None = None,
    name: str = "",
    theme: Theme = LIGHT,
) -> Figure:
    """image uint8 (C, H, W), the one `tape` (a pass through the whole net) begins with; label: its true class, if known.

    maps: their numbers, or how many of the strongest. Units of fully connected layers and class scores work alike.
    """
    net.check_layer(layer)
    activations = tape.outputs[layer][0]
    chosen = strongest_maps(activations, maps) if isinstance(maps, int) else list(maps)
    projections = project_units(net, tape, layer, [0] * len(chosen), chosen, None, "value", rules)
    pictures = rule(projections[:, None])[:, 0]
    probabilities = softmax(tape.outputs[list(net.layers)[-1]])[0]
    names = list(classes) if classes is not None else [str(i) for i in range(len(probabilities))]
    spatial = activations.ndim == 3
    side, across = (SIDE, 2) if spatial else (ALONE, 3)
    tile_w, tile_h = 3 * (SIDE + 0.06) - 0.06 if spatial else ALONE, side + line_height(BODY) + 0.3
    left = LARGE + 0.4
    rows = -(-len(chosen) // across)
    seen = net.receptive_field(layer).size
    sheet = Sheet(
        left + across * (tile_w + 0.35) - 0.35,
        max(rows * tile_h - 0.2, LARGE + line_height(BODY) + (GUESSES + 2) * line_height(BODY) + 0.2),
        f"{names[int(probabilities.argmax())]}, {100 * probabilities.max():.0f} % sure",
        f"{name}{': ' if name else ''}what the net makes of this image, and the {len(chosen)} "
        f"{'strongest ' if isinstance(maps, int) else ''}{'maps' if spatial else 'units'} of {layer}",
        (
            "For each map: its activations (white is 0, darkest the value given; the ring marks the unit looked at); what this "
            f"unit answered to, projected down to pixels; and where in the image it looked ({seen[0]}x{seen[1]} pixels). "
            if spatial
            else "For each unit its value, and what it answered to, projected down to pixels. "
        )
        + rule.caption,
        theme,
    )
    photo = photograph(image)
    small(sheet, photo, 0, 0, LARGE)
    truth = "" if label is None else f"label: {names[label]}"
    sheet.text(0, LARGE + 0.06, truth, color=theme.muted, width=LARGE)
    draw_guesses(sheet, probabilities, names, label, LARGE + 2.2 * line_height(BODY))
    for i, number in enumerate(chosen):
        x, y = left + (i % across) * (tile_w + 0.35), (i // across) * tile_h
        title = names[number] if activations.shape == probabilities.shape else f"{'map' if spatial else 'unit'} {number}"
        place = np.unravel_index(activations[number].argmax(), activations[number].shape) if spatial else None
        sheet.text(x, y, title, weight="bold", width=tile_w - 0.36)
        sheet.text(x + tile_w, y, f"{activations[number].max():.3g}".replace("-", "−"), SMALL, color=theme.muted, align="right")
        y += line_height(BODY) + 0.02
        if place is not None:
            draw_activations(sheet, activations[number], place, x, y)
            x += SIDE + 0.06
        small(sheet, pictures[i], x, y, side)
        if place is not None:
            axes = small(sheet, photo, x + SIDE + 0.06, y)
            top, left_edge, bottom, right = net.receptive_field(layer).box(*map(int, place))
            outline(axes, top, left_edge, bottom, right, photo.shape, theme)
    return sheet.figure


def draw_guesses(sheet: Sheet, probabilities: np.ndarray, names: list[str], label: int | None, y: float) -> None:
    """Bars of the most probable classes; the true one in colour."""
    sheet.text(0, y, "Probability (%)", SMALL, color=sheet.theme.muted)
    for i, guess in enumerate(np.argsort(-probabilities, kind="stable")[:GUESSES].tolist()):
        row = y + (i + 1) * line_height(BODY) + 0.05
        share = float(probabilities[guess])
        sheet.text(0, row, names[guess], weight="bold" if guess == label else "normal", width=1.05)
        sheet.box(1.1, row + 0.01, 0.82 * share, 0.1, sheet.theme.second if guess == label else sheet.theme.first)
        sheet.text(LARGE, row, f"{100 * share:.1f}", color=sheet.theme.muted, align="right")


def draw_activations(sheet: Sheet, activations: np.ndarray, place, x: float, y: float) -> None:
    """One map (P, Q) as ink, its strongest unit ringed."""
    zoom = zoom_for(max(activations.shape), round(SIDE * DPI))
    ink = ink_pictures(np.maximum(activations, 0)[None])[0]
    axes = small(sheet, ink, x, y, frame=True)
    row, column = ((p + 0.5) * zoom - 0.5 for p in place)
    axes.add_patch(Circle((column, row), max(zoom, 14), fill=False, edgecolor=sheet.theme.second, linewidth=1.3))


def small(sheet: Sheet, pixels: np.ndarray, x: float, y: float, side: float = SIDE, frame: bool = False):
    """A picture whose longer side is `side` inches."""
    high, wide = pixels.shape[:2]
    scale = side / max(high, wide)
    return sheet.picture(enlarge(pixels, zoom_for(max(high, wide), round(side * DPI))), x, y, wide * scale, high * scale, frame)


def outline(axes, top: int, left: int, bottom: int, right: int, shape, theme: Theme) -> None:
    """The box of pixels a unit saw, as far as it lies in the image (h, w, 3)."""
    high, wide = shape[:2]
    zoom = zoom_for(max(high, wide), round(SIDE * DPI))
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, high), min(right, wide)
    corner, size = (left * zoom - 0.5, top * zoom - 0.5), ((right - left) * zoom, (bottom - top) * zoom)
    for colour, width in ((theme.paper, 2.8), (theme.second, 1.4)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))
