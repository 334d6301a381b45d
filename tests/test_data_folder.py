"""minizf/data/folder.py and image_files.py: folders of class folders, in memory and batch by batch."""

import io
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from minizf import data
from minizf.data import DataError, image_files


def png(gray, height=8, width=8):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), gray, np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(root, files):
    for name, content in files.items():
        path = root / name
        if content is None:
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return root


def load(path, split="train", size=8, **options):
    return data.load(f"folder:{path}", split, size, progress=False, **options)


def grays(dataset):
    return dataset.images(np.arange(len(dataset)))[:, 0, 3, 2].tolist()


SPLITS = {
    "train/hen/b.png": png(3),
    "train/hen/a.png": png(2),
    "train/cat/deep/x.png": png(1, 11, 9),
    "train/cat/notes.txt": b"not an image",
    "train/cat/.DS_Store": b"",
    "val/cat/x.png": png(5),
    "val/hen/x.png": png(6),
    "README.md": b"# cats and hens",
}


@pytest.mark.parametrize("val", ["val", "valid", "validation", "test"])
@pytest.mark.parametrize("wrapped", ["", "sets/animals/"])
def test_splits_given(tmp_path, val, wrapped):
    files = {wrapped + name.replace("val/", val + "/"): content for name, content in SPLITS.items()}
    path = write(tmp_path / "pets", files)
    train, held_out = load(path), load(path, "val")
    assert (train.name, train.classes, train.labels.tolist()) == ("pets", ["cat", "hen"], [0, 1, 1])
    assert grays(train) == [1, 2, 3]
    assert grays(held_out) == [5, 6]
    assert train.image_name(0).endswith("train/cat/deep/x.png")


def test_every_fifth_is_validation(tmp_path):
    files = {f"set/a/{k}.png": png(k) for k in range(1, 12)} | {f"set/b/{k}.png": png(100 + k) for k in range(3)}
    path = write(tmp_path, files)
    train, val = load(path), load(path, "val")
    assert grays(train) == [1, 2, 3, 4, 6, 7, 8, 9, 11, 100, 101]
    assert grays(val) == [5, 10, 102]
    assert val.labels.tolist() == [0, 0, 1]


def test_archive_of_class_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, content in SPLITS.items():
            archive.writestr("pets/" + name, content)
    assert grays(load(tmp_path / "pets.zip")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train/cat/a.png": png(1), "train/hen": None, "val": None}, r"train/hen: class folder without images"),
        ({"train/cat/a.png": png(1), "train/hen/a.txt": b"x"}, r"train/hen: class folder without images"),
        ({"cat/a.png": png(1), "cat/b.png": png(1), "hen": None}, r"hen: class folder without images"),
        ({"a.png": png(1), "b.png": png(1)}, r"2 images but no class folders; put the images of each class in a folder"),
        ({}, "no class folders"),
        ({"train": None}, r"train: no class folders"),
        ({"cat/a.png": png(1), "hen/a.png": png(1), "b.JPG": b""}, r"image b.JPG lies beside the class folders"),
        ({"cat/a.png": png(1), "hen/a.png": png(1), "hen/b.png": png(1)}, r"cat/a.png is the only image of its class"),
        ({"train/cat/a.png": png(1)[:50]}, r"train/cat/a.png: damaged or truncated image"),
        ({"train/cat/a.png": b"GIF?"}, r"train/cat/a.png: not a readable image"),
        ({"train/cat/LICENSE": b"text"}, r"train/cat/LICENSE: not a readable image .*remove or replace it"),
        ({"train/cat/a.png": png(1, 7, 30)}, r"train/cat/a.png: 30x7 pixels .* 8x8 are needed; .*enlarge=yes"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, files))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"has train/ but none of val, valid, validation, test"),
        (
            {"val/cat/a.png": png(1), "val/hen/a.png": png(1), "val/fox/a.png": png(1)},
            r"class folder fox is not among those of train/",
        ),
        ({"val/cat/a.png": png(1)}, r"val: no class folder hen, which train/ has"),
        ({"val/cat/a.png": png(1), "val/hen": None}, r"val/hen: class folder without images"),
    ],
)
def test_validation_folders_must_match(tmp_path, files, message):
    path = write(tmp_path, {"train/cat/a.png": png(1), "train/hen/a.png": png(1)} | files)
    load(path)
    with pytest.raises(DataError, match=message):
        load(path, "val")


def test_enlarge_is_a_choice(tmp_path):
    path = write(tmp_path, {"train/cat/a.png": png(9, 3, 5)})
    assert grays(data.load(f"folder:{path},enlarge=yes", size=8)) == [9]
    assert load(path, enlarge=True).image_shape == (3, 8, 8)


def test_large_sets_are_read_batch_by_batch(tmp_path, monkeypatch):
    path = write(tmp_path, {f"train/cat/{k}.png": png(k) for k in range(70)})
    kept = load(path)
    monkeypatch.setattr(image_files, "KEEP_BYTES", 70 * 3 * 8 * 8 - 1)
    lazy = load(path)
    assert isinstance(kept, data.ArrayDataset)
    assert isinstance(lazy, image_files.ImageFiles)
    index = [69, 0, 33, 0]
    np.testing.assert_array_equal(lazy.images(index), kept.images(index))
    assert lazy.images(index)[:, 0, 0, 0].tolist() == index
    assert lazy.image_name(69) == kept.image_name(69)
    (path / "train/cat/33.png").write_bytes(png(1)[:50])
    with pytest.raises(DataError, match=r"33.png: damaged or truncated"):
        lazy.images(index)


@pytest.mark.parametrize("damage", [png(1, 7, 7), b"", b"not an image"])
def test_large_sets_are_checked_before_use(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(image_files, "KEEP_BYTES", 100)
    path = write(tmp_path, {f"train/cat/{k}.png": png(k) for k in range(50)} | {"train/cat/41.png": damage})
    with pytest.raises(DataError, match=r"cat/41.png"):
        load(path)


def test_first_of_several_bad_images_is_the_one_named(tmp_path):
    path = write(tmp_path, {f"train/cat/{k}.png": b"bad" if k in (37, 68, 90) else png(k) for k in range(100)})
    threads = threading.active_count()
    for _ in range(5):
        with pytest.raises(DataError, match=r"cat/37.png"):
            load(path)
    assert threading.active_count() == threads
