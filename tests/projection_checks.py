"""What a deconvnet must do, as functions that raise AssertionError where ours does not.

`test_deconvnet` and `test_windows` run them as they are, `test_projection_bugs` with bugs planted. The oracle is Captum, by
the arrays in oracle/projections.npz (oracle/make_projection_arrays.py); the other checks are properties that need no oracle.
"""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from oracle.random_nets import as_dtype, draw_conv, draw_images, draw_linear, draw_net, rebuild

from minizf import deconvnet
from minizf.layers import GRADIENT, GUIDED, LRN, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Rules
from minizf.net import Net

STORED = Path(__file__).parent / "oracle" / "projections.npz"
ALL_RULES = (Rules(), *(Rules(collisions=c) for c in ("max", "mean", "last")), Rules(rectify="both"), GUIDED, GRADIENT)


@cache
def stored() -> dict[str, np.ndarray]:
    return dict(np.load(STORED))


def stored_names() -> list[str]:
    return sorted(key.split(".")[0] for key in stored() if key.endswith(".spec"))


def stored_net(name: str, dtype) -> tuple[Net, np.ndarray, list[dict], np.ndarray]:
    """(net, images, the units looked at, Captum's pixels) of one stored net."""
    own = {key.removeprefix(f"{name}."): array for key, array in stored().items() if key.startswith(f"{name}.")}
    spec = json.loads(str(own["spec"]))
    return as_dtype(rebuild(spec, own), dtype), own["x"].astype(dtype), spec["units"], own["pixels"]


def sample_net(seed: int = 3, dtype=np.float64, **options) -> tuple[Net, np.ndarray]:
    """A random net and images for it."""
    rng = np.random.default_rng(seed)
    net = draw_net(rng, **{"stride": 2, "pool": "3x3"} | options)
    return as_dtype(net, dtype), draw_images(rng, net, 3).astype(dtype)


def sample_units(net: Net, layer: str, images: int, seed: int = 0, count: int = 7):
    """(images, maps, at) of units of a layer: its corners, then random ones; `at` is None after a Flatten."""
    rng = np.random.default_rng(seed)
    shape = net.shapes[layer]
    chosen = rng.integers(images, size=count), rng.integers(shape[0], size=count)
    if len(shape) == 1:
        return *chosen, None
    height, width = shape[1:]
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    inner = np.stack([rng.integers(n, size=count - 4) for n in (height, width)], axis=1)
    return *chosen, np.concatenate([corners, inner])


def close(what: str, ours: np.ndarray, true: np.ndarray, tolerance: float) -> None:
    """Relative to the largest value: a projection is looked at as a whole."""
    assert ours.shape == true.shape, f"{what}: shape {ours.shape}, expected {true.shape}"
    assert np.isfinite(ours).all(), f"{what}: not finite"
    largest = np.abs(true).max(initial=0)
    error = np.abs(ours - true).max() / largest if largest else np.abs(ours).max(initial=0)
    assert error <= tolerance, f"{what}: relative error {error:.1e}, allowed {tolerance:.0e}"


def check_captum(dtype=np.float64, tolerance: float = 1e-10, names: list[str] | None = None) -> None:
    for name in names or stored_names():
        net, x, units, pixels = stored_net(name, dtype)
        _, tape = net.forward(x)
        for unit, true in zip(units, pixels, strict=True):
            at = unit["at"] and tuple(unit["at"])
            ours = deconvnet.project(
                net, tape, unit["layer"], unit["image"], unit["map"], at, unit["seed"], rules=Rules(**unit["rules"])
            )
            assert ours.dtype == dtype
            close(f"{name} {unit}", ours, true, tolerance)


