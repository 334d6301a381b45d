"""CIFAR-10, binary version: a folder or an archive with data_batch_<k>.bin and test_batch.bin.

record = label (1 byte) | red 32x32 | green 32x32 | blue 32x32, row-major: 3073 bytes, until the end of the file
"""

from pathlib import Path

import numpy as np

from minizf.data.dataset import ArrayDataset, DataError, Dataset
from minizf.data.pixels import adapted
from minizf.data.tree import Tree, open_tree

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
START = {"train": "data_batch_", "val": "test_batch"}


def load_cifar10(path: Path, split: str, size: int | None, progress: bool = True) -> Dataset:
    """Train is all data_batch files present, val the test batch; (3, 32, 32), with `size` given (3, size, size).

    A missing file, a cut record, a label over 9: DataError with the file and the record.
    """
    tree = open_tree(path, progress)
    files = [name for name in tree.names if name.split("/")[-1].startswith(START[split]) and name.endswith(".bin")]
    if not files:
        raise DataError(f"{path}: no {START[split]}*.bin in it; expected the binary version of CIFAR-10, not the Python one")
    batches = {name: _records(tree, name) for name in files}
    names = [f"{name} record {place}" for name, batch in batches.items() for place in range(len(batch))]
    records = np.concatenate(list(batches.values()))  # (N, 3073)
    images = np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE)
    dataset = ArrayDataset("cifar10", split, _class_names(tree), records[:, 0], images, names)
    return adapted(dataset, size)


def _records(tree: Tree, name: str) -> np.ndarray:
    """uint8 (n, 3073)."""
    data = tree.read(name)
    whole, rest = divmod(len(data), RECORD_BYTES)
    if rest:
        raise DataError(f"{tree.where(name)}: truncated: record {whole} has {rest} of {RECORD_BYTES} bytes; fetch it again")
    if not whole:
        raise DataError(f"{tree.where(name)}: empty")
    records = np.frombuffer(data, np.uint8).reshape(whole, RECORD_BYTES)
    wrong = np.flatnonzero(records[:, 0] >= len(CLASSES))
    if len(wrong):
        label = records[wrong[0], 0]
        raise DataError(f"{tree.where(name)}: record {wrong[0]} has label {label}, expected 0..9: not CIFAR-10, or damaged")
    return records


def _class_names(tree: Tree) -> list[str]:
    """The ten lines of batches.meta.txt, or the official names without it."""
    meta = next((name for name in tree.names if name.split("/")[-1] == "batches.meta.txt"), None)
    if meta is None:
        return CLASSES
    names = [line.strip() for line in tree.read(meta).decode(errors="replace").splitlines() if line.strip()]
    if len(names) != len(CLASSES):
        raise DataError(f"{tree.where(meta)}: {len(names)} class names, expected {len(CLASSES)}; fetch it again")
    return names
