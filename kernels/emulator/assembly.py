"""Between compiler and assembler: gives every shared array a place of its own, and reads off which kernel uses which.

g++ ignores a section attribute on static variables of templates, so C++ cannot gather shared arrays. In the assembly text they
are plain labels: their definitions are moved to one section, with unused bytes around each, so that running off the end of one
array does not land in the next. Who uses which array follows from which labels a function's text mentions.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

GAP_BYTES = 256
ALIGNMENT = 128
FUNCTION = re.compile(r"^\t\.type\t([\w.$]+), [@%]function\n(.*?)^\t\.size\t\1, ", re.MULTILINE | re.DOTALL)
COMMON = re.compile(r"^\t\.local\t([\w.$]+)\n\t\.comm\t\1,(\d+),\d+\n", re.MULTILINE)
ZEROS = re.compile(r"^([\w.$]+):\n\t\.zero\t(\d+)\n", re.MULTILINE)
WORD = re.compile(r"[\w.$]+")


@dataclass(frozen=True)
class SharedArray:
    """A static shared array: its name in the source, its place in the shared section, its size."""

    name: str
    offset: int
    bytes: int


def place_shared_arrays(assembly: str, names: set[str], kernels: list[str]) -> tuple[str, dict[str, list[SharedArray]]]:
    """The assembly with its shared arrays moved, and for every kernel the arrays that it or any function it calls uses."""
    arrays: dict[str, SharedArray] = {}
    end = GAP_BYTES
    for symbol, size in [*COMMON.findall(assembly), *ZEROS.findall(assembly)]:
        name = next((name for name in names if re.search(rf"(?:[EL]|_Z){len(name)}{name}(?:_\d+)?(?:\.\d+)?$", symbol)), None)
        if name is not None:
            arrays[symbol] = SharedArray(name, end, int(size))
            end += -(-int(size) // ALIGNMENT) * ALIGNMENT + GAP_BYTES
    assembly = COMMON.sub(lambda match: "" if match[1] in arrays else match[0], assembly)
    for symbol in arrays:  # a definition with a label: the label goes, its zeros stay unused
        definition = rf"^((?:\t\.(?:weak|section|align|p2align|type|size)\b[^\n]*\n)*){re.escape(symbol)}:\n"
        found = re.search(definition, assembly, re.MULTILINE)
        if found:
            renamed = found[0].replace(symbol, symbol + ".unused")
            assembly = assembly[: found.start()] + renamed + assembly[found.end() :]
    reached = _reached_by(assembly, set(arrays))
    return assembly + _section(arrays, end), {kernel: [arrays[symbol] for symbol in reached(kernel)] for kernel in kernels}


def _section(arrays: dict[str, SharedArray], end: int) -> str:
    lines = ['\t.section\tgpu_shared,"aw"', f"\t.balign {ALIGNMENT}", _label("minizf_shared_begin"), f"\t.zero {GAP_BYTES}"]
    for symbol, array in arrays.items():
        padded = -(-array.bytes // ALIGNMENT) * ALIGNMENT + GAP_BYTES
        lines += [f"\t.type {symbol}, %object", f"\t.size {symbol}, {array.bytes}", f"{symbol}:", f"\t.zero {padded}"]
    return "\n".join([*lines, _label("minizf_shared_end"), '\t.section\t.note.GNU-stack,"",%progbits', ""])


def _label(name: str) -> str:
    return f"\t.globl {name}\n\t.hidden {name}\n{name}:"


def _reached_by(assembly: str, symbols: set[str]) -> Callable[[str], list[str]]:
    """A function from a kernel's name to the shared symbols that it or a function it mentions uses, sorted."""
    mentions = {name: set(WORD.findall(body)) for name, body in FUNCTION.findall(assembly)}

    def reached(kernel: str) -> list[str]:
        seen, waiting = set(), [kernel]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += [word for word in mentions.get(name, ()) if word in mentions]
        used = set().union(*(mentions.get(name, set()) for name in seen)) & symbols
        return sorted(used)

    return reached
