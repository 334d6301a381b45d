"""Arrays whose content nothing has written yet.

`empty` fills with a pattern that is a NaN in float32 and float64. Checked launches remember byte by byte what kernels have
written; what the host writes is noticed at the next launch, where the pattern is gone. Around the array lie guard bands of the
same pattern, at which launches in fast mode look afterwards.
"""

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

PATTERN = np.uint32(0xFFF5C3E1)  # a NaN, whichever way four bytes of it are read as float32; so are eight as float64
GUARD_WORDS = 64  # a multiple of 16 bytes, so that float4 stays aligned


class Unwritten:
    """What is remembered of one array made by `empty`."""

    def __init__(self, words: np.ndarray, size: int) -> None:
        self.words = weakref.ref(words)
        self.size = size
        self.begin = words.ctypes.data + 4 * GUARD_WORDS
        self.written = np.zeros(size + 16, np.uint8)  # 1: this byte has been written
        self.all_written = False

    def notice_host_writes(self) -> None:
        """Bytes of words that no longer hold the pattern have been written, whoever did it."""
        words = self.words()
        if self.all_written or words is None:
            return
        inside = words[GUARD_WORDS : GUARD_WORDS + -(-self.size // 4)]
        self.written[: self.size] |= np.repeat(inside != PATTERN, 4)[: self.size]
        self.all_written = bool(self.written[: self.size].all())

    def broken_guard(self) -> str:
        """The side on which the guard band has changed: "before", "after" or neither ("")."""
        words = self.words()
        if words is None:
            return ""
        if (words[:GUARD_WORDS] != PATTERN).any():
            return "before"
        intact = np.full(len(words) - GUARD_WORDS, PATTERN).view(np.uint8)[self.size :]
        return "" if np.array_equal(words[GUARD_WORDS:].view(np.uint8)[self.size :], intact) else "after"


_made: dict[int, Unwritten] = {}
_lock = threading.Lock()


def empty(shape: int | Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    """An array like numpy.empty, whose memory counts as unwritten until a kernel or the host writes it; NaN where it can be."""
    dtype = np.dtype(dtype)
    sizes = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    size = int(np.prod(sizes, dtype=np.int64)) * dtype.itemsize
    words = np.full(2 * GUARD_WORDS + -(-size // 4), PATTERN)
    record = Unwritten(words, size)
    with _lock:
        _made[record.begin] = record
    weakref.finalize(words, _forget, record)
    return words.view(np.uint8)[4 * GUARD_WORDS : 4 * GUARD_WORDS + size].view(dtype).reshape(sizes)


def _forget(record: Unwritten) -> None:
    if _made.get(record.begin) is record:
        del _made[record.begin]


def unwritten_at(begin: int, end: int) -> Unwritten | None:
    """What is remembered of the array made by `empty` in whose memory [begin, end) lies."""
    with _lock:
        return next((r for r in _made.values() if r.begin <= begin and end <= r.begin + r.size and r.words() is not None), None)
