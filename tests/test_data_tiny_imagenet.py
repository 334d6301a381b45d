"""minizf/data/tiny_imagenet.py: labels follow wnids.txt; lists and images must agree."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from minizf import data
from minizf.data import DataError

WNIDS = ["n03", "n01", "n02"]  # not in sorted order, as in the official file
COLOURS = {"n01": 40, "n02": 120, "n03": 200}


def jpeg(gray, mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, (64, 64), (gray,) * len(mode) if mode == "RGB" else gray).save(file, "JPEG", quality=95)
    return file.getvalue()


def official():
    files = {"wnids.txt": "\n".join(WNIDS), "words.txt": "n01\tcrane, bird\nn02\tcrane\nn03\tdesk, table\nn99\tnot here\n"}
    for wnid, gray in COLOURS.items():
        names = [f"{wnid}_{k}.JPEG" for k in (0, 2, 10)]
        files[f"train/{wnid}/{wnid}_boxes.txt"] = "".join(f"{name}\t0\t0\t9\t9\n" for name in names)
        files |= {f"train/{wnid}/images/{name}": jpeg(gray + k) for k, name in enumerate(names)}
    files["train/n02/images/n02_2.JPEG"] = jpeg(121, "L")
    files["val/val_annotations.txt"] = "".join(f"val_{k}.JPEG\tn0{k}\t1\t2\t3\t4\n" for k in (1, 2, 3))
    files |= {f"val/images/val_{k}.JPEG": jpeg(COLOURS[f"n0{k}"]) for k in (1, 2, 3)}
    return files


def write(tmp_path, files, packed=False):
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    if packed:
        with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
            for name, content in contents.items():
                archive.writestr(f"tiny-imagenet-200/{name}", content)
        return tmp_path / "tiny.zip"
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("packed", [True, False])
def test_labels_follow_the_list_of_classes(tmp_path, packed):
    path = write(tmp_path, official(), packed)
    train, val = data.load(f"tiny-imagenet:{path}"), data.load(f"tiny-imagenet:{path}", "val")
    assert train.classes == val.classes == ["desk", "crane n01", "crane n02"]
    assert train.image_shape == (3, 64, 64)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    grays = train.images(range(9))[:, :, 5, 7]
    np.testing.assert_allclose(grays[:, 0], [200, 201, 202, 40, 41, 42, 120, 121, 122], atol=1)
    np.testing.assert_array_equal(grays[:, 0], grays[:, 2])
    assert val.labels.tolist() == [1, 2, 0]
    np.testing.assert_allclose(val.images([0, 1, 2])[:, 1, 0, 0], [40, 120, 200], atol=1)
    assert train.image_name(2).endswith("train/n03/images/n03_10.JPEG")
    assert data.load(f"tiny-imagenet:{path}", "val", size=80).image_shape == (3, 80, 80)


def without(name):
    return lambda files: files.pop(name)


def changed(name, text):
    return lambda files: files.update({name: text})


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("split", "damage", "message"),
    [
        ("train", without("wnids.txt"), r"no wnids.txt; expected the official Tiny-ImageNet layout"),
        ("train", changed("wnids.txt", "\n\n"), r"wnids.txt: lists no classes"),
        ("train", changed("wnids.txt", "n01\nn01\n"), r"wnids.txt: lists a class twice"),
        ("train", changed("wnids.txt", "n01\nn04\n"), r"train/n04: class folder without images"),
        ("train", changed("words.txt", b"n01\t\xff\xfe"), r"words.txt: damaged, not a text file"),
        (
            "train",
            without("train/n01/images/n01_2.JPEG"),
            r"n01_boxes.txt: lists 3 images, found 2: n01_2.JPEG is listed but missing",
        ),
        ("train", changed("train/n01/images/n01_7.JPEG", b""), r"lists 3 images, found 4: n01_7.JPEG is there but not listed"),
        (
            "train",
            changed("train/n02/images/n02_0.JPEG", jpeg(9)[:300]),
            r"train/n02/images/n02_0.JPEG: damaged or truncated image",
        ),
        ("val", without("val/val_annotations.txt"), r"val/val_annotations.txt: missing"),
        ("val", changed("val/val_annotations.txt", ""), r"val_annotations.txt: lists no images"),
        ("val", without("val/images/val_3.JPEG"), r"val_annotations.txt: lists 3 images, found 2: val_3.JPEG is listed"),
        ("val", changed("val/val_annotations.txt", "val_1.JPEG\tn77\n"), r"val_annotations.txt: line 1, .* one of wnids.txt's"),
        (
            "val",
            changed("val/val_annotations.txt", "val_1.JPEG"),
            r"val_annotations.txt: line 1, 'val_1.JPEG': expected file, tab",
        ),
    ],
)
def test_damaged(tmp_path, packed, split, damage, message):
    files = official()
    damage(files)
    path = write(tmp_path, files, packed)
    with pytest.raises(DataError, match=message):
        data.load(f"tiny-imagenet:{path}", split)


def test_wnids_are_the_names_without_words(tmp_path):
    files = official()
    del files["words.txt"]
    assert data.load(f"tiny-imagenet:{write(tmp_path, files)}", "val").classes == WNIDS
