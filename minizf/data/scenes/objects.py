"""The ten kinds of object, each drawn from named parts.

Object coordinates: the object sits around (0, 0) and reaches about 1 to each side; x points right, y down. Angles are
in turns. Every number may vary from image to image: `dice` throws one per image. Kinds share the palette, so that
colour says nothing about the kind; only eyes, glass, rubber and metal keep colours of their own.
"""

from dataclasses import dataclass

import numpy as np

from .hashing import Dice
from .pen import Pen, cosine, mixed, sine

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


def draw_eye(pen, name, x, y, size, iris, gaze):
    with pen.part(name):
        pen.ellipse(x, y, size, size * 0.88, IVORY, bulge=size * 0.5, lift=0.02, solid=False)
        pen.disc(x + gaze[0] * size, y + gaze[1] * size, size * 0.62, iris, solid=False)
        pen.disc(x + gaze[0] * size, y + gaze[1] * size, size * 0.36, INK, solid=False)
        pen.disc(x + (gaze[0] - 0.22) * size, y + (gaze[1] - 0.25) * size, size * 0.17, IVORY, solid=False)


def face(pen, dice, paint):
    wide, tall = dice.uniform(0.66, 0.80), dice.uniform(0.84, 0.96)
    long_hair = dice.chance(0.4)
    with pen.part("hair"):
        pen.ellipse(0, -0.12, wide * 1.16, 0.92, paint.accent, bulge=0.3, gloss=0.15)
        pen.box(0, 0.30, wide * 1.12, 0.55, paint.accent, corner=0.3, bulge=0.3, alpha=long_hair)
    for side, name in ((-1, "left ear"), (1, "right ear")):
        with pen.part(name):
            pen.ellipse(side * wide * 0.98, 0.08, 0.15, 0.21, paint.main, bulge=0.12)
            pen.ellipse(side * wide * 0.99, 0.09, 0.07, 0.12, paint.darker(0.22), soft=0.05, solid=False)
    with pen.part("head"):
        pen.ellipse(0, 0.05, wide, tall, paint.main, bulge=0.55, gloss=0.12, lift=0.05)
    for side in (-1, 1):
        pen.disc(side * wide * 0.55, 0.33, 0.2, mixed(paint.main, RED, 0.5), soft=0.22, alpha=0.45, solid=False)
    with pen.part("hair"):
        parting = dice.uniform(-0.35, 0.35)
        pen.curve(
            (-wide * 0.98, -0.12),
            (parting - 0.3, -0.62),
            (parting, -0.84),
            0.1,
            0.3,
            paint.accent,
            bulge=0.2,
            gloss=0.15,
            lift=0.03,
        )
        pen.curve(
            (wide * 0.98, -0.12),
            (parting + 0.3, -0.62),
            (parting, -0.84),
            0.1,
            0.3,
            paint.accent,
            bulge=0.2,
            gloss=0.15,
            lift=0.03,
        )
    gaze = dice.around_zero(0.22), dice.around_zero(0.15)
    apart, size = dice.uniform(0.27, 0.33), dice.uniform(0.14, 0.18)
    frown = dice.around_zero(0.08)
    for side, name in ((-1, "left"), (1, "right")):
        draw_eye(pen, f"{name} eye", side * apart, -0.1, size, paint.third, gaze)
        with pen.part(f"{name} eyebrow"):
            pen.curve(
                (side * (apart - 0.17), -0.33 + frown),
                (side * apart, -0.42),
                (side * (apart + 0.18), -0.33),
                0.035,
                0.025,
                mixed(paint.accent, INK, 0.5),
                solid=False,
            )
    with pen.part("nose"):
        pen.stroke(0, -0.02, 0, 0.2, 0.055, 0.12, paint.lighter(0.08), bulge=0.11, gloss=0.3, lift=0.05, solid=False)
    with pen.part("mouth"):
        smile, open_mouth = dice.uniform(0.02, 0.2), dice.chance(0.5)
        pen.curve((-0.27, 0.49), (0, 0.49 + 2 * smile), (0.27, 0.49), 0.045, 0.045, RED, solid=False)
        pen.lens(0, 0.49 + smile * 0.9, 0.26, smile * 0.9 + 0.02, mixed(RED, INK, 0.5), solid=False, alpha=open_mouth)
        pen.box(0, 0.47 + smile * 0.5, 0.17, 0.03, IVORY, corner=0.02, solid=False, alpha=open_mouth)


