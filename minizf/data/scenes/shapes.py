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

from .tables import BOX, CAPSULE, CURVE, ELLIPSE, LENS, QUAD

CURVE_STEPS = 8


@njit(error_model="numpy")
def segment_distance(x, y, x0, y0, x1, y1, r0, r1):
    """Distance to a straight stroke whose radius runs from r0 to r1."""
    dx, dy = x1 - x0, y1 - y0
    t = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-12)
    t = min(max(t, 0.0), 1.0)
    ex, ey = x - x0 - t * dx, y - y0 - t * dy
    return math.sqrt(ex * ex + ey * ey) - (r0 + t * (r1 - r0))


@njit(error_model="numpy")
def ellipse_distance(x, y, rx, ry):
    """First-order distance: exact on the edge, and good enough for a light slope further in."""
    px, py = x / rx, y / ry
    qx, qy = px / rx, py / ry
    near = math.sqrt(px * px + py * py)
    slope = math.sqrt(qx * qx + qy * qy)
    return -min(rx, ry) if near < 1e-3 else near * (near - 1.0) / slope


@njit(error_model="numpy")
def box_distance(x, y, half_width, half_height, corner):
    dx = abs(x) - half_width + corner
    dy = abs(y) - half_height + corner
    ox, oy = max(dx, 0.0), max(dy, 0.0)
    return math.sqrt(ox * ox + oy * oy) + min(max(dx, dy), 0.0) - corner


@njit(error_model="numpy")
def lens_distance(x, y, half_length, half_width):
    x, y = abs(x), abs(y)
    radius = (half_length * half_length + half_width * half_width) / (2.0 * half_width)
    below = radius - half_width
    if (x - half_length) * below > y * half_length:
        return math.sqrt((x - half_length) * (x - half_length) + y * y)
    return math.sqrt(x * x + (y + below) * (y + below)) - radius


@njit(error_model="numpy")
def quad_edge(x, y, ax, ay, bx, by):
    """Squared distance to the edge from a to b, and -1 where a ray to the right crosses it, else 1."""
    ex, ey = bx - ax, by - ay
    wx, wy = x - ax, y - ay
    t = min(max((wx * ex + wy * ey) / (ex * ex + ey * ey + 1e-12), 0.0), 1.0)
    fx, fy = wx - t * ex, wy - t * ey
    crossed = ((ay > y) != (by > y)) and ((wx * ey < ex * wy) == (ey > 0.0))
    return fx * fx + fy * fy, -1.0 if crossed else 1.0


@njit(error_model="numpy")
def quad_distance(x, y, x0, y0, x1, y1, x2, y2, x3, y3, corner):
    near0, side0 = quad_edge(x, y, x0, y0, x1, y1)
    near1, side1 = quad_edge(x, y, x1, y1, x2, y2)
    near2, side2 = quad_edge(x, y, x2, y2, x3, y3)
    near3, side3 = quad_edge(x, y, x3, y3, x0, y0)
    return side0 * side1 * side2 * side3 * math.sqrt(min(min(near0, near1), min(near2, near3))) - corner


@njit(error_model="numpy")
def arc_distance(x, y, radius, half_thickness, ca, sa):
    """Arc around the x axis; (ca, sa) is the direction of its end in the upper half."""
    y = abs(y)
    if sa * x > ca * y:
        return abs(math.sqrt(x * x + y * y) - radius) - half_thickness
    ex, ey = x - radius * ca, y - radius * sa
    return math.sqrt(ex * ex + ey * ey) - half_thickness


@njit(error_model="numpy")
def curve_distance(x, y, ax, ay, bx, by, cx, cy, r0, r1):
    nearest = 1e30
    x0, y0, from_radius = ax, ay, r0
    for k in range(1, CURVE_STEPS + 1):
        t = k / CURVE_STEPS
        a, b, c = (1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t
        x1, y1, to_radius = a * ax + b * bx + c * cx, a * ay + b * by + c * cy, r0 + t * (r1 - r0)
        nearest = min(nearest, segment_distance(x, y, x0, y0, x1, y1, from_radius, to_radius))
        x0, y0, from_radius = x1, y1, to_radius
    return nearest


@njit(error_model="numpy")
def fill_distances(away, kind, g, back, u, v, height, width):
    """Signed distances of one shape for a block of pixels, in object units: away[i, j] for pixel (u + j, v + i).

    `g` is the shape's geometry, `back` the affine map from pixels to object units. One loop per outline, so that the
    compiler can work on several pixels of a line at once.
    """
    m0, m1, m2, m3, m4, m5 = back[0], back[1], back[2], back[3], back[4], back[5]
    g0, g1, g2, g3, g4, g5, g6, g7, g8 = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    for i in range(height):
        line = away[i]
        v_i = v + i
        if kind == CAPSULE:
            for j in range(width):
                u_j = u + j
                x, y = m0 * u_j + m1 * v_i + m2, m3 * u_j + m4 * v_i + m5
                line[j] = segment_distance(x, y, g0, g1, g2, g3, g4, g5)
        elif kind == QUAD:
            for j in range(width):
                u_j = u + j
                x, y = m0 * u_j + m1 * v_i + m2, m3 * u_j + m4 * v_i + m5
                line[j] = quad_distance(x, y, g0, g1, g2, g3, g4, g5, g6, g7, g8)
        elif kind == CURVE:
            for j in range(width):
                u_j = u + j
                x, y = m0 * u_j + m1 * v_i + m2, m3 * u_j + m4 * v_i + m5
                line[j] = curve_distance(x, y, g0, g1, g2, g3, g4, g5, g6, g7)
        else:
            # the other outlines have a place (g0, g1) and a rotation of their own (g4, g5): folded into the map
            a0, a1, a2 = g4 * m0 + g5 * m3, g4 * m1 + g5 * m4, g4 * (m2 - g0) + g5 * (m5 - g1)
            b0, b1, b2 = g4 * m3 - g5 * m0, g4 * m4 - g5 * m1, g4 * (m5 - g1) - g5 * (m2 - g0)
            if kind == ELLIPSE:
                for j in range(width):
                    u_j = u + j
                    x, y = a0 * u_j + a1 * v_i + a2, b0 * u_j + b1 * v_i + b2
                    line[j] = ellipse_distance(x, y, g2, g3)
            elif kind == BOX:
                for j in range(width):
                    u_j = u + j
                    x, y = a0 * u_j + a1 * v_i + a2, b0 * u_j + b1 * v_i + b2
                    line[j] = box_distance(x, y, g2, g3, g6)
            elif kind == LENS:
                for j in range(width):
                    u_j = u + j
                    x, y = a0 * u_j + a1 * v_i + a2, b0 * u_j + b1 * v_i + b2
                    line[j] = lens_distance(x, y, g2, g3)
            else:
                for j in range(width):
                    u_j = u + j
                    x, y = a0 * u_j + a1 * v_i + a2, b0 * u_j + b1 * v_i + b2
                    line[j] = arc_distance(x, y, g2, g3, g6, g7)
