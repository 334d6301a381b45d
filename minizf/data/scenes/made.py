"""The objects that are made: car, house, sailing boat, clock, keyboard, each drawn from named parts.

Object coordinates: the object sits around (0, 0) and reaches about 1 to each side; x points right, y down. Angles are
in turns. Every number may vary from image to image: `dice` throws one per image. Left and right are those of the picture.
"""

import numpy as np

from .palette import GLASS, INK, IVORY, METAL, RED, RUBBER, WOOD
from .pen import cosine, mixed, sine


def car(pen, dice, paint):
    roof, front = dice.uniform(0.48, 0.66), dice.uniform(0.42, 0.58)
    # a saloon or, with the cabin drawn to the rear, an estate car
    rear = np.where(dice.chance(0.35), -0.90, -0.66)
    for x in (-0.55, 0.55):
        pen.disc(x, 0.38, 0.25, mixed(RUBBER, INK, 0.5))
    with pen.part("cabin"):
        pen.quad(
            ((rear, -0.02), (rear + 0.20, -roof + 0.08), (0.24, -roof + 0.08), (front, -0.02)),
            paint.main,
            corner=0.08,
            bulge=0.12,
            gloss=0.4,
        )
    with pen.part("body"):
        pen.box(0, 0.16, 0.98, 0.27, paint.main, corner=0.2, bulge=0.22, gloss=0.5)
        pen.box(0, 0.30, 0.97, 0.05, paint.accent, solid=False, alpha=dice.chance(0.5))
    pane = mixed(GLASS, INK, 0.08)
    middle = dice.uniform(-0.14, -0.04)
    with pen.part("rear window"):
        pen.quad(
            ((rear + 0.09, -0.06), (rear + 0.23, -roof + 0.14), (middle - 0.05, -roof + 0.14), (middle - 0.05, -0.06)),
            pane,
            corner=0.02,
            bulge=0.03,
            gloss=0.6,
            solid=False,
        )
    with pen.part("front window"):
        pen.quad(
            ((middle + 0.05, -0.06), (middle + 0.05, -roof + 0.14), (0.21, -roof + 0.14), (front - 0.08, -0.06)),
            pane,
            corner=0.02,
            bulge=0.03,
            gloss=0.6,
            solid=False,
        )
        pen.stroke(middle + 0.14, -0.12, middle + 0.26, -roof + 0.22, 0.025, 0.025, IVORY, solid=False, alpha=0.7)
    with pen.part("door"):
        pen.stroke(middle, -0.05, middle, 0.36, 0.014, 0.014, paint.darker(0.5), solid=False)
        pen.box(middle + 0.13, 0.06, 0.07, 0.02, METAL, corner=0.02, solid=False, lift=0.01)
    with pen.part("headlight"):
        pen.ellipse(0.88, 0.12, 0.08, 0.1, np.array([0.99, 0.93, 0.66]), bulge=0.06, gloss=0.5, lift=0.01, solid=False)
    with pen.part("tail light"):
        pen.box(-0.92, 0.10, 0.05, 0.07, RED, corner=0.03, bulge=0.03, solid=False)
    with pen.part("bumper"):
        pen.stroke(0.78, 0.40, 1.0, 0.40, 0.05, 0.05, METAL, bulge=0.05, gloss=0.4)
        pen.stroke(-0.78, 0.40, -1.0, 0.40, 0.05, 0.05, METAL, bulge=0.05, gloss=0.4)
    wheel, spin = dice.uniform(0.22, 0.27), dice.uniform()
    for x, name in ((-0.55, "rear wheel"), (0.55, "front wheel")):
        with pen.part(name):
            pen.disc(x, 0.42, wheel, RUBBER, bulge=0.08, gloss=0.15, lift=0.03)
            pen.disc(x, 0.42, wheel * 0.58, METAL, bulge=0.05, gloss=0.5, solid=False)
            for k in range(5):
                turn = spin + k / 5
                pen.disc(x + 0.36 * wheel * cosine(turn), 0.42 + 0.36 * wheel * sine(turn), 0.035, RUBBER, solid=False)
            pen.disc(x, 0.42, wheel * 0.16, paint.accent, solid=False)


