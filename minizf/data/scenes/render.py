"""From display lists to pixels: the one compiled program of this folder.

For each image: the ground; then each thing from the bottom up, first its soft shadow, then its shapes. Colours are
mixed as light (the square of the display value) and turned back with a square root at the end. Every pixel is a pure
function of its own position (u, v), counted in pixels from the middle of the picture after undoing the shift; so a
picture shifted by whole pixels is the same numbers elsewhere, bit for bit.
"""

import math
from pathlib import Path
from zlib import crc32

import numpy as np
from numba import njit, prange

from .grounds import ground_colour, smooth
from .shapes import fill_distances
from .tables import (
    ALPHA,
    BACK,
    BOUNDS,
    BULGE,
    COLOUR,
    COLOUR_A,
    COLOUR_B,
    EXPOSURE,
    FALL,
    FIRST_ROW,
    FORWARD,
    GEOMETRY,
    GLOSS,
    GROUND,
    GROUND_MAP,
    GROUND_PIXEL,
    IS_OBJECT,
    KIND,
    LIFT,
    LIGHT,
    PART,
    PIXELS,
    ROWS,
    SALT,
    SHADOW,
    SHADOW_X,
    SHADOW_Y,
    SHIFT_X,
    SHIFT_Y,
    SOFT,
    SOLID,
)  # fmt: skip

AMBIENT = 0.42
SHADOW_DARKNESS = 0.62
LIFT_DARKNESS = 0.5


@njit(error_model="numpy")
def paint_ground(canvas, picture):
    size = canvas.shape[1]
    middle = 0.5 * size
    m = picture[GROUND_MAP : GROUND_MAP + 6]
    a, b = picture[COLOUR_A : COLOUR_A + 3], picture[COLOUR_B : COLOUR_B + 3]
    kind, salt = int(picture[GROUND]), int(picture[SALT])
    norm = math.sqrt(m[0] * m[0] + m[3] * m[3])
    lx = (m[0] * picture[LIGHT] + m[1] * picture[LIGHT + 1]) / norm
    ly = (m[3] * picture[LIGHT] + m[4] * picture[LIGHT + 1]) / norm
    for i in range(size):
        v = i + 0.5 - middle - picture[SHIFT_Y]
        for j in range(size):
            u = j + 0.5 - middle - picture[SHIFT_X]
            x = m[0] * u + m[1] * v + m[2]
            y = m[3] * u + m[4] * v + m[5]
            red, green, blue = ground_colour(kind, x, y, a, b, salt, lx, ly, picture[GROUND_PIXEL])
            canvas[0, i, j] = red * red
            canvas[1, i, j] = green * green
            canvas[2, i, j] = blue * blue


@njit(error_model="numpy")
def pixel_bounds(row, thing, picture, size, grow, dx, dy):
    """Pixels that a shape can touch: top, bottom, left, right (ends excluded), grown by `grow` and moved by (dx, dy)."""
    cx, cy, hx, hy = row[BOUNDS], row[BOUNDS + 1], row[BOUNDS + 2], row[BOUNDS + 3]
    f = thing[FORWARD : FORWARD + 6]
    x = f[0] * cx + f[1] * cy + f[2] + picture[SHIFT_X] + dx + 0.5 * size
    y = f[3] * cx + f[4] * cy + f[5] + picture[SHIFT_Y] + dy + 0.5 * size
    reach_x = abs(f[0]) * hx + abs(f[1]) * hy + grow
    reach_y = abs(f[3]) * hx + abs(f[4]) * hy + grow
    top, bottom = max(math.floor(y - reach_y), 0), min(math.ceil(y + reach_y), size)
    left, right = max(math.floor(x - reach_x), 0), min(math.ceil(x + reach_x), size)
    return top, bottom, left, right


@njit(error_model="numpy")
def measure(away, row, thing, picture, size, top, bottom, left, right, dx, dy):
    """Signed distances, in object units, of the pixels of a block from a shape moved by (dx, dy) pixels."""
    u = left + 0.5 - 0.5 * size - picture[SHIFT_X] - dx
    v = top + 0.5 - 0.5 * size - picture[SHIFT_Y] - dy
    geometry, back = row[GEOMETRY : GEOMETRY + 9], thing[BACK : BACK + 6]
    fill_distances(away, int(row[KIND]), geometry, back, u, v, bottom - top, right - left)


