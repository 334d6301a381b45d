"""The structures that Python and the C++ runtime share, field by field as in runtime/types.h and device/launcher.h."""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p

import numpy as np

LOCAL, GLOBAL, SHARED = range(3)
MOST_SHARED = 227 << 10  # bytes of a block; the runtime has as many of dynamic shared memory
ORDERS = {"forward": 0, "reverse": 1, "shuffled": 2}
COUNTS = np.dtype(
    [
        (f"{where}_{what}", np.uint32)
        for where in ("global", "shared")
        for what in ("reads", "read_bytes", "writes", "write_bytes")
    ]
    + [("atomics", np.uint32)]
)


class Region(Structure):
    _fields_ = (
        ("base", c_void_p),
        ("bytes", c_size_t),
        ("written", c_void_p),
        ("shadow", c_size_t),
        ("space", c_int),
        ("skew", c_int),
    )


class Library(Structure):
    _fields_ = (("image", c_void_p), ("image_end", c_void_p), ("shared", c_void_p), ("shared_end", c_void_p))


class Transactions(Structure):
    _fields_ = (("requests", c_uint64 * 2 * 2), ("units", c_uint64 * 2 * 2))


class Error(Structure):
    _fields_ = (
        ("fault", c_int),
        ("block", c_uint * 3),
        ("thread", c_uint * 3),
        ("other_block", c_uint * 3),
        ("other", c_uint * 3),
        ("region", c_int),
        ("space", c_int),
        ("access", c_int),
        ("other_access", c_int),
        ("bytes", c_int),
        ("line", c_int),
        ("other_line", c_int),
        ("number", c_int),
        ("offset", c_int64),
        ("place", c_uint64),
        ("other_place", c_uint64),
        ("address", c_uint64),
        ("operation", c_char_p),
        ("other_operation", c_char_p),
    )


class Launch(Structure):
    _fields_ = (
        ("call", c_void_p),
        ("arguments", POINTER(c_void_p)),
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("dynamic_bytes", c_size_t),
        ("order", c_int),
        ("checked", c_int),
        ("limit_s", c_double),
        ("regions", POINTER(Region)),
        ("region_count", c_int),
        ("library", Library),
        ("counts", c_void_p),
        ("shadow_words", c_size_t),
        ("transactions", Transactions),
        ("error", Error),
    )


class ParameterRecord(Structure):
    _fields_ = (("kind", c_char_p), ("bytes", c_int), ("alignment", c_int), ("pointer", c_int), ("constant", c_int))


class KernelRecord(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("call", c_void_p),
        ("parameter_count", c_int),
        ("parameters", POINTER(ParameterRecord)),
    )


def open_runtime(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    library.minizf_dynamic_shared_memory.restype = c_void_p
    library.minizf_launch.argtypes = [POINTER(Launch)]
    return library


def open_kernels(path: str) -> tuple[ctypes.CDLL, Library, dict[str, KernelRecord]]:
    """The library, where its parts lie in memory, and its kernels by name."""
    library = ctypes.CDLL(path)
    library.minizf_kernels.restype = POINTER(KernelRecord)
    parts = Library()
    library.minizf_library(ctypes.byref(parts))
    table, kernels = library.minizf_kernels(), {}
    index = 0
    while table[index].name:
        kernels[table[index].name.decode()] = table[index]
        index += 1
    return library, parts, kernels
