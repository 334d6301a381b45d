"""minizf/data/cifar.py: the binary version, in a folder and in an archive."""

import io
import tarfile

import numpy as np
import pytest

from minizf import data
from minizf.data import DataError

RECORDS = np.random.default_rng(0).integers(0, 256, (7, 3073), dtype=np.uint8)
RECORDS[:, 0] = [3, 0, 9, 9, 1, 2, 5]
NAMES = [f"kind {k}" for k in range(10)]
FILES = {
    "data_batch_2.bin": RECORDS[3:5].tobytes(),
    "data_batch_1.bin": RECORDS[:3].tobytes(),
    "test_batch.bin": RECORDS[5:].tobytes(),
    "batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n",
    "readme.html": b"",
}


def write(tmp_path, packed, files=FILES):
    if not packed:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        return tmp_path
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return tmp_path / "cifar.tar.gz"


@pytest.mark.parametrize("packed", [True, False])
def test_reads_to_the_end_of_every_batch(tmp_path, packed):
    path = write(tmp_path, packed)
    train, val = data.load(f"cifar10:{path}"), data.load(f"cifar10:{path}", "val")
    assert train.image_shape == (3, 32, 32)
    assert train.classes == NAMES
    np.testing.assert_array_equal(train.labels, [3, 0, 9, 9, 1])
    np.testing.assert_array_equal(val.labels, [2, 5])
    image = train.images([4])[0]
    assert image[2, 31, 5] == RECORDS[4, 1 + 2 * 1024 + 31 * 32 + 5]  # blue, last row
    np.testing.assert_array_equal(image.ravel(), RECORDS[4, 1:])
    assert train.image_name(4).endswith("data_batch_2.bin record 1")
    assert data.load(f"cifar10:{path}", size=48).images([0]).shape == (1, 3, 48, 48)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_2.bin", FILES["data_batch_2.bin"][:-1], "data_batch_2.bin: truncated: record 1 has 3072 of 3073 bytes"),
        ("data_batch_1.bin", b"", "data_batch_1.bin: empty"),
        ("data_batch_1.bin", b"\x0a" + bytes(3072), r"data_batch_1.bin: record 0 has label 10, expected 0\.\.9"),
        ("batches.meta.txt", b"cat\ndog\n", "batches.meta.txt: 2 class names, expected 10"),
    ],
)
def test_damaged(tmp_path, packed, name, content, message):
    path = write(tmp_path, packed, FILES | {name: content})
    with pytest.raises(DataError, match=message):
        data.load(f"cifar10:{path}")


def test_official_class_names_without_meta(tmp_path):
    path = write(tmp_path, False, {"data_batch_1.bin": FILES["data_batch_1.bin"]})
    assert data.load(f"cifar10:{path}").classes[3] == "cat"
    with pytest.raises(DataError, match=r"no test_batch\*.bin in it; expected the binary version"):
        data.load(f"cifar10:{path}", "val")
