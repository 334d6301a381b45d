"""What every layer promises: three ways through it, and nothing remembered between them.

    y, tape   = layer.forward(x)            up
    dx, grads = layer.backward(dy, tape)    down, the gradient (training)
    r         = layer.deconv(r, tape)       down, the paper's projection (looking)

A layer holds parameters only. What the way back needs (switches, masks, sizes) is on the tape that `forward` hands out, so two
passes never disturb each other.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

import kernels
from minizf.layers.rules import Rules


class Reach(NamedTuple):
    """Which inputs one output sees: output p covers inputs p * stride - pad ... + size - 1. Pairs are (rows, columns)."""

    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]


class NoDeconvRule(ValueError):
    """A signal came down to a layer that has no rule for it. Nothing falls back silently."""


class Layer:
    """Base of all layers. Shapes without N are those of one image: (C, H, W), or (F,) after `Flatten`."""

    array_names: ClassVar[tuple[str, ...]] = ()  # trained parameters, in the order of the constructor
    option_names: ClassVar[tuple[str, ...]] = ()  # plain values, in the order of the constructor
    reach: Reach | None = None  # None: works position by position, or sees everything (after Flatten)
    padding_value: ClassVar[float] = 0.0  # what `forward` reads outside the map
    way_down: ClassVar[str] = "pass"  # what `deconv` does, in the paper's word: "unpool", "rectify", "filter"; "pass": nothing

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters, by name; the live arrays, not copies."""
        return {name: getattr(self, name) for name in self.array_names}

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's plain values, by name."""
        return {name: getattr(self, name) for name in self.option_names}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one image's output; ValueError when `shape` does not fit, with the formula."""
        return shape

    def multiply_adds(self, shape: tuple[int, ...]) -> int:
        """Multiplications with a following addition for one image whose input has this shape."""
        return 0

    def forward(self, x: np.ndarray, rng: np.random.Generator | None = None) -> tuple[np.ndarray, Any]:
        """Returns (y, tape). `rng` given means training: dropout draws from it."""
        raise NotImplementedError

    def backward(self, dy: np.ndarray, tape: Any, to_input: bool = True) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        """Returns (dx, gradients by parameter name); dx is None when `to_input` is False and it would cost work."""
        raise NotImplementedError

    def deconv(self, r: np.ndarray, tape: Any, rules: Rules) -> np.ndarray:
        """The signal r (shape of y) one layer further down (shape of x)."""
        raise NoDeconvRule(
            f"{type(self).__name__} has no deconv rule; write its `deconv(r, tape, rules)`, or project from a layer below it"
        )

    def looks_back(self, rules: Rules) -> bool:
        """Whether `deconv` needs what the forward pass saw, its tape, or only the sizes, which `note` states."""
        return True

    def note(self, input_shape: tuple[int, ...]) -> Any:
        """A tape for a layer that does not look back: made from the shape of one image's input, without a forward pass."""
        return None

    def pick(self, tape: Any, images: np.ndarray) -> Any:
        """The tape of `images` (B,) alone, in that order; an image may come several times.

        As it stands it serves tapes that are None or one array with the images in front; others write their own.
        """
        if tape is None or kernels.is_array(tape):
            return tape if tape is None else tape[kernels.to_device(images)]
        raise NoDeconvRule(f"{type(self).__name__} has no deconv rule for some images of many; write its `pick(tape, images)`")

    def window(self, tape: Any, images: np.ndarray, origin: np.ndarray, size: tuple[int, int]) -> Any:
        """The tape of windows of the output, as if each were an image of its own and the layer `unpadded()`.

        images (B,): which image of the tape; origin (B, 2): first row and column in the output map; size (h, w): of the
        windows, which lie on the map.
        """
        raise NoDeconvRule(f"{type(self).__name__} cannot be cut into windows; use the full projection")

    def unpadded(self) -> "Layer":
        """The same layer with the same parameters, without padding: for windows that bring their surroundings with them."""
        if self.reach is None or self.reach.pad == (0, 0):
            return self
        return type(self)(**self.arrays, **self.options | {"pad": 0})

    def __repr__(self) -> str:
        shapes = [f"{name}={'x'.join(map(str, array.shape))}" for name, array in self.arrays.items() if array is not None]
        return f"{type(self).__name__}({', '.join(shapes + [f'{k}={v}' for k, v in self.options.items()])})"


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """An int for both directions, or (rows, columns)."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def each(rule: Callable[..., int], *pairs: tuple[int, int]) -> tuple[int, int]:
    """`rule` applied to the pairs' values for rows, and to those for columns."""
    rows, columns = zip(*pairs, strict=True)
    return rule(*rows), rule(*columns)


def cut(maps: np.ndarray, images: np.ndarray, origin: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Windows of maps (N, C, H, W), each lying on its map -> (B, C, h, w), C-contiguous."""
    if size == maps.shape[2:]:
        return maps[images]
    windows = np.lib.stride_tricks.sliding_window_view(maps, size, axis=(2, 3))  # (N, C, H-h+1, W-w+1, h, w)
    return np.ascontiguousarray(windows[images, :, origin[:, 0], origin[:, 1]])