def cat(pen, dice, paint):
    tail_side = np.where(dice.chance(0.5), 1.0, -1.0)
    curl = dice.uniform(0.0, 0.3)
    with pen.part("tail"):
        pen.curve(
            (tail_side * 0.35, 0.82),
            (tail_side * 1.15, 0.85),
            (tail_side * 0.82, 0.0 + curl),
            0.13,
            0.10,
            paint.main,
            bulge=0.12,
        )
        pen.disc(tail_side * 0.82, 0.0 + curl, 0.11, paint.accent, bulge=0.1, solid=False)
    with pen.part("body"):
        pen.stroke(0, 0.15, 0, 0.52, 0.36, 0.50, paint.main, bulge=0.4, gloss=0.08)
        pen.ellipse(0, 0.5, 0.26, 0.42, paint.lighter(0.55), soft=0.1, solid=False)
    for side in (-1, 1):
        with pen.part("paws"):
            pen.stroke(side * 0.16, 0.5, side * 0.18, 0.88, 0.11, 0.14, paint.main, bulge=0.12, lift=0.04)
            pen.ellipse(side * 0.18, 0.93, 0.15, 0.1, paint.lighter(0.55), bulge=0.08)
    for side, name in ((-1, "left ear"), (1, "right ear")):
        with pen.part(name):
            pen.quad(((side * 0.62, -0.42), (side * 0.56, -0.96), (side * 0.12, -0.7)), paint.main, corner=0.05, bulge=0.15)
            pen.quad(
                ((side * 0.51, -0.54), (side * 0.49, -0.81), (side * 0.27, -0.68)),
                mixed(paint.main, RED, 0.35),
                corner=0.02,
                soft=0.04,
                solid=False,
            )
    with pen.part("head"):
        pen.ellipse(0, -0.32, 0.66, 0.52, paint.main, bulge=0.42, gloss=0.1, lift=0.06)
    stripes = dice.chance(0.6)
    for x in (-0.16, 0.0, 0.16):
        pen.stroke(x, -0.8, x * 0.8, -0.6 + abs(x) * 0.2, 0.05, 0.02, paint.accent, solid=False, alpha=stripes * 0.85)
    for side in (-1, 1):
        for y in (0.28, 0.48, 0.68):
            pen.stroke(side * 0.5, y, side * 0.3, y + 0.04, 0.05, 0.015, paint.accent, solid=False, alpha=stripes * 0.8)
    pen.ellipse(0, -0.16, 0.28, 0.2, paint.lighter(0.6), soft=0.08, solid=False)
    gaze = dice.around_zero(0.2), dice.around_zero(0.1)
    for side, name in ((-1, "left eye"), (1, "right eye")):
        with pen.part(name):
            pen.ellipse(side * 0.28, -0.40, 0.16, 0.135, mixed(paint.third, IVORY, 0.35), bulge=0.06, lift=0.02, solid=False)
            pen.ellipse(side * 0.28 + gaze[0] * 0.2, -0.40, 0.055, 0.125, INK, solid=False)
            pen.disc(side * 0.28 - 0.05, -0.46, 0.035, IVORY, solid=False)
    with pen.part("nose"):
        pen.quad(((-0.06, -0.24), (0.06, -0.24), (0, -0.17)), mixed(RED, IVORY, 0.25), corner=0.025, solid=False)
    with pen.part("mouth"):
        for side in (-1, 1):
            pen.arc(side * 0.07, -0.13, 0.07, 0.018, 0.25, 0.22, mixed(paint.main, INK, 0.75), solid=False)
    with pen.part("whiskers"):
        for side in (-1, 1):
            for y, end in ((-0.22, -0.30), (-0.17, -0.17), (-0.12, -0.04)):
                pen.stroke(side * 0.26, y, side * 0.86, end, 0.016, 0.010, IVORY, alpha=0.9)


