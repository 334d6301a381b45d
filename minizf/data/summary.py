"""What a set holds, in numbers, and a fair handful of its images."""

from dataclasses import dataclass

import numpy as np

from minizf.data.dataset import Dataset


@dataclass(frozen=True)
class Summary:
    """per_class: class name -> number of images."""

    name: str
    split: str
    images: int
    image_shape: tuple[int, int, int]
    per_class: dict[str, int]

    def __str__(self) -> str:
        c, h, w = self.image_shape
        colour = {1: "gray", 3: "RGB"}.get(c, f"{c} channels")
        width = max(len(name) for name in self.per_class)
        rows = [f"  {name:{width}} {count:>7,}" for name, count in self.per_class.items()]
        head = f"{self.name}, {self.split}: {self.images:,} images, {h}x{w} (height x width) {colour}, {len(rows)} classes"
        return "\n".join([head, *rows])


def describe(dataset: Dataset) -> Summary:
    """Name, split, image size, and images per class; reads labels only."""
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes)).tolist()
    per_class = dict(zip(dataset.classes, counts, strict=True))
    return Summary(dataset.name, dataset.split, len(dataset), dataset.image_shape, per_class)


def sample_per_class(dataset: Dataset, count: int, seed: int = 0) -> list[np.ndarray]:
    """For each class the numbers, ascending, of `count` of its images drawn without repeats (all, where it has fewer).

    The same set and seed give the same images on every machine; each class has a stream of its own.
    """
    if count < 1:
        raise ValueError(f"sample_per_class: count is {count}, expected at least 1")
    chosen = []
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(dataset.labels == label)
        rng = np.random.default_rng([seed, label])
        chosen.append(np.sort(rng.permutation(members)[:count]))
    return chosen
