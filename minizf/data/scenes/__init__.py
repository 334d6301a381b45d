"""Scenes: a set of images drawn at run time, with the truth about every pixel.

Ten kinds of object made of named parts lie on textured grounds among small clutter, in changing light, colour, pose and
size. The image comes with its label, the object's mask, a box for each part and the ground, so that what a
visualisation shows can be measured. Nothing is downloaded, and a seed gives the same bytes on every machine.

    scenes = Scenes(split="train", size=64, seed=0)
    scenes.images([0, 1, 2])        uint8 (3, 3, 64, 64)
    scenes.truth(0).parts           {"left eye": (20, 18, 27, 26), ...}
    draw(0, 0, angle=10.0)          the same scene, turned

The files, in the order a scene passes through them: hashing (random numbers), staging (what stands where), objects,
clutter and palette (what things look like), pen (display lists), render, grounds and shapes (pixels; compiled by Numba).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from ..dataset import Dataset
from .objects import part_names
from .palette import GROUNDS
from .staging import (
    BALL_PART,
    CLASSES,
    MAX_PARTS,
    SHORTCUTS,
    SPLITS,
    Camera,
    Cast,
    cast,
    labels,
    stage,
)

__all__ = ["CLASSES", "GROUNDS", "Scene", "Scenes", "draw", "parts_of"]

Box = tuple[int, int, int, int]

DEFAULT_IMAGES = {"train": 8000, "val": 2000}
SMALLEST, LARGEST = 16, 512
DRAWN_AT_ONCE = 256


@dataclass(frozen=True)
class Scene:
    """One image and the truth about it. Boxes are (top, left, bottom, right) in pixels, the last two excluded."""

    image: np.ndarray  # uint8 (3, size, size)
    label: int
    kind: str
    mask: np.ndarray  # bool (size, size): the object's own pixels, as if no clutter lay over it
    parts: dict[str, Box]  # left and right as seen in the picture; parts outside the picture are missing
    ground: str
    ball: Box | None  # the shortcut's ball
    shortcut: bool  # whether this image carries the planted shortcut (the ball, or grass under the chosen class)


def parts_of(kind: str) -> tuple[str, ...]:
    """Names of the parts of one kind of object."""
    return part_names(_known("kind", kind, CLASSES))


def draw(
    seed: int,
    index: int,
    size: int = 64,
    *,
    split: str = "train",
    shortcut: str | None = None,
    shortcut_class: str = "car",
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    angle: float = 0.0,
    moves: str = "scene",
    without: Sequence[str] = (),
    kind: str | None = None,
    ground: str | None = None,
) -> Scene:
    """Draw image `index` of a set again, perhaps changed.

    shift    pixels (down, right); scale: 2 is twice as large; angle: degrees, counter-clockwise
    moves    "scene": the camera moves, and everything with it (ground, light, clutter); a shift by whole pixels gives the
             same bytes elsewhere. "object": the object alone moves, about its own middle, and its shadow with it.
    without  names of parts to leave out
    kind, ground   put another kind of object into the same place, or another ground below it
    """
    _check(seed, size, split, shortcut, shortcut_class)
    _whole("index", index)
    if index < 0:
        raise IndexError(f"scenes: image number {index}; numbers start at 0")
    if moves not in ("scene", "object"):
        raise ValueError(f'scenes: moves={moves!r}; choose "scene" or "object"')
    for name, value in (("shift", shift[0]), ("shift", shift[1]), ("scale", scale), ("angle", angle)):
        if not isfinite(value):
            raise ValueError(f"scenes: {name} {value} is not finite")
    if not scale > 0:
        raise ValueError(f"scenes: scale {scale}; it must be above 0 (1 leaves the size as it is)")
    players = cast(seed, split, [index], shortcut, CLASSES.index(shortcut_class))
    if kind is not None:
        players.label = np.array([CLASSES.index(_known("kind", kind, CLASSES))])
    if ground is not None:
        players.ground = np.array([GROUNDS.index(_known("ground", ground, GROUNDS))])
    for part in without:
        _known(f"part of a {CLASSES[players.label[0]]}", part, parts_of(CLASSES[players.label[0]]))
    camera = Camera((float(shift[0]), float(shift[1])), float(scale), float(angle), moves)
    return _draw_batch(players, size, camera, tuple(without), shortcut)[0]


class Scenes(Dataset):
    """The embedded image set.

    split "train" and "val" never share an image; every ten images in turn hold each kind once.
    shortcut  None, "ball" (in training one class always, and no other class ever, comes with a red and white ball; in
              validation, and without a shortcut, one image in ten has it whatever its class) or "ground" (in training
              that class, and no other, stands on grass).
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 64,
        seed: int = 0,
        images: int | None = None,
        shortcut: str | None = None,
        shortcut_class: str = "car",
    ):
        _check(seed, size, split, shortcut, shortcut_class)
        count = DEFAULT_IMAGES[split] if images is None else images
        if count < 1:
            raise ValueError(f"scenes: images={count}; ask for at least 1")
        self.size, self.seed, self.shortcut, self.shortcut_class = size, seed, shortcut, shortcut_class
        self._pixels: np.ndarray | None = None
        super().__init__("scenes", split, CLASSES, labels(seed, split, np.arange(count)), (3, size, size))

    def images(self, index) -> np.ndarray:
        """uint8 (n, 3, size, size), drawn now unless `preload` was called."""
        numbers = self._numbers(index)
        if self._pixels is not None:
            return self._pixels[numbers]
        pixels = np.empty((len(numbers), *self.image_shape), np.uint8)
        for start in range(0, len(numbers), DRAWN_AT_ONCE):
            chosen = slice(start, start + DRAWN_AT_ONCE)
            pixels[chosen] = _paint(self._cast(numbers[chosen]), self.size, Camera(), ())[0]
        return pixels

    def preload(self, limit_bytes: int = 1 << 30) -> "Scenes":
        """Draw all images now and keep them, 12 KiB each at 64 x 64, unless they are too large; `truth` stays at hand."""
        if self._pixels is None and len(self) * 3 * self.size**2 <= limit_bytes:
            self._pixels = self.images(np.arange(len(self)))
        return self

    def truth(self, i: int) -> Scene:
        """The image with its mask, parts, ground and ball."""
        return _draw_batch(self._cast(self._numbers([i])), self.size, Camera(), (), self.shortcut)[0]

    def truths(self, index) -> list[Scene]:
        """`truth` for many images at once."""
        return _draw_batch(self._cast(self._numbers(index)), self.size, Camera(), (), self.shortcut)

    def image_name(self, i: int) -> str:
        return f"scenes {self.split} {i}"

    def _cast(self, numbers) -> Cast:
        return cast(self.seed, self.split, numbers, self.shortcut, CLASSES.index(self.shortcut_class))


