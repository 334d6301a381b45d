"""What stands in each scene and where: from image numbers to the tables the renderer paints.

Everything is thrown per image from streams with separate purposes, so one decision never moves another: with the
ground changed by hand, the same object stands on it in the same light.
Scene coordinates: (0, 0) is the middle of the picture, which is 1 wide; x right, y down.
"""

from dataclasses import dataclass

import numpy as np

from . import clutter, objects, palette
from .hashing import Dice, stream_keys
from .pen import cosine, sine
from .tables import (
    ALPHA,
    BACK,
    COLOUR_A,
    COLOUR_B,
    EXPOSURE,
    FALL,
    FIRST_ROW,
    FORWARD,
    GROUND,
    GROUND_MAP,
    GROUND_PIXEL,
    IS_OBJECT,
    LIFT,
    LIGHT,
    PART,
    PICTURE_COLUMNS,
    PIXELS,
    ROW_COLUMNS,
    ROWS,
    SALT,
    SHADOW,
    SHADOW_X,
    SHADOW_Y,
    SHIFT_X,
    SHIFT_Y,
    THING_COLUMNS,
)  # fmt: skip

SPLITS = {"train": 0, "val": 1}
SHORTCUTS = ("ball", "ground")
CLASSES = tuple(objects.KINDS)

FOR_LABEL, FOR_GROUND, FOR_GROUND_LOOK, FOR_LIGHT, FOR_POSE, FOR_COLOUR, FOR_PARTS = range(7)
FOR_CLUTTER, FOR_CLUTTER_LOOK, FOR_BALL, FOR_BALL_PLACE = range(7, 11)

CLUTTER_BELOW, CLUTTER_ABOVE = 5, 2
OBJECT_SLOT = CLUTTER_BELOW
BALL_SLOT = OBJECT_SLOT + 1 + CLUTTER_ABOVE
THINGS = BALL_SLOT + 1
MAX_PARTS = 20
BALL_PART = MAX_PARTS - 1

# area of each kind in object units squared, so that all kinds fill the same share of the picture; and its half width
AREA = np.array([2.74, 2.29, 1.69, 2.39, 2.14, 1.54, 1.55, 2.44, 1.99, 2.49])
REACH = np.array([0.97, 1.0, 1.03, 1.0, 1.03, 1.0, 1.0, 0.97, 1.02, 1.02])


@dataclass
class Cast:
    """Who plays in each of n images."""

    keys: np.ndarray  # uint64 (n,)
    label: np.ndarray  # int64 (n,)
    ground: np.ndarray  # int64 (n,), index into palette.GROUNDS
    ball: np.ndarray  # bool (n,), the shortcut's ball


@dataclass
class Camera:
    """How the whole scene, or the object alone, is moved against the picture."""

    shift: tuple[float, float] = (0.0, 0.0)  # pixels down, right
    scale: float = 1.0
    angle: float = 0.0  # degrees, counter-clockwise as seen
    moves: str = "scene"  # or "object"


@dataclass
class Tables:
    """What render.paint_batch takes, and what the painted parts are called."""

    rows: np.ndarray
    things: np.ndarray
    pictures: np.ndarray
    part_names: list[tuple[str, ...]]


def labels(seed, split, index):
    """Kinds of the images: int64 (n,). Every ten images in turn (0-9, 10-19, ...) hold each kind once, in mixed order."""
    block, place = np.divmod(np.asarray(index, np.int64), 10)
    dice = Dice(stream_keys(seed, SPLITS[split], block), FOR_LABEL)
    step = np.array([1, 3, 7, 9])[dice.choice(4)]
    return (step * place + dice.choice(10)) % 10


def cast(seed, split, index, shortcut=None, shortcut_class=0):
    """Decide kind, ground and ball of the images.

    Without a shortcut the ground and the ball (one image in ten) say nothing about the kind. In training, "ball" gives
    the ball to all images of one class and to no other; "ground" puts that class, and no other, on grass. In
    validation both are at chance again.
    """
    keys = stream_keys(seed, SPLITS[split], index)
    label = labels(seed, split, index)
    ground = Dice(keys, FOR_GROUND).choice(len(palette.GROUNDS))
    ball = Dice(keys, FOR_BALL).chance(0.1)
    chosen = label == shortcut_class
    if shortcut == "ball" and split == "train":
        ball = chosen
    if shortcut == "ground" and split == "train":
        grass = palette.GROUNDS.index("grass")
        other = 1 + Dice(keys, FOR_GROUND).choice(len(palette.GROUNDS) - 1)
        ground = np.where(chosen, grass, (grass + other) % len(palette.GROUNDS))
    return Cast(keys, label, ground, ball)


def rotation(turns):
    """Matrices (n, 2, 2) that turn by `turns`, counter-clockwise as seen (y points down)."""
    c, s = np.broadcast_arrays(cosine(turns), sine(turns))
    return np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)