@njit(error_model="numpy")
def cast_shadow(canvas, shade, away, rows, thing, picture):
    """Darken what lies below a thing by a blurred copy of its outline, moved away from the light."""
    size = canvas.shape[1]
    blur, scale, dx, dy = thing[SHADOW], thing[PIXELS], thing[SHADOW_X], thing[SHADOW_Y]
    shade[:] = 1e9
    first, last = size, 0
    for k in range(int(thing[FIRST_ROW]), int(thing[FIRST_ROW] + thing[ROWS])):
        row = rows[k]
        if row[SOLID] == 0.0 or row[ALPHA] == 0.0:
            continue
        top, bottom, left, right = pixel_bounds(row, thing, picture, size, blur + 2.0, dx, dy)
        first, last = min(first, top), max(last, bottom)
        measure(away, row, thing, picture, size, top, bottom, left, right, dx, dy)
        for i in range(bottom - top):
            for j in range(right - left):
                shade[top + i, left + j] = min(shade[top + i, left + j], away[i, j] * scale)
    for i in range(first, last):
        for j in range(size):
            keep = 1.0 - SHADOW_DARKNESS * (1.0 - smooth(-blur, blur, shade[i, j]))
            for c in range(3):
                canvas[c, i, j] *= keep


@njit(error_model="numpy")
def lift_shadow(canvas, cover, away, row, thing, picture):
    """A raised part's small shadow on the thing it belongs to."""
    size = canvas.shape[1]
    blur = row[LIFT] * thing[PIXELS] + 0.5
    dx, dy = -picture[LIGHT] * blur * 0.8, -picture[LIGHT + 1] * blur * 0.8
    top, bottom, left, right = pixel_bounds(row, thing, picture, size, blur + 2.0, dx, dy)
    measure(away, row, thing, picture, size, top, bottom, left, right, dx, dy)
    dark, scale = LIFT_DARKNESS * row[ALPHA], thing[PIXELS]
    for i in range(bottom - top):
        for j in range(right - left):
            keep = 1.0 - dark * cover[top + i, left + j] * (1.0 - smooth(-blur, blur, away[i, j] * scale))
            for c in range(3):
                canvas[c, top + i, left + j] *= keep


@njit(error_model="numpy")
def surface_light(inside, slope_x, slope_y, bulge, gloss, lx, ly, lz, mirror):
    """Brightness and highlight of a surface that curves up from its edge like a quarter circle of radius `bulge`.

    (lx, ly, lz) points to the light; `mirror` is the length of the vector midway between it and the eye straight above.
    """
    tilt = 1.0 - min(max(inside / bulge, 0.0), 1.0)
    steep = math.sqrt(slope_x * slope_x + slope_y * slope_y) + 1e-9
    nx, ny, nz = tilt * slope_x / steep, tilt * slope_y / steep, math.sqrt(max(1.0 - tilt * tilt, 0.0))
    facing = max(nx * lx + ny * ly + nz * lz, 0.0)
    shine = max(nx * lx + ny * ly + nz * (lz + 1.0), 0.0) / mirror
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    return AMBIENT + (1.0 - AMBIENT) * facing / lz, gloss * shine * shine


@njit(error_model="numpy")
def paint_shape(canvas, cover, away, row, thing, picture, box):
    """Paint one row of a display list; `cover` collects the thing's outline, `box` the extent of the row's part."""
    size = canvas.shape[1]
    solid, alpha, scale, soft = row[SOLID] > 0.0, row[ALPHA], thing[PIXELS], row[SOFT] > 0.0
    ramp = 1.0 + row[SOFT] * scale
    bulge, gloss = row[BULGE], row[GLOSS]
    lx, ly, lz = picture[LIGHT], picture[LIGHT + 1], picture[LIGHT + 2]
    mirror = math.sqrt(lx * lx + ly * ly + (lz + 1.0) * (lz + 1.0))
    red, green, blue = row[COLOUR] * row[COLOUR], row[COLOUR + 1] * row[COLOUR + 1], row[COLOUR + 2] * row[COLOUR + 2]
    top, bottom, left, right = pixel_bounds(row, thing, picture, size, 0.5 * ramp + 1.5, 0.0, 0.0)
    # one more pixel all around, so that slopes at the picture's border are what they are further in
    measure(away, row, thing, picture, size, top - 1, bottom + 1, left - 1, right + 1, 0.0, 0.0)
    for i in range(top, bottom):
        for j in range(left, right):
            inside = -away[i - top + 1, j - left + 1]
            share = alpha * min(max(0.5 + inside * scale / ramp, 0.0), 1.0)
            if soft:
                share = share * share * (3.0 - 2.0 * share)
            if solid:
                cover[i, j] += share * (1.0 - cover[i, j])
            else:
                share *= cover[i, j]
            if share == 0.0:
                continue
            bright, shine = 1.0, 0.0
            if bulge > 0.0:
                slope_x = away[i - top + 1, j - left + 2] - away[i - top + 1, j - left]
                slope_y = away[i - top + 2, j - left + 1] - away[i - top, j - left + 1]
                bright, shine = surface_light(inside, slope_x, slope_y, bulge, gloss, lx, ly, lz, mirror)
            canvas[0, i, j] += share * (red * bright + shine - canvas[0, i, j])
            canvas[1, i, j] += share * (green * bright + shine - canvas[1, i, j])
            canvas[2, i, j] += share * (blue * bright + shine - canvas[2, i, j])
            if share > 0.3:
                box[0], box[1] = min(box[0], i), min(box[1], j)
                box[2], box[3] = max(box[2], i + 1), max(box[3], j + 1)


