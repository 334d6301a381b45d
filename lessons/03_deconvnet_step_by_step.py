# %% [markdown]
# # The deconvnet, one step at a time
#
# **You have** a network, an image, and one activation that is strong on it. **You will have** the picture, in
# pixels, of what that activation responded to, made by your own hands in three kinds of steps. **Needs** [the
# lesson on switches](02_pooling_with_switches.py), and half an hour.
#
# Zeiler and Fergus (2014, section 2.1) send one activation back down the layers it came up through: **unpool**
# it to the places the switches remember, **rectify** what arrives, **filter** it with the same filters,
# transposed. Nothing is trained for this.
#
# So that every number can be followed, the network here is not trained either: we write its filters down.

# %%
import numpy as np

import kernels
from minizf.data.scenes import draw
from minizf.deconvnet import project, trace
from minizf.layers import DECONVNET, GRADIENT, GUIDED, Conv2d, MaxPool2d, ReLU
from minizf.net import Net
from minizf.view.gallery import Picture, draw_gallery, ink_pictures, signed_pictures
from minizf.view.grids import Grid, draw_grids
from minizf.view.mosaic import mosaic
from minizf.view.show import show

down, across = np.float32([[-1] * 3, [0] * 3, [1] * 3]), np.float32([[-1, 0, 1]] * 3)
EDGES = {"top": down, "left": across, "bottom": -down, "right": -across}  # of something bright

corner = np.zeros((2, 4, 3, 3), np.float32)  # 2 corners, looked for in 4 maps of edges
corner[0, 0, 1, 1:] = corner[0, 1, 1:, 1] = 1  # a top edge going right, a left edge going down
corner[0, 2:, 1, 1] = -1  # but neither a bottom nor a right edge
corner[1, 2, 1, :2] = corner[1, 3, :2, 1] = 1  # a bottom edge coming from the left, a right edge
corner[1, :2, 1, 1] = -1


def corner_net(height, width):
    """Two layers: edges of bright things, then their upper left and lower right corners."""
    edge = np.stack(list(EDGES.values()))[:, None]  # (4, 1, 3, 3)
    layers = [
        ("conv1", Conv2d(edge, np.full(4, -1, np.float32), pad=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2, 2)),
        ("conv2", Conv2d(corner, np.full(2, -6, np.float32), pad=1)),
        ("relu2", ReLU()),
    ]
    return Net(layers, (1, height, width))


# %% [markdown]
# ## The picture: the way up
#
# A bright rectangle on black. Layer 1 answers along its edges, layer 2 at two of its corners: one map each, one
# strong place each.

# %%
image = np.zeros((1, 1, 12, 16), np.float32)
image[..., 4:10, 4:12] = 1
net = corner_net(12, 16)
_, tape = net.forward(image)
unit = (0, 2, 2)  # map, row, column in relu2: the upper left corner
value = tape.outputs["relu2"][0][unit]
assert tape.outputs["relu2"][0, 0].max() == value
assert [np.count_nonzero(corners) for corners in tape.outputs["relu2"][0]] == [1, 1]


# %% tags=["hide-input"]
def tiles(maps):
    """Maps (n, h, w) two by two, as one picture: ink where they answer."""
    return mosaic(ink_pictures(maps), 2, zoom=96 // maps.shape[1], gap=4, paper=(216, 218, 224))


photo = np.repeat(np.uint8(40 + 200 * image[0, 0])[..., None], 3, axis=-1)
pictures = [
    Picture(photo, "image", "12 x 16 pixels"),
    Picture(tiles(tape.outputs["relu1"][0]), "relu1", "edges: top, left, bottom, right"),
    Picture(tiles(tape.outputs["pool1"][0]), "pool1", "their maxima, 2x2"),
    Picture(tiles(tape.outputs["relu2"][0]), "relu2", "corners: upper left, lower right"),
]
caption = "In the maps white is 0, and the strongest answer of each is darkest."
show(draw_gallery(pictures, "The way up: pixels, edges, corners", caption, side=1.7), "03-way-up")

# %% [markdown]
# ## Filtering, by hand
#
# On the way up, an output is a weighted sum of a window. On the way down, a signal at that output is *laid
# down* over the same window, with the same weights; where windows overlap, what is laid down adds up. In loops:


# %%
def filter_down(r, w, pad):
    """Signal r (K, P, Q) through filters w (K, C, R, S), stride 1 -> (C, H, W)."""
    (K, P, Q), (_, C, R, S) = r.shape, w.shape
    laid = np.zeros((C, P + R - 1, Q + S - 1), r.dtype)
    for k in range(K):
        for p in range(P):
            for q in range(Q):
                laid[:, p : p + R, q : q + S] += r[k, p, q] * w[k]
    return laid[:, pad : laid.shape[1] - pad, pad : laid.shape[2] - pad]


one = np.zeros((1, 3, 3), np.float32)
one[0, 1, 1] = 1
two = one.copy()
two[0, 1, 2] = 2
w = np.float32([[[[1, 2, 0], [0, 3, 0], [0, 0, 4]]]])
assert np.array_equal(filter_down(one, w, 1), w[0]), "a single 1 comes back as the filter itself"

# %% tags=["hide-input"]
grids = [
    Grid(one[0], "a 1"),
    Grid(filter_down(one, w, 1)[0], "the filter", "filter"),
    Grid(two[0], "a 1 and a 2"),
    Grid(filter_down(two, w, 1)[0], "two copies, added", "filter"),
]
caption = "One map, one filter 3x3, padding 1: what is laid outside the map is lost."
show(draw_grids([grids], "Filtering down lays copies of the filter", caption), "03-filtering")

# %% [markdown]
# The paper says it in other words: apply each filter *flipped vertically and horizontally*. Seen from an input,
# the outputs around it lie in the opposite order, so the two are the same sum. The library calls it the
# transposed convolution.

# %%
r = np.random.default_rng(1).standard_normal((2, 5, 7)).astype(np.float32)
laid = filter_down(r, corner, 1)
flipped = corner.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1].copy()  # (4, 2, 3, 3): maps swapped, too
np.testing.assert_allclose(kernels.conv2d(r[None], flipped, None, 1, 1)[0], laid, atol=1e-5)
np.testing.assert_allclose(kernels.conv2d_transpose(r[None], corner, 1, 1, (5, 7))[0], laid, atol=1e-5)

