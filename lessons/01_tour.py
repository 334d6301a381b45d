# %% [markdown]
# # A tour: train a network, open it, look
#
# **You have** Python and this library. **You will have** a network that you trained yourself, and pictures of
# what single features inside it respond to. **Needs** nothing before it; ten minutes.
#
# A convolutional network is a pile of small filters. What the first ones do can be read off their weights. What
# the later ones do cannot: they read other filters' answers, not pixels. Zeiler and Fergus (2014) found a way
# to ask them: take one answer, and lead it back down to the pixels that caused it. This tour goes there once,
# quickly; the other lessons take each step slowly.
#
# Everything below runs in seconds on a small network. `MINIZF_FULL=1 python lessons/01_tour.py` does the same
# with `zfnet64`, the paper's network at 64 x 64 pixels, and takes some minutes.

# %%
import os
import tempfile

import numpy as np

from minizf import data, zoo
from minizf.data import Preprocess
from minizf.deconvnet import project
from minizf.experiments.top9 import plates, scan
from minizf.layers import Flatten, MaxPool2d, ReLU, softmax
from minizf.net import Net
from minizf.run import Run
from minizf.train import Recipe, evaluate, fit
from minizf.view.curves import draw_curves
from minizf.view.filters import draw_filters
from minizf.view.gallery import Picture, draw_gallery, ink_pictures, signed_pictures
from minizf.view.normalise import photograph
from minizf.view.plates import draw_plate
from minizf.view.samples import draw_samples
from minizf.view.show import show

FULL = os.environ.get("MINIZF_FULL") == "1"
size, images, epochs, rate = (64, 8000, 8, 0.02) if FULL else (48, 1600, 4, 0.01)

# %% [markdown]
# ## Images
#
# `scenes` is a set of pictures that this library draws itself: ten kinds of objects on busy grounds, among
# clutter. Nothing is downloaded, and a seed gives the same pictures on every machine.

# %%
train_set = data.load(f"scenes:images={images}", "train", size).preload()
val_set = data.load("scenes:images=500", "val", size).preload()
chance = 1 / len(train_set.classes)
assert np.all(np.bincount(val_set.labels) == len(val_set) * chance), "guessing is right this often"
show(draw_samples(train_set, 20, title="Scenes: what the network learns from"), "01-scenes")

# %% [markdown]
# ## A network is a list
#
# Three times: filters, a rectifier, a pool. Then one weighted sum for each class. `summary` says what comes out
# of each layer, and how many pixels one of its values *sees*.


# %%
def small_net(seed=0):
    """Three layers of filters, for images of 48 x 48 pixels."""
    rng = np.random.default_rng(seed)
    layers = [
        # random filters are noise; where the first start small, what one sees in the end was learned
        ("conv1", zoo.conv(rng, filters=16, channels=3, window=5, stride=2, pad=2, gain=zoo.FIRST_GAIN)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, 2, pad=1)),
        ("conv2", zoo.conv(rng, filters=32, channels=16, window=3, stride=1, pad=1)),
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, 2, pad=1)),
        ("conv3", zoo.conv(rng, filters=48, channels=32, window=3, stride=1, pad=1)),
        ("relu3", ReLU()),
        ("pool3", MaxPool2d(3, 2, pad=1)),
        ("flatten", Flatten()),
        ("fc4", zoo.linear(rng, outputs=10, inputs=48 * 3 * 3, gain=1.0)),
    ]
    return Net(layers, input_shape=(3, 48, 48))


net = zoo.zfnet64(classes=10) if FULL else small_net()
print(net.summary())

# %% [markdown]
# ## Training
#
# The network reads pixels minus the mean image. It starts with random filters, so at first it can only guess;
# after a few seconds it is right many times more often than guessing.

# %%
preprocess = Preprocess.fit(train_set)
before = evaluate(net, preprocess, val_set)
with tempfile.TemporaryDirectory() as folder:
    recipe = Recipe(epochs=epochs, batch=64 if FULL else 32, learning_rate=rate, jitter=4)
    run = Run.create(f"{folder}/tour", {})
    rows = fit(run, net, preprocess, train_set, val_set, recipe, checkpoints=())
after = evaluate(net, preprocess, val_set)
print(f"before: {before}\nafter:  {after}")
assert before.top1 < 2.5 * chance, "it guesses"
assert after.top1 > 4 * chance, "it has learned"
show(draw_curves(rows, "A few epochs on scenes"), "01-curves")

# %% [markdown]
# **A wrong version.** Forget the preprocessing, and nothing crashes: shapes fit, numbers come out. Only the
# accuracy tells. Compare it with what the training reported, each time you load a network.

# %%
raw = Preprocess(np.zeros_like(preprocess.mean), scale=1.0)  # changes nothing
assert evaluate(net, raw, val_set).top1 < after.top1 - chance

# %% [markdown]
# ## Open it: the first layer
#
# The first filters act on pixels, so they *are* little pictures: look for edges, and for patches of one colour.

# %%
show(draw_filters(net), "01-filters")

# %% [markdown]
# Now send one image up. `forward` returns the scores and a *tape*: what every layer put out, and what it noted
# for the way back. A value in the first layer is no more than this: lay filter `k` over a patch, multiply, add
# up, cut off what is negative.

# %%
logits, tape = net.forward(preprocess(val_set.images(np.arange(64))))
right = np.flatnonzero(logits.argmax(axis=1) == val_set.labels[:64])
number = int(right[softmax(logits)[right].max(axis=1).argmax()])  # surest, and right
label = val_set.classes[val_set.labels[number]]
print(f"image {number}: {label}, with probability {softmax(logits)[number].max():.2f}")

