"""Arrays with guard bands: memory before and after that nobody may write, and that shows in the results of who reads it.

The bands hold NaN (in bytes 255, no switch of any window), so a value read beyond an input makes its sum NaN.
"""

from dataclasses import dataclass

import numpy as np

BAND = 1024  # bytes on either side
LINE = 64  # the array itself begins a cache line
FILL = 0xFF  # four of them are a NaN


@dataclass(frozen=True)
class Guarded:
    """`array` lies inside `memory`, all of it but the array filled."""

    array: np.ndarray
    memory: np.ndarray
    start: int

    def intact(self) -> bool:
        """Whether the bands still hold what they held."""
        before, after = self.memory[: self.start], self.memory[self.start + self.array.nbytes :]
        return bool((before == FILL).all() and (after == FILL).all())

    def restore(self) -> None:
        self.memory[: self.start] = FILL
        self.memory[self.start + self.array.nbytes :] = FILL


def guarded(like: np.ndarray) -> Guarded:
    """A C-contiguous copy of `like` between its bands."""
    memory = np.full(like.nbytes + 2 * BAND + LINE, FILL, np.uint8)
    start = BAND + -(memory.ctypes.data + BAND) % LINE
    array = memory[start : start + like.nbytes].view(like.dtype).reshape(like.shape)
    array[...] = like
    return Guarded(array, memory, start)