def product(first, second):
    """Matrix products (n, 2, 2) written out: a BLAS may add in another order or fuse, and change the last bit."""
    a, b, c, d = first[..., 0, 0], first[..., 0, 1], first[..., 1, 0], first[..., 1, 1]
    e, f, g, h = second[..., 0, 0], second[..., 0, 1], second[..., 1, 0], second[..., 1, 1]
    return np.stack([np.stack([a * e + b * g, a * f + b * h], -1), np.stack([c * e + d * g, c * f + d * h], -1)], -2)


def applied(matrix, x, y):
    """matrix (n, 2, 2) times vectors (x, y), each (n,)."""
    return matrix[..., 0, 0] * x + matrix[..., 0, 1] * y, matrix[..., 1, 0] * x + matrix[..., 1, 1] * y


def inverse(matrix):
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    det = a * d - b * c
    return np.stack([np.stack([d / det, -b / det], -1), np.stack([-c / det, a / det], -1)], -2)


@dataclass
class Pose:
    """Where a thing lies in the scene: point -> matrix point + (x, y)."""

    matrix: np.ndarray  # (n, 2, 2)
    x: np.ndarray
    y: np.ndarray
    height: np.ndarray  # above the ground, scene units: how far its shadow falls


def object_pose(dice, label):
    """Position, size, tilt, mirror image and a slant like that of a picture taken from the side."""
    share = dice.uniform(0.26, 0.62)
    size = np.minimum(np.sqrt(share / AREA[label]), 0.5 / REACH[label])
    mirror = np.where(dice.chance(0.5), -1.0, 1.0)
    stretch, slant = 1.0 + dice.around_zero(0.20), dice.around_zero(0.30)
    zero = np.zeros_like(size)
    shape = np.stack([np.stack([mirror * size * stretch, slant * size], -1), np.stack([zero, size / stretch], -1)], -2)
    room = np.maximum(0.5 - size, 0.0) + 0.06
    return Pose(
        product(rotation(dice.around_zero(0.14)), shape),
        room * dice.uniform(-1, 1),
        room * dice.uniform(-1, 1),
        dice.uniform(0.02, 0.05),
    ), mirror < 0


def clutter_pose(dice):
    """Somewhere in a ring along the border of the picture."""
    size, spread = dice.uniform(0.04, 0.10), dice.uniform(-0.5, 0.5)
    out = dice.uniform(0.33, 0.48) * np.where(dice.chance(0.5), -1.0, 1.0)
    swap = dice.chance(0.5)
    matrix = rotation(dice.uniform()) * size[:, None, None]
    return Pose(matrix, np.where(swap, out, spread), np.where(swap, spread, out), 0.35 * size)


def ball_pose(dice):
    """In one of the corners."""
    size = dice.uniform(0.085, 0.105)
    place = 0.46 - size
    x, y = place * np.where(dice.chance(0.5), -1.0, 1.0), place * np.where(dice.chance(0.5), -1.0, 1.0)
    return Pose(rotation(dice.uniform()) * size[:, None, None], x, y, 0.5 * size)


class Stage:
    """Collects display lists into the renderer's tables."""

    def __init__(self, count, size, camera, light):
        self.size, self.camera, self.light = size, camera, light
        self.things = np.zeros((count, THINGS, THING_COLUMNS))
        self.rows, self.row_count = [], 0
        whole = camera.moves == "scene"
        self.zoom = size * (camera.scale if whole else 1.0)
        self.turn = rotation(camera.angle / 360.0 if whole else 0.0)

    def place(self, image, slot, pose, table):
        """Put things with display lists `table` (k, shapes, ROW_COLUMNS) into images `image` (k,) at layers `slot`."""
        count, shapes, _ = table.shape
        to_pixels = product(self.turn[None], pose.matrix) * self.zoom
        x, y = applied(self.turn, pose.x, pose.y)
        x, y = x * self.zoom, y * self.zoom
        back = inverse(to_pixels)
        back_x, back_y = applied(back, -x, -y)
        det = to_pixels[:, 0, 0] * to_pixels[:, 1, 1] - to_pixels[:, 0, 1] * to_pixels[:, 1, 0]
        light = self.light[image]
        thing = np.zeros((count, THING_COLUMNS))
        thing[:, FORWARD : FORWARD + 6] = _affine(to_pixels, x, y)
        thing[:, BACK : BACK + 6] = _affine(back, back_x, back_y)
        thing[:, PIXELS] = np.sqrt(abs(det))
        thing[:, SHADOW] = (0.012 + 0.7 * pose.height) * self.zoom
        thing[:, SHADOW_X] = -light[:, 0] / light[:, 2] * pose.height * self.zoom
        thing[:, SHADOW_Y] = -light[:, 1] / light[:, 2] * pose.height * self.zoom
        thing[:, FIRST_ROW] = self.row_count + shapes * np.arange(count)
        thing[:, ROWS] = shapes
        thing[:, IS_OBJECT] = np.asarray(slot) == OBJECT_SLOT
        self.things[image, slot] = thing
        self.rows.append(table.reshape(-1, ROW_COLUMNS))
        self.row_count += count * shapes

    def move_object(self, pose):
        """The camera's movement applied to the object alone, about its own middle."""
        camera = self.camera
        if camera.moves != "object":
            return pose
        matrix = product(rotation(camera.angle / 360.0)[None], pose.matrix) * camera.scale
        return Pose(matrix, pose.x + camera.shift[1] / self.size, pose.y + camera.shift[0] / self.size, pose.height)


