"""Medians, their uncertainty, and when a series of times has settled. Times have long tails: no mean is taken of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np

NORMAL_IQR = 1.349  # interquartile range of a normal distribution with deviation 1
MEDIAN_FACTOR = 1.2533  # deviation of a median over that of a mean, for a normal distribution


@dataclass(frozen=True)
class Summary:
    """The middle of some values, the quartiles, and where their true median lies with 95 % confidence."""

    median: float
    quartiles: tuple[float, float]
    low: float
    high: float
    runs: int

    @property
    def iqr(self) -> float:
        return self.quartiles[1] - self.quartiles[0]


def summarise(values: Sequence[float]) -> Summary:
    """ValueError without values."""
    if not len(values):
        raise ValueError("no times to summarise; at least one run is needed")
    ordered = np.sort(np.asarray(values, float))
    lower, upper = interval_ranks(len(ordered))
    first, middle, third = np.quantile(ordered, (0.25, 0.5, 0.75))
    return Summary(float(middle), (float(first), float(third)), float(ordered[lower]), float(ordered[upper]), len(ordered))


def interval_ranks(count: int) -> tuple[int, int]:
    """Ranks (from 0) between which the true median lies with 95 % confidence: each value is above it with probability 1/2.

    Under six values no two of them are that sure; then the smallest and the largest.
    """
    lower = max(0, floor((count - 1.96 * sqrt(count)) / 2 - 0.5) if count > 5 else 0)
    return lower, count - 1 - lower


def relative_error(values: Sequence[float]) -> float:
    """Standard error of the median over the median, from the interquartile range."""
    found = summarise(values)
    return MEDIAN_FACTOR * found.iqr / NORMAL_IQR / sqrt(found.runs) / found.median if found.median else float("inf")


def settled(values: Sequence[float], noise: float, least_runs: int) -> bool:
    """Enough runs, and a median known to within `noise` (0.01: one percent)."""
    return len(values) >= least_runs and relative_error(values) <= noise


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Summary:
    """ours / theirs, run by run: taken within each round, so that a busy machine slows both."""
    pairs = min(len(ours), len(theirs))
    return summarise(np.asarray(ours[:pairs]) / np.asarray(theirs[:pairs]))


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if len(values) else float("nan")
