"""Small things that lie about on the ground, and the ball of the planted shortcut.

Each is drawn around (0, 0) and reaches about 1 to each side, like the objects.
"""

import numpy as np

from .palette import GLASS, INK, IVORY, METAL, RED, RUBBER, WOOD
from .pen import Pen, cosine, mixed, sine


def ball(pen, dice, paint):
    pen.disc(0, 0, 0.8, paint.main, bulge=0.8, gloss=0.7)


def pebble(pen, dice, paint):
    grey = mixed(np.array([0.62, 0.60, 0.57]), paint.main, 0.2)
    pen.ellipse(0, 0, 0.95, dice.uniform(0.6, 0.8), grey, bulge=0.6, gloss=0.1)
    pen.curve((-0.7, 0.1), (0, -0.2), (0.7, 0.15), 0.07, 0.04, mixed(grey, IVORY, 0.6), solid=False, alpha=0.7)


def stick(pen, dice, paint):
    bark = mixed(WOOD, INK, dice.uniform(0.0, 0.4))
    bend = dice.around_zero(0.5)
    pen.curve((-1.5, 0), (0, bend), (1.5, 0.1), 0.14, 0.08, bark, bulge=0.12)
    pen.stroke(0.2, bend * 0.5, 0.65, bend * 0.5 - 0.5, 0.09, 0.05, bark, bulge=0.08, alpha=dice.chance(0.6))


def leaf(pen, dice, paint):
    autumn = dice.chance(0.5)[:, None]
    tint = dice.uniform(0, 1)
    green = mixed(np.array([0.36, 0.55, 0.27]), np.array([0.62, 0.68, 0.33]), tint)
    gold = mixed(np.array([0.80, 0.42, 0.18]), np.array([0.88, 0.66, 0.25]), tint)
    colour = np.where(autumn, gold, green)
    pen.stroke(-1.25, 0.06, -0.6, 0, 0.05, 0.05, mixed(colour, INK, 0.35))
    pen.lens(0.05, 0, 1.0, 0.5, colour, bulge=0.4, gloss=0.12)
    vein = mixed(colour, IVORY, 0.4)
    pen.stroke(-0.9, 0, 0.85, 0, 0.06, 0.03, vein, solid=False)
    for x in (-0.35, 0.05, 0.4):
        for side in (-1, 1):
            pen.stroke(x, 0, x + 0.25, side * 0.32, 0.035, 0.02, vein, solid=False, alpha=0.8)


def button(pen, dice, paint):
    pen.disc(0, 0, 0.9, paint.accent, bulge=0.25, gloss=0.4)
    pen.disc(0, 0, 0.58, mixed(paint.accent, INK, 0.18), bulge=0.1, solid=False)
    start = dice.uniform()
    for k in range(4):
        pen.disc(0.26 * cosine(start + k / 4), 0.26 * sine(start + k / 4), 0.12, INK, solid=False)


def marble(pen, dice, paint):
    pen.disc(0, 0, 0.75, mixed(GLASS, paint.third, 0.35), bulge=0.75, gloss=0.9)
    pen.curve((-0.4, 0.25), (0, -0.45), (0.42, 0.2), 0.14, 0.05, paint.main, soft=0.12, solid=False, alpha=0.9)


def bolt(pen, dice, paint):
    for k in range(3):
        pen.box(0, 0, 0.75, 0.44, METAL, turn=k / 6, bulge=0.12, gloss=0.4)
    pen.disc(0, 0, 0.38, mixed(METAL, INK, 0.75), solid=False)


def tyre(pen, dice, paint):
    pen.disc(0, 0, 0.95, RUBBER, bulge=0.3, gloss=0.15)
    pen.disc(0, 0, 0.5, METAL, bulge=0.15, gloss=0.5, solid=False)
    pen.disc(0, 0, 0.18, paint.main, solid=False)


def daisy(pen, dice, paint):
    start = dice.uniform()
    for k in range(6):
        c, s = cosine(start + k / 6), sine(start + k / 6)
        pen.ellipse(0.52 * c, 0.52 * s, 0.44, 0.26, mixed(paint.main, IVORY, 0.5), turn=start + k / 6, bulge=0.2)
    pen.disc(0, 0, 0.3, np.array([0.93, 0.72, 0.25]), bulge=0.2, lift=0.05)


def key_cap(pen, dice, paint):
    pen.box(0, 0, 0.85, 0.85, paint.main, corner=0.2, bulge=0.3, gloss=0.2)
    pen.box(0, -0.05, 0.55, 0.55, mixed(paint.main, IVORY, 0.3), corner=0.15, bulge=0.1, solid=False)


# some look like parts of objects: a wheel alone is no car
KINDS = (ball, pebble, stick, leaf, button, marble, bolt, tyre, daisy, key_cap)


def lay_out(kind, dice, paint):
    """Draw one kind of clutter, by its place in KINDS, for a batch: -> rows (n, shapes, ROW_COLUMNS)."""
    pen = Pen(len(paint.main))
    KINDS[kind](pen, dice, paint)
    return pen.table()


def shortcut_ball(count):
    """The red and white ball that nothing else in the set looks like: rows (count, shapes, ROW_COLUMNS)."""
    pen = Pen(count)
    pen.disc(0, 0, 1.0, IVORY, bulge=0.8, gloss=0.6)
    for turn in (0.0, 1 / 3, 2 / 3):
        pen.quad(((0, 0), (1.25 * cosine(turn), 1.25 * sine(turn)), (1.25 * cosine(turn + 1 / 6),
                  1.25 * sine(turn + 1 / 6))), RED, solid=False, bulge=0.0, alpha=0.92)  # fmt: skip
    pen.disc(0, 0, 0.2, IVORY, solid=False)
    pen.disc(-0.35, -0.4, 0.2, IVORY, soft=0.25, solid=False, alpha=0.8)
    return pen.table()