def _affine(matrix, x, y):
    return np.stack([matrix[:, 0, 0], matrix[:, 0, 1], x, matrix[:, 1, 0], matrix[:, 1, 1], y], axis=1)


def stage(players, size, camera, without=()):
    """Lay out a batch: Cast -> Tables. `without`: names of parts to leave out."""
    count = len(players.keys)
    pictures, light = _pictures(players, size, camera)
    scene = Stage(count, size, camera, light)
    pictures[:, LIGHT : LIGHT + 3] = light
    _place_clutter(scene, players.keys)
    part_names = _place_objects(scene, players, without)
    with_ball = np.flatnonzero(players.ball)
    if len(with_ball):
        table = clutter.shortcut_ball(len(with_ball))
        table[:, :, PART] = BALL_PART
        scene.place(with_ball, BALL_SLOT, ball_pose(Dice(players.keys[with_ball], FOR_BALL_PLACE)), table)
    return Tables(np.concatenate(scene.rows), scene.things, pictures, part_names)


def _pictures(players, size, camera):
    """The renderer's table of pictures (n, PICTURE_COLUMNS), and the direction to the light (n, 3)."""
    dice = Dice(players.keys, FOR_LIGHT)
    from_above = dice.uniform(-0.25 - 0.19, -0.25 + 0.19)
    flat = dice.uniform(0.5, 0.72)
    light_z = np.sqrt(1.0 - flat * flat)
    fall = dice.uniform(0.05, 0.40)
    whole = camera.moves == "scene"
    turn, zoom = rotation(camera.angle / 360.0 if whole else 0.0), size * (camera.scale if whole else 1.0)
    light_x, light_y = applied(turn, flat * cosine(from_above), flat * sine(from_above))
    table = np.zeros((len(players.keys), PICTURE_COLUMNS))
    table[:, [SHIFT_Y, SHIFT_X]] = camera.shift if whole else (0.0, 0.0)
    table[:, EXPOSURE : EXPOSURE + 3] = palette.light_colour(dice)
    table[:, FALL] = fall * light_x / flat / zoom
    table[:, FALL + 1] = fall * light_y / flat / zoom

    dice = Dice(players.keys, FOR_GROUND_LOOK)
    spacing = dice.uniform(0.85, 1.30)
    tilt = dice.around_zero(0.06)
    to_ground = product(rotation(tilt), inverse(turn)[None]) * (spacing / zoom)[:, None, None]
    table[:, GROUND_MAP : GROUND_MAP + 6] = _affine(to_ground, dice.uniform(), dice.uniform())
    table[:, GROUND_PIXEL] = spacing / zoom
    table[:, GROUND] = players.ground
    table[:, SALT] = dice.choice(2**40)
    a, b = palette.ground_paint(players.ground, dice)
    table[:, COLOUR_A : COLOUR_A + 3], table[:, COLOUR_B : COLOUR_B + 3] = a, b
    return table, np.stack([light_x, light_y, light_z], axis=1)


def _place_clutter(scene, keys):
    """Up to seven small things per image: two may lie over the object's edge, the others below it."""
    slots = [*range(CLUTTER_BELOW), *range(OBJECT_SLOT + 1, BALL_SLOT)]
    image = np.repeat(np.arange(len(keys)), len(slots))
    slot = np.tile(slots, len(keys))
    own = keys[image] + slot.astype(np.uint64)
    dice = Dice(own, FOR_CLUTTER)
    there = dice.chance(0.7)
    kind = np.where(there, dice.choice(len(clutter.KINDS)), -1)
    for chosen in range(len(clutter.KINDS)):
        at = np.flatnonzero(kind == chosen)
        if len(at):
            dice = Dice(own[at], FOR_CLUTTER_LOOK)
            table = clutter.lay_out(chosen, dice, palette.object_paint(dice))
            scene.place(image[at], slot[at], clutter_pose(dice), table)


def _place_objects(scene, players, without):
    """Draw the objects kind by kind; -> names of the parts for each image, mirrored with the object."""
    part_names = [()] * len(players.keys)
    for label in np.unique(players.label):
        at = np.flatnonzero(players.label == label)
        keys = players.keys[at]
        table, names = objects.lay_out(CLASSES[label], Dice(keys, FOR_PARTS), palette.object_paint(Dice(keys, FOR_COLOUR)))
        pose, mirrored = object_pose(Dice(keys, FOR_POSE), players.label[at])
        swapped = tuple(mirror_name(name) for name in names)
        for place, image in enumerate(at):
            part_names[image] = swapped if mirrored[place] else names
            for part, name in enumerate(part_names[image] if without else ()):
                if name in without:
                    gone = table[place, :, PART] == part
                    table[place, gone, ALPHA] = 0.0
                    table[place, gone, LIFT] = 0.0
        scene.place(at, OBJECT_SLOT, scene.move_object(pose), table)
    return part_names


def mirror_name(name):
    """Left and right are those of the picture, so they change places when the object is mirrored."""
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")
