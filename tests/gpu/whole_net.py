"""A net that stays on the device: training steps and a projection, against the CPU's, and how long they take."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import kernels
from minizf import train, zoo
from minizf.data import ArrayDataset, Preprocess
from minizf.deconvnet import project_units
from minizf.net import Net
from minizf.train import Progress, Recipe

HOST = "numpy"
STEPS = 3
TIMED = 7
CHECKED = 4  # projections compared
LOSS_BOUND = 2e-3
# What training changed and what was projected may differ by this share of its size: rounding (of fp32 in another order, of
# TF32's ten bits) now and then makes another place the maximum of its window, and what comes down there goes another way.
BOUNDS = {"cuda": 0.05, "cuda-tf32": 0.5}


def check(findings: Any, name: str) -> None:
    """Losses, weights and projections of `name` against the CPU's; times where there is a GPU."""
    size, batch, timed_batch = (16, 4, 0) if findings.emulated else (64, 32, 128)
    images = pictures(max(batch * STEPS, timed_batch), size)
    preprocess = Preprocess.fit(images, progress=False)
    recipe = Recipe(batch=batch, jitter=2, flip=False)
    bound = BOUNDS[name.removesuffix("-emulated")]
    there, here = (trained(implementation, images, preprocess, recipe, findings.emulated) for implementation in (name, HOST))
    findings.save(loss=there[1], loss_on_cpu=here[1], bound=bound)
    compare(findings, "mean loss", np.array(there[1]), np.array(here[1]), LOSS_BOUND)
    before = fresh_net(size).state()
    for key, weights in here[0].state().items():
        changes = (array - before[key] for array in (there[0].state()[key], weights))
        compare(findings, f"change of {key}", *changes, bound)

    x = preprocess(images.images(np.arange(min(batch, CHECKED))))
    projections = [kernels.to_host(projected(implementation, x, size)) for implementation in (name, HOST)]
    compare(findings, "projections from relu5", *projections, bound)
    if timed_batch:
        findings.save(**times(name, images, preprocess, timed_batch))


def pictures(count: int, size: int) -> ArrayDataset:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return ArrayDataset("noise", "train", [str(k) for k in range(10)], np.arange(count) % 10, noise, mirror=False)


def fresh_net(size: int) -> Net:
    return zoo.zfnet64(10, size=size, seed=4)


def trained(
    implementation: str, images: ArrayDataset, preprocess: Preprocess, recipe: Recipe, short: bool
) -> tuple[Net, float]:
    """A net after a few steps, the same on every device but for rounding, and its mean loss."""
    steps = 1 if short else STEPS
    with kernels.use(implementation):
        net = fresh_net(images.image_shape[1]).to_device()
        velocity = {name: kernels.zeros(array.shape, array.dtype) for name, array in net.state().items()}
        at = Progress()
        for step in range(steps):
            batch = np.arange(step * recipe.batch, (step + 1) * recipe.batch)
            train.train_step(net, velocity, preprocess, images, batch, recipe, at, steps + 1)
        return net.to_host(), at.loss_sum / (steps * recipe.batch)


def projected(implementation: str, x: np.ndarray, size: int) -> Any:
    """Projections of one map of relu5 for each image, from fresh weights, where the implementation has its arrays."""
    with kernels.use(implementation):
        net = fresh_net(size).to_device()
        _, tape = net.forward(x, upto="relu5")
        return project_units(net, tape, "relu5", np.arange(len(x)), np.arange(len(x)))


def compare(findings: Any, what: str, actual: np.ndarray, expected: np.ndarray, bound: float) -> None:
    error = float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
    findings.values.setdefault("errors", {})[what] = error
    if not error <= bound:
        findings.fail(what, AssertionError(f"differs by {error:.2g} of its size, allowed {bound:g}"))
    findings.save()


def times(name: str, images: ArrayDataset, preprocess: Preprocess, batch: int) -> dict[str, float]:
    """Seconds of a training step with and without what the host does for it, and of projections from layer 5 to pixels."""
    recipe = Recipe(batch=batch)
    x = preprocess(images.images(np.arange(batch)))
    with kernels.use(name):
        net = zoo.zfnet64(10, size=images.image_shape[1]).to_device()
        velocity = {key: kernels.zeros(array.shape, array.dtype) for key, array in net.state().items()}
        on_device = kernels.to_device(x)

        def step() -> Any:
            train.train_step(net, velocity, preprocess, images, np.arange(batch), recipe, Progress(), 10)
            return velocity["fc8.bias"]

        def step_without_host() -> Any:
            logits, tape = net.forward(on_device, np.random.default_rng(0))
            _, dlogits = kernels.softmax_cross_entropy(logits, images.labels[:batch])
            _, grads = net.backward(dlogits, tape, to_input=False)
            train.sgd_update(net, velocity, grads, 0.01, recipe)
            return velocity["fc8.bias"]

        _, tape = net.forward(on_device, upto="relu5")
        units = np.arange(batch), np.zeros(batch, int)
        return {
            "batch": batch,
            "train_step_s": settled(step),
            "train_step_images_on_device_s": settled(step_without_host),
            "forward_s": settled(lambda: net.forward(on_device)[0]),
            "projection_s": settled(lambda: project_units(net, tape, "relu5", *units)),
        }


def settled(work: Callable[[], Any]) -> float:
    """Median seconds of a call whose result is waited for, after two that warm up."""
    seconds = []
    for turn in range(TIMED + 2):
        began = time.perf_counter()
        kernels.to_host(work().reshape(-1)[:1])
        if turn >= 2:
            seconds.append(time.perf_counter() - began)
    return median(seconds)
