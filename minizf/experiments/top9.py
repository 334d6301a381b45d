"""What each map of a layer responds to most: the paper's figure 2.

    winners = scan(net, preprocess, dataset)                                  one pass: the nine strongest images of every map
    plate = plates(net, preprocess, dataset, "relu2", winners["relu2"])       each winner's projection, beside its image patch

The scan keeps nine values for each map, with image and position, and nothing else: memory does not grow with the set. With a
state file it goes on where it was stopped, also after a kill.
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kernels
from minizf.data.dataset import Dataset
from minizf.data.preprocess import Preprocess
from minizf.files import write_atomic
from minizf.frames import Frame, reframe
from minizf.layers import DECONVNET, Rules
from minizf.net import Net
from minizf.windows import project_windows, shared_pass

SAVE_EVERY_S = 20.0
GROUP_BYTES = 256 << 20  # of plates made together: the five layers of zfnet64 fit, and share their forward passes
LAYER_BYTES = 1 << 29  # a plate above this is not what a page can show


@dataclass
class Winners:
    """The images to which each of K maps responded most, strongest first, each image at its strongest position.

    value (K, k) float32; image (K, k) int64, -1 where a map responded to fewer than k images (value 0 there);
    at (K, k, 2) int64, row and column in the map, zeros for units after a Flatten. Of equal values the lower image comes first.
    """

    value: np.ndarray
    image: np.ndarray
    at: np.ndarray

    @classmethod
    def none(cls, maps: int, k: int) -> "Winners":
        return cls(np.zeros((maps, k), np.float32), np.full((maps, k), -1), np.zeros((maps, k, 2), np.int64))

    def merge(self, value: np.ndarray, image: np.ndarray, at: np.ndarray) -> "Winners":
        """The k best of these and of n later images: value (K, n), image (n,), at (K, n, 2)."""
        k = self.value.shape[1]
        image = np.broadcast_to(image, value.shape)
        value, image = np.hstack([self.value, value]), np.hstack([self.image, np.where(value == 0, -1, image)])
        at = np.concatenate([self.at, at], axis=1)
        rank = np.where(image < 0, -np.inf, value)
        best = np.argsort(-rank, axis=1, kind="stable")[:, :k]
        value, image = (np.take_along_axis(a, best, axis=1) for a in (value, image))
        return Winners(value, image, np.take_along_axis(at, best[:, :, None], 1))


@dataclass
class Plate:
    """A layer's winners as pictures: K maps, k winners each, patches of h x w pixels (the receptive field of the layer)."""

    layer: str
    winners: Winners
    projections: np.ndarray  # float32 (K, k, C, h, w), in the units of the net's input; zero where there is no winner
    patches: np.ndarray  # uint8 (K, k, C, h, w), the part of the image each winner sees
    inside: np.ndarray  # bool (K, k, h, w), False where the patch is padding outside the image, or there is no winner
    labels: np.ndarray  # int64 (K, k), class of each winner's image, -1 where there is no winner
    boxes: np.ndarray  # int64 (K, k, 4), top, left, bottom, right in the image, not clipped; zeros where there is no winner


class StateError(ValueError):
    """A state file that belongs to another scan, or is no state file; the message names the file and the difference."""


def scan(
    net: Net,
    preprocess: Preprocess,
    dataset: Dataset,
    layers: list[str] | None = None,
    k: int = 9,
    batch: int = 64,
    state: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Winners]:
    """The k images of the set each map responds to most, for every layer asked for (default: the net's feature layers).

    An activation of 0 is no response and wins nothing. Memory: one batch's forward pass. state: a file from which the scan goes
    on if it exists, written anew every SAVE_EVERY_S seconds and at the end; StateError if it is of another net, set or k.
    ValueError for images that give NaN, by number.
    """
    layers = layers or net.feature_layers
    upto = max(layers, key=lambda name: len(net.chain(name)))
    winners = {name: Winners.none(net.shapes[name][0], k) for name in layers}
    first = 0
    if state is not None:
        about = identity(net, preprocess, dataset, layers, k)
        first, winners = load_state(state, about, winners)
    saved = time.monotonic()
    with bar(first, len(dataset), progress) as shown:
        for start in range(first, len(dataset), batch):
            numbers = np.arange(start, min(start + batch, len(dataset)))
            _, tape = net.forward(preprocess(dataset.images(numbers)), upto=upto)
            for name in layers:
                winners[name] = winners[name].merge(*responses(name, kernels.to_host(tape.outputs[name]), numbers))
            shown.update(len(numbers))
            if state is not None and (time.monotonic() - saved > SAVE_EVERY_S or numbers[-1] + 1 == len(dataset)):
                save_state(state, about, int(numbers[-1]) + 1, winners)
                saved = time.monotonic()
    return winners


