"""The tables that the kernels for tensor cores read: the plans of geometry.py in steps of 16 taps, and bits instead of bounds.

Whether a tap lies inside the input is one comparison of bits (tensor_cores.cuh): a tap has the bit of its row and that of its
column, a pixel those of all rows and columns that lie inside when seen from it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from kernels.cuda import geometry
from kernels.cuda.geometry import Plan, Sides

DEPTH = 16  # as in tensor_cores.cuh
REACH = 15  # rows, or columns, that the bits can tell apart
PLACE = np.dtype([("offset", np.int32), ("bits", np.int32)])
NOWHERE = -(2**31)  # the bit that no pixel has


@dataclass(frozen=True)
class DeepPlan(Plan):
    """A plan whose phases' taps are filled up to a multiple of DEPTH."""

    corner: Sides  # the first row and column of any tap: what bit 0 stands for


@lru_cache(128)
def forward(*arguments) -> DeepPlan:
    """As geometry.forward."""
    return _deepened(geometry.forward(*arguments))


@lru_cache(128)
def transposed(*arguments) -> DeepPlan:
    """As geometry.transposed."""
    return _deepened(geometry.transposed(*arguments))


@lru_cache(128)
def turned(*arguments) -> DeepPlan:
    """As forward, for weights that lie [tap][filter] instead of [filter][tap]."""
    plan = forward(*arguments)
    taps = plan.taps.copy()
    taps["weight"] = np.where(taps["weight"] < 0, -1, taps["weight"] * plan.filters)
    return replace(plan, key=("turned", *plan.key), taps=taps, filter_step=1)


def _deepened(plan: Plan) -> DeepPlan:
    parts, phases, first = [], plan.phases.copy(), 0
    for phase in phases:
        taps = plan.taps[phase["first_tap"] :][: phase["taps"]]
        taps = taps[taps["weight"] >= 0]
        whole = np.zeros(-(-taps.size // DEPTH) * DEPTH, geometry.TAP)
        whole["row"], whole["weight"] = geometry.OUTSIDE, -1
        whole[: taps.size] = taps
        phase["first_tap"], phase["taps"] = first, whole.size
        parts.append(whole)
        first += whole.size
    taps = np.concatenate(parts)
    real = taps[taps["weight"] >= 0]
    corner = (int(real["row"].min()), int(real["column"].min())) if real.size else (0, 0)
    return DeepPlan(**{**vars(plan), "taps": taps, "phases": phases}, corner=corner)


def places_of_taps(plan: DeepPlan, length: int = 1) -> np.ndarray:
    """What the kernels read of a tap: where it lies, and the bits of its row and column (tensor_cores.cuh)."""
    taps = plan.taps
    places = np.zeros(max(taps.size, length), PLACE)
    places["bits"] = NOWHERE
    real = taps["weight"] >= 0
    rows, columns = taps["row"][real] - plan.corner[0], taps["column"][real] - plan.corner[1]
    places["offset"][: taps.size] = taps["offset"]
    places["bits"][: taps.size][real] = 1 << rows | 1 << (16 + columns)
    return places


def places_of_pixels(plan: DeepPlan) -> np.ndarray:
    """Where the filter stands for each output pixel, and the bits of the rows and columns inside the image, seen from there."""
    starts, bits = [], []
    for outputs, step, length, first in zip(plan.out_size, plan.step, plan.size, plan.corner, strict=True):
        start = np.arange(outputs) * step
        seen = start[:, None] + first + np.arange(REACH)
        starts.append(start)
        bits.append(((seen >= 0) & (seen < length)) @ (1 << np.arange(REACH)))
    places = np.zeros(plan.out_size, PLACE)
    places["offset"] = starts[0][:, None] * plan.size[1] + starts[1]
    places["bits"] = bits[0][:, None] | bits[1] << 16
    return places.reshape(-1)
