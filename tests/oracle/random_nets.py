"""Small nets with awkward sizes, drawn at random: odd and non-square images, every stride from 1 to 4, overlapping pools."""

import numpy as np

from minizf.layers import KINDS, LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from minizf.net import Net, ShapeError


def draw_net(rng: np.random.Generator, stride: int, pool: str, normalised: bool = False) -> Net:
    """Two or three convolutions, the first with `stride` down the rows; pools 2x2/2 or 3x3/2; two fully connected layers."""
    while True:
        try:
            return try_net(rng, stride, pool, normalised)
        except ShapeError:
            continue


def try_net(rng: np.random.Generator, stride: int, pool: str, normalised: bool) -> Net:
    shape = (int(rng.integers(1, 4)), int(rng.integers(13, 24)), int(rng.integers(13, 24)))
    layers: list[tuple[str, Layer]] = []
    channels = shape[0]
    for block in range(1, int(rng.integers(3, 5))):
        window = (int(rng.integers(2, 6 if block == 1 else 4)), int(rng.integers(1, 5 if block == 1 else 4)))
        steps = (stride, int(rng.integers(1, 4))) if block == 1 else (int(rng.integers(1, 3)), 1)
        pad = (int(rng.integers(0, window[0])), int(rng.integers(0, window[1])))
        filters = int(rng.integers(3, 7))
        layers += [(f"conv{block}", draw_conv(rng, filters, channels, window, steps, pad)), (f"relu{block}", ReLU())]
        if block < 3:
            size, margin = (2, 0) if pool == "2x2" else (3, int(rng.integers(0, 2)))
            layers.append((f"pool{block}", MaxPool2d(size, 2, margin)))
            if normalised:
                layers.append((f"norm{block}", LRN(3, 0.7, 0.75, 1.0)))  # strong, so that skipping it shows
        channels = filters
    features = int(np.prod(Net(layers, shape).shapes[layers[-1][0]]))
    layers += [
        ("flatten", Flatten()),
        ("fc1", draw_linear(rng, 7, features)),
        ("relu_fc1", ReLU()),
        ("fc2", draw_linear(rng, 5, 7)),
    ]
    return Net(layers, shape)


def small_zfnet(rng: np.random.Generator) -> Net:
    """zfnet64's layers, few maps each, for images of 3 x 29 x 23; the normalisation is strong enough to matter."""

    def block(number, filters, channels, window, stride):
        return [
            (f"conv{number}", draw_conv(rng, filters, channels, (window, window), stride, window // 2)),
            (f"relu{number}", ReLU()),
        ]

    layers = [
        *block(1, 6, 3, 7, 2), ("pool1", MaxPool2d(3, 2, 1)), ("norm1", LRN(5, 0.3, 0.75, 2.0)),
        *block(2, 8, 6, 5, 1), ("pool2", MaxPool2d(3, 2, 1)), ("norm2", LRN(5, 0.3, 0.75, 2.0)),
        *block(3, 7, 8, 3, 1), *block(4, 7, 7, 3, 1), *block(5, 6, 7, 3, 1), ("pool5", MaxPool2d(3, 2, 1)),
        ("flatten", Flatten()), ("fc6", draw_linear(rng, 9, 24)), ("relu6", ReLU()), ("drop6", Dropout(0.5)),
        ("fc7", draw_linear(rng, 10, 9)), ("relu7", ReLU()), ("drop7", Dropout(0.5)), ("fc8", draw_linear(rng, 4, 10)),
    ]  # fmt: skip
    return Net(layers, (3, 29, 23))


def draw_conv(rng, filters, channels, window, stride, pad) -> Conv2d:
    weight = rng.standard_normal((filters, channels, *window)) * np.sqrt(2 / (channels * window[0] * window[1]))
    return Conv2d(weight.astype(np.float32), (rng.standard_normal(filters) / 5).astype(np.float32), stride, pad)


def draw_linear(rng, outputs, inputs) -> Linear:
    weight = rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
    return Linear(weight.astype(np.float32), (rng.standard_normal(outputs) / 5).astype(np.float32))


def draw_images(rng: np.random.Generator, net: Net, count: int = 2) -> np.ndarray:
    """Smooth noise, float32: neighbours resemble each other, as in photographs, so that pooling windows share winners."""
    x = rng.standard_normal((count, *net.input_shape))
    x[:, :, 1:] += x[:, :, :-1]
    x[:, :, :, 1:] += x[:, :, :, :-1]
    return x.astype(np.float32)


def as_dtype(net: Net, dtype) -> Net:
    """A copy of a net that computes in another precision."""
    return rebuild(describe(net), {name: array.astype(dtype) for name, array in net.state().items()})


def describe(net: Net) -> dict:
    """The architecture as plain values, for JSON."""
    layers = [{"name": name, "kind": type(layer).__name__, "options": layer.options} for name, layer in net.layers.items()]
    return {"input_shape": list(net.input_shape), "layers": layers}


def rebuild(description: dict, state: dict[str, np.ndarray]) -> Net:
    """The net of a description and its parameters by name ("conv1.weight")."""
    layers = []
    for entry in description["layers"]:
        kind = KINDS[entry["kind"]]
        arrays = {key: state.get(f"{entry['name']}.{key}") for key in kind.array_names}
        layers.append((entry["name"], kind(**arrays, **entry["options"])))
    return Net(layers, tuple(description["input_shape"]))
