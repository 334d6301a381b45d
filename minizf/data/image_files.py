"""Sets whose images are files: decoded once into memory if they fit, otherwise batch by batch as they are asked for."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minizf.data.dataset import ArrayDataset, Dataset
from minizf.data.decode import check_header, decode
from minizf.data.progress import bar
from minizf.data.tree import Tree

# Decoded sets up to this size are kept in memory: 43,000 images of 3x64x64. A larger one keeps its file names only.
KEEP_BYTES = 1 << 29
FILES_PER_TASK = 32


class ImageFiles(Dataset):
    """Images decoded from files whenever they are asked for; memory holds the names and one batch."""

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        labels: np.ndarray,
        tree: Tree,
        files: list[str],
        size: int,
        enlarge: bool,
    ):
        super().__init__(name, split, classes, labels, (3, size, size))
        self._tree, self._files, self._size, self._enlarge = tree, files, size, enlarge

    def image_name(self, i: int) -> str:
        return self._files[i]

    def images(self, index) -> np.ndarray:
        return self._decoded(self._numbers(index))

    def kept(self, progress: bool) -> ArrayDataset:
        """The same set decoded into memory."""
        pixels = self._decoded(np.arange(len(self)), progress)
        return ArrayDataset(self.name, self.split, self.classes, self.labels, pixels, self._files, self.mirror)

    def check(self, progress: bool) -> None:
        """DataError for the first file that does not begin like an image or is too small: found now, not mid-training."""

        def check_one(number: int) -> None:
            file = self._files[number]
            check_header(self._tree.read(file), self._tree.where(file), self._size, self._enlarge)

        self._in_threads(check_one, np.arange(len(self)), progress, "checking images")

    def _decoded(self, numbers: np.ndarray, progress: bool = False) -> np.ndarray:
        out = np.empty((len(numbers), *self.image_shape), np.uint8)

        def decode_one(place: int) -> None:
            file = self._files[numbers[place]]
            out[place] = decode(self._tree.read(file), self._tree.where(file), self._size, self._enlarge)

        self._in_threads(decode_one, np.arange(len(numbers)), progress, "decoding images")
        return out

    def _in_threads(self, work, places: np.ndarray, progress: bool, label: str) -> None:
        """work(place) for every place; of several errors the one that comes first in the set is raised."""

        def run(start: int) -> int:
            chunk = places[start : start + FILES_PER_TASK]
            for place in chunk:
                work(place)
            return len(chunk)

        pool = ThreadPoolExecutor(_cpus())  # Pillow decodes outside Python's global lock
        try:
            with bar(len(places), f"{self.name} {self.split}: {label}", progress) as shown:
                for done in pool.map(run, range(0, len(places), FILES_PER_TASK)):
                    shown.update(done)
        finally:
            pool.shutdown(cancel_futures=True)


def load_files(
    name: str,
    split: str,
    classes: Sequence[str],
    labelled: list[tuple[str, int]],
    tree: Tree,
    size: int,
    enlarge: bool,
    progress: bool,
) -> Dataset:
    """The set of these (file, label) pairs: in memory if its pixels take up to KEEP_BYTES, else decoded when asked for."""
    files = [file for file, _ in labelled]
    dataset = ImageFiles(name, split, classes, np.array([label for _, label in labelled]), tree, files, size, enlarge)
    if len(files) * 3 * size * size <= KEEP_BYTES:
        return dataset.kept(progress)
    dataset.check(progress)
    return dataset


def _cpus() -> int:
    """Processors this process may use, at most 8: beyond that reading is the limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 8)
