"""From display lists to pixels: the one compiled program of this folder.

For each image: the ground; then each thing from the bottom up, first its soft shadow, then its shapes. Colours are
mixed as light (the square of the display value) and turned back with a square root at the end. Every pixel is a pure
function of its own position (u, v), counted in pixels from the middle of the picture after undoing the shift; so a
picture shifted by whole pixels is the same numbers elsewhere, bit for bit.
"""

import math

import numpy as np
from numba import njit, prange

from .grounds import ground_colour, smooth
from .pen import ALPHA, BOUNDS, BULGE, COLOUR, GEOMETRY, GLOSS, KIND, LIFT, PART, SOFT, SOLID
from .shapes import distance

# columns of the table of things; FORWARD and BACK are affine maps (xx xy x0 yx yy y0) between object units and pixels
FORWARD, BACK, PIXELS, SHADOW, SHADOW_X, SHADOW_Y, FIRST_ROW, ROWS, IS_OBJECT = 0, 6, 12, 13, 14, 15, 16, 17, 18
THING_COLUMNS = 19
# columns of the table of pictures
SHIFT_X, SHIFT_Y, LIGHT, EXPOSURE, FALL, GROUND, SALT, GROUND_MAP, COLOUR_A, COLOUR_B, GROUND_PIXEL = (
    0, 1, 2, 5, 8, 10, 11, 12, 18, 21, 24,
)  # fmt: skip
PICTURE_COLUMNS = 25

AMBIENT = 0.42
SHADOW_DARKNESS = 0.62
LIFT_DARKNESS = 0.5


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def pixel_bounds(row, thing, picture, size, grow, dx, dy):
    """Pixels that a shape can touch: top, bottom, left, right (ends excluded), grown by `grow` and moved by (dx, dy)."""
    cx, cy, hx, hy = row[BOUNDS], row[BOUNDS + 1], row[BOUNDS + 2], row[BOUNDS + 3]
    f = thing[FORWARD : FORWARD + 6]
    x = f[0] * cx + f[1] * cy + f[2] + picture[SHIFT_X] + dx + 0.5 * size
    y = f[3] * cx + f[4] * cy + f[5] + picture[SHIFT_Y] + dy + 0.5 * size
    reach_x = abs(f[0]) * hx + abs(f[1]) * hy + grow
    reach_y = abs(f[3]) * hx + abs(f[4]) * hy + grow
    top, bottom = max(int(math.floor(y - reach_y)), 0), min(int(math.ceil(y + reach_y)), size)
    left, right = max(int(math.floor(x - reach_x)), 0), min(int(math.ceil(x + reach_x)), size)
    return top, bottom, left, right


@njit(cache=True, error_model="numpy")
def cast_shadow(canvas, shade, rows, thing, picture):
    """Darken what lies below a thing by a blurred copy of its outline, moved away from the light."""
    size = canvas.shape[1]
    middle = 0.5 * size
    blur, dx, dy = thing[SHADOW], thing[SHADOW_X], thing[SHADOW_Y]
    b = thing[BACK : BACK + 6]
    shade[:] = 1e9
    for k in range(int(thing[FIRST_ROW]), int(thing[FIRST_ROW] + thing[ROWS])):
        row = rows[k]
        if row[SOLID] == 0.0 or row[ALPHA] == 0.0:
            continue
        kind, g = int(row[KIND]), row[GEOMETRY : GEOMETRY + 9]
        top, bottom, left, right = pixel_bounds(row, thing, picture, size, blur + 2.0, dx, dy)
        for i in range(top, bottom):
            v = i + 0.5 - middle - picture[SHIFT_Y] - dy
            for j in range(left, right):
                u = j + 0.5 - middle - picture[SHIFT_X] - dx
                x = b[0] * u + b[1] * v + b[2]
                y = b[3] * u + b[4] * v + b[5]
                shade[i, j] = min(shade[i, j], distance(kind, g, x, y) * thing[PIXELS])
    for i in range(size):
        for j in range(size):
            if shade[i, j] < blur:
                keep = 1.0 - SHADOW_DARKNESS * (1.0 - smooth(-blur, blur, shade[i, j]))
                for c in range(3):
                    canvas[c, i, j] *= keep


@njit(cache=True, error_model="numpy")
def lift_shadow(canvas, cover, row, thing, picture):
    """A raised part's small shadow on the thing it belongs to."""
    size = canvas.shape[1]
    middle = 0.5 * size
    blur = row[LIFT] * thing[PIXELS] + 0.5
    dx, dy = -picture[LIGHT] * blur * 0.8, -picture[LIGHT + 1] * blur * 0.8
    b = thing[BACK : BACK + 6]
    kind, g = int(row[KIND]), row[GEOMETRY : GEOMETRY + 9]
    top, bottom, left, right = pixel_bounds(row, thing, picture, size, blur + 2.0, dx, dy)
    for i in range(top, bottom):
        v = i + 0.5 - middle - picture[SHIFT_Y] - dy
        for j in range(left, right):
            if cover[i, j] > 0.0:
                u = j + 0.5 - middle - picture[SHIFT_X] - dx
                x = b[0] * u + b[1] * v + b[2]
                y = b[3] * u + b[4] * v + b[5]
                away = distance(kind, g, x, y) * thing[PIXELS]
                keep = 1.0 - LIFT_DARKNESS * row[ALPHA] * cover[i, j] * (1.0 - smooth(-blur, blur, away))
                for c in range(3):
                    canvas[c, i, j] *= keep