# %% [markdown]
# ## All the way down
#
# Everything in relu2 is set to zero but the one unit: that is the *seed*. Then each layer is passed in reverse.

# %%
seed = np.zeros_like(tape.outputs["relu2"][0])
seed[unit] = value
steps = [("seed", seed)]
steps.append(("rectify", np.maximum(seed, 0)))
steps.append(("filter", filter_down(steps[-1][1], corner, 1)))
unpooled = kernels.unpool2d(steps[-1][1][None], tape["pool1"].switches, 2, 2, 0, (12, 16))[0]
steps.append(("unpool", unpooled))
steps.append(("rectify", np.maximum(unpooled, 0)))
steps.append(("filter", filter_down(steps[-1][1], net.layers["conv1"].weight, 1)))
pixels = steps[-1][1]

# %% [markdown]
# The library does the same: `trace` hands out every step, `project` only the last. No bias was added anywhere:
# a bias does not belong to any one activation.

# %%
for (operation, by_hand), step in zip(steps, trace(net, tape, "relu2", 0, 0, unit[1:]), strict=True):
    assert step.operation == operation
    np.testing.assert_allclose(by_hand, step.signal, atol=1e-5)
    print(step)
np.testing.assert_allclose(pixels, project(net, tape, "relu2", 0, 0, unit[1:]), atol=1e-5)

# %% [markdown]
# Follow the signal. Filtering turns "corner" into "a top edge to the right, a left edge below", and into
# *minus* a bottom and a right edge, which the corner's filter does not want to see. Unpooling finds the exact
# places of the edges, and changes no value. The rectifier cuts the unwanted edges away. The last filter paints
# edges in pixels: bright inside the rectangle, dark outside.

# %%
inside, outside = pixels[0, 4:10, 4:12].sum(), pixels.sum() - pixels[0, 4:10, 4:12].sum()
assert steps[2][1][2:].max() <= 0 < steps[2][1][:2].max(), "against bottom and right, for top and left"
moved = [np.sort(signal[signal != 0]) for _, signal in steps[2:4]]
assert np.array_equal(*moved), "unpooling moves values and changes none"
assert steps[3][1].min() < 0 <= steps[4][1].min(), "the rectifier cut them away"
assert inside > 0 > outside, "bright inside the rectangle, dark outside"