def car(pen, dice, paint):
    roof, front = dice.uniform(0.50, 0.62), dice.uniform(0.42, 0.56)
    for x in (-0.55, 0.55):
        pen.disc(x, 0.38, 0.25, mixed(RUBBER, INK, 0.5))
    with pen.part("cabin"):
        pen.quad(
            ((-0.66, -0.02), (-0.42, -roof + 0.08), (0.24, -roof + 0.08), (front, -0.02)),
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
            ((-0.56, -0.06), (-0.39, -roof + 0.14), (middle - 0.05, -roof + 0.14), (middle - 0.05, -0.06)),
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


def flower(pen, dice, paint):
    count = 5 + dice.choice(4)
    start, sway = dice.uniform(), dice.around_zero(0.25)
    green = mixed(np.array([0.30, 0.52, 0.27]), paint.third, 0.15)
    with pen.part("stem"):
        pen.curve((sway, 0.98), (-sway, 0.6), (0, -0.2), 0.065, 0.05, green, bulge=0.06)
    for side, name in ((-1, "left leaf"), (1, "right leaf")):
        with pen.part(name):
            turn, y = side * dice.uniform(-0.13, -0.04), 0.68 + 0.1 * side
            x = side * 0.34
            pen.lens(x, y, 0.36, 0.14, green, turn=turn, bulge=0.12, gloss=0.15)
            reach_x, reach_y = 0.28 * cosine(turn), 0.28 * sine(turn)
            pen.stroke(x - reach_x, y - reach_y, x + reach_x, y + reach_y, 0.015, 0.01, mixed(green, IVORY, 0.35), solid=False)
    petal = mixed(paint.main, IVORY, 0.1)
    with pen.part("petals"):
        slim = dice.uniform(0.8, 1.0)
        for k in range(8):
            turn = start + k / count
            c, s = cosine(turn), sine(turn)
            there = k < count
            width = slim * 1.5 / count
            pen.ellipse(0.40 * c, -0.26 + 0.40 * s, 0.30, width, petal, turn=turn, alpha=there, bulge=0.2, gloss=0.1, lift=0.03)
            pen.stroke(
                0.15 * c,
                -0.26 + 0.15 * s,
                0.52 * c,
                -0.26 + 0.52 * s,
                0.06,
                0.01,
                mixed(paint.main, paint.accent, 0.6),
                soft=0.05,
                alpha=there * 0.6,
                solid=False,
            )
    with pen.part("centre"):
        heart = np.where(dice.chance(0.6)[:, None], np.array([0.93, 0.72, 0.25]), paint.accent)
        pen.disc(0, -0.26, 0.21, heart, bulge=0.16, gloss=0.15, lift=0.05, solid=False)
        for k in range(7):
            turn = k / 7 + start
            pen.disc(0.11 * cosine(turn), -0.26 + 0.11 * sine(turn), 0.03, mixed(heart, INK, 0.45), solid=False)


def fish(pen, dice, paint):
    deep, wag = dice.uniform(0.40, 0.52), dice.around_zero(0.14)
    fin = mixed(paint.accent, paint.main, 0.15)
    with pen.part("tail"):
        pen.quad(((-0.52, wag * 0.3), (-0.98, -0.42 + wag), (-0.80, wag), (-0.86, 0.06 + wag)), fin, corner=0.05, bulge=0.1)
        pen.quad(((-0.52, wag * 0.3), (-0.98, 0.42 + wag), (-0.80, wag), (-0.86, -0.06 + wag)), fin, corner=0.05, bulge=0.1)
        for end in (-0.3, -0.12, 0.12, 0.3):
            pen.stroke(-0.6, wag * 0.4, -0.93, end + wag, 0.014, 0.01, mixed(fin, INK, 0.35), solid=False, alpha=0.7)
    with pen.part("back fin"):
        pen.quad(
            ((-0.36, -deep * 0.7), (-0.24, -deep - 0.24), (0.22, -deep - 0.12), (0.40, -deep * 0.72)),
            fin,
            corner=0.04,
            bulge=0.1,
        )
        for x in (-0.2, -0.04, 0.12):
            pen.stroke(x, -deep * 0.8, x - 0.05, -deep - 0.2, 0.014, 0.01, mixed(fin, INK, 0.35), solid=False, alpha=0.7)
    with pen.part("belly fin"):
        pen.quad(((-0.1, deep * 0.8), (-0.26, deep + 0.2), (0.16, deep * 0.85)), fin, corner=0.04, bulge=0.08)
    with pen.part("body"):
        pen.ellipse(0.12, 0, 0.78, deep, paint.main, bulge=0.34, gloss=0.45, lift=0.03)
        pen.ellipse(0.12, deep * 0.72, 0.6, deep * 0.45, paint.lighter(0.6), soft=0.2, alpha=0.7, solid=False)
    with pen.part("scales"):
        banded = dice.chance(0.4)
        scale = paint.darker(0.35)
        for x, y in (
            (-0.36, 0.0),
            (-0.18, -0.15),
            (-0.18, 0.15),
            (0.0, -0.28),
            (0.0, 0.0),
            (0.0, 0.28),
            (0.17, -0.15),
            (0.17, 0.15),
        ):
            pen.arc(x, y, 0.11, 0.017, 0.5, 0.23, scale, solid=False, alpha=~banded * 0.75)
        for x in (-0.30, -0.02):
            pen.curve((x, -0.55), (x + 0.14, 0), (x, 0.55), 0.07, 0.07, paint.accent, solid=False, alpha=banded * 0.9)
    with pen.part("gill"):
        pen.arc(0.30, 0, 0.24, 0.022, 0.0, 0.17, paint.darker(0.5), solid=False)
    with pen.part("side fin"):
        pen.lens(0.18, 0.12, 0.2, 0.08, fin, turn=0.44 + dice.uniform(0, 0.08), bulge=0.06, lift=0.04, solid=False)
    with pen.part("eye"):
        pen.disc(0.64, -0.13, 0.115, IVORY, bulge=0.05, lift=0.02, solid=False)
        pen.disc(0.66, -0.13, 0.068, INK, solid=False)
        pen.disc(0.64, -0.16, 0.028, IVORY, solid=False)
    with pen.part("mouth"):
        pen.curve((0.90, 0.12), (0.80, 0.14), (0.74, 0.10), 0.025, 0.02, paint.darker(0.7), solid=False)


def clock(pen, dice, paint):
    alarm = dice.chance(0.5)
    with pen.part("feet"):
        for side in (-1, 1):
            pen.stroke(side * 0.45, 0.6, side * 0.62, 0.92, 0.1, 0.07, METAL, bulge=0.07, gloss=0.4, alpha=alarm)
    with pen.part("bells"):
        for side in (-1, 1):
            pen.ellipse(side * 0.46, -0.72, 0.28, 0.19, METAL, turn=side * 0.09, bulge=0.18, gloss=0.5, alpha=alarm)
    with pen.part("case"):
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
    minutes = dice.uniform(0, 12)
    hour_turn, minute_turn = minutes / 12 - 0.25, minutes - 0.25
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


def butterfly(pen, dice, paint):
    spread, droop = dice.uniform(0.88, 1.05), dice.uniform(-0.04, 0.04)
    rim = mixed(paint.main, INK, 0.65)
    for side, name in ((-1, "left"), (1, "right")):
        with pen.part(f"{name} lower wing"):
            pen.stroke(side * 0.08, 0.12, side * 0.48 * spread, 0.50, 0.10, 0.34, rim, bulge=0.1)
            pen.stroke(side * 0.10, 0.14, side * 0.46 * spread, 0.48, 0.07, 0.26, paint.accent, bulge=0.12, solid=False)
        with pen.part(f"{name} upper wing"):
            pen.quad(
                (
                    (side * 0.06, -0.08),
                    (side * 0.62 * spread, -0.78 + droop),
                    (side * 0.86 * spread, -0.58 + droop),
                    (side * 0.60 * spread, 0.10),
                ),
                rim,
                corner=0.13,
                bulge=0.1,
                lift=0.05,
            )
            pen.quad(
                (
                    (side * 0.14, -0.08),
                    (side * 0.60 * spread, -0.70 + droop),
                    (side * 0.80 * spread, -0.54 + droop),
                    (side * 0.58 * spread, 0.06),
                ),
                paint.main,
                corner=0.07,
                bulge=0.12,
                gloss=0.1,
                solid=False,
            )
            for x, y in ((0.86, -0.52), (0.68, -0.20), (0.60, 0.0)):
                pen.stroke(side * 0.1, -0.06, side * x * spread, y + droop, 0.014, 0.012, rim, solid=False, alpha=0.7)
        with pen.part(f"{name} wing spots"):
            pen.disc(side * 0.66 * spread, -0.48 + droop, 0.12, paint.third, solid=False)
            pen.disc(side * 0.66 * spread, -0.48 + droop, 0.055, IVORY, solid=False)
            pen.disc(side * 0.50 * spread, 0.50, 0.12, paint.third, solid=False)
            pen.disc(side * 0.50 * spread, 0.50, 0.055, INK, solid=False)
    with pen.part("antennae"):
        for side in (-1, 1):
            pen.curve((side * 0.03, -0.36), (side * 0.08, -0.7), (side * 0.28, -0.88), 0.022, 0.018, INK)
            pen.disc(side * 0.28, -0.88, 0.045, INK)
    with pen.part("body"):
        body = mixed(INK, paint.accent, 0.25)
        pen.stroke(0, -0.22, 0, 0.52, 0.10, 0.05, body, bulge=0.09, gloss=0.3, lift=0.04)
        for y in (0.02, 0.16, 0.30):
            pen.stroke(-0.1, y, 0.1, y, 0.02, 0.02, mixed(body, IVORY, 0.4), solid=False, alpha=0.6)
        pen.disc(0, -0.30, 0.11, body, bulge=0.09, gloss=0.3)


# kind -> how it is drawn, in the order of the labels
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
    """Draw one kind for a batch: -> rows (n, shapes, COLUMNS) in object coordinates, names of its parts."""
    pen = Pen(len(paint.main))
    KINDS[kind](pen, dice, paint)
    return pen.table(), tuple(pen.part_names)


def part_names(kind):
    """The parts of a kind, in the order they are first drawn."""
    one = np.zeros(1, np.uint64)
    grey = np.zeros((1, 3))
    return lay_out(kind, Dice(one, 0), Paint(grey, grey, grey))[1]
