"""How a signed projection becomes a picture: one stated rule, and the sentence that says so.

    projections (K, k, C, h, w) float  --rule.scale-->  scales (K, k)  --paint-->  pictures (K, k, h, w, 3) uint8

A projection is a signal, not a photograph: it has a sign, and zero means that a pixel plays no part. So under every rule zero
is the same mid-grey (128), brighter is positive, darker is negative, and colours are the image's own channels. What rules
differ in is the value that reaches full black or white: the scale. Two pictures may be compared only if they share one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

GREY = 128  # what zero becomes
REACH = 127  # full scale is GREY +- REACH


@dataclass(frozen=True)
class Rule:
    """A way to choose scales, by its name, with the caption sentence that every picture made with it carries.

    scale: magnitudes (K, k, C, h, w), all finite and >= 0 -> (K, k), the magnitude that reaches full black or white
    """

    name: str
    caption: str
    scale: Callable[[np.ndarray], np.ndarray]

    def __call__(self, projections: np.ndarray) -> np.ndarray:
        """projections (K, k, C, h, w) of K maps, C = 1 or 3 -> uint8 (K, k, h, w, 3). ValueError: not a number in them."""
        if projections.ndim != 5:
            raise ValueError(f"projections have shape {projections.shape}, expected (maps, pictures, C, h, w)")
        return paint(projections, self.scales(projections))

    def scales(self, projections: np.ndarray) -> np.ndarray:
        """The scale of each picture, (K, k); 0 for one that is zero throughout. Worked out in the projections' own units."""
        check_finite(projections)
        return np.broadcast_to(self.scale(np.abs(projections)), projections.shape[:2])


def percentile(share: float = 99.5) -> Rule:
    """By map, but the few strongest values are cut off, so that one bright spot does not darken the rest."""
    if not 0 < share <= 100:
        raise ValueError(f"percentile: share is {share}, expected above 0 and at most 100")
    return Rule(
        f"percentile-{share:g}",
        f"Zero is mid-grey; the pictures of a map share one scale, the {share:g}th percentile of their absolute values, "
        "and what exceeds it is cut off.",
        lambda size: np.percentile(size.reshape(len(size), -1), share, axis=1).astype(size.dtype)[:, None],
    )


BY_MAP = Rule(
    "map",
    "Zero is mid-grey; the pictures of a map share one scale, their largest absolute value, so they compare with each other "
    "but not with another map's.",
    lambda size: size.max(axis=(1, 2, 3, 4))[:, None],
)
BY_PICTURE = Rule(
    "picture",
    "Zero is mid-grey; each picture is divided by its own largest absolute value, so strengths do not compare.",
    lambda size: size.max(axis=(2, 3, 4)),
)
BY_LAYER = Rule(
    "layer",
    "Zero is mid-grey; all pictures of the layer share one scale, their largest absolute value, so strengths compare "
    "everywhere and weak maps look pale.",
    lambda size: size.max()[None, None],
)
PERCENTILE = percentile()
RULES = {rule.name: rule for rule in (BY_MAP, BY_PICTURE, BY_LAYER, PERCENTILE)}


def rule(name: str) -> Rule:
    """A rule by name; ValueError lists the known ones."""
    if name not in RULES:
        raise ValueError(f"no normalisation {name!r}; choose one of {', '.join(RULES)}")
    return RULES[name]


def paint(projections: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(..., C, h, w) and scales (...) -> uint8 (..., h, w, 3): 128 + 127 * value / scale, cut off at +-1."""
    channels = projections.shape[-3]
    if channels not in (1, 3):
        raise ValueError(f"a projection with {channels} channels is not a picture; expected 1 (grey) or 3 (red, green, blue)")
    scales = np.where(scales > 0, scales, 1)[..., None, None, None]
    levels = np.rint(np.clip(projections / scales, -1, 1) * REACH) + GREY
    pixels = np.moveaxis(levels.astype(np.uint8), -3, -1)
    return np.repeat(pixels, 3, axis=-1) if channels == 1 else pixels


def check_finite(projections: np.ndarray) -> None:
    """ValueError naming the first map and picture that hold something that is not a number."""
    bad = ~np.isfinite(projections).all(axis=(2, 3, 4))
    if bad.any():
        map_, rank = np.argwhere(bad)[0]
        raise ValueError(
            f"projection {rank} of map {map_} holds NaN or infinity, which no grey stands for; "
            "look for NaN in the weights (`np.isfinite(array).all()` for each of net.state()) and in the image"
        )


def photograph(images: np.ndarray) -> np.ndarray:
    """Images uint8 (..., C, h, w) as matplotlib and Pillow want them: (..., h, w, 3), their values as they are."""
    channels = images.shape[-3]
    if images.dtype != np.uint8 or channels not in (1, 3):
        raise ValueError(f"images are {images.dtype} with {channels} channels, expected uint8 with 1 or 3")
    pixels = np.moveaxis(images, -3, -1)
    return np.repeat(pixels, 3, axis=-1) if channels == 1 else pixels
