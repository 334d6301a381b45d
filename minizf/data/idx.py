"""The idx files of MNIST and Fashion-MNIST, gzipped or plain, under their official names.

magic 00 00 08 nd (uint8, nd dimensions) | nd sizes, 4 bytes each, most significant first | the bytes, row-major
"""

from pathlib import Path

import numpy as np

from minizf.data.dataset import ArrayDataset, DataError, Dataset
from minizf.data.pixels import adapted
from minizf.data.tree import read_whole

PREFIX = {"train": "train", "val": "t10k"}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DIGITS = [str(digit) for digit in range(10)]
MAGIC = b"\0\0\x08"


def load_idx(
    name: str,
    path: Path,
    split: str,
    size: int | None,
    channels: int | None = None,
    progress: bool = True,
) -> Dataset:
    """name: "mnist" or "fashion-mnist"; path: the folder of the four files; val is the official test set (t10k).

    Images are (1, 28, 28); with `size` given (1, size, size); with channels=3 the gray is repeated. Trouble: DataError.
    """
    image_file = _find(path, f"{PREFIX[split]}-images", 3)
    label_file = _find(path, f"{PREFIX[split]}-labels", 1)
    images, labels = read_idx(image_file, 3, progress), read_idx(label_file, 1, progress)
    if len(images) != len(labels):
        raise DataError(f"{image_file} has {len(images)} images but {label_file} {len(labels)} labels; fetch both again")
    classes = DIGITS if name == "mnist" else FASHION
    if labels.max() >= len(classes):
        first = int(np.argmax(labels >= len(classes)))
        raise DataError(f"{label_file}: label {first} is {labels[first]}, expected 0..{len(classes) - 1}")
    dataset = ArrayDataset(name, split, classes, labels, images[:, None], mirror=name != "mnist")
    return adapted(dataset, size, channels)


def read_idx(path: Path, dimensions: int, progress: bool = False) -> np.ndarray:
    """A uint8 array of this many dimensions. Another magic, sizes that do not fit the file's length, or no items: DataError."""
    data = read_whole(path, progress).getbuffer()
    start = 4 + 4 * dimensions
    if len(data) < start or bytes(data[:4]) != MAGIC + bytes([dimensions]):
        found, expected = bytes(data[:4]).hex(" "), (MAGIC + bytes([dimensions])).hex(" ")
        raise DataError(f"{path}: not an idx file of {dimensions} dimensions: begins {found or 'nowhere'}, expected {expected}")
    sizes = tuple(int.from_bytes(data[place : place + 4], "big") for place in range(4, start, 4))
    expected_bytes = start + int(np.prod(sizes, dtype=object))
    if len(data) != expected_bytes:
        trouble = "truncated" if len(data) < expected_bytes else "too long"
        wanted = f"{'x'.join(map(str, sizes))} take {expected_bytes:,} bytes"
        raise DataError(f"{path}: {trouble}: its sizes {wanted}, the file has {len(data):,}; fetch it again")
    if 0 in sizes:
        raise DataError(f"{path}: empty: its sizes are {'x'.join(map(str, sizes))}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def _find(path: Path, stem: str, dimensions: int) -> Path:
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "no such folder"
        raise DataError(f"{path}: {what}; name the folder that holds {stem}-idx{dimensions}-ubyte.gz")
    ending = f"idx{dimensions}-ubyte"
    names = [f"{stem}-{ending}", f"{stem}-{ending}.gz", f"{stem}.{ending}", f"{stem}.{ending}.gz"]
    for name in names:
        if (path / name).is_file():
            return path / name
    raise DataError(f"{path}: no {names[1]} (nor {names[0]}) in it")