def house(pen, dice, paint):
    half, eaves, ridge = dice.uniform(0.62, 0.74), dice.uniform(-0.28, -0.12), dice.uniform(-0.98, -0.84)
    chimney = np.where(dice.chance(0.5), 0.38, -0.38)
    with pen.part("chimney"):
        pen.box(chimney, -0.68, 0.12, 0.28, mixed(paint.third, INK, 0.15), bulge=0.05)
        pen.box(chimney, -0.93, 0.15, 0.05, mixed(paint.third, INK, 0.35), corner=0.02, bulge=0.03)
    with pen.part("wall"):
        pen.box(0, (0.9 + eaves) / 2, half, (0.9 - eaves) / 2, paint.main, corner=0.02, bulge=0.06)
        for k in range(5):
            y = 0.08 + 0.18 * k
            pen.stroke(-half, y, half, y, 0.012, 0.012, paint.darker(0.35), solid=False, alpha=0.55)
    with pen.part("roof"):
        pen.quad(
            ((-half - 0.2, eaves + 0.06), (-0.08, ridge), (0.08, ridge), (half + 0.2, eaves + 0.06)),
            paint.accent,
            corner=0.05,
            bulge=0.1,
            gloss=0.1,
            lift=0.08,
        )
        for k in range(1, 4):
            share = k / 4
            reach = (half + 0.2) * share
            y = ridge + (eaves + 0.04 - ridge) * share
            pen.stroke(-reach, y, reach, y, 0.018, 0.018, mixed(paint.accent, INK, 0.4), solid=False, alpha=0.6)
    door_side = np.where(dice.chance(0.5), 1.0, -1.0)
    with pen.part("door"):
        x = door_side * 0.3
        pen.box(x, 0.60, 0.19, 0.32, IVORY, corner=0.03, lift=0.02, solid=False)
        pen.box(x, 0.62, 0.15, 0.29, paint.third, corner=0.02, bulge=0.03, solid=False)
        pen.disc(x + 0.09, 0.63, 0.032, np.array([0.92, 0.76, 0.35]), lift=0.01, solid=False)
    lit = dice.chance(0.35)
    pane = mixed(GLASS, np.array([1.0, 0.85, 0.45]), lit * 0.85)
    for x, y, size, name in ((-door_side * 0.31, 0.42, 0.2, "window"), (door_side * 0.3, 0.06, 0.13, "small window")):
        with pen.part(name):
            pen.box(x, y, size + 0.04, size + 0.04, IVORY, corner=0.02, lift=0.03, solid=False)
            pen.box(x, y, size - 0.01, size - 0.01, pane, bulge=0.03, gloss=0.4, solid=False)
            pen.stroke(x - size, y, x + size, y, 0.02, 0.02, IVORY, solid=False)
            pen.stroke(x, y - size, x, y + size, 0.02, 0.02, IVORY, solid=False)


def sailing_boat(pen, dice, paint):
    mast = dice.uniform(-0.16, 0.02)
    belly, top = dice.uniform(0.0, 0.14), dice.uniform(-0.86, -0.76)
    with pen.part("mast"):
        pen.stroke(mast, 0.5, mast, -0.97, 0.045, 0.03, WOOD, bulge=0.04)
    with pen.part("flag"):
        pen.quad(((mast + 0.02, -0.98), (mast - 0.30, -0.92), (mast + 0.02, -0.84)), paint.third, corner=0.015, bulge=0.03)
    with pen.part("main sail"):
        pen.quad(
            ((mast + 0.07, top), (mast + 0.45 + belly, -0.25), (0.84, 0.34), (mast + 0.07, 0.34)),
            paint.accent,
            corner=0.03,
            bulge=0.25,
            gloss=0.05,
        )
        for share in (0.4, 0.62, 0.84):
            y = top + (0.34 - top) * share
            pen.stroke(mast + 0.07, y, 0.95, y, 0.012, 0.012, mixed(paint.accent, INK, 0.4), solid=False, alpha=0.6)
    with pen.part("jib"):
        pen.quad(
            ((mast - 0.06, top + 0.12), (mast - 0.06, 0.32), (-0.82, 0.32)),
            mixed(paint.accent, IVORY, 0.65),
            corner=0.03,
            bulge=0.2,
            gloss=0.05,
        )
    with pen.part("boom"):
        pen.stroke(-0.8, 0.42, 0.86, 0.42, 0.028, 0.028, WOOD, bulge=0.03)
    with pen.part("hull"):
        pen.quad(
            ((-0.96, 0.52), (0.96, 0.52), (0.62, 0.88), (-0.66, 0.88)), paint.main, corner=0.06, bulge=0.2, gloss=0.4, lift=0.04
        )
        pen.stroke(-1.0, 0.53, 1.0, 0.53, 0.05, 0.05, IVORY, solid=False)
        pen.stroke(-1.0, 0.84, 1.0, 0.84, 0.07, 0.07, paint.darker(0.45), solid=False, alpha=dice.chance(0.6))
    with pen.part("portholes"):
        for x in (-0.42, 0.0, 0.42):
            pen.disc(x, 0.69, 0.075, METAL, bulge=0.03, lift=0.01, solid=False)
            pen.disc(x, 0.69, 0.048, mixed(GLASS, INK, 0.55), solid=False)


