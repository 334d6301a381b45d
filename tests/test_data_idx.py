"""minizf/data/idx.py and pixels.py: MNIST's own files, whole and damaged."""

import gzip
import re

import numpy as np
import pytest

from minizf import data
from minizf.data import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
LABELS = np.array([3, 0, 9, 9, 1, 2, 5], np.uint8)


def idx(array, magic=None):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return (magic or bytes([0, 0, 8, array.ndim])) + sizes + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    for prefix, count in (("train", 7), ("t10k", 4)):
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:count])))
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:count])))
    return tmp_path


def test_both_splits_and_both_sets(folder):
    train, val = data.load(f"fashion-mnist:{folder}"), data.load(f"mnist:{folder}", "val")
    assert (train.name, train.split, train.image_shape, len(train), len(val)) == ("fashion-mnist", "train", (1, 5, 3), 7, 4)
    np.testing.assert_array_equal(train.images([6, 2]), IMAGES[[6, 2], None])
    np.testing.assert_array_equal(train.labels, LABELS)
    assert (train.classes[9], val.classes[9]) == ("Ankle boot", "9")
    assert train.mirror
    assert not val.mirror  # a mirrored 2 is no 2


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"])
def test_other_spellings_and_unpacked(folder, name):
    (folder / "train-images-idx3-ubyte.gz").unlink()
    packed = gzip.compress if name.endswith("gz") else bytes
    (folder / name).write_bytes(packed(idx(IMAGES)))
    np.testing.assert_array_equal(data.load(f"mnist:{folder}").images([0]), IMAGES[:1, None])


def test_size_and_channels(folder):
    big = data.load(f"mnist:{folder},channels=3", size=12)
    assert big.image_shape == (3, 12, 12)
    images = big.images([4, 1])
    assert images.shape == (2, 3, 12, 12)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0], images[:, 2])
    # the 5 x 3 image times four, bilinear, then its centre rows: output k lies at (k + 0.5) / 4 - 0.5, rows one further down
    steps = (np.arange(12) + 0.5) / 4 - 0.5
    rows, columns = steps + 1, np.clip(steps, 0, 2)
    top, left = rows.astype(int), np.minimum(columns.astype(int), 1)
    down, right = (rows - top)[:, None], columns - left
    image = IMAGES[4].astype(float)
    mixed = image[top] * (1 - down) + image[top + 1] * down  # (12, 3)
    expected = mixed[:, left] * (1 - right) + mixed[:, left + 1] * right
    np.testing.assert_allclose(images[0, 0], expected, atol=1)
    gray = data.load(f"mnist:{folder}", channels=3)
    np.testing.assert_array_equal(gray.images([3]), np.repeat(IMAGES[3:4, None], 3, axis=1))
    assert gray.image_name(3) == "mnist train image 3"
    assert not gray.mirror


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (idx(IMAGES)[:-1], "truncated: its sizes 7x5x3 take 121 bytes, the file has 120"),
        (idx(IMAGES)[:9], "not an idx file of 3 dimensions"),
        (b"", "begins nowhere"),
        (idx(IMAGES) + b"x", "too long: its sizes 7x5x3 take 121 bytes, the file has 122"),
        (idx(IMAGES, b"\0\0\x0d\x03"), "begins 00 00 0d 03, expected 00 00 08 03"),
        (idx(IMAGES[0]), "begins 00 00 08 02, expected 00 00 08 03"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + bytes(50), "truncated: its sizes 4294967295x4294967295x4294967295 take"),
        (idx(IMAGES[:0]), "empty: its sizes are 0x5x3"),
        (idx(IMAGES[:6]), r"has 6 images but .*train-labels-idx1-ubyte.gz 7 labels"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_images(folder, images, message, packed):
    path = folder / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    (folder / "train-images-idx3-ubyte.gz").unlink()
    path.write_bytes(gzip.compress(images) if packed else images)
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + message):
        data.load(f"mnist:{folder}")


def test_truncated_or_flipped_gzip_is_named(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged in (whole[:20], whole[: len(whole) // 2], whole[:-1], whole[:-6] + b"\0" + whole[-5:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: damaged or truncated"):
            data.load(f"mnist:{folder}")


def test_label_outside(folder):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS + 5)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz: label 2 is 14, expected 0\.\.9"):
        data.load(f"mnist:{folder}")


def test_missing_files(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"no t10k-labels-idx1-ubyte.gz \(nor t10k-labels-idx1-ubyte\)"):
        data.load(f"mnist:{folder}", "val")
    with pytest.raises(DataError, match=r"is not a folder; name the folder that holds train-images-idx3-ubyte.gz"):
        data.load(f"mnist:{folder}/train-images-idx3-ubyte.gz")
