"""What a CUDA source text declares: its kernels with the names of their parameters, and its shared arrays.

The text is looked at after preprocessing: kernels that a macro makes are found, those inside `#if 0` or a comment are not.
Types need no parsing: the compiler states them (device/launcher.h). Only names are read off here.
"""

import re
from dataclasses import dataclass

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|\d[\w.]*|\S')
OPENING, CLOSING = "([{<", ")]}>"
DYNAMIC_SHARED = re.compile(r"\bextern\b([^;{}()]*(?:\([^;{}()]*\)[^;{}()]*)*?)\b__shared__\b([^;{}]*?)(\w+)\s*\[\s*\]\s*;")


@dataclass(frozen=True)
class KernelText:
    """A kernel as its text declares it."""

    name: str
    parameters: tuple[str, ...]
    extern_c: bool


def name_dynamic_shared(code: str) -> str:
    """Turn every `extern __shared__ T name[];` into a name for the runtime's dynamic shared memory, on the same lines."""
    return DYNAMIC_SHARED.sub(r'extern \1\2\3[] __asm__("minizf_dynamic_shared");', code)


def kernels_in(preprocessed: str) -> list[KernelText]:
    """All `__global__` functions that are defined and not templates, in the order of the text."""
    tokens = TOKEN.findall(preprocessed)
    found: dict[str, KernelText] = {}
    braces: list[bool] = []  # for every open brace: is it that of `extern "C" {`
    for index, token in enumerate(tokens):
        if token == "{":
            braces.append(tokens[index - 2 : index] == ["extern", '"C"'])
        elif token == "}" and braces:
            braces.pop()
        elif token == "__global__":
            kernel = _kernel_at(tokens, index, any(braces))
            if kernel:
                found[kernel.name] = kernel
    return list(found.values())


def _kernel_at(tokens: list[str], index: int, in_extern_c: bool) -> KernelText | None:
    begin = index
    while begin and tokens[begin - 1] not in (";", "}", "{"):
        begin -= 1
    if "template" in tokens[begin:index]:
        return None
    opening = index + 1
    while opening < len(tokens):  # the parenthesis after the name; attributes such as __launch_bounds__(256) have one too
        if tokens[opening] == "(":
            if not re.match(r"__launch_bounds__$|__attribute__$|__cluster_dims__$", tokens[opening - 1]):
                break
            opening = _closing(tokens, opening)
        opening += 1
    else:
        return None
    closing = _closing(tokens, opening)
    if closing + 1 >= len(tokens) or tokens[closing + 1] != "{":
        return None  # a declaration; its definition follows
    extern_c = in_extern_c or 'extern "C"' in " ".join(tokens[begin:index])
    return KernelText(tokens[opening - 1], tuple(_parameter_names(tokens[opening + 1 : closing])), extern_c)


def _closing(tokens: list[str], opening: int) -> int:
    depth = 0
    for index in range(opening, len(tokens)):
        depth += (tokens[index] in "([{") - (tokens[index] in ")]}")
        if depth == 0:
            return index
    return len(tokens) - 1


def _parameter_names(tokens: list[str]) -> list[str]:
    names: list[str] = []
    depth, name, in_default = 0, "", False
    for index, token in enumerate([*tokens, ","]):
        if token == "," and depth == 0:
            names += [name] * bool(name)
            name, in_default = "", False
        elif token in OPENING:
            depth += 1
        elif token in CLOSING:
            depth -= 1
        elif token == "=" and depth == 0:
            in_default = True
        elif not in_default and re.match(r"[A-Za-z_]\w*$", token):
            pointed = tokens[max(0, index - 2) : index] == ["(", "*"]  # float (*rows)[4]
            if depth == 0 or pointed:
                name = token
    return [] if names == ["void"] else names


def shared_names(preprocessed: str) -> set[str]:
    """The names of all variables declared `__shared__`, and of those that DYN_SHARED makes none: they have no storage."""
    tokens = TOKEN.findall(preprocessed)
    names = set()
    for index, token in enumerate(tokens):
        if token != "__shared__":
            continue
        depth = 0
        for place in range(index + 1, len(tokens)):
            here, following = tokens[place], tokens[place + 1] if place + 1 < len(tokens) else ";"
            depth += (here in OPENING) - (here in CLOSING)
            if depth == 0 and re.match(r"[A-Za-z_]\w*$", here) and following in ("[", ",", ";", "="):
                names.add(here)
            if here == ";" and depth <= 0:
                break
    return names
