# %% [markdown]
# # Max pooling with switches
#
# **You have** a map of activations: how strongly a feature answers at each place of an image. **You will have**
# a smaller map that keeps the strongest answers, and *switches* that remember where each came from, so that the
# way back to the pixels is open. **Needs** NumPy, and a quarter of an hour.
#
# The deconvnet (Zeiler and Fergus 2014, section 2.1) goes back through three kinds of layers. Two of them can
# be turned around as they stand. Max pooling cannot: it throws values away. The paper's answer is to write
# down, on the way up, which value of each window survived.

# %%
import numpy as np

import kernels
from minizf.data.scenes import draw
from minizf.view.gallery import Picture, draw_gallery, ink_pictures
from minizf.view.grids import Grid, draw_grids
from minizf.view.show import show

x = np.array([[1, 5, 2, 0, 3, 3],
              [4, 2, 7, 1, 3, 0],
              [0, 6, 1, 1, 8, 2],
              [3, 2, 9, 4, 5, 6]], np.float32)  # fmt: skip
y = np.array([[5, 7, 3],
              [6, 9, 8]], np.float32)  # fmt: skip
switches = np.array([[1, 2, 0],
                     [1, 2, 0]], np.uint8)  # fmt: skip

# %% [markdown]
# ## The picture
#
# A window of 2x2 slides over the map in steps of 2. Each window keeps its largest value; its *switch* is the
# place of that value in the window, counted row by row from 0:
#
# $$\begin{matrix} 0 & 1 \\ 2 & 3 \end{matrix}$$
#
# The arrays `y` and `switches` above were filled in by hand, and so is `back`, where every maximum has returned
# to the place its switch names. Follow a window or two in the picture before you go on.

# %%
back = np.zeros_like(x)
back[0, 1], back[1, 2], back[0, 4] = 5, 7, 3
back[2, 1], back[3, 2], back[2, 4] = 6, 9, 8

# %% tags=["hide-input"]
windows = [(top, left, top + 2, left + 2) for top in (0, 2) for left in (0, 2, 4)]
grids = [
    Grid(x, "x, the map", windows=windows, marks=back > 0),
    Grid(y, "y, the maxima", "pool"),
    Grid(switches, "switches", tinted=False),
    Grid(back, "unpooled", "unpool"),
]
caption = (
    "Max pooling 2x2, stride 2. Outlined: the windows; ringed: their winners. The larger a value, the darker."
)
show(draw_grids([grids], "Pooling keeps the winners, switches keep their places", caption), "02-pooling")

# %% [markdown]
# In the upper right window the value 3 stands three times. Somebody must win, and it is always **the first, row
# by row**: places decide what a projection looks like, so ties are not a matter of taste.

# %%
assert np.count_nonzero(x[:2, 4:] == y[0, 2]) == 3
assert switches[0, 2] == 0

# %% [markdown]
# ## The definition, in loops
#
# Padding is written as minus infinity, so that it can never win.