conv1 = net.layers["conv1"]
R, pad = conv1.weight.shape[2], conv1.pad
padded = np.pad(tape.input[number], [(0, 0), (pad, pad), (pad, pad)])
k, p, q = 5, 10, 7
patch = padded[:, p * conv1.stride :, q * conv1.stride :][:, :R, :R]  # (C, R, R)
by_hand = max(0.0, float((patch * conv1.weight[k]).sum() + conv1.bias[k]))
np.testing.assert_allclose(by_hand, tape.outputs["relu1"][number, k, p, q], atol=1e-4)

# %% tags=["hide-input"]
maps = tape.outputs["relu1"][number]
strongest = np.argsort(-maps.max(axis=(1, 2)))[:11]
pictures = [Picture(photograph(val_set.images([number]))[0], f"the {label}")]
pictures += [Picture(ink_pictures(maps[[k]])[0], f"map {k}", f"up to {maps[k].max():.1f}") for k in strongest]
caption = "The eleven strongest maps of relu1. White is 0, the largest value of each map is darkest."
show(
    draw_gallery(pictures, "One image, seen by the first layer", caption, columns=6, side=1.0),
    "01-maps",
)

# %% [markdown]
# ## Look: one projection
#
# Layer 2 reads those maps, not pixels. What did its strongest answer on this image respond to? `project` leads
# it back down. The result has the image's shape, and is zero outside the patch that the unit sees.

# %%
maps = tape.outputs["relu2"][number]
k, p, q = (int(i) for i in np.unravel_index(maps.argmax(), maps.shape))
pixels = project(net, tape, "relu2", image=number, map=k)  # (3, H, W), at the map's strongest place
top, left, bottom, right = net.receptive_field("relu2").box(p, q)
beyond = np.ones((size, size), bool)
beyond[max(top, 0) : bottom, max(left, 0) : right] = False
assert np.any(pixels != 0)
assert np.all(pixels[:, beyond] == 0)

# %% tags=["hide-input"]
box = (top, left, bottom, right)
pictures = [
    Picture(photograph(val_set.images([number]))[0], f"the {label}", "box: what the unit sees", box),
    Picture(ink_pictures(maps[[k]])[0], f"map {k} of relu2", f"strongest at row {p}, column {q}"),
    Picture(signed_pictures(pixels[None])[0], "projection", "what it responded to", box),
]
caption = "Projection: zero is mid-grey; brighter and darker are positive and negative, in each "
caption += "colour, scaled by the largest value."
show(draw_gallery(pictures, "One activation, led back to pixels", caption, side=1.9), "01-projection")

# %% [markdown]
# ## Look: nine projections beside their patches
#
# One image is an anecdote. So the paper takes, for every map, the nine images that excite it most, and sets the
# projections beside the patches. What the nine have in common is what the feature looks for; what changes among
# them is what it does not care about.

# %%
winners = scan(net, preprocess, val_set)
plate = plates(net, preprocess, val_set, "relu2", winners["relu2"])
busiest = np.argsort(-winners["relu2"].value[:, -1], kind="stable")[:8]  # by their ninth answer
title = "What excites the maps of layer 2"
show(draw_plate(plate, "scenes, validation", sorted(busiest.tolist()), title=title), "01-nine")

# %% [markdown]
# `scan` went through all images once and kept nine places for each map; `plates` projected only the small
# windows that matter. Both are only faster ways to do what `project` did above:

# %%
k = int(busiest[0])
winner, (p, q) = int(winners["relu2"].image[k, 0]), winners["relu2"].at[k, 0]
_, one_tape = net.forward(preprocess(val_set.images([winner])))
slow = project(net, one_tape, "relu2", image=0, map=k, at=(p, q))
top, left, bottom, right = plate.boxes[k, 0]
part = slow[:, max(top, 0) : bottom, max(left, 0) : right]
inside = plate.inside[k, 0]  # False where the patch sticks out of the image
cut = plate.projections[k, 0][:, inside.any(axis=1)][:, :, inside.any(axis=0)]
np.testing.assert_allclose(cut, part, atol=1e-4 * np.abs(part).max())

# %% [markdown]
# From here: [pooling with switches](02_pooling_with_switches.py), the one step that needs a memory, and then
# [the deconvnet, one step at a time](03_deconvnet_step_by_step.py). To turn the pages of a whole network, type
# `make demo`.
#
# ## Exercise
#
# Write `my_winners(activations)`: from the activations of a layer, `(N, K, P, Q)`, the numbers of the nine
# images that excite each map most, strongest first, `(K, 9)`. Then call `check(my_winners)`.
#
# *Hint:* an image counts once for a map, with its strongest place. `np.argsort` has a `kind="stable"`, which
# matters when values are equal.


# %%
def check(mine):
    """Raises where `mine` names other images than `scan`, on the maps that nine images excite."""
    _, all_images = net.forward(preprocess(val_set.images(np.arange(len(val_set)))), upto="relu2")
    alive = winners["relu2"].image[:, -1] >= 0
    assert np.array_equal(mine(all_images.outputs["relu2"])[alive], winners["relu2"].image[alive])


try:
    check(lambda activations: np.argsort(-activations.mean(axis=(2, 3)), axis=0)[:9].T)
except AssertionError:
    print("check() tells the strongest place from the mean of a map: now try yours")
else:
    raise AssertionError("check() took the mean of a map for its strongest place")
