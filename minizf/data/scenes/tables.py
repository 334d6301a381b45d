"""Columns of the three tables that staging writes and the renderer paints; plain numbers, as Numba wants them.

rows      one shape each:   KIND  GEOMETRY (9)  COLOUR (3)  ALPHA  BULGE  GLOSS  SOFT  LIFT  SOLID  PART  BOUNDS (4)
things    one thing each:   FORWARD (6)  BACK (6)  PIXELS  SHADOW  SHADOW_X  SHADOW_Y  FIRST_ROW  ROWS  IS_OBJECT
pictures  one image each:   SHIFT_X  SHIFT_Y  LIGHT (3)  EXPOSURE (3)  FALL (2)  GROUND  SALT  GROUND_MAP (6)  COLOUR_A (3)
                            COLOUR_B (3)  GROUND_PIXEL

Affine maps are stored as xx xy x0 yx yy y0. FORWARD takes object units to pixels from the middle of the picture, BACK is
its inverse, GROUND_MAP takes pixels to ground units. PIXELS and GROUND_PIXEL are the sizes of an object unit in pixels and
of a pixel in ground units. BOUNDS is the centre and half extent of an upright rectangle around the shape.
"""

# outlines, see shapes.py
ELLIPSE, BOX, LENS, CAPSULE, QUAD, ARC, CURVE = range(7)

KIND, GEOMETRY, COLOUR, ALPHA, BULGE, GLOSS, SOFT, LIFT, SOLID, PART, BOUNDS = 0, 1, 10, 13, 14, 15, 16, 17, 18, 19, 20
ROW_COLUMNS = 24
NO_PART = -1

FORWARD, BACK, PIXELS, SHADOW, SHADOW_X, SHADOW_Y, FIRST_ROW, ROWS, IS_OBJECT = 0, 6, 12, 13, 14, 15, 16, 17, 18
THING_COLUMNS = 19

SHIFT_X, SHIFT_Y, LIGHT, EXPOSURE, FALL, GROUND, SALT, GROUND_MAP = 0, 1, 2, 5, 8, 10, 11, 12
COLOUR_A, COLOUR_B, GROUND_PIXEL = 18, 21, 24
PICTURE_COLUMNS = 25
