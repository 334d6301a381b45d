"""The atlas: one HTML page to turn over, with every map's nine projections beside the nine patches that caused them.

    write_atlas("atlas.html", net, plates, dataset)      plates: one per layer, as minizf.experiments.top9 makes them

The page needs nothing but itself: pictures, numbers, style and script stand inside it, so it works from a folder, offline, and
can be sent to somebody. What is stored:

    projections   one lossless sprite a map (its nine pictures in reading order), in 65 levels: finer ones are noise to the eye
                  and a third of the file
    photographs   each image that won anywhere, once, compressed; patches are windows onto it, hatched beyond its edge
    numbers       value, image, position and box of each winner, as JSON; labels and class names beside

Plates are taken one at a time, so an iterator of plates keeps one layer in memory.
"""

import json
import math
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from tqdm import tqdm

from minizf.data.dataset import Dataset
from minizf.files import write_atomic
from minizf.layers import DECONVNET, Rules
from minizf.net import Net
from minizf.view.curves import draw_curves
from minizf.view.filters import RULES as FILTER_RULES
from minizf.view.filters import filter_pictures, first_filters
from minizf.view.mosaic import mosaic
from minizf.view.normalise import BY_MAP, GREY, Rule, paint, photograph
from minizf.view.sprites import lossless, lossy
from minizf.view.style import DARK, LIGHT, png

if TYPE_CHECKING:
    from minizf.experiments.top9 import Plate

BATCH = 256  # images read at a time
STEP = 4  # between the levels in which projections are stored; mid-grey is one of them
RECTIFY = {
    "signal": "cut off what is negative in the signal",
    "mask": "let the signal pass only where the unit itself had answered (this makes it the gradient)",
    "both": "let the signal pass only where it is positive and the unit itself had answered (guided backpropagation)",
}


def write_atlas(
    path: str | os.PathLike,
    net: Net,
    plates: Iterable["Plate"],
    dataset: Dataset,
    rule: Rule = BY_MAP,
    rules: Rules = DECONVNET,
    facts: Mapping[str, str] | None = None,
    log: Sequence[dict] = (),
    title: str = "",
    progress: bool = True,
) -> int:
    """Writes the page, whole or not at all, and returns its size in bytes.

    dataset  the set the plates' image numbers refer to          rules  how the projections were made, to be said on the page
    rule     how they become pictures, said on the page          facts  what to tell of the run, name -> value, in order
    log      the run's rows; drawn as curves when there are any
    ValueError: no plates, two of one layer, a plate of a layer the net does not have, projections that are not finite.
    """
    layers, sprites = [], {}
    bar = tqdm(plates, desc="atlas", unit="layer", disable=None if progress else True)
    for plate in bar:
        bar.set_postfix_str(plate.layer)
        net.check_layer(plate.layer)
        if plate.layer in sprites:
            raise ValueError(f"two plates of layer {plate.layer!r} came; the atlas has one chapter for each layer")
        layers.append(layer_numbers(plate, net))
        sprites[plate.layer] = [text(s) for s in projection_sprites(plate, rule)]
    if not layers:
        raise ValueError("no plates came, so there is nothing to show; make them with minizf.experiments.top9.plates")
    shown = sorted({number for layer in layers for row in layer["image"] for number in row if number >= 0})
    place = {number: i for i, number in enumerate(shown)} | {-1: -1}
    for layer in layers:  # image numbers become places in the list of images shown
        layer["image"] = [[place[number] for number in row] for row in layer["image"]]
    page = {
        "classes": dataset.classes,
        "size": list(dataset.image_shape[1:]),
        "images": shown,
        "labels": dataset.labels[shown].tolist(),
        "names": [dataset.image_name(number) for number in shown],
        "layers": layers,
    }
    html = template().render(
        title=title or f"What {dataset.name} taught this network",
        net=net,
        dataset=dataset,
        layers=layers,
        rule=rule,
        levels=256 // STEP + 1,
        count="nine" if layers[0]["k"] == 9 else layers[0]["k"],
        rectify=RECTIFY[rules.rectify],
        rules=rules,
        facts=about(net, dataset, layers, facts or {}),
        curves=[text(png(draw_curves(log, "Training", theme=theme))) for theme in (LIGHT, DARK)] if log else [],
        filters=filter_sprite(net),
        filter_caption=FILTER_RULES["filter"],
        page=script_json(page),
        sprites={name: script_json(pictures) for name, pictures in sprites.items()},
        photographs=script_json([text(p) for p in photographs(dataset, shown)]),
    )
    data = html.encode("utf-8", "replace")  # file names may carry bytes that are no text
    write_atomic(path, data)
    return len(data)