def responses(layer: str, activations: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strongest value (K, n) and position (K, n, 2) of each map in each image, with the images' numbers (n,)."""
    n, maps = activations.shape[:2]
    flat = activations.reshape(n, maps, -1)
    place = flat.argmax(axis=2)
    value = np.take_along_axis(flat, place[:, :, None], axis=2)[:, :, 0]
    broken = np.flatnonzero(~np.isfinite(value).all(axis=1))
    if len(broken):
        raise ValueError(
            f"image {numbers[broken[0]]} gives activations of {layer} that are NaN or infinite; check image and weights"
        )
    size = activations.shape[2:] or (1, 1)
    return value.T, numbers, np.stack(np.unravel_index(place.T, size), axis=2)


def plates(
    net: Net,
    preprocess: Preprocess,
    dataset: Dataset,
    layer: str,
    winners: Winners,
    rules: Rules = DECONVNET,
    batch: int = 64,
    progress: bool = True,
) -> Plate:
    """Every winner of a layer projected to pixels, with the patch of its image that the unit sees.

    Holds at most `batch` images at a time, beside the result. Arguments as for `scan`, which gives `winners`.
    """
    return plates_of(net, preprocess, dataset, {layer: winners}, rules, batch, progress)[layer]


def plates_of(
    net: Net,
    preprocess: Preprocess,
    dataset: Dataset,
    winners: dict[str, Winners],
    rules: Rules = DECONVNET,
    batch: int = 64,
    progress: bool = True,
) -> dict[str, Plate]:
    """The plates of several layers at once, faster than one by one: an image that wins in many layers goes up only once."""
    made = {layer: empty_plate(net, layer, won) for layer, won in winners.items()}
    units = {layer: in_order_of_images(won) for layer, won in winners.items()}
    distinct = np.unique(np.concatenate([image for image, _, _ in units.values()]))
    with bar(0, len(distinct), progress, "projections") as shown:
        for first in range(0, len(distinct), batch):
            numbers = distinct[first : first + batch]
            pictures = dataset.images(numbers)
            chosen = {}
            for layer, (image, maps, ranks) in units.items():
                here = slice(*np.searchsorted(image, [numbers[0], numbers[-1] + 1]))
                if here.start < here.stop:
                    chosen[layer] = np.searchsorted(numbers, image[here]), maps[here], ranks[here]
            source = shared_pass(net, preprocess(pictures), {layer: local for layer, (local, _, _) in chosen.items()}, rules)
            for layer, (local, maps, ranks) in chosen.items():
                fill(made[layer], net, source, pictures, dataset.labels[numbers], local, maps, ranks, rules)
            shown.update(len(numbers))
    return made


def each_plate(
    net: Net,
    preprocess: Preprocess,
    dataset: Dataset,
    winners: dict[str, Winners],
    rules: Rules = DECONVNET,
    batch: int = 64,
    progress: bool = True,
) -> Iterator[Plate]:
    """The same plates, one after the other: no more of them in memory than GROUP_BYTES hold, or a single one."""
    waiting = list(winners)
    while waiting:
        total = np.cumsum([plate_bytes(net, layer, winners[layer].value.shape[1]) for layer in waiting])
        count = max(1, int((total <= GROUP_BYTES).sum()))
        group, waiting = waiting[:count], waiting[count:]
        made = plates_of(net, preprocess, dataset, {layer: winners[layer] for layer in group}, rules, batch, progress)
        for layer in group:
            yield made.pop(layer)


def plate_bytes(net: Net, layer: str, k: int = 9) -> int:
    """What the pictures of a layer's plate take: projections, patches, and which of their pixels lie in the image."""
    high, wide = net.receptive_field(layer).size
    return net.shapes[layer][0] * k * high * wide * (5 * net.input_shape[0] + 1)


def require_room(net: Net, layers: list[str], k: int = 9) -> None:
    """ValueError for a layer with so many units, each seeing so much, that its pictures exceed LAYER_BYTES."""
    for layer in layers:
        size = plate_bytes(net, layer, k)
        if size > LAYER_BYTES:
            raise ValueError(
                f"{layer}: {k} pictures for each of its {net.shapes[layer][0]:,} units would take {size / 1e6:,.0f} MB; "
                f"one layer may take {LAYER_BYTES / 1e6:,.0f}. Choose layers further down ({', '.join(net.feature_layers)}), "
                "or look at one unit of one image: `minizf look` with --layer and --map"
            )


def empty_plate(net: Net, layer: str, winners: Winners) -> Plate:
    field, channels, shape = net.receptive_field(layer), net.input_shape[0], winners.image.shape
    return Plate(
        layer,
        winners,
        projections=np.zeros((*shape, channels, *field.size), np.float32),
        patches=np.zeros((*shape, channels, *field.size), np.uint8),
        inside=np.zeros((*shape, *field.size), bool),
        labels=np.full(shape, -1),
        boxes=np.zeros((*shape, 4), np.int64),
    )


def in_order_of_images(winners: Winners) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(image, map, rank) of every winner there is, ordered by image."""
    maps, ranks = np.nonzero(winners.image >= 0)
    order = np.argsort(winners.image[maps, ranks], kind="stable")
    return winners.image[maps, ranks][order], maps[order], ranks[order]


def fill(plate, net, source, pictures, labels, local, maps, ranks, rules) -> None:
    """Enters some winners into their plate: `local` numbers their images among `pictures`, which `source` has passed."""
    winners = plate.winners
    at = winners.at[maps, ranks] if len(net.shapes[plate.layer]) == 3 else None
    seeds = winners.value[maps, ranks]
    found = project_windows(net, source, plate.layer, local, maps, at, seeds, rules)
    whole = Frame(np.zeros((len(local), 2), int), pictures.shape[2:])
    patch = Frame(found.boxes[:, :2], plate.inside.shape[2:])
    plate.projections[maps, ranks] = found.pixels
    plate.patches[maps, ranks] = reframe(pictures[local], whole, patch)
    plate.inside[maps, ranks] = reframe(np.ones((len(local), 1, *whole.size), bool), whole, patch)[:, 0]
    plate.labels[maps, ranks] = labels[local]
    plate.boxes[maps, ranks] = found.boxes


def bar(first: int, total: int, progress: bool, label: str = "strongest images", unit: str = "img"):
    """A progress bar with time left on stderr, on a terminal only."""
    from tqdm import tqdm  # 30 ms to import: `import minizf` need not pay

    return tqdm(total=total, initial=first, desc=label, unit=unit, disable=None if progress else True, delay=1, leave=False)


def identity(net: Net, preprocess: Preprocess, dataset: Dataset, layers: list[str], k: int) -> dict[str, object]:
    """What must be the same for a scan to go on: each part under the name an error will call it by."""
    weights = hashlib.sha256(repr(net).encode())
    for array in (*map(kernels.to_host, net.state().values()), preprocess.mean, np.float64(preprocess.scale)):
        weights.update(np.ascontiguousarray(array).tobytes())
    ends = hashlib.sha256(dataset.labels.tobytes() + dataset.images([0, len(dataset) - 1]).tobytes())
    return {
        "net and preprocessing": weights.hexdigest(),
        "data set": f"{dataset!r} {ends.hexdigest()}",
        "layers": layers,
        "k": k,
    }


def save_state(path: str | Path, about: dict[str, object], seen: int, winners: dict[str, Winners]) -> None:
    """Writes the state file whole: images 0..seen-1 have been looked at."""
    arrays = {f"{name}.{part}": getattr(w, part) for name, w in winners.items() for part in ("value", "image", "at")}
    file = io.BytesIO()
    np.savez(file, about=np.array(json.dumps(about)), seen=np.array(seen), **arrays)
    write_atomic(path, file.getvalue())


def load_state(path: str | Path, about: dict[str, object], fresh: dict[str, Winners]) -> tuple[int, dict[str, Winners]]:
    """(images already looked at, winners so far): of the state file if there is one, else (0, fresh)."""
    path = Path(path)
    if not path.exists():
        return 0, fresh
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        kept = json.loads(str(arrays["about"]))
        winners = {n: Winners(*(arrays[f"{n}.{part}"] for part in ("value", "image", "at"))) for n in kept["layers"]}
        seen = int(arrays["seen"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StateError(
            f"{path}: not the state of a scan ({error}); delete it, or name another file, to start anew"
        ) from error
    other = [part for part, value in about.items() if kept.get(part) != value]
    if other:
        raise StateError(
            f"{path}: belongs to a scan with another {' and another '.join(other)}; name another file, or delete it"
        )
    return seen, winners
