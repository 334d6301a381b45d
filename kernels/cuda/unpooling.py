"""What a pooling left of a map: its values and switches, from which kernels compute relu(unpool) where they read it."""

from dataclasses import dataclass

import numpy as np

from kernels.backends import Array
from kernels.contract import COLLISIONS
from kernels.cuda.device import Device

Sides = tuple[int, int]
POOL = np.dtype(
    [(name, np.int32) for name in ("height", "width", "size_h", "size_w", "stride_h", "stride_w", "pad_h", "pad_w", "rule")]
)


@dataclass(frozen=True)
class Pooled:
    """y, switches (N,K,P,Q) of a map (N,K,*whole) that nobody stores. The structs are those of unpooled.cuh."""

    y: Array
    switches: Array
    size: Sides
    stride: Sides
    pad: Sides
    whole: Sides
    collisions: str

    @property
    def like_the_papers(self) -> bool:
        """Whether to_colours.cu computes cells of four positions: windows of 3x3 with stride 2 that add up where they meet."""
        return (self.size, self.stride, self.collisions) == ((3, 3), (2, 2), "sum")

    def struct(self) -> np.ndarray:
        rule = COLLISIONS.index(self.collisions)
        return np.array((*self.y.shape[2:], *self.size, *self.stride, *self.pad, rule), POOL)

    def covers(self, device: Device) -> Array:
        """For each row of the map the first and last window that cover it, then for each column."""
        key = "covers", *self.y.shape[2:], self.size, self.stride, self.pad, self.whole
        return device.table(key, self._covers)

    def _covers(self) -> np.ndarray:
        sides = []
        for windows, size, stride, pad, whole in zip(
            self.y.shape[2:], self.size, self.stride, self.pad, self.whole, strict=True
        ):
            position = np.arange(whole) + pad
            first = np.maximum(0, -((size - 1 - position) // stride))
            sides.append(np.stack([first, np.minimum(position // stride, windows - 1)], 1))
        return np.concatenate(sides).astype(np.int32)