# %% tags=["hide-input"]
shown = [
    Picture(
        mosaic(signed_pictures(s), min(len(s), 2), 96 // s.shape[1], 4),
        f"{i} {name}",
        f"{s.min():g} to {s.max():g}",
    )
    for i, (name, s) in enumerate(steps)
]
caption = "Zero is mid-grey, brighter is positive, darker negative; each map is scaled by its own "
caption += "largest value. Below: smallest and largest value. Four maps are, row by row, top, left, "
caption += "bottom and right edges."
title = "The way down: corner, edges, pixels"
show(draw_gallery(shown, title, caption, columns=3, side=2.0), "03-way-down")

# %% [markdown]
# ## Where deconvnet, gradient and guided backpropagation part
#
# Filtering and unpooling are what backpropagation does, too. Only at the rectifier do the ways part. The
# gradient passes where the *activation on the way up* was positive; the deconvnet passes what is positive
# *now*; guided backpropagation asks for both.

# %%
y, r = np.float32([[2, 2, 0, 0]]), np.float32([[3, -1, 3, -1]])  # on the way up; on the way down
ways = {"deconvnet": DECONVNET, "gradient": GRADIENT, "guided": GUIDED}
passed = {name: ReLU().deconv(r, y, rules) for name, rules in ways.items()}
assert {name: p[0].tolist() for name, p in passed.items()} == {
    "deconvnet": [3, 0, 3, 0],
    "gradient": [3, -1, 0, 0],
    "guided": [3, 0, 0, 0],
}
# %% tags=["hide-input"]
grids = [Grid(y, "way up: y"), Grid(r, "way down: r")]
grids += [Grid(p, name, "" if i else "rectify") for i, (name, p) in enumerate(passed.items())]
caption = "Four positions: active or silent on the way up, positive or negative on the way down."
show(draw_grids([grids], "One rectifier, three ways back", caption), "03-rectifier")

# %% [markdown]
# "Gradient" here is the gradient of training, exactly. Now let the same hand-written filters look at a drawn
# scene, and send the whole map of upper left corners down, all places at once. The three pictures are alike,
# but not equal: the last one below is what the deconvnet shows and guided backpropagation does not.

# %%
dx, _ = net.backward(seed[None], tape)
np.testing.assert_allclose(project(net, tape, "relu2", 0, 0, unit[1:], rules=GRADIENT), dx[0], atol=1e-5)

scene = draw(0, 7, 64, kind="keyboard", ground="wood").image
grey = scene.mean(axis=0, dtype=np.float32)[None, None]
grey = (grey - grey.mean()) / 32  # (1, 1, 64, 64)
big = corner_net(64, 64)
_, big_tape = big.forward(grey)
views = {name: project(big, big_tape, "relu2", 0, 0, seed="map", rules=rules) for name, rules in ways.items()}
assert not np.allclose(views["deconvnet"], views["gradient"])
assert not np.allclose(views["deconvnet"], views["guided"])
# %% tags=["hide-input"]
part = (slice(12, 44), slice(8, 40))  # a part of the image, so that its pixels can be seen
views["deconvnet − guided"] = views["deconvnet"] - views["guided"]
pictures = [Picture(np.moveaxis(scene, 0, -1)[part], "image")]
pictures += [
    Picture(signed_pictures(p)[0][part], name, f"{p.min():.0f} to {p.max():.0f}") for name, p in views.items()
]
caption = "A part of the image, 32 x 32 pixels. Zero is mid-grey; each picture is scaled by its own "
caption += "largest value. Below: smallest and largest value."
title = "Upper left corners of keys, seen three ways"
show(draw_gallery(pictures, title, caption, side=1.4), "03-three-ways")

# %% [markdown]
# ## Three wrong versions, and how to notice them
#
# **Filters not flipped.** Everything still looks like edges. Send a single 1 down one layer: the filter must
# come out, not its mirror image. A symmetric filter would hide the bug.

# %%
unflipped = kernels.conv2d(one[None], w.transpose(1, 0, 2, 3).copy(), None, 1, 1)[0]
assert not np.array_equal(unflipped, w[0])
assert np.array_equal(unflipped, w[0, :, ::-1, ::-1])

# %% [markdown]
# **No rectifier.** The unwanted edges stay, as negative signal, and leave pixels of their own. After each
# "rectify" in a trace, look at the smallest value.
#
# **The others not set to zero.** The seed holds the whole layer instead of one unit, and the picture shows what
# *everything* responded to. Whatever you project, look outside the unit's receptive field: it must be exactly
# zero there.

# %%
unrectified = filter_down(unpooled, net.layers["conv1"].weight, 1)
everything = project(net, tape, "relu2", 0, seed="all")
top, left, bottom, right = net.receptive_field("relu2").box(*unit[1:])
beyond = np.ones((12, 16), bool)
beyond[max(top, 0) : bottom, max(left, 0) : right] = False  # the field may reach into the padding
assert not np.allclose(unrectified, pixels)
assert all(signal.min() >= 0 for operation, signal in steps if operation == "rectify")
assert np.all(pixels[:, beyond] == 0)
assert np.any(everything[:, beyond] != 0)

# %% [markdown]
# ## Exercise
#
# Write `my_project(net, tape, layer, map, at)` for any chain of convolutions, rectifiers and max pools, and one
# image. Then call `check(my_project)`.
#
# *Hint:* go through `reversed(net.chain(layer))`. `isinstance` tells the layers apart; a pool's switches are
# `tape[name].switches`, and `tape[name].size` is the size of its input.


# %%
def check(mine):
    """Raises where `mine` is not the deconvnet, on the scene, for a unit of either map."""
    for number, at in ((0, (9, 11)), (1, (20, 17))):
        wanted = project(big, big_tape, "relu2", 0, number, at)
        np.testing.assert_allclose(mine(big, big_tape, "relu2", number, at), wanted, atol=1e-4)


try:
    check(lambda *args: project(*args[:3], 0, *args[3:], rules=GRADIENT))
except AssertionError:
    print("check() tells the gradient from the deconvnet: now try yours")
else:
    raise AssertionError("check() took the gradient for the deconvnet")
