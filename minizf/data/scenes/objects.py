"""The ten kinds of object by name, in the order of their labels. living.py and made.py draw them."""

from functools import cache

import numpy as np

from .hashing import Dice
from .living import butterfly, cat, face, fish, flower
from .made import car, clock, house, keyboard, sailing_boat
from .palette import Paint
from .pen import Pen

KINDS = {
    "face": face,
    "cat": cat,
    "car": car,
    "house": house,
    "sailing boat": sailing_boat,
    "flower": flower,
    "fish": fish,
    "clock": clock,
    "keyboard": keyboard,
    "butterfly": butterfly,
}


def lay_out(kind, dice, paint):
    """Draw one kind for a batch: -> rows (n, shapes, ROW_COLUMNS) in object coordinates, names of its parts."""
    pen = Pen(len(paint.main))
    KINDS[kind](pen, dice, paint)
    return pen.table(), tuple(pen.part_names)


@cache
def part_names(kind):
    """The parts of a kind, in the order they are first drawn."""
    one = np.zeros(1, np.uint64)
    grey = np.zeros((1, 3))
    return lay_out(kind, Dice(one, 0), Paint(grey, grey, grey))[1]
