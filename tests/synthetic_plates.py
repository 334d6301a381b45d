"""Small plates and images of known content for the tests of minizf.view: no net is trained, no picture is like another."""

from types import SimpleNamespace

import numpy as np

from minizf.data.dataset import ArrayDataset
from minizf.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minizf.net import Net

CLASSES = ["cat", '<b>dog</b> & "friends"', "schmetterling 蝶 🦋", "</script><script>alert(1)</script>"]


def small_net(channels=3, size=(22, 17), seed=0) -> Net:
    """Two convolution blocks on odd-sized images: maps 5 and 7, receptive fields 3x5 and then larger."""
    rng = np.random.default_rng(seed)

    def weight(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    body = [
        ("conv1", Conv2d(weight(5, channels, 3, 5), np.zeros(5, np.float32), 2, 1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, 2, 1)),
        ("conv2", Conv2d(weight(7, 5, 3, 3), np.zeros(7, np.float32), 1, 1)),
        ("relu2", ReLU()),
        ("flatten", Flatten()),
    ]
    features = Net(body, (channels, *size)).shapes["flatten"][0]
    return Net([*body, ("fc3", Linear(weight(4, features), np.zeros(4, np.float32)))], (channels, *size))


def images(net: Net, count=23, seed=1) -> ArrayDataset:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, *net.input_shape), dtype=np.uint8)
    return ArrayDataset("noise", "val", CLASSES, np.arange(count) % len(CLASSES), pixels)


def plate(net: Net, dataset, layer: str, k=9, silent=(2,), short=(1,), seed=2):
    """A plate as top9 makes it, with invented values: map `silent` never answered, map `short` on fewer than k images."""
    rng = np.random.default_rng(seed)
    total, rows, columns = net.shapes[layer]
    field = net.receptive_field(layer)
    value = -np.sort(-rng.gamma(2, 2, (total, k)).astype(np.float32), axis=1)
    image = np.stack([rng.permutation(len(dataset))[:k] for _ in range(total)])
    at = np.stack([rng.integers(rows, size=(total, k)), rng.integers(columns, size=(total, k))], axis=-1)
    for gone, start in [(m, 0) for m in silent] + [(m, k // 2) for m in short]:
        value[gone, start:], image[gone, start:], at[gone, start:] = 0, -1, 0
    boxes = np.array([[field.box(*place) for place in row] for row in at])
    inside, patches = cut(dataset, image, boxes, field.size)
    projections = rng.standard_normal((total, k, net.input_shape[0], *field.size)).astype(np.float32)
    projections *= inside[:, :, None] * value[:, :, None, None, None]
    labels = np.where(image >= 0, dataset.labels[image], -1)
    winners = SimpleNamespace(value=value, image=image, at=at)
    return SimpleNamespace(
        layer=layer, winners=winners, projections=projections, patches=patches, inside=inside, labels=labels, boxes=boxes
    )


def cut(dataset, image, boxes, size):
    """Which pixels of each box lie in the image, (K, k, h, w), and the patches, (K, k, C, h, w), zero elsewhere."""
    channels, high, wide = dataset.image_shape
    inside = np.zeros((*image.shape, *size), bool)
    patches = np.zeros((*image.shape, channels, *size), np.uint8)
    for place in np.ndindex(image.shape):
        if image[place] < 0:
            continue
        top, left, bottom, right = boxes[place]
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(bottom, high), min(right, wide)
        within = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        inside[place][within] = True
        patches[place][:, *within] = dataset.images([image[place]])[0][:, y0:y1, x0:x1]
    return inside, patches
