"""The deconvnet: what did this activation respond to? One activation, back down to pixels.

M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 2.1. Choose a unit, set
every other activation of its layer to zero, and go down through the layers the image came up through:

    unpool    each value goes back to the place its maximum came from, as the switches of the forward pass remember
    rectify   negative signal is cut off: features are positive on the way up, and are kept so on the way down
    filter    the transposed filters: the features of a layer are painted as patterns of the layer below

    pixels = project(net, tape, "relu2", image=0, map=7)        (C, H, W), in the units of the net's input

Nothing is trained and no bias is added. Contrast normalisation is skipped. The pixels themselves are not rectified. Where
published deconvnets disagree, `Rules` (layers/rules.py) names the choices; each layer's page says what its step does and why.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

import kernels
from minizf.layers import DECONVNET, Rules
from minizf.layers.deconv_step import one_step, taken_together
from minizf.net import Net, Tape, pass_down
from minizf.units import lay_seed
from minizf.windows import Windows, project_windows

__all__ = ["Step", "Windows", "project", "project_units", "project_windows", "trace"]


def project(
    net: Net,
    tape: Tape,
    layer: str,
    image: int,
    map: int | None = None,
    at: tuple[int, int] | None = None,
    seed: str = "value",
    rules: Rules = DECONVNET,
    **named_rules: str,
) -> np.ndarray:
    """The pixels one activation responds to: (C, H, W), zero outside the unit's receptive field.

    layer   where to start, such as "relu2"; after a Flatten (fully connected units, class scores) `map` is the unit's number
    image   which image of the tape          at      (row, column) in the map; None: where the map responds most
    seed    "value" the activation itself (the paper), "one", "map" the map at all positions, "all" every map (`map` unused)
    rules   what happens at each kind of layer; or name single rules instead: rectify="both", collisions="max", lrn="jacobian"

    ValueError names what is unknown and lists what is known; NoDeconvRule for a layer that has no way down.
    """
    rules = choose(rules, named_rules)
    maps, places = None if map is None else [map], None if at is None else [at]
    return kernels.to_host(project_units(net, tape, layer, [image], maps, places, seed, rules)[0])


def project_units(
    net: Net, tape: Tape, layer: str, images, maps=None, at=None, seed: str = "value", rules: Rules = DECONVNET
) -> np.ndarray:
    """Many projections at once, each through the whole maps: images (B,), maps (B,), at (B, 2) or None -> (B, C, H, W).

    The result is where the tape is: on a GPU it stays there. Memory grows with B times the largest layer. For many units of one
    layer, `project_windows` gives the same pixels faster.
    """
    for _, signal in walk_down(net, tape, layer, images, maps, at, seed, rules, together=True):
        pixels = signal
    return pixels


def percent(share: float) -> str:
    """Share in per cent; never "100%" while something is left."""
    return "100%" if share == 1 else f"{min(100 * share, 99.99):.{2 if share > 0.99 else 1}f}%"


@dataclass(frozen=True)
class Step:
    """The signal at one point of its way down."""

    name: str  # the layer just passed; the chosen layer itself for the seed
    operation: str  # "seed", "unpool", "rectify", "filter", "skip" (normalisation), "jacobian", "reshape" or "pass"
    signal: np.ndarray  # (C, h, w), or (F,) above a Flatten

    @property
    def zeros(self) -> float:
        """Share of the signal that is zero, 0 to 1."""
        return float(np.mean(self.signal == 0))

    def __str__(self) -> str:
        size = " x ".join(map(str, self.signal.shape))
        return f"{self.operation:8} {self.name:8} {size:>15} {percent(self.zeros):>6} zero"


def trace(
    net: Net,
    tape: Tape,
    layer: str,
    image: int,
    map: int | None = None,
    at: tuple[int, int] | None = None,
    seed: str = "value",
    rules: Rules = DECONVNET,
    **named_rules: str,
) -> list[Step]:
    """The way down step by step, from the seed to the pixels; arguments as `project`, whose result the last step holds."""
    rules = choose(rules, named_rules)
    way = walk_down(net, tape, layer, [image], None if map is None else [map], None if at is None else [at], seed, rules)
    return [
        Step(layer, "seed", kernels.to_host(signal[0]))
        if below is None
        else Step(below, step_name(net, below, rules), kernels.to_host(signal[0]))
        for below, signal in way
    ]


def walk_down(
    net: Net, tape: Tape, layer: str, images, maps, at, seed, rules, together: bool = False
) -> Iterator[tuple[str | None, np.ndarray]]:
    """The whole method: yields (None, seed), then (layer passed, signal below it) down to the pixels.

    together: some neighbours go in one step, which yields what is below the last of them (layers/deconv_step.py).
    """
    images = np.asarray(images)
    maps = None if maps is None else np.asarray(maps)
    at = None if at is None else np.asarray(at)
    signal = lay_seed(net, tape, layer, images, maps, at, seed)
    yield None, signal
    names = net.chain(layer)[::-1]
    layers = [net.layers[name] for name in names]
    for part in taken_together(layers, rules) if together else (slice(i, i + 1) for i in range(len(layers))):
        top, bottom = names[part][0], names[part][-1]
        read = net.input_shape_of(bottom)
        step = one_step(layers[part], read)
        note = step.pick(tape[top], images) if step.looks_back(rules) else step.note(read)
        signal = pass_down(top, step, signal, note, rules)
        yield bottom, signal


def step_name(net: Net, name: str, rules: Rules) -> str:
    """What passing this layer does, in a word."""
    word = net.layers[name].way_down
    return rules.lrn if word == "skip" else word


def choose(rules: Rules, named: dict[str, str]) -> Rules:
    """`rules`, with single ones replaced by name; TypeError lists the questions a rule can answer."""
    unknown = [name for name in named if name not in Rules.KNOWN]
    if unknown:
        raise TypeError(f"{unknown[0]!r} is not an argument here; rules one can name are {', '.join(Rules.KNOWN)}")
    return replace(rules, **named)
