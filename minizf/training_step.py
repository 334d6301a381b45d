"""A network's whole training step as a case of the bench: forward, loss, backward, update, renormalised filters.

`kernels.bench` times operations and knows no networks; this offers it one in the same form. The peer is the same network in
PyTorch, with the same weights, images and recipe. Before and after timing every contestant's gradients, dropout off, are
compared with float64 NumPy at its own weights; every timed step must leave the images as they were, a finite loss, and new
weights.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import kernels
from kernels.bench import checking
from kernels.bench.checking import Rejected
from kernels.bench.contestants import Contestant
from kernels.bench.costs import Cost
from kernels.bench.problems import Problem
from minizf import zoo
from minizf.data.preprocess import SPREAD
from minizf.layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, softmax_cross_entropy
from minizf.layers.layer import pair
from minizf.net import Net
from minizf.train import Recipe, renormalise_filters, sgd_update

RECIPE = Recipe()
ALLOWED_TF32 = 3e-2  # the same, with factors of ten bits through sixteen layers
ALLOWED = 1e-4  # of a gradient's size: float32 sums, and here and there a rectifier or switch that tips the other way


class StepCase:
    """See `kernels.bench.case.Case`: the same methods, for a problem whose shape is a `Net`."""

    def __init__(self, problem: Problem, contestants: Sequence[Contestant], seed: int = 0) -> None:
        self.problem, shape = problem, problem.shape
        self.refused = {one.name: reason for one in contestants if (reason := refusal(one))}
        self.contestants = [one for one in contestants if one.name not in self.refused]
        net = zoo.build(shape.name, shape.classes, seed=seed)
        self.cost = step_cost(net, shape.batch)
        self.rng = np.random.default_rng(seed)
        self.images = [SPREAD * self.rng.standard_normal((shape.batch, *net.input_shape), np.float32) for _ in range(2)]
        self.labels = self.rng.integers(shape.classes, size=shape.batch)
        self.racers: dict[str, OurStep | TorchStep] = {}
        for one in self.contestants:
            own = zoo.build(shape.name, shape.classes, seed=seed)
            with self.active(one):
                self.racers[one.name] = OurStep(own, seed) if one.ours else TorchStep(one.torch, own, one.gpu)  # type: ignore[attr-defined]
        self.turn = 0
        self.prints = [checking.fingerprint(images) for images in self.images]
        self.weights: dict[str, int] = {}

    def refresh(self) -> None:
        """Other images, and those of the time before last changed."""
        self.turn += 1
        newest = self.images[self.turn % 2]
        newest[:] = np.roll(newest, 1, axis=3)
        newest *= np.float32(self.rng.choice([-1.0, 1.0]))
        self.prints[self.turn % 2] = checking.fingerprint(newest)

    def active(self, one: Contestant) -> AbstractContextManager:
        return one.active() if one.ours else allowing_gradients(one)

    def call(self, one: Contestant, ago: int = 0) -> Callable[[], Any]:
        racer, images = self.racers[one.name], self.images[(self.turn - ago) % 2]
        self.weights[one.name] = fingerprint(racer.state())
        there = racer.placed(images)
        return lambda: racer.step(there, self.labels)

    def warm(self, one: Contestant) -> None:
        self.call(one, ago=1)()
        self.weights[one.name] = fingerprint(self.racers[one.name].state())

    def check_first(self, one: Contestant) -> dict[str, Any]:
        with self.active(one):
            error = self.gradient_error(one)
            self.call(one)()  # compiles what a step needs beside its gradients
        return {"gradients": f"within {error:.1e} of NumPy in float64"}

    def check(self, one: Contestant, raw: Any) -> None:
        if not math.isfinite(raw):
            raise Rejected(f"its loss is {raw}")
        if checking.fingerprint(self.images[self.turn % 2]) != self.prints[self.turn % 2]:
            raise Rejected("changed its images")
        if fingerprint(self.racers[one.name].state()) == self.weights[one.name]:
            raise Rejected("left its weights as they were")

    def check_last(self, one: Contestant) -> None:
        with self.active(one):
            self.gradient_error(one)

    def gradient_error(self, one: Contestant) -> float:
        """The largest error of a parameter's gradient relative to its size; Rejected beyond ALLOWED."""
        racer, images, shape = self.racers[one.name], self.images[self.turn % 2][:8], self.problem.shape
        found = racer.gradients(racer.placed(images), self.labels[:8])
        bound = ALLOWED_TF32 if one.product_error else ALLOWED
        with kernels.use("numpy"):
            exact = zoo.build(shape.name, shape.classes)
            exact.load_state({name: array.astype(np.float64) for name, array in racer.state().items()})
            true = OurStep(in_float64(exact), 0).gradients(images.astype(np.float64), self.labels[:8])
        worst = 0.0
        for name, want in true.items():
            error = float(np.linalg.norm(found[name] - want) / max(float(np.linalg.norm(want)), 1e-30))
            if not error <= bound:
                raise Rejected(f"its gradient of {name} is off by {error:.1e} of its size (allowed {bound:.0e})")
            worst = max(worst, error)
        return worst

    def drop(self) -> None:
        """Nothing is kept from one call to the next but the weights."""


@contextlib.contextmanager
def allowing_gradients(one: Contestant) -> Iterator[None]:
    """PyTorch as the bench sets it up (TF32 or not), but with its gradients, which single operations do without."""
    with one.active(), one.torch.enable_grad():  # type: ignore[attr-defined]
        yield


def refusal(one: Contestant) -> str | None:
    if one.name in ("reference", "scipy") or one.name.endswith("-emulated"):
        return "a whole training step would take minutes, or is not offered"
    return None


