"""What every image set looks like to the rest of the house: images by number, one label each, a name for each image.

dataset.images([3, 0, 7])  ->  uint8 (3, C, H, W), values 0..255, C-contiguous
dataset.labels[3]          ->  index into dataset.classes
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np


class DataError(ValueError):
    """An image set that cannot be used: the message names the file, the reason, and what to do."""


class Dataset(ABC):
    """Labelled images of one size.

    name         what a reader calls the set, e.g. "fashion-mnist"
    split        "train" or "val"
    classes      class names; a label is an index into them
    labels       int64 (N,)
    image_shape  (C, H, W) of every image
    mirror       whether a mirrored image still belongs to its class (not so for digits); training reads it
    """

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        labels: np.ndarray,
        image_shape: tuple[int, int, int],
        mirror: bool = True,
    ):
        labels = np.ascontiguousarray(labels, dtype=np.int64)
        if not len(classes):
            raise DataError(f"{name}: no classes; a labelled set needs at least one")
        if labels.ndim != 1:
            raise DataError(f"{name}: labels have shape {labels.shape}, expected one label per image, (N,)")
        outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
        if len(outside):
            first = int(outside[0])
            raise DataError(
                f"{name}: image {first} has label {labels[first]}, expected 0..{len(classes) - 1} ({len(classes)} classes)"
            )
        self.name, self.split, self.classes = name, split, list(classes)
        self.labels, self.image_shape, self.mirror = labels, image_shape, mirror

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return f"<{self.name} {self.split}: {len(self):,} images {shape}, {len(self.classes)} classes>"

    @abstractmethod
    def images(self, index) -> np.ndarray:
        """The images with these numbers: uint8 (len(index), C, H, W). Numbers outside 0..N-1: IndexError."""

    def image_name(self, i: int) -> str:
        """What to call image i in a message or a caption: its file where it has one."""
        return f"{self.name} {self.split} image {i}"

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All images in order, uint8 (up to size, C, H, W) at a time: memory is bounded by one batch."""
        for start in range(0, len(self), size):
            yield self.images(np.arange(start, min(start + size, len(self))))

    def preload(self, limit_bytes: int = 1 << 30) -> "Dataset":
        """The same set held in memory, so that each image is decoded or drawn only once; itself if that is too large."""
        if len(self) * int(np.prod(self.image_shape)) > limit_bytes:
            return self
        pixels = np.empty((len(self), *self.image_shape), np.uint8)
        for start, batch in zip(range(0, len(self), 256), self.batches(256), strict=True):
            pixels[start : start + len(batch)] = batch
        names = [self.image_name(i) for i in range(len(self))]
        return ArrayDataset(self.name, self.split, self.classes, self.labels, pixels, names, self.mirror)

    def _numbers(self, index) -> np.ndarray:
        """`index` as checked image numbers, int64 (n,)."""
        numbers = np.atleast_1d(np.asarray(index))
        if numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise TypeError(f"{self.name}: image numbers must be whole numbers (n,), got {numbers.dtype} {numbers.shape}")
        outside = numbers[(numbers < 0) | (numbers >= len(self))]
        if len(outside):
            raise IndexError(f"{self.name} {self.split}: no image {outside[0]}; it has images 0..{len(self) - 1}")
        return numbers.astype(np.int64)


class ArrayDataset(Dataset):
    """Images held in memory: uint8 (N, C, H, W)."""

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        labels: np.ndarray,
        images: np.ndarray,
        image_names: Sequence[str] | None = None,
        mirror: bool = True,
    ):
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(f"{name}: images are {images.dtype} {images.shape}, expected uint8 (N, C, H, W)")
        if len(images) != len(labels):
            raise DataError(f"{name} {split}: {len(images)} images but {len(labels)} labels; each image needs one label")
        if not len(images):
            raise DataError(f"{name} {split}: no images")
        super().__init__(name, split, classes, labels, images.shape[1:], mirror)
        self._images, self._image_names = images, image_names

    def images(self, index) -> np.ndarray:
        return self._images[self._numbers(index)]

    def preload(self, limit_bytes: int = 1 << 30) -> Dataset:
        return self

    def image_name(self, i: int) -> str:
        return super().image_name(i) if self._image_names is None else self._image_names[i]


class Subset(Dataset):
    """Some images of another set, renumbered 0..n-1 in the order of `index`; classes and names stay."""

    def __init__(self, dataset: Dataset, index):
        self._index = dataset._numbers(index)
        if not len(self._index):
            raise DataError(f"{dataset.name} {dataset.split}: a subset of no images")
        super().__init__(
            dataset.name, dataset.split, dataset.classes, dataset.labels[self._index], dataset.image_shape, dataset.mirror
        )
        self._dataset = dataset

    def images(self, index) -> np.ndarray:
        return self._dataset.images(self._index[self._numbers(index)])

    def image_name(self, i: int) -> str:
        return self._dataset.image_name(int(self._index[i]))


def first_per_class(dataset: Dataset, count: int) -> Subset:
    """The first `count` images of every class, in the set's order; a class with fewer gives what it has."""
    if count < 1:
        raise ValueError(f"first_per_class: count is {count}, expected at least 1")
    rank = np.empty(len(dataset), dtype=np.int64)  # place of each image among those of its class
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(dataset.labels == label)
        rank[members] = np.arange(len(members))
    return Subset(dataset, np.flatnonzero(rank < count))