def about(net: Net, dataset: Dataset, layers: list[dict], facts: Mapping[str, str]) -> dict[str, str]:
    """The facts given, and those the page knows itself where none of that name was given."""
    own = {
        "images searched": f"{len(dataset):,} ({dataset.name}, {dataset.split})",
        "classes": str(len(dataset.classes)),
        "maps shown": f"{sum(layer['maps'] for layer in layers)} in {len(layers)} layers",
        "parameters": f"{net.parameter_count:,}",
    }
    given = {name.lower() for name in facts}
    return {**facts, **{name: value for name, value in own.items() if name not in given}}


def layer_numbers(plate: "Plate", net: Net) -> dict:
    """What the page's script needs to know of a layer: (maps, k) tables, rounded to five digits where they are not whole."""
    winners = plate.winners
    total, k, _, high, wide = plate.projections.shape
    return {
        "name": plate.layer,
        "maps": total,
        "k": k,
        "field": [high, wide],
        "shape": list(net.shapes[plate.layer]),
        "value": [[float(f"{v:.5g}") for v in row] for row in winners.value.tolist()],
        "image": winners.image.tolist(),
        "row": winners.at[..., 0].tolist(),
        "column": winners.at[..., 1].tolist(),
        "top": plate.boxes[..., 0].tolist(),
        "left": plate.boxes[..., 1].tolist(),
        "silent": int((winners.image < 0).all(axis=1).sum()),
    }


def projection_sprites(plate: "Plate", rule: Rule) -> Iterable[bytes]:
    """One lossless picture a map: its k projections in reading order, ceil(sqrt(k)) in a row, without gaps."""
    columns = math.ceil(math.sqrt(plate.projections.shape[1]))
    scales = rule.scales(plate.projections)
    for projections, scale in zip(plate.projections, scales, strict=True):
        yield lossless(mosaic(coarse(paint(projections, scale)), columns))


def coarse(pictures: np.ndarray) -> np.ndarray:
    """Pictures uint8 in levels that lie STEP apart; grey stays grey, and nothing moves by more than half a step."""
    return np.minimum(np.rint((pictures.astype(np.int16) - GREY) / STEP) * STEP + GREY, 255).astype(np.uint8)


def photographs(dataset: Dataset, numbers: Sequence[int]) -> Iterable[bytes]:
    """The images with these numbers, each compressed on its own."""
    for start in range(0, len(numbers), BATCH):
        for pixels in photograph(dataset.images(np.asarray(numbers[start : start + BATCH]))):
            yield lossy(pixels)


def filter_sprite(net: Net) -> dict | None:
    """The first layer's filters side by side, or None where they make no picture."""
    try:
        _, weight = first_filters(net)
    except ValueError:
        return None
    count, _, high, wide = weight.shape
    return {
        "layer": net.feature_layers[0],
        "count": count,
        "size": [high, wide],
        "sprite": text(lossless(mosaic(filter_pictures(weight), count))),
    }


def template():
    environment = Environment(
        loader=PackageLoader("minizf.view"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("atlas.html")


def script_json(value) -> str:
    """JSON that can stand inside a <script>: plain ASCII, and no "<" that could end it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def text(data: bytes) -> str:
    return b64encode(data).decode()