@njit(cache=True, error_model="numpy")
def surface_light(inside, slope_x, slope_y, bulge, gloss, picture):
    """Brightness and highlight of a surface that curves up from its edge like a quarter circle of radius `bulge`."""
    lx, ly, lz = picture[LIGHT], picture[LIGHT + 1], picture[LIGHT + 2]
    tilt = 1.0 - min(max(inside / bulge, 0.0), 1.0)
    steep = math.sqrt(slope_x * slope_x + slope_y * slope_y) + 1e-9
    nx, ny, nz = tilt * slope_x / steep, tilt * slope_y / steep, math.sqrt(max(1.0 - tilt * tilt, 0.0))
    facing = nx * lx + ny * ly + nz * lz
    bright = AMBIENT + (1.0 - AMBIENT) * max(facing, 0.0) / lz
    # the mirror direction between the light and the eye straight above
    hx, hy, hz = lx, ly, lz + 1.0
    shine = max(nx * hx + ny * hy + nz * hz, 0.0) / math.sqrt(hx * hx + hy * hy + hz * hz)
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    return bright, gloss * shine * shine


@njit(cache=True, error_model="numpy")
def paint_shape(canvas, cover, away, row, thing, picture, box):
    """Paint one row of a display list; `cover` collects the thing's outline, `box` the extent of the row's part."""
    size = canvas.shape[1]
    middle = 0.5 * size
    b = thing[BACK : BACK + 6]
    kind, g = int(row[KIND]), row[GEOMETRY : GEOMETRY + 9]
    solid, alpha, scale = row[SOLID] > 0.0, row[ALPHA], thing[PIXELS]
    ramp = 1.0 + row[SOFT] * scale
    curved = row[BULGE] > 0.0
    top, bottom, left, right = pixel_bounds(row, thing, picture, size, 0.5 * ramp + 1.5, 0.0, 0.0)
    # one more pixel all around, so that slopes at the picture's border are what they are further in
    for i in range(top - 1, bottom + 1):
        v = i + 0.5 - middle - picture[SHIFT_Y]
        for j in range(left - 1, right + 1):
            u = j + 0.5 - middle - picture[SHIFT_X]
            x = b[0] * u + b[1] * v + b[2]
            y = b[3] * u + b[4] * v + b[5]
            away[i + 1, j + 1] = distance(kind, g, x, y)
    for i in range(top, bottom):
        for j in range(left, right):
            share = min(max(0.5 - away[i + 1, j + 1] * scale / ramp, 0.0), 1.0)
            if row[SOFT] > 0.0:
                share = share * share * (3.0 - 2.0 * share)
            share *= alpha
            if solid:
                cover[i, j] += share * (1.0 - cover[i, j])
            else:
                share *= cover[i, j]
            if share == 0.0:
                continue
            bright, shine = 1.0, 0.0
            if curved:
                slope_x = away[i + 1, j + 2] - away[i + 1, j]
                slope_y = away[i + 2, j + 1] - away[i, j + 1]
                bright, shine = surface_light(-away[i + 1, j + 1], slope_x, slope_y, row[BULGE], row[GLOSS], picture)
            for c in range(3):
                colour = row[COLOUR + c] * row[COLOUR + c] * bright + shine
                canvas[c, i, j] += share * (colour - canvas[c, i, j])
            if share > 0.3:
                box[0], box[1] = min(box[0], i), min(box[1], j)
                box[2], box[3] = max(box[2], i + 1), max(box[3], j + 1)


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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
        cast_shadow(canvas, shade, rows, thing, picture)
        cover[:] = 0.0
        for k in range(int(thing[FIRST_ROW]), int(thing[FIRST_ROW] + thing[ROWS])):
            row = rows[k]
            if row[ALPHA] == 0.0:
                continue
            if row[LIFT] > 0.0:
                lift_shadow(canvas, cover, row, thing, picture)
            part = int(row[PART])
            paint_shape(canvas, cover, away, row, thing, picture, boxes[part] if part >= 0 else nowhere)
        if thing[IS_OBJECT] > 0.0:
            for i in range(size):
                for j in range(size):
                    mask[i, j] = cover[i, j] > 0.5
    develop(canvas, picture, pixels)


@njit(cache=True, parallel=True, error_model="numpy")
def paint_batch(pixels, masks, boxes, rows, things, pictures):
    """Paint n pictures at once, spread over the cores.

    pixels uint8 (n, 3, size, size), masks bool (n, size, size), boxes int64 (n, parts, 4) starting as empty boxes
    (size, size, 0, 0): filled in place.  rows float64 (all shapes, pen.COLUMNS), things float64 (n, things per picture,
    THING_COLUMNS), pictures float64 (n, PICTURE_COLUMNS).
    """
    for n in prange(len(pixels)):
        paint_picture(pixels[n], masks[n], boxes[n], rows, things[n], pictures[n])
