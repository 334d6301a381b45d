"""The arguments of a launch, checked against the kernel's parameters before anything runs.

CuPy hands arguments over as they come: a Python float becomes eight bytes, of which a kernel that takes `float` reads four.
Here that is an error that says what to pass.
"""

import ctypes
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.emulator.build import BuiltKernel, Parameter

KINDS = {"f": "float", "i": "signed", "u": "unsigned", "b": "bool", "V": "struct"}
C_NAMES = {
    ("float", 4): "float",
    ("float", 8): "double",
    ("signed", 1): "char",
    ("signed", 2): "short",
    ("signed", 4): "int",
    ("signed", 8): "long long",
    ("unsigned", 1): "unsigned char",
    ("unsigned", 2): "unsigned short",
    ("unsigned", 4): "unsigned",
    ("unsigned", 8): "unsigned long long",
    ("bool", 1): "bool",
    ("void", 1): "void",
}


@dataclass(frozen=True)
class Extent:
    """The memory of an array argument: bytes [begin, end), and how messages name a place in it."""

    name: str
    begin: int
    end: int
    itemsize: int
    array: np.ndarray


@dataclass(frozen=True)
class Prepared:
    """Pointers to the arguments as the kernel's caller wants them, what must stay alive meanwhile, and the arrays' memory."""

    pointers: Any
    kept: list[Any]
    extents: list[Extent]


def c_type(parameter: Parameter) -> str:
    """The parameter's type as C would write it."""
    name = C_NAMES.get((parameter.kind, parameter.bytes), f"struct of {parameter.bytes} bytes")
    return f"{'const ' if parameter.constant else ''}{name}*" if parameter.pointer else name


def prepare(kernel: BuiltKernel, arguments: tuple[Any, ...]) -> Prepared:
    """Raises TypeError or ValueError that names the argument, what came and what the kernel takes."""
    if len(arguments) != len(kernel.parameters):
        wanted = ", ".join(f"{c_type(p)} {p.name}" for p in kernel.parameters)
        raise TypeError(f"{kernel.name} takes {len(kernel.parameters)} arguments ({wanted}), got {len(arguments)}")
    pointers = (ctypes.c_void_p * max(1, len(arguments)))()
    kept: list[Any] = []
    extents: list[Extent] = []
    for index, (argument, parameter) in enumerate(zip(arguments, kernel.parameters, strict=True)):
        label = f"{kernel.name}: argument {index + 1} `{parameter.name}`"
        value: Any
        if parameter.pointer:
            address = _address(label, argument, parameter)
            if address is not None:
                extents.append(_extent(parameter.name, argument))
            value = ctypes.c_void_p(address)
            pointers[index] = ctypes.addressof(value)
        else:
            value = _scalar(label, argument, parameter)
            pointers[index] = value.ctypes.data
        kept.append(value)
    return Prepared(pointers, kept, extents)


def _address(label: str, argument: Any, parameter: Parameter) -> int | None:
    wanted = c_type(parameter)
    if argument is None:
        return None
    if not isinstance(argument, np.ndarray):
        raise TypeError(
            f"{label} is {_described(argument)}, the kernel takes {wanted}; pass a NumPy array, or None for a null pointer"
        )
    if argument.ndim == 0:
        raise TypeError(
            f"{label} is a 0-d array, which is passed by value; the kernel takes {wanted}: pass an array of one element"
        )
    if argument.size and not argument.flags.c_contiguous:
        raise ValueError(
            f"{label} does not lie row by row in memory (its strides are {argument.strides} bytes), and a kernel only learns "
            "where it begins; pass numpy.ascontiguousarray(...)"
        )
    if not parameter.constant and not argument.flags.writeable:
        raise ValueError(f"{label} is read-only, the kernel takes {wanted} and may write it; pass a copy, or make it const")
    kind = KINDS.get(argument.dtype.kind, "other")
    same = (kind, argument.itemsize) == (parameter.kind, parameter.bytes) or {kind, parameter.kind} <= {
        "signed",
        "unsigned",
        "bool",
    }
    if parameter.kind not in ("void", "struct") and not (same and argument.itemsize == parameter.bytes):
        raise TypeError(f"{label} is an array of {argument.dtype}, the kernel takes {wanted}; convert it with .astype")
    if kind == "struct" and parameter.kind == "struct" and argument.itemsize != parameter.bytes:
        raise TypeError(
            f"{label} has elements of {argument.itemsize} bytes, the kernel takes {wanted}; "
            "give the dtype the fields of the struct, align=True"
        )
    address = argument.ctypes.data
    if argument.size and address % parameter.alignment:
        raise ValueError(
            f"{label} begins at an address that is not a multiple of {parameter.alignment}, as {wanted} needs; pass a copy"
        )
    return address


def _extent(name: str, array: np.ndarray) -> Extent:
    begin, end = np.lib.array_utils.byte_bounds(array) if array.size else (array.ctypes.data, array.ctypes.data)
    return Extent(name, begin, end, array.itemsize, array)


def _scalar(label: str, argument: Any, parameter: Parameter) -> np.ndarray:
    wanted = c_type(parameter)
    if isinstance(argument, np.ndarray) and argument.ndim > 0:
        raise TypeError(f"{label} is an array of shape {argument.shape}, the kernel takes {wanted} by value; pass a number")
    if not isinstance(argument, np.generic | np.ndarray | numbers.Number):
        raise TypeError(f"{label} is {_described(argument)}, the kernel takes {wanted}; pass a number")
    value = np.array(argument)
    kind = KINDS.get(value.dtype.kind, "other")
    fits = kind == parameter.kind or {kind, parameter.kind} <= {"signed", "unsigned"}
    if parameter.kind == "struct":
        if value.itemsize != parameter.bytes:
            raise TypeError(
                f"{label} has {value.itemsize} bytes, the kernel takes a struct of {parameter.bytes}; "
                "pass a 0-d array whose dtype has the struct's fields, align=True"
            )
    elif not fits or value.itemsize != parameter.bytes:
        raise TypeError(f"{label} is {_described(argument)}, the kernel takes {wanted}; pass {_remedy(parameter)}")
    return value


def _described(argument: Any) -> str:
    if isinstance(argument, bool):
        return "bool"
    if isinstance(argument, int) and not isinstance(argument, np.generic):
        return "a Python int, which is passed as int64"
    if isinstance(argument, float) and not isinstance(argument, np.generic):
        return "a Python float, which is passed as float64"
    return str(argument.dtype) if isinstance(argument, np.generic | np.ndarray) else type(argument).__name__


def _remedy(parameter: Parameter) -> str:
    name = {"float": "float", "signed": "int", "unsigned": "uint", "bool": "bool_"}.get(parameter.kind, "")
    return f"numpy.{name}{'' if parameter.kind == 'bool' else 8 * parameter.bytes}(...)"
