"""The seven outlines everything is made of, as signed distances: negative inside, positive outside, zero on the edge.

A distance is all the renderer needs: it gives the anti-aliased edge, the slope for the light and the soft shadow.
Formulas after Inigo Quilez, "2D distance functions". Only + - * / sqrt and comparisons are used, which IEEE 754 fixes
to the last bit, and fast-math stays off, so that the pixels are the same on every machine.

geometry g[0..7] in object units, x to the right and y down (c, s: cosine and sine of the shape's own rotation)
    ELLIPSE   x y  rx ry  c s
    BOX       x y  half-width half-height  c s  corner
    LENS      x y  half-length half-width  c s               two arcs meeting in two points, long axis along x
    CAPSULE   x0 y0  x1 y1  r0 r1                            a stroke that may taper
    QUAD      x0 y0  x1 y1  x2 y2  x3 y3  (corner: g[8])     four corners in turn; a triangle repeats the last
    ARC       x y  radius half-thickness  c s  ca sa         centred on direction (c, s), half-opening (ca, sa)
    CURVE     x0 y0  x1 y1  x2 y2  r0 r1                     quadratic Bezier stroke
"""

import math

from numba import njit

ELLIPSE, BOX, LENS, CAPSULE, QUAD, ARC, CURVE = range(7)
GEOMETRY = 9
CURVE_STEPS = 8


@njit(cache=True, error_model="numpy")
def segment_distance(x, y, x0, y0, x1, y1, r0, r1):
    """Distance to a straight stroke whose radius runs from r0 to r1."""
    dx, dy = x1 - x0, y1 - y0
    t = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-12)
    t = min(max(t, 0.0), 1.0)
    ex, ey = x - x0 - t * dx, y - y0 - t * dy
    return math.sqrt(ex * ex + ey * ey) - (r0 + t * (r1 - r0))


@njit(cache=True, error_model="numpy")
def ellipse_distance(x, y, rx, ry):
    """First-order distance: exact on the edge, and good enough for a light slope further in."""
    px, py = x / rx, y / ry
    qx, qy = px / rx, py / ry
    near = math.sqrt(px * px + py * py)
    slope = math.sqrt(qx * qx + qy * qy)
    if near < 1e-3:
        return -min(rx, ry)
    return near * (near - 1.0) / slope


@njit(cache=True, error_model="numpy")
def box_distance(x, y, half_width, half_height, corner):
    dx = abs(x) - half_width + corner
    dy = abs(y) - half_height + corner
    ox, oy = max(dx, 0.0), max(dy, 0.0)
    return math.sqrt(ox * ox + oy * oy) + min(max(dx, dy), 0.0) - corner


@njit(cache=True, error_model="numpy")
def lens_distance(x, y, half_length, half_width):
    x, y = abs(x), abs(y)
    radius = (half_length * half_length + half_width * half_width) / (2.0 * half_width)
    below = radius - half_width
    if (x - half_length) * below > y * half_length:
        return math.sqrt((x - half_length) * (x - half_length) + y * y)
    return math.sqrt(x * x + (y + below) * (y + below)) - radius


@njit(cache=True, error_model="numpy")
def quad_distance(x, y, g):
    nearest = 1e30
    inside = False
    for i in range(4):
        j = (i + 3) % 4
        ax, ay, bx, by = g[2 * i], g[2 * i + 1], g[2 * j], g[2 * j + 1]
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = min(max((wx * ex + wy * ey) / (ex * ex + ey * ey + 1e-12), 0.0), 1.0)
        fx, fy = wx - t * ex, wy - t * ey
        nearest = min(nearest, fx * fx + fy * fy)
        if (ay > y) != (by > y) and x < ax + ex * wy / ey:
            inside = not inside
    away = math.sqrt(nearest)
    return (-away if inside else away) - g[8]


@njit(cache=True, error_model="numpy")
def arc_distance(x, y, radius, half_thickness, ca, sa):
    """Arc around the x axis; (ca, sa) is the direction of its end in the upper half."""
    y = abs(y)
    if sa * x > ca * y:
        return abs(math.sqrt(x * x + y * y) - radius) - half_thickness
    ex, ey = x - radius * ca, y - radius * sa
    return math.sqrt(ex * ex + ey * ey) - half_thickness


@njit(cache=True, error_model="numpy")
def curve_distance(x, y, g):
    nearest = 1e30
    x0, y0, r0 = g[0], g[1], g[6]
    for k in range(1, CURVE_STEPS + 1):
        t = k / CURVE_STEPS
        a, b, c = (1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t
        x1 = a * g[0] + b * g[2] + c * g[4]
        y1 = a * g[1] + b * g[3] + c * g[5]
        r1 = g[6] + t * (g[7] - g[6])
        nearest = min(nearest, segment_distance(x, y, x0, y0, x1, y1, r0, r1))
        x0, y0, r0 = x1, y1, r1
    return nearest


@njit(cache=True, error_model="numpy")
def distance(kind, g, x, y):
    """Signed distance of the point (x, y) from the outline of one shape, in object units."""
    if kind == CAPSULE:
        return segment_distance(x, y, g[0], g[1], g[2], g[3], g[4], g[5])
    if kind == QUAD:
        return quad_distance(x, y, g)
    if kind == CURVE:
        return curve_distance(x, y, g)
    dx, dy = x - g[0], y - g[1]
    along = g[4] * dx + g[5] * dy
    across = g[4] * dy - g[5] * dx
    if kind == ELLIPSE:
        return ellipse_distance(along, across, g[2], g[3])
    if kind == BOX:
        return box_distance(along, across, g[2], g[3], g[6])
    if kind == LENS:
        return lens_distance(along, across, g[2], g[3])
    return arc_distance(along, across, g[2], g[3], g[6], g[7])
