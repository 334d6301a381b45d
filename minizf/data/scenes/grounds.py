"""The textured grounds, each a colour per point of an endless plane: grass, brick, mesh, print, wood, water.

Ground coordinates: one unit is the width of the picture (before the ground's own scale and rotation). Every function
takes the point (x, y), the palette colours `a` and `b` of this image, a salt that makes each plane different, the
direction to the light (lx, ly) in ground coordinates and the width of a pixel, and gives display colours 0..1.
"""

import math

import numpy as np
from numba import njit

GRASS, BRICK, MESH, PRINT, WOOD, WATER = range(6)

COLUMN_FACTOR = np.uint64(0x9E3779B97F4A7C15)
LINE_FACTOR = np.uint64(0xC2B2AE3D27D4EB4F)
SCRAMBLE = np.uint64(0xBF58476D1CE4E5B9)
HALF_WORD = np.uint64(29)


@njit(error_model="numpy")
def lattice_bits(column, line, salt):
    """64 fixed random bits for each cell of the plane."""
    z = np.uint64(column) * COLUMN_FACTOR + np.uint64(line) * LINE_FACTOR + np.uint64(salt) * SCRAMBLE
    z = (z ^ (z >> HALF_WORD)) * SCRAMBLE
    z = (z ^ (z >> HALF_WORD)) * LINE_FACTOR
    return z ^ (z >> HALF_WORD)


@njit(error_model="numpy")
def field(bits, k):
    """The k-th of five independent numbers in [0, 1), twelve bits each."""
    return np.float64((bits >> np.uint64(4 + 12 * k)) & np.uint64(4095)) * (1.0 / 4096.0)


@njit(error_model="numpy")
def lattice(column, line, salt):
    """A fixed random number in [0, 1) for each cell of the plane."""
    return np.float64(lattice_bits(column, line, salt) >> np.uint64(40)) * (1.0 / 16777216.0)


