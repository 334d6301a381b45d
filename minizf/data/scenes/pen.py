"""A pen that writes display lists: one row of numbers per shape, for a whole batch of images at once.

Every number given to the pen is a plain number (the same in all images) or an array (n,) with one value per image; a
colour is (3,) or (n, 3), display values 0..1. Layout is NumPy arithmetic and needs no compiler.
"""

from contextlib import contextmanager

import numpy as np

from .tables import (
    ALPHA,
    ARC,
    BOUNDS,
    BOX,
    BULGE,
    CAPSULE,
    COLOUR,
    CURVE,
    ELLIPSE,
    GEOMETRY,
    GLOSS,
    KIND,
    LENS,
    LIFT,
    NO_PART,
    PART,
    QUAD,
    ROW_COLUMNS,
    SOFT,
    SOLID,
)  # fmt: skip

PI = 3.141592653589793


def sine(turns):
    """sin(2 pi turns) by its series, elementwise: the C library's sine differs in the last bit between machines."""
    turns = np.asarray(turns, np.float64)
    turns = turns - np.floor(turns + 0.5)
    turns = np.where(turns > 0.25, 0.5 - turns, np.where(turns < -0.25, -0.5 - turns, turns))
    x = 2.0 * PI * turns
    square = x * x
    series = 1.0 - square / 210.0
    for below in (156.0, 110.0, 72.0, 42.0, 20.0, 6.0):
        series = 1.0 - square / below * series
    return x * series


def cosine(turns):
    """cos(2 pi turns); exactly 1 at 0."""
    half = sine(np.asarray(turns, np.float64) * 0.5)
    return 1.0 - 2.0 * half * half


def mixed(first, second, share):
    """Blend colours: share 0 gives the first, 1 the second."""
    share = np.asarray(share, np.float64)[..., None]
    return np.asarray(first) * (1.0 - share) + np.asarray(second) * share


class Pen:
    """Collects the shapes of one thing, painted in the order they are drawn.

    alpha   opacity; 0 leaves the shape out of that image
    bulge   how far in from the edge the surface curves up, in object units; 0 is flat paper
    gloss   strength of the highlight
    soft    width of a blurred edge, object units
    lift    height above what lies below, object units: a small shadow on the thing itself
    solid   True: extends the thing's outline; False: paint that stays on what is already there
    """

    def __init__(self, count):
        self.count = count
        self.rows = []
        self.part_names = []
        self.current_part = NO_PART

    @contextmanager
    def part(self, name):
        """Everything drawn inside belongs to the named part."""
        if name not in self.part_names:
            self.part_names.append(name)
        before, self.current_part = self.current_part, self.part_names.index(name)
        yield
        self.current_part = before

    def table(self):
        """All rows so far: float64 (count, shapes, ROW_COLUMNS)."""
        return np.stack(self.rows, axis=1)

    def ellipse(self, x, y, rx, ry, colour, turn=0.0, **look):
        c, s = cosine(turn), sine(turn)
        reach = np.maximum(rx, ry)
        self._add(ELLIPSE, (x, y, rx, ry, c, s), (x, y, reach, reach), colour, **look)

    def disc(self, x, y, radius, colour, **look):
        self._add(ELLIPSE, (x, y, radius, radius, 1.0, 0.0), (x, y, radius, radius), colour, **look)

    def box(self, x, y, half_width, half_height, colour, corner=0.0, turn=0.0, **look):
        c, s = cosine(turn), sine(turn)
        bounds = (x, y, abs(c) * half_width + abs(s) * half_height, abs(s) * half_width + abs(c) * half_height)
        self._add(BOX, (x, y, half_width, half_height, c, s, corner), bounds, colour, **look)

    def lens(self, x, y, half_length, half_width, colour, turn=0.0, **look):
        self._add(
            LENS,
            (x, y, half_length, half_width, cosine(turn), sine(turn)),
            (x, y, half_length, half_length),
            colour,
            **look,
        )

    def stroke(self, x0, y0, x1, y1, r0, r1, colour, **look):
        self._add(CAPSULE, (x0, y0, x1, y1, r0, r1), _bounds((x0, x1), (y0, y1), np.maximum(r0, r1)), colour, **look)

    def quad(self, corners, colour, corner=0.0, **look):
        """`corners`: three or four (x, y), in turn."""
        corners = (*corners, corners[-1])[:4]
        flat = [value for point in corners for value in point]
        self._add(QUAD, (*flat, corner), _bounds(flat[0::2], flat[1::2], corner), colour, **look)

    def arc(self, x, y, radius, half_thickness, direction, opening, colour, **look):
        """Part of a ring: `direction` of its middle and half its `opening`, both in turns (0 right, 0.25 down)."""
        turn = (cosine(direction), sine(direction), cosine(opening), sine(opening))
        reach = radius + half_thickness
        self._add(ARC, (x, y, radius, half_thickness, *turn), (x, y, reach, reach), colour, **look)

    def curve(self, start, bend, end, r0, r1, colour, **look):
        """A bent stroke from start to end, pulled towards `bend`."""
        flat = (*start, *bend, *end)
        self._add(CURVE, (*flat, r0, r1), _bounds(flat[0::2], flat[1::2], np.maximum(r0, r1)), colour, **look)

    def _add(self, kind, geometry, bounds, colour, alpha=1.0, bulge=0.0, gloss=0.0, soft=0.0, lift=0.0, solid=True):
        row = np.zeros((self.count, ROW_COLUMNS))
        row[:, KIND] = kind
        for column, value in enumerate(geometry, GEOMETRY):
            row[:, column] = value
        row[:, COLOUR : COLOUR + 3] = colour
        row[:, ALPHA] = alpha
        row[:, BULGE] = bulge
        row[:, GLOSS] = gloss
        row[:, SOFT] = soft
        row[:, LIFT] = lift
        row[:, SOLID] = solid
        row[:, PART] = self.current_part
        for column, value in enumerate(bounds, BOUNDS):
            row[:, column] = value
        self.rows.append(row)


def _bounds(xs, ys, margin):
    """Centre and half extent of the smallest upright rectangle around points, grown by `margin`."""
    left, right, top, bottom = xs[0], xs[0], ys[0], ys[0]
    for x, y in zip(xs[1:], ys[1:], strict=True):
        left, right = np.minimum(left, x), np.maximum(right, x)
        top, bottom = np.minimum(top, y), np.maximum(bottom, y)
    return (left + right) / 2, (top + bottom) / 2, (right - left) / 2 + margin, (bottom - top) / 2 + margin