def check_windows(dtype=np.float64, tolerance: float = 1e-12, seeds=range(6)) -> None:
    """The windowed path equals the full one: from a tape and from images, at corners and inside, by every rule."""
    for seed in seeds:
        net, x = sample_net(seed, dtype, stride=seed % 4 + 1, pool=("2x2", "3x3")[seed % 2], normalised=seed % 3 == 0)
        _, tape = net.forward(x)
        for layer in net.layers:
            images, maps, at = sample_units(net, layer, len(x), seed)
            for rules in ALL_RULES:
                full = deconvnet.project_units(net, tape, layer, images, maps, at, "value", rules)
                for source in (tape, x):
                    windows = deconvnet.project_windows(net, source, layer, images, maps, at, "value", rules)
                    what = f"net {seed}, {layer}, {rules}, from {type(source).__name__}"
                    close(what, laid_back(windows, full.shape), full, tolerance)


def laid_back(windows, shape) -> np.ndarray:
    """Windows at their places in images (B, C, H, W); what sticks out must be zero."""
    whole = np.zeros(shape, windows.pixels.dtype)
    for target, patch, (top, left, bottom, right) in zip(whole, windows.pixels, windows.boxes, strict=True):
        assert patch.shape[1:] == (bottom - top, right - left)
        rows, cols = slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))
        inside = patch[:, max(-top, 0) : shape[2] - top, max(-left, 0) : shape[3] - left]
        target[:, rows, cols] = inside
        assert np.count_nonzero(patch) == np.count_nonzero(inside), "signal outside the image"
    return whole


def check_homogeneous() -> None:
    """Twice the seed, twice the picture: by value = value times by one. A seed of zero gives zero."""
    net, x = sample_net(normalised=True)
    _, tape = net.forward(x)
    for layer in net.layers:
        images, maps, at = sample_units(net, layer, len(x))
        value = tape.outputs[layer][(images, maps) if at is None else (images, maps, *at.T)]
        one = deconvnet.project_units(net, tape, layer, images, maps, at, "one")
        by_value = deconvnet.project_units(net, tape, layer, images, maps, at, "value")
        positive = value >= 0  # the rectifiers make it homogeneous for positive factors only
        factor = value.reshape(-1, 1, 1, 1)
        close(layer, by_value[positive], (factor * one)[positive], 1e-12)
        assert not by_value[value == 0].any()