@njit(error_model="numpy")
def smooth(low, high, value):
    """0 below `low`, 1 above `high`, and an S between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(error_model="numpy")
def noise(x, y, salt):
    """Value noise in [0, 1): soft blobs about one unit wide."""
    column, line = math.floor(x), math.floor(y)
    fx, fy = x - column, y - line
    i, j = np.int64(column), np.int64(line)
    sx, sy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    upper = lattice(i, j, salt) * (1.0 - sx) + lattice(i + 1, j, salt) * sx
    lower = lattice(i, j + 1, salt) * (1.0 - sx) + lattice(i + 1, j + 1, salt) * sx
    return upper * (1.0 - sy) + lower * sy


@njit(error_model="numpy")
def grass(x, y, a, b, salt, lx, ly, pixel):
    """Blades: in each of three layers every cell grows one leaning, tapering stroke, lighter at its tip.

    A blade is no longer than its cell is tall and stays within one cell's width of the middle of its own, so that only
    the two nearest columns, in this line and the one below, can reach a point.
    """
    patch = noise(3.0 * x, 3.0 * y, salt)
    shade, tint = 0.26 + 0.14 * patch, 0.25 + 0.35 * patch
    for layer in range(3):
        wide = 0.050 - 0.007 * layer
        tall = 2.2 * wide
        column, line = np.int64(math.floor(x / wide + 0.5)) - 1, np.int64(math.floor(y / tall))
        for j in range(line, line + 2):
            for i in range(column, column + 2):
                bits = lattice_bits(i, j, salt + 11 * layer)
                length = tall * (0.65 + 0.35 * field(bits, 0))
                up = (j + field(bits, 1)) * tall - y
                if up <= 0.0 or up >= length:
                    continue
                t = up / length
                # the lean grows with height: blades bend over
                bend = (field(bits, 2) - 0.5) * 0.8 * wide * t * (0.4 + 0.6 * t)
                across = abs(x - (i + 0.05 + 0.9 * field(bits, 3)) * wide - bend)
                cover = min(max(0.5 + (0.17 * wide * (1.0 - t * t) - across) / pixel, 0.0), 1.0)
                own = field(bits, 4)
                bright = 0.26 + 0.17 * layer + 0.36 * t + 0.20 * (own - 0.5)
                shade += (bright - shade) * cover
                tint += (0.15 + 0.5 * own + 0.35 * patch - tint) * cover
    light = 0.32 + 0.88 * shade
    return (
        light * (a[0] + (b[0] - a[0]) * tint),
        light * (a[1] + (b[1] - a[1]) * tint),
        light * (a[2] + (b[2] - a[2]) * tint),
    )


@njit(error_model="numpy")
def brick(x, y, a, b, salt, lx, ly, pixel):
    """Courses of bricks, every other one set back by half; bevelled edges, each brick fired a little differently."""
    tall, wide, joint = 0.125, 0.27, 0.011
    line = math.floor(y / tall)
    shift = 0.5 * wide * (line - 2.0 * math.floor(0.5 * line))
    column = math.floor((x + shift) / wide)
    px, py = x + shift - (column + 0.5) * wide, y - (line + 0.5) * tall
    i, j = np.int64(column), np.int64(line)
    edge_x, edge_y = 0.5 * wide - joint - abs(px), 0.5 * tall - joint - abs(py)
    rough = noise(60.0 * x, 60.0 * y, salt + 5)
    inside = min(edge_x, edge_y) + 0.006 * (rough - 0.5)
    cover = min(max(0.5 + inside / pixel, 0.0), 1.0)
    bevel = 1.0 - smooth(0.0, 0.022, inside)
    slope = (lx if px > 0.0 else -lx) if edge_x < edge_y else (ly if py > 0.0 else -ly)
    fired = lattice(i, j, salt)
    blotch = noise(14.0 * x, 18.0 * y, salt + 7)
    light = 0.80 + 0.24 * (fired - 0.5) + 0.16 * (blotch - 0.5) + 0.10 * (rough - 0.5) + 0.28 * bevel * slope
    mortar = 0.62 + 0.14 * rough
    share = 0.35 * lattice(i, j, salt + 1) * (1.0 if fired > 0.5 else 0.3)
    red = light * (a[0] + (b[0] - a[0]) * share)
    green = light * (a[1] + (b[1] - a[1]) * share)
    blue = light * (a[2] + (b[2] - a[2]) * share)
    return (
        red * cover + mortar * b[0] * (1.0 - cover),
        green * cover + mortar * b[1] * (1.0 - cover),
        blue * cover + mortar * b[2] * (1.0 - cover),
    )


@njit(error_model="numpy")
def mesh(x, y, a, b, salt, lx, ly, pixel):
    """Round threads woven over and under each other, dark between."""
    pitch, radius = 0.092, 0.029
    column, line = math.floor(x / pitch), math.floor(y / pitch)
    px, py = x - (column + 0.5) * pitch, y - (line + 0.5) * pitch
    parity = column + line - 2.0 * math.floor(0.5 * (column + line))
    wave_x, wave_y = 1.0 - 4.0 * (px / pitch) * (px / pitch), 1.0 - 4.0 * (py / pitch) * (py / pitch)
    up = 1.0 if parity < 0.5 else -1.0
    warp = min(max(0.5 + (radius - abs(px)) / pixel, 0.0), 1.0)
    weft = min(max(0.5 + (radius - abs(py)) / pixel, 0.0), 1.0)
    round_x, round_y = px / radius, py / radius
    light_warp = (0.78 + 0.26 * up * wave_y - 0.20 * round_x * round_x + 0.22 * round_x * lx) * warp
    light_weft = (0.78 - 0.26 * up * wave_x - 0.20 * round_y * round_y + 0.22 * round_y * ly) * weft
    twist = 0.10 * (noise(70.0 * x + 35.0 * y, 70.0 * y - 35.0 * x, salt) - 0.5)
    over, under = (light_warp, light_weft) if up > 0.0 else (light_weft, light_warp)
    over_cover, under_cover = (warp, weft) if up > 0.0 else (weft, warp)
    thread_cover = over_cover + under_cover * (1.0 - over_cover)
    light = over + under * (1.0 - over_cover) + twist * thread_cover
    tint = over_cover if up > 0.0 else 1.0 - over_cover
    gap = 0.30 * (1.0 - thread_cover)
    return (
        (light + gap) * (a[0] + (b[0] - a[0]) * 0.35 * tint),
        (light + gap) * (a[1] + (b[1] - a[1]) * 0.35 * tint),
        (light + gap) * (a[2] + (b[2] - a[2]) * 0.35 * tint),
    )


@njit(error_model="numpy")
def printed(x, y, a, b, salt, lx, ly, pixel):
    """A printed page: lines of small marks with gaps between words, ragged paragraphs, paper fibre."""
    pitch, advance = 0.078, 0.024
    line = math.floor(y / pitch)
    j = np.int64(line)
    # every line starts somewhere else, so that letters do not stand in columns
    start = x + advance * lattice(np.int64(1), j, salt + 9)
    column = math.floor(start / advance)
    py, px = y - (line + 0.5) * pitch, start - (column + 0.5) * advance
    bits = lattice_bits(np.int64(column), j, salt)
    words = noise(start / (4.3 * advance), 7.0 * line, salt + 3) > 0.27
    ink = 0.0
    if words and field(bits, 0) > 0.10 and lattice(np.int64(0), j, salt + 9) > 0.12:
        tall = field(bits, 1)
        top, bottom = 0.17 * pitch, 0.17 * pitch
        if tall > 0.72:
            top = 0.34 * pitch
        elif tall < 0.14:
            bottom = 0.32 * pitch
        outer = min(0.40 * advance - abs(px), min(py + top, bottom - py))
        # a letter is a little frame with one side or the other left open
        stroke = 0.20 * advance
        body = min(min(py + 0.17 * pitch, 0.17 * pitch - py), 0.40 * advance - abs(px)) - stroke
        opening = px + (0.2 if field(bits, 2) > 0.5 else -0.2) * advance
        cross = stroke * 0.5 - abs(py + (field(bits, 3) - 0.5) * 0.2 * pitch)
        hollow = max(min(body, 0.6 * stroke - cross), 0.0) + (0.3 * pixel if abs(opening) < 0.1 * advance else 0.0)
        upper = min(-py - 0.17 * pitch, px + 0.10 * advance) if tall > 0.72 else -1.0
        lower = min(py - 0.17 * pitch, px + 0.10 * advance) if tall < 0.14 else -1.0
        outside = max(upper, lower)
        cover = min(max(0.5 + min(outer, -outside) / pixel, 0.0), 1.0)
        ink = 0.88 * cover * (1.0 - min(hollow / pixel, 0.75))
    paper = 0.96 + 0.05 * (noise(5.0 * x, 5.0 * y, salt + 4) - 0.5) + 0.03 * (noise(90.0 * x, 60.0 * y, salt + 6) - 0.5)
    return (
        paper * (a[0] + (b[0] - a[0]) * ink),
        paper * (a[1] + (b[1] - a[1]) * ink),
        paper * (a[2] + (b[2] - a[2]) * ink),
    )


@njit(error_model="numpy")
def wood(x, y, a, b, salt, lx, ly, pixel):
    """Planks with stretched grain and dark seams."""
    tall = 0.30
    line = math.floor(y / tall)
    j = np.int64(line)
    py = y / tall - line
    own = 40.0 * lattice(np.int64(1), j, salt)
    bend = noise(1.6 * x + own, 5.0 * y, salt + 1)
    rings = 9.0 * (y / tall) * 0.55 + 3.2 * bend + own
    ring = rings - math.floor(rings)
    vein = smooth(0.0, 0.75, ring) * (1.0 - smooth(0.86, 1.0, ring))
    fibre = noise(5.0 * x + own, 110.0 * y, salt + 2)
    tint = min(max(0.15 + 0.45 * vein + 0.32 * (fibre - 0.5) + 0.35 * lattice(np.int64(2), j, salt), 0.0), 1.0)
    seam = min(py, 1.0 - py) * tall
    light = (0.42 + 0.58 * smooth(0.001, 0.012, seam)) * (0.92 + 0.16 * lattice(np.int64(3), j, salt))
    return (
        light * (b[0] + (a[0] - b[0]) * tint),
        light * (b[1] + (a[1] - b[1]) * tint),
        light * (b[2] + (a[2] - b[2]) * tint),
    )


@njit(error_model="numpy")
def water(x, y, a, b, salt, lx, ly, pixel):
    """A pool: a net of bright ripples over deep and shallow patches."""
    wx = x + 0.10 * (noise(5.0 * x, 5.0 * y, salt) - 0.5)
    wy = y + 0.10 * (noise(5.0 * x, 5.0 * y, salt + 1) - 0.5)
    first = abs(noise(6.5 * wx, 8.5 * wy, salt + 2) - 0.5)
    second = abs(noise(11.0 * wx + 3.7, 13.0 * wy, salt + 3) - 0.5)
    net = 1.0 - smooth(0.0, 0.16, first)
    fine = 1.0 - smooth(0.0, 0.20, second)
    deep = noise(2.2 * x, 2.2 * y, salt + 4)
    share = min(max(0.20 + 0.40 * deep + 0.22 * fine, 0.0), 1.0)
    glint = 0.34 * net * (0.4 + 0.6 * fine)
    return (
        a[0] + (b[0] - a[0]) * share + glint * (1.0 - a[0]),
        a[1] + (b[1] - a[1]) * share + glint * (1.0 - a[1]),
        a[2] + (b[2] - a[2]) * share + glint * (1.0 - a[2]),
    )


@njit(error_model="numpy")
def ground_colour(kind, x, y, a, b, salt, lx, ly, pixel):
    if kind == GRASS:
        return grass(x, y, a, b, salt, lx, ly, pixel)
    if kind == BRICK:
        return brick(x, y, a, b, salt, lx, ly, pixel)
    if kind == MESH:
        return mesh(x, y, a, b, salt, lx, ly, pixel)
    if kind == PRINT:
        return printed(x, y, a, b, salt, lx, ly, pixel)
    if kind == WOOD:
        return wood(x, y, a, b, salt, lx, ly, pixel)
    return water(x, y, a, b, salt, lx, ly, pixel)
