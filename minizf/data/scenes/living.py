"""The objects that live: face, cat, fish, flower, butterfly, each drawn from named parts.

Object coordinates: the object sits around (0, 0) and reaches about 1 to each side; x points right, y down. Angles are
in turns. Every number may vary from image to image: `dice` throws one per image. Left and right are those of the picture.
"""

import numpy as np

from .palette import INK, IVORY, RED
from .pen import cosine, mixed, sine


def draw_eye(pen, name, x, y, size, iris, gaze):
    with pen.part(name):
        pen.ellipse(x, y, size, size * 0.92, IVORY, bulge=size * 0.5, lift=0.02, solid=False)
        gx, gy = x + gaze[0] * size, y + gaze[1] * size
        pen.disc(gx, gy, size * 0.66, mixed(iris, INK, 0.35), solid=False)
        pen.disc(gx, gy, size * 0.40, INK, solid=False)
        pen.disc(gx - 0.25 * size, gy - 0.28 * size, size * 0.2, IVORY, solid=False)


def face(pen, dice, paint):
    wide, tall = dice.uniform(0.68, 0.80), dice.uniform(0.80, 0.90)
    long_hair, parting = dice.chance(0.45), dice.uniform(-0.3, 0.3)
    with pen.part("hair"):
        pen.ellipse(0, -0.10, wide * 1.18, 0.88, paint.accent, bulge=0.3, gloss=0.2)
        pen.box(0, 0.32, wide * 1.18, 0.56, paint.accent, corner=0.34, bulge=0.3, gloss=0.2, alpha=long_hair)
    for side, name in ((-1, "left ear"), (1, "right ear")):
        with pen.part(name):
            pen.ellipse(side * wide * 0.98, 0.10, 0.15, 0.20, paint.main, bulge=0.12)
            pen.ellipse(side * wide * 1.0, 0.11, 0.07, 0.11, paint.darker(0.22), soft=0.05, solid=False)
    with pen.part("head"):
        pen.ellipse(0, 0.08, wide, tall, paint.main, bulge=0.55, gloss=0.15, lift=0.05)
    for side in (-1, 1):
        pen.disc(side * wide * 0.60, 0.34, 0.18, mixed(paint.main, RED, 0.5), soft=0.22, alpha=0.4, solid=False)
    with pen.part("hair"):
        # locks fall to both sides of the parting
        for side in (-1, 1):
            pen.ellipse(
                side * 0.44 + parting * 0.5,
                -0.70,
                0.62,
                0.34,
                paint.accent,
                turn=side * 0.07,
                bulge=0.3,
                gloss=0.2,
                lift=0.04,
                solid=False,
            )
    gaze = dice.around_zero(0.22), dice.around_zero(0.14)
    apart, size = dice.uniform(0.28, 0.33), dice.uniform(0.155, 0.19)
    frown = dice.around_zero(0.06)
    for side, name in ((-1, "left"), (1, "right")):
        draw_eye(pen, f"{name} eye", side * apart, -0.04, size, paint.third, gaze)
        with pen.part(f"{name} eyebrow"):
            pen.curve(
                (side * (apart - 0.16), -0.27 + frown),
                (side * apart, -0.36),
                (side * (apart + 0.17), -0.26),
                0.035,
                0.025,
                mixed(paint.accent, INK, 0.5),
                solid=False,
            )
    with pen.part("glasses"):
        wears = dice.chance(0.25)
        for side in (-1, 1):
            pen.arc(side * apart, -0.04, size + 0.06, 0.028, 0.0, 0.5, INK, solid=False, lift=0.02, alpha=wears)
            pen.stroke(side * (apart + size + 0.06), -0.05, side * 0.9, -0.08, 0.025, 0.025, INK, solid=False, alpha=wears)
        pen.curve(
            (0.09 - apart + size, -0.05), (0, -0.09), (apart - size - 0.09, -0.05), 0.025, 0.025, INK, solid=False, alpha=wears
        )
    with pen.part("nose"):
        pen.stroke(0, 0.08, 0, 0.25, 0.05, 0.105, paint.lighter(0.1), bulge=0.1, gloss=0.3, lift=0.04, solid=False)
    with pen.part("mouth"):
        smile, open_mouth = dice.uniform(0.05, 0.16), dice.chance(0.5)
        pen.quad(
            ((-0.24, 0.51), (0.24, 0.51), (0.11, 0.52 + 1.3 * smile), (-0.11, 0.52 + 1.3 * smile)),
            mixed(RED, INK, 0.6),
            corner=0.03,
            solid=False,
            alpha=open_mouth,
        )
        pen.ellipse(0, 0.54 + 1.2 * smile, 0.10, 0.06, mixed(RED, IVORY, 0.25), solid=False, alpha=open_mouth)
        pen.curve(
            (-0.27, 0.48),
            (0, 0.48 + 2 * smile),
            (0.27, 0.48),
            0.045,
            0.045,
            mixed(RED, INK, 0.12),
            solid=False,
            alpha=~open_mouth,
        )


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
        slim, pointed = dice.uniform(0.8, 1.0), dice.chance(0.35)
        for k in range(8):
            turn = start + k / count
            c, s = cosine(turn), sine(turn)
            there = k < count
            width = slim * 1.5 / count
            look = {"turn": turn, "bulge": 0.2, "gloss": 0.1, "lift": 0.03}
            pen.ellipse(0.40 * c, -0.26 + 0.40 * s, 0.30, width, petal, alpha=there & ~pointed, **look)
            pen.lens(0.40 * c, -0.26 + 0.40 * s, 0.36, width * 1.05, petal, alpha=there & pointed, **look)
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
        pen.disc(0, -0.26, 0.21, heart, bulge=0.16, gloss=0.15, lift=0.05)
        pen.disc(0, -0.26, 0.12, mixed(heart, INK, 0.55), soft=0.08, solid=False)
        for k in range(7):
            turn = k / 7 + start
            pen.disc(0.135 * cosine(turn), -0.26 + 0.135 * sine(turn), 0.026, mixed(heart, IVORY, 0.5), solid=False)


