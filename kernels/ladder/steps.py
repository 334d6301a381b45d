"""What a step of a ladder is: a file with one idea, how it is launched, and what its text says about memory."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent
LANGUAGES = {"cuda": ".cu", "python": ".py"}


class Memory(NamedTuple):
    """Accesses by single threads, and their bytes."""

    accesses: int
    bytes: int

    def __add__(self, other: tuple) -> "Memory":
        return Memory(self.accesses + other[0], self.bytes + other[1])


NOTHING = Memory(0, 0)


def floats(accesses: int) -> Memory:
    return Memory(accesses, 4 * accesses)


def float4s(accesses: int) -> Memory:
    return Memory(accesses, 16 * accesses)


class Traffic(NamedTuple):
    """What all threads of a launch read and write together, caches left aside."""

    global_reads: Memory
    global_writes: Memory
    shared_reads: Memory = NOTHING
    shared_writes: Memory = NOTHING


class Launch(NamedTuple):
    grid: tuple[int, ...]
    block: tuple[int, ...]


class Bug(NamedTuple):
    """A line made wrong on purpose: `text` of the file becomes `wrong`, in the first place where it stands."""

    says: str
    text: str
    wrong: str
    python_text: str = ""
    python_wrong: str = ""


class Case(NamedTuple):
    """A launch's arguments but for the output, and what must come out, to within `bound` (both in float64)."""

    inputs: tuple[np.ndarray, ...]
    numbers: tuple[int, ...]
    python_numbers: tuple[int, ...]
    expected: np.ndarray
    bound: np.ndarray


@dataclass(frozen=True)
class Step:
    name: str
    idea: str
    launch: Callable[[Any], Launch]
    traffic: Callable[[Any], Traffic]
    python_traffic: Callable[[Any], Traffic] | None = None  # where it is not that of the .cu file
    barriers: Callable[[Any], int] = lambda problem: 0  # met by each block
    bugs: dict[str, Bug] = field(default_factory=dict)
    languages: tuple[str, ...] = ("cuda", "python")
    cleared: bool = False  # the output must hold zeros before the launch
    rectified: bool = False
    tensor_cores: bool = False

    @property
    def number(self) -> int:
        return int(self.name.partition("_")[0])

    def claims(self, problem: Any, language: str) -> Traffic:
        """What the step's file says it reads and writes."""
        claimed = self.python_traffic if language == "python" else None
        return (claimed or self.traffic)(problem)


@dataclass(frozen=True)
class Ladder:
    """The problems: `shown` in the page's tables, `small` for the slow simulator, a `layer` of ZFNet for a GPU's clock, and
    `awkward` ones to be right on."""

    name: str
    kernel: str
    steps: tuple[Step, ...]
    shown: Any
    small: Any
    layer: Any
    layer_name: str
    awkward: tuple[Any, ...]
    case: Callable[..., Case]  # of (problem, step, seed)
    deterministic: bool = True  # every step; False: the table says which are

    def path(self, step: Step, language: str) -> Path:
        return FOLDER / self.name / (step.name + LANGUAGES[language])

    def text(self, step: Step, language: str, bug: str = "") -> str:
        """The step's source, right or with one of its bugs."""
        text = self.path(step, language).read_text()
        if not bug:
            return text
        if bug not in step.bugs:
            known = ", ".join(step.bugs) or "none"
            raise ValueError(f"{self.name} {step.name} has no bug {bug!r}; it has: {known}")
        planted = step.bugs[bug]
        right, wrong = (planted.text, planted.wrong) if language == "cuda" else (planted.python_text, planted.python_wrong)
        if right not in text:
            raise ValueError(f"{self.path(step, language).name} has no line {right!r} to break")
        return text.replace(right, wrong, 1)

    def parse(self, shape: str) -> Any:
        """A problem from words like `N2 C3 H9 W7 K5 R3 S3 stride2 pad1`; what is not named stays as shown on the page."""
        found = {name: int(number) for name, number in re.findall(r"([A-Za-z]+)\s*=?\s*(\d+)", shape)}
        unknown = set(found) - set(self.shown._fields)
        if unknown or not found or re.sub(r"([A-Za-z]+)\s*=?\s*(\d+)|[\s,]", "", shape):
            names = " ".join(f"{name}{value}" for name, value in self.shown._asdict().items())
            raise ValueError(f"shape {shape!r} is not understood; write it like: {names}")
        absent = [name for name, value in found.items() if value == 0 and name != "pad"]
        if absent:
            raise ValueError(f"shape {shape!r}: {absent[0]} is 0; expected at least 1")
        return self.shown._replace(**found)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def covered(size: int, window: int, outputs: int, stride: int, pad: int) -> int:
    """How many (output, place in its window) lie inside an image of `size`, in one direction."""
    return sum(0 <= p * stride - pad + r < size for p in range(outputs) for r in range(window))
