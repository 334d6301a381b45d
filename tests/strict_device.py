"""A device to test with: its arrays behave as CuPy's where that matters, and computes on the CPU.

CuPy's arrays refuse to become NumPy's unasked (`np.asarray(x)` is a TypeError), refuse to mix with them (`x + numpy_array`),
and come back to the host by `.get()`, by `float(x)`, `int(x)` or `bool(x)` alone. So does `DeviceArray`, which counts each way
back, and which does nothing else: an operation it lacks is an operation the device code may not use. It is stricter than CuPy
in one thing: no NumPy function takes it at all, and NumPy arrays cannot index it.

`implementation()` is one of `kernels`, whose array library is this module, computing through `numpy_blas`.
"""

import functools
import operator
import sys
from contextlib import contextmanager

import numpy as np

from kernels import backends, numpy_blas

crossings = {"to host": 0, "to device": 0}


class DeviceArray:
    __array_priority__ = 100

    def __init__(self, inner):
        self.inner = np.asarray(inner)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, *args, **kwargs):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")

    def __array_function__(self, function, *args, **kwargs):
        raise TypeError(f"{function.__name__}: a NumPy function met a device array")

    shape = property(lambda self: self.inner.shape)
    dtype = property(lambda self: self.inner.dtype)
    ndim = property(lambda self: self.inner.ndim)
    size = property(lambda self: self.inner.size)
    nbytes = property(lambda self: self.inner.nbytes)
    flags = property(lambda self: self.inner.flags)

    def get(self):
        crossings["to host"] += 1
        return self.inner.copy()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __len__(self):
        return len(self.inner)

    def fill(self, value):
        self.inner.fill(value)

    def __getitem__(self, key):
        return DeviceArray(self.inner[inner_key(key)])

    def __setitem__(self, key, value):
        self.inner[inner_key(key)] = inner_operand(value)


def inner_key(key):
    if isinstance(key, tuple):
        return tuple(inner_key(one) for one in key)
    if isinstance(key, DeviceArray):
        return key.inner
    if key is None or key is Ellipsis or isinstance(key, slice | int | np.integer):
        return key
    raise TypeError(f"a device array cannot be indexed with a {type(key).__name__}")


def inner_operand(value):
    if isinstance(value, DeviceArray):
        return value.inner
    if isinstance(value, int | float | np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _method(name):
    def method(self, *arguments, **options):
        return DeviceArray(getattr(self.inner, name)(*arguments, **options))

    return method


def _binary(function, swapped=False):
    def method(self, other):
        operands = (inner_operand(other), self.inner) if swapped else (self.inner, inner_operand(other))
        with np.errstate(all="ignore"):
            return DeviceArray(function(*operands))

    return method


for _name in ("reshape", "copy", "astype", "sum", "mean", "max", "min", "argmax", "all", "any"):
    setattr(DeviceArray, _name, _method(_name))
for _name in ("add", "sub", "mul", "truediv", "eq", "ne", "lt", "le", "gt", "ge"):
    setattr(DeviceArray, f"__{_name}__", _binary(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(DeviceArray, f"__r{_name}__", _binary(getattr(operator, _name), swapped=True))
DeviceArray.__abs__ = lambda self: DeviceArray(abs(self.inner))
DeviceArray.__hash__ = None

# what `kernels` asks of an array library
ndarray = DeviceArray


def asarray(value):
    if isinstance(value, DeviceArray):
        return value
    crossings["to device"] += 1
    return DeviceArray(np.array(value))


def array(value, order="C", copy=True):
    return DeviceArray(np.array(inner_operand(value), order=order, copy=copy))


def zeros(shape, dtype):
    return DeviceArray(np.zeros(shape, dtype))


def stack(values):
    return DeviceArray(np.stack([inner_operand(value) for value in values]))


def may_share_memory(one, other):
    return np.may_share_memory(one.inner, other.inner)


def _on_device(function):
    """An operation of `numpy_blas` on device arrays."""

    @functools.wraps(function)
    def operation(*arguments):
        assert not any(isinstance(argument, np.ndarray) for argument in arguments), "a NumPy array reached a device kernel"
        result = function(*(argument.inner if isinstance(argument, DeviceArray) else argument for argument in arguments))
        if isinstance(result, tuple):
            return tuple(map(DeviceArray, result))
        return None if result is None else DeviceArray(result)

    return operation


class Operations:
    """Every operation of the contract, on device arrays."""


for _name in backends.OPERATIONS:
    setattr(Operations, _name, staticmethod(_on_device(getattr(numpy_blas, _name))))


@contextmanager
def implementation(monkeypatch):
    """Registers the implementation "strict-device", uses it, and counts crossings from 0."""
    monkeypatch.setitem(
        backends.KNOWN,
        "strict-device",
        backends.Implementation(
            "strict-device", __name__, (backends.FLOAT32,), "", array_module=__name__, attribute="Operations"
        ),
    )
    monkeypatch.delitem(backends._loaded, "strict-device", raising=False)
    assert __name__ in sys.modules
    with backends.use("strict-device"):
        crossings.update({"to host": 0, "to device": 0})
        yield crossings