def fish(pen, dice, paint):
    deep, wag = dice.uniform(0.34, 0.54), dice.around_zero(0.14)
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


def butterfly(pen, dice, paint):
    spread, droop = dice.uniform(0.88, 1.02), dice.uniform(-0.05, 0.05)
    rim = mixed(paint.main, INK, 0.72)
    for side, name in ((-1, "left"), (1, "right")):
        with pen.part(f"{name} lower wing"):
            pen.stroke(side * 0.08, 0.10, side * 0.46 * spread, 0.50, 0.10, 0.36, rim, bulge=0.1)
            pen.stroke(
                side * 0.10, 0.12, side * 0.44 * spread, 0.48, 0.06, 0.285, paint.accent, bulge=0.2, gloss=0.15, solid=False
            )
            for x, y in ((0.30, 0.72), (0.56, 0.66), (0.72, 0.44)):
                pen.stroke(side * 0.1, 0.14, side * x * spread, y, 0.014, 0.012, rim, solid=False, alpha=0.6)
        with pen.part(f"{name} upper wing"):
            pen.quad(
                (
                    (side * 0.06, -0.04),
                    (side * 0.54 * spread, -0.62 + droop),
                    (side * 0.74 * spread, -0.50 + droop),
                    (side * 0.58 * spread, 0.02),
                ),
                rim,
                corner=0.24,
                bulge=0.1,
                lift=0.05,
            )
            pen.quad(
                (
                    (side * 0.16, -0.06),
                    (side * 0.55 * spread, -0.60 + droop),
                    (side * 0.72 * spread, -0.49 + droop),
                    (side * 0.56 * spread, -0.02),
                ),
                paint.main,
                corner=0.165,
                bulge=0.22,
                gloss=0.15,
                solid=False,
            )
            for x, y in ((0.64, -0.70), (0.84, -0.46), (0.80, -0.16), (0.62, 0.08)):
                pen.stroke(side * 0.08, -0.05, side * x * spread, y + droop, 0.016, 0.012, rim, solid=False, alpha=0.65)
        with pen.part(f"{name} wing spots"):
            pen.disc(side * 0.62 * spread, -0.42 + droop, 0.13, paint.third, solid=False, bulge=0.06)
            pen.disc(side * 0.62 * spread, -0.42 + droop, 0.06, IVORY, solid=False)
            pen.disc(side * 0.46 * spread, 0.50, 0.12, paint.third, solid=False, bulge=0.06)
            pen.disc(side * 0.46 * spread, 0.50, 0.055, INK, solid=False)
            for x, y in ((0.50, -0.76), (0.70, -0.70), (0.86, -0.56), (0.90, -0.36)):
                pen.disc(side * x * spread, y + droop, 0.03, IVORY, solid=False, alpha=0.9)
    with pen.part("antennae"):
        for side in (-1, 1):
            pen.curve((side * 0.03, -0.36), (side * 0.06, -0.72), (side * 0.26, -0.92), 0.022, 0.018, INK)
            pen.disc(side * 0.26, -0.92, 0.045, INK)
    with pen.part("body"):
        body = mixed(INK, paint.accent, 0.25)
        pen.stroke(0, -0.22, 0, 0.52, 0.10, 0.05, body, bulge=0.09, gloss=0.3, lift=0.04)
        for y in (0.04, 0.16, 0.28):
            pen.stroke(-0.1, y, 0.1, y, 0.02, 0.02, mixed(body, IVORY, 0.4), solid=False, alpha=0.6)
        pen.disc(0, -0.30, 0.11, body, bulge=0.09, gloss=0.3)
