"""A network is a chain of named layers; a pass through it leaves a tape.

    x (N, C, H, W)  --conv1--relu1--pool1-- ... --fc8-->  logits (N, classes)

`forward` goes up and hands out the tape; `backward` (the gradient) and `deconvnet.project` (the paper's picture) each go down
along a tape. The net itself remembers nothing of either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import kernels
from minizf.layers import Conv2d, Layer, NoDeconvRule, ReLU, Rules
from minizf.layers.fused import Step, fused_steps, single_steps
from minizf.layers.layer import each, pair


class ReceptiveField(NamedTuple):
    """The pixels one unit sees: unit (p, q) sees rows start[0] + p * stride[0] ... + size[0] - 1, columns alike.

    `start` may be negative and the patch may stick out of the image: that part is padding.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, p: int, q: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) in pixels, bottom and right exclusive, not clipped to the image."""
        top, left = self.start[0] + p * self.stride[0], self.start[1] + q * self.stride[1]
        return top, left, top + self.size[0], left + self.size[1]


@dataclass
class Tape:
    """What one forward pass left behind: the input, every layer's output, and every layer's own note for the way down."""

    input: np.ndarray
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)  # what was passed, in order; a training pass takes some layers in pairs

    def __getitem__(self, name: str) -> Any:
        pair = next((step for step in self.steps if step.first != step.last and name in (step.first, step.last)), None)
        if pair:
            raise NoDeconvRule(
                f"{name}: this tape comes from a training pass, which took {pair.first} and {pair.last} in one step; "
                "run forward without a random generator to look"
            )
        return self.notes[name]

    @property
    def in_pairs(self) -> bool:
        """Whether this is a training pass that left out what lies between some layers."""
        return any(step.first != step.last for step in self.steps)


class ShapeError(ValueError):
    """The layers' sizes do not work out."""


