"""Convolutions as tables: which taps an output sums, and where they lie. The structs are those of geometry.cuh.

conv2d: one phase, tap (c, r, s) of output (p, q) is x[c, p*sh + r - ph, q*sw + s - pw].

conv2d_transpose: which r can reach row h depends only on (h + ph) mod sh, so the rows fall into sh phases, the columns into sw.
Within a phase, h = i*sh + a, the taps are r = rho, rho + sh, ... and each reads dy one row higher than the one before:

    rho = (a + ph) mod sh        p = i + (a + ph) div sh - j        for r = rho + j*sh

so every phase is a convolution of stride 1 over dy with its own share of the filters, flipped. No zeros are put between the
numbers of dy, and no two threads add to one place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Sides = tuple[int, int]

STEP = 8  # taps in a step of the tile: a phase's taps are filled up to a multiple
OUTSIDE = -(2**30)  # a row that no input has
TAP = np.dtype([(name, np.int32) for name in ("offset", "row", "column", "weight")])
PHASE = np.dtype([(name, np.int32) for name in ("first_tap", "taps", "rows", "columns", "place")])
GEOMETRY = np.dtype(
    [
        (name, np.int32)
        for name in (
            *("images", "maps", "height", "width", "step_h", "step_w", "filters", "plane", "row_step", "column_step"),
            *("phases", "pitch", "splits", "rectify", "aligned"),
        )
    ]
)


@dataclass(frozen=True)
class Plan:
    """A convolution or an adjoint on the host: its tables, and what the launches need to know of them."""

    key: tuple  # the same for equal tables
    taps: np.ndarray  # TAP
    phases: np.ndarray  # PHASE
    maps: int
    size: Sides  # of the input's maps
    step: Sides
    filters: int  # maps of the output
    out_size: Sides
    out_step: Sides
    filter_step: int  # from one output map's weights to the next's

    @property
    def steps(self) -> int:
        """Steps of a phase, on average; at least one."""
        return max(1, round(int(self.phases["taps"].sum()) / len(self.phases) / STEP))

    def pixels(self, images: int) -> int:
        """Output pixels of the largest phase."""
        return images * int((self.phases["rows"] * self.phases["columns"]).max())

    def struct(self, images: int, pitch: int, splits: int, rectify: bool) -> np.ndarray:
        """The Geometry that a kernel takes by value."""
        plane, row_step = self.out_size[0] * self.out_size[1], self.out_step[0] * self.out_size[1]
        aligned = len(self.phases) == 1 and self.out_step == (1, 1) and plane % 4 == 0
        values = (
            *(images, self.maps, *self.size, *self.step, self.filters, plane, row_step, self.out_step[1]),
            *(len(self.phases), pitch, splits, rectify, aligned),
        )
        return np.array(values, GEOMETRY)


@lru_cache(maxsize=256)
def forward(maps: int, size: Sides, filters: int, window: Sides, stride: Sides, pad: Sides, out_size: Sides) -> Plan:
    """conv2d of x (N, maps, *size) with w (filters, maps, *window)."""
    c, r, s = np.indices((maps, *window)).reshape(3, -1)
    taps = _filled(c, r - pad[0], s - pad[1], np.arange(c.size), size)
    phases = np.array([(0, taps.size, *out_size, 0)], PHASE)
    key = "forward", maps, size, filters, window, stride, pad, out_size
    return Plan(key, taps, phases, maps, size, stride, filters, out_size, (1, 1), c.size)


@lru_cache(maxsize=256)
def transposed(filters: int, size: Sides, channels: int, window: Sides, stride: Sides, pad: Sides, out_size: Sides) -> Plan:
    """conv2d_transpose of dy (N, filters, *size) with w (filters, channels, *window) to dx (N, channels, *out_size)."""
    tables, phases, first = [], [], 0
    for a, rows, row_taps, row_reads in output_phases(out_size[0], window[0], stride[0], pad[0]):
        for b, columns, column_taps, column_reads in output_phases(out_size[1], window[1], stride[1], pad[1]):
            k, i, j = np.indices((filters, row_taps.size, column_taps.size)).reshape(3, -1)
            weight = (k * channels * window[0] + row_taps[i]) * window[1] + column_taps[j]
            taps = _filled(k, row_reads[i], column_reads[j], weight, size)
            tables.append(taps)
            phases.append((first, taps.size, rows, columns, a * out_size[1] + b))
            first += taps.size
    key = "transposed", filters, size, channels, window, stride, pad, out_size
    step = window[0] * window[1]
    return Plan(key, np.concatenate(tables), np.array(phases, PHASE), filters, size, (1, 1), channels, out_size, stride, step)


def output_phases(length: int, taps: int, stride: int, pad: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """For each phase: (a, how many outputs it has, its filter rows, the p that output 0 reads with each), p rising."""
    for a in range(min(stride, length)):
        ahead, rho = divmod(a + pad, stride)
        rows = np.arange(rho, taps, stride)[::-1]
        yield a, -(-(length - a) // stride), rows, ahead - (rows - rho) // stride


def _filled(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, size: Sides) -> np.ndarray:
    """The table of these taps, filled up to whole steps with taps that read nothing."""
    taps = np.zeros(-(-maps.size // STEP) * STEP, TAP)
    taps["row"], taps["weight"] = OUTSIDE, -1
    real = taps[: maps.size]
    real["offset"] = (maps * size[0] + rows) * size[1] + columns
    real["row"], real["column"], real["weight"] = rows, columns, weights
    return taps