def _paint(players: Cast, size: int, camera: Camera, without: tuple[str, ...]):
    """-> pixels uint8 (n, 3, size, size), masks bool (n, size, size), boxes (n, MAX_PARTS, 4), names of the parts."""
    # compiled on first use: importing minizf.data must stay fast
    from .render import paint_batch

    count = len(players.keys)
    pixels = np.empty((count, 3, size, size), np.uint8)
    masks = np.zeros((count, size, size), np.bool_)
    boxes = np.empty((count, MAX_PARTS, 4), np.int64)
    boxes[:] = (size, size, 0, 0)
    if not count:
        return pixels, masks, boxes, []
    tables = stage(players, size, camera, without)
    paint_batch(pixels, masks, boxes, tables.rows, tables.things, tables.pictures)
    return pixels, masks, boxes, tables.part_names


def _draw_batch(players, size, camera, without, shortcut) -> list[Scene]:
    pixels, masks, boxes, names = _paint(players, size, camera, without)
    scenes = []
    for n, label in enumerate(players.label):
        found = {name: _box(boxes[n, part]) for part, name in enumerate(names[n]) if _is_seen(boxes[n, part])}
        ball = _box(boxes[n, BALL_PART]) if _is_seen(boxes[n, BALL_PART]) else None
        ground = GROUNDS[players.ground[n]]
        planted = (shortcut == "ball" and bool(players.ball[n])) or (shortcut == "ground" and ground == "grass")
        scenes.append(Scene(pixels[n], int(label), CLASSES[label], masks[n], found, ground, ball, planted))
    return scenes


def _is_seen(box) -> bool:
    return box[2] > box[0]


def _box(box) -> Box:
    top, left, bottom, right = (int(edge) for edge in box)
    return top, left, bottom, right


def _known(what: str, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise ValueError(f"scenes: unknown {what} {name!r}; choose one of {', '.join(names)}")
    return name


def _whole(what: str, number) -> None:
    if not isinstance(number, int | np.integer):
        raise TypeError(f"scenes: {what} {number!r} is not a whole number")


def _check(seed, size, split, shortcut, shortcut_class) -> None:
    _whole("seed", seed)
    _whole("size", size)
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"scenes: size {size}; choose {SMALLEST} to {LARGEST} pixels")
    _known("split", split, tuple(SPLITS))
    if shortcut is not None:
        _known("shortcut", shortcut, SHORTCUTS)
    _known("shortcut class", shortcut_class, CLASSES)