def clock(pen, dice, paint):
    square, alarm = dice.chance(0.3), dice.chance(0.5)
    with pen.part("feet"):
        for side in (-1, 1):
            pen.stroke(side * 0.45, 0.6, side * 0.62, 0.92, 0.1, 0.07, METAL, bulge=0.07, gloss=0.4, alpha=alarm)
    with pen.part("bells"):
        for side in (-1, 1):
            pen.ellipse(side * 0.46, -0.72, 0.28, 0.19, METAL, turn=side * 0.09, bulge=0.18, gloss=0.5, alpha=alarm)
    with pen.part("case"):
        pen.box(0, 0, 0.86, 0.86, paint.main, corner=0.2, bulge=0.14, gloss=0.4, alpha=square)
        pen.disc(0, 0, 0.86, paint.main, bulge=0.16, gloss=0.5)
    dial = mixed(IVORY, paint.third, 0.1)
    with pen.part("dial"):
        pen.disc(0, 0, 0.69, mixed(paint.main, INK, 0.45), solid=False)
        pen.disc(0, 0, 0.66, dial, bulge=0.05, solid=False)
    with pen.part("tick marks"):
        for hour in range(12):
            c, s = cosine(hour / 12), sine(hour / 12)
            inner, thick = (0.47, 0.034) if hour % 3 == 0 else (0.53, 0.022)
            pen.stroke(inner * c, inner * s, 0.59 * c, 0.59 * s, thick, thick, INK, solid=False)
    hours = dice.uniform(0, 12)
    hour_turn, minute_turn = hours / 12 - 0.25, hours - 0.25
    with pen.part("hour hand"):
        pen.stroke(0, 0, 0.32 * cosine(hour_turn), 0.32 * sine(hour_turn), 0.055, 0.04, INK, solid=False, lift=0.03)
    with pen.part("minute hand"):
        pen.stroke(0, 0, 0.52 * cosine(minute_turn), 0.52 * sine(minute_turn), 0.04, 0.025, INK, solid=False, lift=0.03)
    with pen.part("pin"):
        pen.disc(0, 0, 0.07, paint.accent, bulge=0.05, gloss=0.4, lift=0.02, solid=False)


def keyboard(pen, dice, paint):
    with pen.part("case"):
        pen.box(0, 0, 1.0, 0.50, paint.main, corner=0.09, bulge=0.07, gloss=0.25)
        pen.box(0, 0.02, 0.92, 0.42, paint.darker(0.55), corner=0.04, solid=False)
    cap = np.where(dice.chance(0.5)[:, None], mixed(IVORY, paint.third, 0.12), mixed(paint.main, IVORY, 0.35))
    special = dice.choice(30)
    with pen.part("keys"):
        for line in range(3):
            for place in range(10):
                x = -0.81 + 0.18 * place
                colour = np.where((special == 10 * line + place)[:, None], paint.accent, cap)
                pen.box(x, -0.27 + 0.19 * line, 0.075, 0.08, colour, corner=0.03, bulge=0.035, lift=0.02, solid=False)
    with pen.part("enter key"):
        pen.box(0.72, 0.31, 0.165, 0.08, paint.accent, corner=0.03, bulge=0.035, lift=0.02, solid=False)
    with pen.part("space bar"):
        pen.box(-0.04, 0.31, 0.50, 0.08, cap, corner=0.03, bulge=0.035, lift=0.02, solid=False)
    with pen.part("shift key"):
        pen.box(-0.73, 0.31, 0.155, 0.08, mixed(cap, INK, 0.25), corner=0.03, bulge=0.035, lift=0.02, solid=False)