def check_support() -> None:
    """No signal outside the analytic receptive field."""
    for seed in range(4):
        net, x = sample_net(seed, stride=seed + 1)
        _, tape = net.forward(x)
        for layer in (name for name, shape in net.shapes.items() if len(shape) == 3):
            images, maps, at = sample_units(net, layer, len(x), seed)
            pixels = deconvnet.project_units(net, tape, layer, images, maps, at, "one")
            for picture, place in zip(pixels, at, strict=True):
                top, left, bottom, right = net.receptive_field(layer).box(*place)
                outside = picture.copy()
                outside[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 0
                assert not outside.any(), f"net {seed}, {layer} at {place}: signal outside {(top, left, bottom, right)}"


def check_linear_net_is_gradient() -> None:
    """Without rectifiers and normalisation, deconvnet and gradient are one."""
    net, x = sample_net(5)
    linear = Net([(name, layer) for name, layer in net.layers.items() if not isinstance(layer, ReLU)], net.input_shape)
    logits, tape = linear.forward(x)
    for unit in range(logits.shape[1]):
        dy = np.zeros_like(logits)
        dy[:, unit] = logits[:, unit]
        gradient, _ = linear.backward(dy, tape)
        close(f"class {unit}", deconvnet.project_units(linear, tape, "fc2", [0, 1, 2], [unit] * 3), gradient, 1e-12)


def check_mask_is_gradient() -> None:
    """With the forward mask and the true Jacobian, the projection is the gradient."""
    net, x = sample_net(8, normalised=True)
    logits, tape = net.forward(x)
    dy = np.zeros_like(logits)
    dy[:, 2] = 1
    pixels = deconvnet.project_units(net, tape, "fc2", [0, 1, 2], [2] * 3, seed="one", rules=GRADIENT)
    close("gradient", pixels, net.backward(dy, tape)[0], 1e-12)


def check_separate_windows_ignore_the_rule() -> None:
    """Where pooling windows do not overlap, nothing collides, so the collision rule plays no part."""
    net, x = sample_net(2, pool="2x2")
    _, tape = net.forward(x)
    for layer in net.feature_layers:
        results = [deconvnet.project(net, tape, layer, 1, 0, collisions=rule) for rule in ("sum", "max", "mean", "last")]
        assert all(np.array_equal(result, results[0]) for result in results)


def check_collision_case() -> None:
    """One bright pixel in a 5x5 map wins all four 3x3/2 windows: what meets there, of signals 1, 2, 3, 4?"""
    pool = MaxPool2d(3, 2)
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = 1
    _, tape = pool.forward(x)
    expected = {"sum": (4, 10), "max": (1, 4), "mean": (1, 2.5), "last": (1, 4)}
    for rule, (of_ones, of_four) in expected.items():
        for signal, meets in ((np.ones((1, 1, 2, 2)), of_ones), (np.array([[[[1.0, 2], [3, 4]]]]), of_four)):
            r = pool.deconv(signal, tape, Rules(collisions=rule))
            assert r[0, 0, 2, 2] == meets, f"{rule}: {r[0, 0, 2, 2]} of {signal.ravel()}, expected {meets}"
            assert np.count_nonzero(r) == 1


def check_guided_is_masked() -> None:
    """Guided backpropagation is the deconvnet with the forward mask on top, at every rectifier of the way."""
    net, x = sample_net(4)
    _, tape = net.forward(x)
    guided = deconvnet.trace(net, tape, "relu3" if "relu3" in net.layers else "relu2", 1, 2, rectify="both")
    rectified = [(before, after) for before, after in pairwise(guided) if after.operation == "rectify"]
    assert len(rectified) >= 2
    for before, after in rectified:
        true = np.maximum(before.signal, 0) * (tape.outputs[after.name][1] > 0)
        assert np.array_equal(after.signal, true), after.name


def check_images_apart() -> None:
    """A projection depends on its own image only, whatever else is in the batch and in which order."""
    net, x = sample_net(6, normalised=True)
    _, tape = net.forward(x)
    layer = net.feature_layers[-1]
    together = deconvnet.project_units(net, tape, layer, [2, 0, 1, 2], [1, 1, 1, 1])
    windows = deconvnet.project_windows(net, tape, layer, [2, 0, 1, 2], [1, 1, 1, 1])
    for i, image in enumerate([2, 0, 1, 2]):
        _, alone = net.forward(x[image : image + 1])
        true = deconvnet.project(net, alone, layer, 0, 1)
        close(f"image {image}", together[i], true, 1e-12)
        close(f"image {image}, windowed", laid_back(windows, together.shape)[i], true, 1e-12)


def check_pixels_keep_their_sign() -> None:
    """Only features are rectified: a filter's dark parts stay dark in the picture."""
    net, x = sample_net(7)
    _, tape = net.forward(x)
    true = tape.outputs["relu1"][0, 0].max() * net.layers["conv1"].weight[0]
    assert true.min() < 0 < true.max()
    whole = deconvnet.project(net, tape, "relu1", 0, 0)
    windows = deconvnet.project_windows(net, tape, "relu1", [0], [0])
    inside = windows.pixels[0] != 0
    close("the first layer paints its filter", windows.pixels[0][inside], true[inside], 1e-12)
    close("in its place", laid_back(windows, (1, *whole.shape))[0], whole, 1e-12)


def check_trace() -> None:
    """The trace starts with the seed, rectifies, unpools and filters in order, and ends with the projection itself."""
    net, x = sample_net(9, normalised=True)
    _, tape = net.forward(x)
    for layer, shape in net.shapes.items():
        steps = deconvnet.trace(net, tape, layer, 1, shape[0] - 1)
        words = {Conv2d: "filter", Linear: "filter", ReLU: "rectify", MaxPool2d: "unpool", Flatten: "reshape"}
        down = [words.get(type(net.layers[name]), "skip") for name in reversed(net.chain(layer))]
        assert [step.operation for step in steps] == ["seed", *down]
        assert [step.name for step in steps] == [layer, *reversed(net.chain(layer))]
        assert np.count_nonzero(steps[0].signal) <= 1
        assert np.array_equal(steps[-1].signal, deconvnet.project(net, tape, layer, 1, shape[0] - 1))


def step_net(dtype=np.float64) -> tuple[Net, np.ndarray]:
    """A net that begins with a pool, with every neighbour a pool and a rectifier can have, and images for it."""
    rng = np.random.default_rng(11)

    def conv(filters, channels, window, stride, pad):
        return draw_conv(rng, filters, channels, window, stride, pad)

    layers = [
        ("pool0", MaxPool2d(2, 1)), ("relu0", ReLU()), ("pool1", MaxPool2d((2, 3), (1, 2), (0, 1))),
        ("conv2", conv(5, 3, (4, 2), (2, 1), (1, 0))), ("relu2", ReLU()), ("pool2", MaxPool2d(3, 2, 1)),
        ("norm2", LRN(3, 0.7, 0.75, 1.0)), ("relu2b", ReLU()), ("pool2b", MaxPool2d(2, 1)),
        ("conv3", conv(7, 5, (2, 3), 1, (1, 2))), ("relu3", ReLU()), ("pool3", MaxPool2d(3, 2, (1, 0))),
        ("conv4", conv(4, 7, (1, 1), 1, 0)), ("pool4", MaxPool2d((2, 1), 1)), ("flatten", Flatten()),
    ]  # fmt: skip
    features = Net(layers, (3, 29, 37)).shapes["flatten"][0]
    layers += [("fc5", draw_linear(rng, 6, features)), ("relu5", ReLU()), ("fc6", draw_linear(rng, 5, 6))]
    net = as_dtype(Net(layers, (3, 29, 37)), dtype)
    return net, draw_images(rng, net, 3).astype(dtype)


def check_few_steps(dtype=np.float64, exact: bool = True, tolerance: float = 1e-12) -> None:
    """Pool, rectifier and convolution in one step give what they give one after the other, in whole maps and in windows.

    exact: bit for bit in whole maps, as where an implementation's `deconv_step` is the composition.
    """
    net, x = step_net(dtype)
    _, tape = net.forward(x)
    for layer, shape in net.shapes.items():
        images, maps, at = sample_units(net, layer, len(x), seed=len(layer), count=5)
        for rules in ALL_RULES:
            whole = deconvnet.project_units(net, tape, layer, images, maps, at, "value", rules)
            *_, (_, single) = deconvnet.walk_down(net, tape, layer, images, maps, at, "value", rules)
            close(f"{layer} {rules}", whole, single, 0 if exact else tolerance)
            windows = deconvnet.project_windows(net, tape, layer, images, maps, at, "value", rules)
            close(f"{layer} {rules}, windowed", laid_back(windows, single.shape), single, tolerance)
        everything = [deconvnet.project(net, tape, layer, 1, shape[0] - 1, seed=seed) for seed in ("map", "all")]
        steps = [deconvnet.trace(net, tape, layer, 1, shape[0] - 1, seed=seed)[-1].signal for seed in ("map", "all")]
        close(f"{layer}, every position", np.stack(everything), np.stack(steps), 0 if exact else tolerance)


PROPERTIES = (
    check_homogeneous, check_support, check_linear_net_is_gradient, check_mask_is_gradient, check_collision_case,
    check_separate_windows_ignore_the_rule, check_guided_is_masked, check_images_apart, check_pixels_keep_their_sign,
    check_trace, check_windows, check_few_steps,
)  # fmt: skip
