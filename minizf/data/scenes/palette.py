"""Colours of objects and grounds, and of the light. Kinds of object share one palette: colour does not name the kind."""

from dataclasses import dataclass

import numpy as np

from .pen import mixed

INK = np.array([0.13, 0.12, 0.16])
RUBBER = np.array([0.17, 0.17, 0.20])
IVORY = np.array([0.97, 0.95, 0.90])
METAL = np.array([0.78, 0.79, 0.81])
GLASS = np.array([0.68, 0.84, 0.90])
WOOD = np.array([0.55, 0.38, 0.24])
RED = np.array([0.78, 0.27, 0.26])


@dataclass
class Paint:
    """Three palette colours of one image, each (n, 3)."""

    main: np.ndarray
    accent: np.ndarray
    third: np.ndarray

    def darker(self, share=0.3):
        return mixed(self.main, INK, share)

    def lighter(self, share=0.3):
        return mixed(self.main, IVORY, share)


def _colours(*codes):
    return np.array([[int(code[k : k + 2], 16) for k in (0, 2, 4)] for code in codes]) / 255.0


OBJECT_COLOURS = _colours(
    "c8553d", "e0a32e", "2a7f86", "34507f", "8fa876", "f07f6a", "efe0c0", "7a4670",
    "7fb6d6", "e3a3ae", "4a4e57", "3f7350", "b9814e", "a793c9", "d6402f", "f2c14e",
)  # fmt: skip

# ground -> pairs (a, b) of colours; what a and b mean is said by the ground's function in grounds.py
GROUND_COLOURS = {
    "grass": (_colours("4d7a2e", "5c8a3a", "6b8f3a", "3f7040"), _colours("a9c659", "b5cf6e", "cdc86a", "84b877")),
    "brick": (_colours("a9573f", "b87a55", "8f8a86", "c2a58a"), _colours("cdbfae", "d8cbb8", "bdb8b2", "e0d6c8")),
    "mesh": (_colours("a8b0b5", "b59a78", "7f94a8", "c9bda6"), _colours("c9ced1", "d9c6a6", "a9bccb", "8c7f6c")),
    "print": (_colours("f3eee0", "f5ddcb", "e9edf0", "efe6c9"), _colours("35343a", "4a3a38", "2f3d55", "3a3f36")),
    "wood": (_colours("c99b66", "b5804f", "d9bd94", "96705a"), _colours("8f6238", "7a4f2e", "a98a63", "5f4336")),
    "water": (_colours("2f8f9d", "3c7fb1", "4fa39a", "2e6f95"), _colours("7fd0d0", "86bfe0", "a5dcc8", "74b3cf")),
}
GROUNDS = tuple(GROUND_COLOURS)


def object_paint(dice):
    """Three different palette colours for each image, each a little lighter or darker than the palette's."""
    count = len(OBJECT_COLOURS)
    first = dice.choice(count)
    second = (first + 1 + dice.choice(count - 1)) % count
    third = (second + 1 + dice.choice(count - 1)) % count
    third = np.where(third == first, (third + 1) % count, third)
    colours = []
    for chosen in (first, second, third):
        change = dice.around_zero(0.16)
        toward = np.where((change > 0)[:, None], IVORY, INK)
        colours.append(mixed(OBJECT_COLOURS[chosen], toward, abs(change)))
    return Paint(*colours)


def ground_paint(ground, dice):
    """Colours a and b (n, 3) for grounds given by number (n,)."""
    pick = dice.choice(4)
    table = np.array([GROUND_COLOURS[name] for name in GROUNDS])  # (grounds, 2, 4, 3)
    a, b = table[ground, 0, pick], table[ground, 1, pick]
    change = dice.around_zero(0.12)
    toward = np.where((change > 0)[:, None], IVORY, INK)
    return mixed(a, toward, abs(change)), mixed(b, toward, abs(change))


def light_colour(dice):
    """Brightness times a slight cast, warm to cool: (n, 3)."""
    bright, warm, tint = dice.uniform(0.55, 1.30), dice.around_zero(0.18), dice.around_zero(0.05)
    return bright[:, None] * np.stack([1.0 + warm, 1.0 + tint, 1.0 - warm], axis=1)