def step_cost(net: Net, batch: int) -> Cost:
    """Products forward and in both gradients, without the first layer's input gradient. Bytes are not counted."""
    forward = [products(layer, net.shapes[name]) for name, layer in net.layers.items()]
    total = 2.0 * batch * (3 * sum(forward) - next(count for count in forward if count))
    return Cost(total, 0.5 * total, 0.0, 1)  # least: padding, and what rectifiers leave zero, may be skipped


def products(layer: Layer, shape: tuple[int, ...]) -> int:
    """Multiply-adds of one image's forward pass."""
    match layer:
        case Conv2d():
            return math.prod(shape) * math.prod(layer.weight.shape[1:])
        case Linear():
            return layer.weight.size
    return 0


def fingerprint(state: dict[str, np.ndarray]) -> int:
    return hash(tuple(checking.fingerprint(array) for array in state.values()))


def in_float64(net: Net) -> Net:
    """The net with parameters of double precision; their values stay."""
    for layer in net.layers.values():
        for name, array in layer.arrays.items():
            if array is not None:
                setattr(layer, name, array.astype(np.float64))
    return net


class OurStep:
    """Our net and its velocity, where the implementation in use computes; the step of `minizf.train` without drawing images."""

    def __init__(self, net: Net, seed: int) -> None:
        self.net, self.rng = net.to_device(), np.random.default_rng(seed)
        self.velocity = {name: kernels.zeros(array.shape, array.dtype) for name, array in self.net.state().items()}

    def placed(self, images: np.ndarray) -> Any:
        return kernels.to_device(images)

    def step(self, images: Any, labels: np.ndarray) -> float:
        logits, tape = self.net.forward(images, self.rng)
        loss, dlogits = softmax_cross_entropy(logits, labels)
        _, grads = self.net.backward(dlogits, tape, to_input=False)
        sgd_update(self.net, self.velocity, grads, RECIPE.learning_rate / 100, RECIPE)  # noise teaches nothing: small steps
        renormalise_filters(self.net, RECIPE.filter_rms)
        return loss

    def gradients(self, images: Any, labels: np.ndarray) -> dict[str, np.ndarray]:
        """As in training, but nothing is dropped."""
        dropouts = [layer for layer in self.net.layers.values() if isinstance(layer, Dropout)]
        before = [layer.p for layer in dropouts]
        for layer in dropouts:
            layer.p = 0.0
        logits, tape = self.net.forward(images, self.rng)
        _, grads = self.net.backward(softmax_cross_entropy(logits, labels)[1], tape, to_input=False)
        for layer, p in zip(dropouts, before, strict=True):
            layer.p = p
        return {name: kernels.to_host(array) for name, array in grads.items()}

    def state(self) -> dict[str, np.ndarray]:
        """On the host; on the processor the live arrays."""
        return {name: kernels.to_host(array) for name, array in self.net.state().items()}


class TorchStep:
    """The same net, recipe and weights in PyTorch."""

    def __init__(self, torch: Any, net: Net, gpu: bool = False) -> None:
        self.torch, self.device = torch, "cuda" if gpu else "cpu"
        modules = {name: torch_layer(torch, layer) for name, layer in net.layers.items()}
        self.model = torch.nn.Sequential()
        for name, module in modules.items():
            self.model.add_module(name, module.to(self.device))
        self.filters = [module.weight for module in modules.values() if isinstance(module, torch.nn.Conv2d)]
        weights = [value for name, value in self.model.named_parameters() if name.endswith("weight")]
        biases = [value for name, value in self.model.named_parameters() if name.endswith("bias")]
        groups = [{"params": weights, "weight_decay": RECIPE.weight_decay}, {"params": biases, "weight_decay": 0.0}]
        self.sgd = torch.optim.SGD(groups, lr=RECIPE.learning_rate / 100, momentum=RECIPE.momentum)

    def placed(self, images: np.ndarray) -> Any:
        return self.torch.from_numpy(images).to(self.device)

    def step(self, images: Any, labels: np.ndarray) -> float:
        self.model.train()
        self.sgd.zero_grad(set_to_none=True)
        loss = self.loss(images, labels)
        loss.backward()
        self.sgd.step()
        with self.torch.no_grad():
            for filters in self.filters:
                rms = filters.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
                filters *= RECIPE.filter_rms / rms.clamp(min=RECIPE.filter_rms)
        return float(loss.detach())

    def loss(self, images: Any, labels: np.ndarray) -> Any:
        return self.torch.nn.functional.cross_entropy(self.model(images), self.torch.from_numpy(labels).to(self.device))

    def gradients(self, images: Any, labels: np.ndarray) -> dict[str, np.ndarray]:
        self.model.eval()
        self.model.zero_grad()
        self.loss(images, labels).backward()
        return {name: value.grad.cpu().numpy() for name, value in self.model.named_parameters()}

    def state(self) -> dict[str, np.ndarray]:
        return {name: value.detach().cpu().numpy() for name, value in self.model.named_parameters()}


def torch_layer(torch: Any, layer: Layer) -> Any:
    """PyTorch's module with our layer's parameters."""
    match layer:
        case Conv2d():
            filters, channels, *window = layer.weight.shape
            made = torch.nn.Conv2d(channels, filters, tuple(window), pair(layer.stride), pair(layer.pad))
        case Linear():
            made = torch.nn.Linear(*layer.weight.shape[::-1])
        case MaxPool2d():
            return torch.nn.MaxPool2d(pair(layer.size), pair(layer.stride), pair(layer.pad))
        case LRN():
            return torch.nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        case ReLU():
            return torch.nn.ReLU(inplace=True)
        case Flatten():
            return torch.nn.Flatten()
        case Dropout():
            return torch.nn.Dropout(layer.p)
        case _:
            raise TypeError(f"no PyTorch counterpart of {layer!r}")
    made.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in layer.arrays.items()})
    return made