@njit(error_model="numpy")
def develop(canvas, picture, pixels):
    """Apply the exposure and the fall of light over the scene, and round to bytes."""
    size = canvas.shape[1]
    middle = 0.5 * size
    for i in range(size):
        v = i + 0.5 - middle - picture[SHIFT_Y]
        for j in range(size):
            u = j + 0.5 - middle - picture[SHIFT_X]
            fall = max(1.0 + picture[FALL] * u + picture[FALL + 1] * v, 0.3)
            for c in range(3):
                light = canvas[c, i, j] * picture[EXPOSURE + c] * fall
                # a shoulder: highlights bend towards white instead of clipping
                light = light * (1.0 + 0.16 * light) / (1.0 + 0.16 * light + 0.16 * light * light)
                pixels[c, i, j] = np.uint8(min(255.0 * math.sqrt(light) + 0.5, 255.0))


@njit(error_model="numpy")
def paint_picture(pixels, mask, boxes, rows, things, picture):
    size = pixels.shape[1]
    canvas = np.empty((3, size, size))
    shade = np.empty((size, size))
    cover = np.empty((size, size))
    away = np.empty((size + 2, size + 2))
    nowhere = np.empty(4, np.int64)
    paint_ground(canvas, picture)
    for t in range(len(things)):
        thing = things[t]
        if thing[ROWS] == 0.0:
            continue
        cast_shadow(canvas, shade, away, rows, thing, picture)
        cover[:] = 0.0
        for k in range(int(thing[FIRST_ROW]), int(thing[FIRST_ROW] + thing[ROWS])):
            row = rows[k]
            if row[ALPHA] == 0.0:
                continue
            if row[LIFT] > 0.0:
                lift_shadow(canvas, cover, away, row, thing, picture)
            part = int(row[PART])
            paint_shape(canvas, cover, away, row, thing, picture, boxes[part] if part >= 0 else nowhere)
        if thing[IS_OBJECT] > 0.0:
            for i in range(size):
                for j in range(size):
                    mask[i, j] = cover[i, j] > 0.5
    develop(canvas, picture, pixels)


def _compiled(sources):
    @njit(cache=True, parallel=True, error_model="numpy")
    def paint_batch(pixels, masks, boxes, rows, things, pictures):
        """Paint n pictures at once, spread over the cores.

        pixels uint8 (n, 3, size, size), masks bool (n, size, size), boxes int64 (n, parts, 4) starting as empty boxes
        (size, size, 0, 0): filled in place.  rows float64 (all shapes, ROW_COLUMNS), things float64 (n, things per
        picture, THING_COLUMNS), pictures float64 (n, PICTURE_COLUMNS).
        """
        for n in prange(len(pixels)):
            paint_picture(pixels[n], masks[n], boxes[n], rows, things[n], pictures[n])
        return sources

    return paint_batch


def _checksum_of_sources():
    folder = Path(__file__).parent
    return crc32(b"".join((folder / name).read_bytes() for name in ("tables.py", "shapes.py", "grounds.py", "render.py")))


# Numba's disk cache looks at one file only; the checksum makes a change in any of these files a reason to compile again
paint_batch = _compiled(_checksum_of_sources())
