"""Arrays for results, from a shelf of memory that is used again.

A training step makes and drops some hundred megabytes of arrays. Given back to the operating system, every page of them comes
anew the next time and is cleared first, which takes as long as several convolutions. So when the last view of a large array is
gone its memory goes to the shelf, and the next array of that size takes it from there.
"""

import math

import numpy as np

LINE = 64  # bytes in a cache line: an array that begins one has no vector that straddles two
LARGE = 1 << 18  # bytes; below, NumPy's own allocation is as good
STEP = 1 << 16  # sizes are rounded up to this, so that nearly equal arrays share
LIMIT = 1 << 29  # bytes on the shelf; when more would lie there it is cleared

_shelf: dict[int, list[np.ndarray]] = {}
_shelved = 0


class _Loan:
    """Owns the memory of one array; NumPy keeps it alive as the `base` of all views."""

    def __init__(self, memory, shape, dtype):
        self.memory = memory
        self.__array_interface__ = {
            "data": (_first(memory), False),
            "shape": shape,
            "typestr": np.dtype(dtype).str,
            "version": 3,
        }

    def __del__(self):
        global _shelved
        if _shelf is None:  # the interpreter is ending
            return
        if _shelved + self.memory.size > LIMIT:
            _shelf.clear()
            _shelved = 0
        _shelf.setdefault(self.memory.size, []).append(self.memory)
        _shelved += self.memory.size


def _first(memory):
    """Address of the first cache line that begins inside."""
    return -(-memory.ctypes.data // LINE) * LINE


def aligned(shape, dtype=np.float32):
    """A new array of any content whose first number begins a cache line."""
    global _shelved
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        room = np.empty(size + LINE, np.uint8)
        start = _first(room) - room.ctypes.data
        return room[start : start + size].view(dtype).reshape(shape)
    whole = -(-size // STEP) * STEP + LINE
    try:
        memory = _shelf[whole].pop()
        _shelved -= whole
    except (KeyError, IndexError):
        memory = np.empty(whole, np.uint8)
    return np.asarray(_Loan(memory, tuple(shape), dtype))