class Net:
    """A chain of layers, checked when it is built.

    layers: pairs (name, layer); input_shape: (C, H, W) of one image.
    ShapeError names the layer that does not fit, what came, and the formula.
    """

    def __init__(self, layers: list[tuple[str, Layer]], input_shape: tuple[int, int, int]):
        if not layers:
            raise ShapeError("a net needs at least one layer; the list is empty")
        self.layers = dict(layers)
        self.input_shape = tuple(input_shape)
        if len(self.layers) < len(layers):
            names = [name for name, _ in layers]
            raise ValueError(f"two layers share a name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
        self.shapes: dict[str, tuple[int, ...]] = {}
        shape: tuple[int, ...] = self.input_shape
        for name, layer in layers:
            try:
                shape = self.shapes[name] = layer.output_shape(shape)
            except ValueError as error:
                raise ShapeError(f"layer {name!r} does not fit what comes into it, {shape}: {error}") from None

    def forward(
        self, x: np.ndarray, rng: np.random.Generator | None = None, upto: str | None = None
    ) -> tuple[np.ndarray, Tape]:
        """x (N, C, H, W) -> (output of the last layer, or of layer `upto`; tape), both where the net's arrays are.

        `rng` means training: dropout acts, and some neighbours go in one step (layers/fused.py), so that the tape serves
        `backward` but not for looking.
        """
        if x.shape[:1] == (0,):
            raise ShapeError("no images came, a batch of 0; a net needs at least one")
        if x.shape[1:] != self.input_shape:
            raise ShapeError(
                f"images of shape {x.shape[1:]} came, the net expects {self.input_shape}; resize or crop them first"
            )
        x = kernels.to_device(x)
        tape = Tape(x)
        chain = [(name, self.layers[name]) for name in self.chain(upto)]
        tape.steps = single_steps(chain) if rng is None else fused_steps(chain)
        for step in tape.steps:
            x, tape.notes[step.last] = step.layer.forward(x, rng)
            tape.outputs[step.last] = x
        return x, tape

    def backward(self, dy: np.ndarray, tape: Tape, to_input: bool = True) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        """Gradient dy of the tape's last output -> (dx or None, gradients by name, such as "conv1.weight")."""
        grads: dict[str, np.ndarray] = {}
        dx: np.ndarray | None = dy
        for step in reversed(tape.steps):
            dx, layer_grads = step.layer.backward(dx, tape.notes[step.last], to_input=to_input or step is not tape.steps[0])
            grads.update({f"{step.first}.{key}": grad for key, grad in layer_grads.items()})
        return dx, grads

    def input_shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of what comes into a layer, one image."""
        below = self.chain(name)[:-1]
        return self.shapes[below[-1]] if below else self.input_shape

    def chain(self, upto: str | None = None) -> list[str]:
        """Names of the layers from the first to `upto` (default: the last)."""
        names = list(self.layers)
        return names if upto is None else names[: names.index(self.check_layer(upto)) + 1]

    def check_layer(self, name: str) -> str:
        """The name itself if the net has it, else ValueError with the known names."""
        if name not in self.layers:
            raise ValueError(f"no layer {name!r} in this net; it has {', '.join(self.layers)}")
        return name

    @property
    def feature_layers(self) -> list[str]:
        """The layers whose maps one looks at: the rectifier behind each convolution (the convolution itself if it has none)."""
        names = list(self.layers)
        found = []
        for here, name in enumerate(names):
            if isinstance(self.layers[name], Conv2d):
                follower = names[here + 1] if here + 1 < len(names) else name
                found.append(follower if isinstance(self.layers[follower], ReLU) else name)
        return found

    def state(self) -> dict[str, np.ndarray]:
        """All parameters by name ("conv1.weight"); the live arrays, not copies."""
        return {f"{name}.{key}": a for name, layer in self.layers.items() for key, a in layer.arrays.items() if a is not None}

    def to_device(self) -> "Net":
        """Moves the parameters to where the kernel implementation in use computes; nothing happens where they are there.

        On a GPU all that a pass makes stays there, the tape and the gradients too; only images go in. Returns the net itself.
        """
        return self._move(kernels.to_device)

    def to_host(self) -> "Net":
        """Makes the parameters NumPy arrays again, for an implementation on the CPU. Returns the net itself."""
        return self._move(kernels.to_host)

    def _move(self, move: Callable[[np.ndarray], np.ndarray]) -> "Net":
        for layer in self.layers.values():
            for key, array in layer.arrays.items():
                if array is not None:
                    setattr(layer, key, move(array))
        return self

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Copies parameters in. ValueError, and nothing changed, when they belong to another architecture."""
        mine = self.state()
        wrong = [f"{name} is missing" for name in mine if name not in state]
        wrong += [f"{name} is unknown here" for name in state if name not in mine]
        wrong += [
            f"{name} is {state[name].shape}, the net's is {a.shape}"
            for name, a in mine.items()
            if name in state and state[name].shape != a.shape
        ]
        if wrong:
            more = f" (and {len(wrong) - 4} more)" if len(wrong) > 4 else ""
            raise ValueError(f"these weights belong to another architecture: {'; '.join(wrong[:4])}{more}")
        for name, a in mine.items():
            kernels.assign(a, state[name])

    def receptive_field(self, name: str) -> ReceptiveField:
        """Which pixels a unit of this layer sees; after a Flatten, the whole image."""
        size, stride, start = (1, 1), (1, 1), (0, 0)
        for below in self.chain(name):
            reach = self.layers[below].reach
            if len(self.shapes[below]) == 1:
                return ReceptiveField(pair(self.input_shape[1:]), (0, 0), (0, 0))
            if reach is not None:
                start = each(lambda a, p, j: a - p * j, start, reach.pad, stride)
                size = each(lambda a, r, j: a + (r - 1) * j, size, reach.size, stride)
                stride = each(lambda j, s: j * s, stride, reach.stride)
        return ReceptiveField(size, stride, start)

    @property
    def parameter_count(self) -> int:
        return sum(a.size for a in self.state().values())

    def summary(self) -> str:
        """The architecture as a table, as in the paper's figure 3: sizes, parameters, what a unit sees, work per image."""
        rows = [("layer", "operation", "output", "parameters", "sees", "stride", "multiply-adds")]
        shape: tuple[int, ...] = self.input_shape
        work = 0
        for name, layer in self.layers.items():
            rf = self.receptive_field(name)
            count = sum(a.size for a in layer.arrays.values() if a is not None)
            adds = layer.multiply_adds(shape)
            shape, work = self.shapes[name], work + adds
            sees = "all" if len(shape) == 1 else f"{rf.size[0]}x{rf.size[1]}"
            steps = "" if len(shape) == 1 else f"{rf.stride[0]}"
            size = " x ".join(map(str, shape))
            rows.append((name, describe(layer), size, f"{count:,}" if count else "", sees, steps, f"{adds:,}" if adds else ""))
        rows.append(("total", "", "", f"{self.parameter_count:,}", "", "", f"{work:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        left = {0, 1, 2}
        lines = [
            "  ".join(
                cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join(line.rstrip() for line in [lines[0], "  ".join("-" * w for w in widths), *lines[1:]])

    def __repr__(self) -> str:
        lines = [f"  ({name!r}, {layer!r})," for name, layer in self.layers.items()]
        return "\n".join(["Net([", *lines, f"], input_shape={self.input_shape})"])


def pass_down(name: str, layer: Layer, signal: np.ndarray, note: Any, rules: Rules) -> np.ndarray:
    """The deconvnet's signal through one layer; NoDeconvRule says by name which layer has no rule."""
    try:
        return layer.deconv(signal, note, rules)
    except NoDeconvRule as error:
        raise NoDeconvRule(f"on the way down through layer {name!r}: {error}") from None


def describe(layer: Layer) -> str:
    """One layer in the field's shorthand, such as "Conv2d 7x7 /2 pad 3"."""
    parts = [type(layer).__name__]
    if layer.reach is not None:
        size, stride, pad = layer.reach
        parts += [f"{size[0]}x{size[1]}", f"/{stride[0]}"] + ([f"pad {pad[0]}"] if pad != (0, 0) else [])
    elif layer.options:
        parts += [f"{key}={value}" for key, value in layer.options.items()]
    return " ".join(parts)