# %%
def pool(x, size, stride, pad=0):
    """x (H, W) -> y (P, Q), switches (P, Q), for square windows."""
    padded = np.pad(x, pad, constant_values=-np.inf)
    P, Q = ((n - size) // stride + 1 for n in padded.shape)
    y, switches = np.zeros((P, Q), x.dtype), np.zeros((P, Q), np.uint8)
    for p in range(P):
        for q in range(Q):
            window = padded[p * stride : p * stride + size, q * stride : q * stride + size]
            switches[p, q] = window.argmax()  # the first of equals, row by row
            y[p, q] = window.flat[switches[p, q]]
    return y, switches


def unpool(y, switches, size, stride, pad, out_size):
    """Every value of y (P, Q) back at the place its switch names -> (H, W), which is out_size."""
    padded = np.zeros([n + 2 * pad for n in out_size], y.dtype)
    for (p, q), place in np.ndenumerate(switches):
        r, s = divmod(int(place), size)
        padded[p * stride + r, q * stride + s] += y[p, q]
    return padded[pad : pad + out_size[0], pad : pad + out_size[1]]


# %% [markdown]
# The loops agree with what was done by hand, and with the library. Its arrays are always `(N, C, H, W)`:
# images, maps, rows, columns.

# %%
assert all(np.array_equal(a, b) for a, b in zip(pool(x, 2, 2), (y, switches), strict=True))
assert np.array_equal(unpool(y, switches, 2, 2, 0, x.shape), back)

theirs, their_switches = kernels.maxpool2d(x[None, None], 2, 2)
assert np.array_equal(theirs[0, 0], y)
assert np.array_equal(their_switches[0, 0], switches)

# %% [markdown]
# Unpooling is not an inverse: what did not win is lost, and zeros take its place. But pool the unpooled map
# again, and the same values come out of the same places: nothing that *pooling* cares about was lost.

# %%
lost = np.mean((back == 0) & (x != 0))
assert lost > 0.5, "more than half of the map is gone"
assert all(np.array_equal(a, b) for a, b in zip(pool(back, 2, 2), (y, switches), strict=True))

# %% [markdown]
# ## Switches belong to one image
#
# Move the bright spot of a map by one place, inside its window. The pooled map does not change at all: that is
# what pooling is for. The switches do. So a feature has no picture of its own; it has one *for each image* that
# excites it.

# %%
here, there = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
here[0, 0] = there[1, 1] = 6
(y_here, switches_here), (y_there, switches_there) = pool(here, 2, 2), pool(there, 2, 2)
assert np.array_equal(y_here, y_there)
assert (switches_here[0, 0], switches_there[0, 0]) == (0, 3)
assert np.array_equal(unpool(y_there, switches_there, 2, 2, 0, (4, 4)), there)
mixed_up = unpool(y_there, switches_here, 2, 2, 0, (4, 4))
assert not np.array_equal(mixed_up, there), "another image's switches miss the spot"

# %% [markdown]
# ## What breaks it: windows that overlap
#
# The paper pools 3x3 windows in steps of 2, so neighbours share a row or a column. On a 5x5 map all four
# windows share the middle. If the largest value stands there, all four switches name it, and on the way back
# four values arrive at one place.

# %%
bright = np.zeros((5, 5), np.float32)
bright[2, 2] = 1
r = np.array([[5, 1], [2, 3]], np.float32)  # a signal on its way down; it need not be what came up
middle = {}
for rule in kernels.COLLISIONS:
    _, four = kernels.maxpool2d(bright[None, None], 3, 2)
    middle[rule] = kernels.unpool2d(r[None, None], four, 3, 2, 0, (5, 5), rule)[0, 0]
assert four.ravel().tolist() == [8, 6, 2, 0], "each corner of a window in turn"
arrived = {rule: float(m[2, 2]) for rule, m in middle.items()}
assert arrived == {"sum": 11, "max": 5, "mean": 2.75, "last": 3}

# %% tags=["hide-input"]
up = [
    Grid(bright, "x", windows=[(t, s, t + 3, s + 3) for t in (0, 2) for s in (0, 2)]),
    Grid(four[0, 0], "switches", "pool 3x3 /2", tinted=False),
    Grid(r, "signal r"),
]
down = [Grid(m, f'"{rule}"', "unpool" if rule == "sum" else "") for rule, m in middle.items()]
caption = (
    "Above: all four windows find their largest value in the middle. Below: the signal unpooled under each "
)
caption += 'rule for collisions. "last" is the fourth window, row by row.'
show(draw_grids([up, down], "Four windows name one place: four published answers", caption), "02-collisions")

# %% [markdown]
# The paper does not say which it used. Here `sum` is the default, for a reason one can measure: nudge the
# middle by a little, and *all four* outputs rise by it. So for a signal of ones the middle weighs 4, which is
# the **gradient** of pooling. With `sum`, the deconvnet's unpooling and backpropagation's are the same
# function; the two will part at the rectifier, in the next lesson.

# %%
ones, nudge = np.ones((1, 1, 2, 2), np.float32), np.zeros((5, 5), np.float32)
nudge[2, 2] = 0.25
slope = (pool(bright + nudge, 3, 2)[0].sum() - pool(bright, 3, 2)[0].sum()) / 0.25
weight = {rule: kernels.unpool2d(ones, four, 3, 2, 0, (5, 5), rule)[0, 0, 2, 2] for rule in kernels.COLLISIONS}
assert slope == 4
assert weight == {"sum": 4, "max": 1, "mean": 1, "last": 1}

# %% [markdown]
# ## Three wrong versions, and how to notice them
#
# **The last wins a tie.** On random numbers nothing shows, for there are no ties. After a rectifier there are:
# whole windows hold only zeros. Test with ties.


# %%
def pool_last(x, size, stride):
    """Wrong: turns every window around to find its maximum, and so the last of equals."""
    y, turned = pool(x[::-1, ::-1], size, stride)
    return y[::-1, ::-1], (size * size - 1 - turned)[::-1, ::-1]


random = np.random.default_rng(2).standard_normal((6, 8)).astype(np.float32)
same = np.array_equal(pool_last(random, 2, 2)[1], pool(random, 2, 2)[1])
assert same, "random numbers do not tell the two apart"
assert pool_last(x, 2, 2)[1][0, 2] != switches[0, 2], "the window with three 3s does"

# %% [markdown]
# **Padding wins.** Padding with zeros instead of minus infinity goes unnoticed behind a rectifier. On a map of
# negative numbers the edge turns to zero, and its switches point outside the image, where no pixel can receive
# anything.

# %%
negative = -1 - np.arange(20, dtype=np.float32).reshape(4, 5)
zero_padded, _ = pool(np.pad(negative, 1), 3, 2)
assert pool(negative, 3, 2, pad=1)[0].max() == -1
assert zero_padded.max() == 0, "a zero that stands nowhere in the map"
assert kernels.maxpool2d(negative[None, None], 3, 2, 1)[0].max() == -1

# %% [markdown]
# **Enlarging instead of unpooling.** Without switches one can only spread every value over its whole window. It
# looks harmless, until one looks: take how much brighter each pixel of a drawn image is than its left
# neighbour, rectify, pool, and come back both ways.

# %%
scene = draw(0, 7, 64, kind="clock", ground="wood").image  # (3, 64, 64)
edges = np.maximum(np.diff(scene.mean(axis=0), axis=1, prepend=0), 0).astype(np.float32)[:, 1:]
edges = edges[4:56, 5:57]  # the clock, 52 x 52
small, marks = (a[0, 0] for a in kernels.maxpool2d(edges[None, None], 2, 2))
ways = {
    "unpooled": unpool(small, marks, 2, 2, 0, edges.shape),
    "enlarged": small.repeat(2, axis=0).repeat(2, axis=1),
}
in_place = {name: np.mean(m[m > 0] == edges[m > 0]) for name, m in ways.items()}
assert in_place["unpooled"] == 1, "every value stands where it came from"
assert in_place["enlarged"] < 0.5, "most values stand where they do not belong"

# %% tags=["hide-input"]
pictures = [
    Picture(np.moveaxis(scene, 0, -1)[4:56, 6:58], "image"),
    Picture(ink_pictures(edges[None])[0], "edges"),
    *(Picture(ink_pictures(m[None])[0], k, f"{in_place[k]:.0%} in place") for k, m in ways.items()),
]
caption = "Edges: how much brighter than the left neighbour; pooled 2x2, stride 2, and brought back. "
caption += "White is 0, the largest value of each picture is darkest. In place: the share of values "
caption += "above zero that stand in the edge map at the same place."
title = "With switches edges stay thin; without, they turn to blocks"
show(draw_gallery(pictures, title, caption, side=1.7), "02-enlarged")

# %% [markdown]
# ## Without loops
#
# All windows at once are a *view* of the map: NumPy lends the same numbers a shape `(P, Q, size, size)` and
# copies none of them.


# %%
def pool_vectorised(x, size, stride, pad=0):
    """`pool` without a loop in Python."""
    padded = np.pad(x, pad, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[::stride, ::stride]
    windows = windows.reshape(*windows.shape[:2], -1)  # (P, Q, size * size)
    return windows.max(axis=-1), windows.argmax(axis=-1).astype(np.uint8)


cases = ((4, 6), 2, 2, 0), ((7, 5), 3, 2, 1), ((11, 13), 3, 2, 0), ((1, 3), 1, 1, 0)
for shape, size, stride, pad in cases:
    m = np.random.default_rng(size).integers(-3, 3, shape).astype(np.float32)  # many ties
    loops, view = pool(m, size, stride, pad), pool_vectorised(m, size, stride, pad)
    assert all(np.array_equal(a, b) for a, b in zip(loops, view, strict=True))

# %% [markdown]
# ## Exercise
#
# Write `unpool_mean(y, switches, size, stride, pad, out_size)` in loops: where several windows name one place,
# it gets the *mean* of what they bring. Then call `check(unpool_mean)`.
#
# *Hint:* you need a second array beside the sum. What does it count, and what does a place get that no window
# names?


# %%
def check(mine):
    """Raises where `mine` is not the mean rule; the map has ties and collisions."""
    m = np.random.default_rng(0).integers(0, 4, (7, 9)).astype(np.float32)
    values, places = pool(m, 3, 2, pad=1)
    wanted = kernels.unpool2d(values[None, None], places[None, None], 3, 2, 1, m.shape, "mean")
    np.testing.assert_allclose(mine(values, places, 3, 2, 1, m.shape), wanted[0, 0], rtol=1e-6)


try:
    check(unpool)
except AssertionError:
    print("check() tells the sum from the mean: now try yours")
else:
    raise AssertionError("check() took the sum for the mean")
