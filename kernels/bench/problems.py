"""What is timed: sets of layers from `problems.toml`, each layer a case for every operation of its kind.

choose(["seven"])                      21 problems: 7 convolutions x forward, input gradient, filter gradient
choose(["zfnet"], batch=8)             the same layers with 8 images
choose(["zfnet64"], ["maxpool2d"])     one operation only
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernels.contract import COLLISIONS
from kernels.sizes import conv_output_size, pair, pool_output_size

LIST = Path(__file__).with_name("problems.toml")
Sides = tuple[int, int]


@dataclass(frozen=True)
class Pool:
    """x (N, C, H, W) pooled by windows."""

    x: tuple[int, int, int, int]
    size: Sides
    stride: Sides
    pad: Sides

    @property
    def out(self) -> Sides:
        return pool_output_size(self.x[2:], self.size, self.stride, self.pad)

    @property
    def y(self) -> tuple[int, int, int, int]:
        return (*self.x[:2], *self.out)

    def __str__(self) -> str:
        return f"{dims(self.x)} pool {dims(self.size)}{step(self.stride)}{border(self.pad)}"


@dataclass(frozen=True)
class Conv:
    """x (N, C, H, W), w (K, C, R, S); `pooled`: the pooling behind it, for deconv_step."""

    x: tuple[int, int, int, int]
    filters: int
    window: Sides
    stride: Sides
    pad: Sides
    pooled: Pool | None = None

    @property
    def out(self) -> Sides:
        return conv_output_size(self.x[2:], self.window, self.stride, self.pad)

    @property
    def w(self) -> tuple[int, int, int, int]:
        return (self.filters, self.x[1], *self.window)

    @property
    def y(self) -> tuple[int, int, int, int]:
        return (self.x[0], self.filters, *self.out)

    def __str__(self) -> str:
        return f"{dims(self.x)} by {self.filters} of {dims(self.window)}{step(self.stride)}{border(self.pad)}"


@dataclass(frozen=True)
class Lrn:
    """x (N, C, H, W), normalised over `size` maps."""

    x: tuple[int, int, int, int]
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    def __str__(self) -> str:
        return f"{dims(self.x)} over {self.size} maps"


@dataclass(frozen=True)
class Linear:
    """x (N, F), w (G, F)."""

    images: int
    features: int
    outputs: int

    def __str__(self) -> str:
        return f"{dims((self.images, self.features))} to {self.outputs}"


@dataclass(frozen=True)
class Net:
    """One training step of a named network. Only who knows networks can time it; `kernels` does not."""

    name: str
    batch: int
    classes: int

    def __str__(self) -> str:
        return f"{self.name}, {self.batch} images, {self.classes} classes"


Shape = Any  # one of the five above; an operation knows which is its own
OPERATIONS_OF = {
    "conv": ("conv2d", "conv2d_relu", "conv2d_transpose", "conv2d_weight_grad", "deconv_step"),
    "pool": ("maxpool2d", "relu_maxpool", "unpool2d"),
    "lrn": ("lrn", "lrn_grad"),
    "linear": ("linear", "linear_input_grad", "linear_weight_grad"),
    "net": ("training_step",),
}
OPERATIONS = tuple(name for names in OPERATIONS_OF.values() for name in names)


@dataclass(frozen=True)
class Problem:
    """One operation at one shape: one block of rows in the report."""

    set: str
    layer: str
    operation: str
    shape: Shape
    rule: str = "sum"  # what unpooling does where windows meet

    @property
    def name(self) -> str:
        ending = f"/{self.rule}" if self.rule != "sum" else ""
        return f"{self.set}/{self.layer}/{self.operation}{ending}"


def sets() -> dict[str, str]:
    """Every set's name and what it is."""
    return {name: content["about"] for name, content in read_list().items()}


def read_list(path: Path = LIST) -> dict[str, dict[str, Any]]:
    """The sets as written; ValueError where the file is no TOML."""
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not readable as TOML ({error})") from error


def choose(names: Sequence[str], operations: Sequence[str] = (), batch: int | None = None, path: Path = LIST) -> list[Problem]:
    """The problems of some sets, in the order of the file; ValueError for a set or an operation that does not exist."""
    content = read_list(path)
    for name in names:
        if name not in content:
            raise ValueError(f"no set {name!r}; there are: {', '.join(content)}")
    for name in operations:
        if name not in OPERATIONS:
            raise ValueError(f"no operation {name!r} is timed; there are: {', '.join(OPERATIONS)}")
    found = [problem for name in names for problem in problems_of(name, content[name], batch)]
    if operations:
        found = [problem for problem in found if problem.operation in operations]
    if not found:
        raise ValueError(f"nothing to time: {', '.join(names)} have no layer for {', '.join(operations)}")
    return found


def problems_of(name: str, content: dict[str, Any], batch: int | None) -> list[Problem]:
    """All problems of one set."""
    asked = content.get("operations", OPERATIONS)
    found = []
    for layer in content["layers"]:
        images = batch or layer.get("batch", content["batch"])
        try:
            kind = next(kind for kind in OPERATIONS_OF if kind in layer)
            shape = SHAPES[kind](images, layer[kind])
        except (StopIteration, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__} {error}".strip()
            raise ValueError(
                f"set {name}, layer {layer.get('name', layer)}: not a layer this program knows ({what})"
            ) from error
        for operation in OPERATIONS_OF[kind]:
            if operation not in asked or (operation == "deconv_step" and shape.pooled is None):
                continue
            rules = layer[kind].get("rules", ["sum"]) if operation == "unpool2d" else ["sum"]
            if unknown := [rule for rule in rules if rule not in COLLISIONS]:
                raise ValueError(
                    f"set {name}, layer {layer['name']}: no rule {unknown[0]!r}; there are {', '.join(COLLISIONS)}"
                )
            found += [Problem(name, layer["name"], operation, shape, rule) for rule in rules]
    return found


def conv(images: int, given: dict[str, Any]) -> Conv:
    shape = Conv((images, *given["x"]), given["filters"], *windows(given, "window"))
    if "pooled" not in given:
        return shape
    return replace(shape, pooled=Pool(shape.y, *windows(given["pooled"], "size")))


def pool(images: int, given: dict[str, Any]) -> Pool:
    return Pool((images, *given["x"]), *windows(given, "size"))


def lrn(images: int, given: dict[str, Any]) -> Lrn:
    return Lrn((images, *given["x"]), **{name: value for name, value in given.items() if name != "x"})


def linear(images: int, given: dict[str, Any]) -> Linear:
    return Linear(images, given["features"], given["outputs"])


def net(images: int, given: dict[str, Any]) -> Net:
    return Net(given["name"], images, given["classes"])


SHAPES: dict[str, Any] = {"conv": conv, "pool": pool, "lrn": lrn, "linear": linear, "net": net}


def windows(given: dict[str, Any], name: str) -> tuple[Sides, Sides, Sides]:
    """(window, stride, pad) as pairs."""
    return (
        pair("problems", name, given[name], 1),
        pair("problems", "stride", given.get("stride", 1), 1),
        pair("problems", "pad", given.get("pad", 0), 0),
    )


def dims(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def step(stride: Sides) -> str:
    return "" if stride == (1, 1) else f"/{stride[0]}" if stride[0] == stride[1] else f"/{dims(stride)}"


def border(pad: Sides) -> str:
    return "" if pad == (0, 0) else f" pad {pad[0]}" if pad[0] == pad[1] else f" pad {dims(pad)}"
