"""Tiny-ImageNet in its official layout, as a zip or a folder; subsets of its classes too.

wnids.txt                                 one class a line; a label is the line number, from 0
words.txt                                 wnid <tab> names, for class names (without it the wnids are the names)
train/<wnid>/images/<wnid>_<k>.JPEG       train/<wnid>/<wnid>_boxes.txt lists them
val/images/<file>                         val/val_annotations.txt: file <tab> wnid <tab> box
"""

from pathlib import Path

from minizf.data.dataset import DataError, Dataset
from minizf.data.image_files import load_files
from minizf.data.tree import Tree, open_tree

NATURAL_SIZE = 64


def load_tiny_imagenet(path: Path, split: str, size: int | None, progress: bool = True) -> Dataset:
    """size: side in pixels, default 64 (the official one); another is reached by bicubic or, larger, bilinear resizing."""
    tree = open_tree(path, progress)
    lists = [name for name in tree.names if name.split("/")[-1] == "wnids.txt"]
    if not lists:
        raise DataError(
            f"{path}: no wnids.txt; expected the official Tiny-ImageNet layout (tiny-imagenet-200.zip or its folder)"
        )
    root = min(lists, key=len).removesuffix("wnids.txt")
    wnids = [wnid for line in _lines(tree, root + "wnids.txt") if (wnid := line.strip())]
    if not wnids:
        raise DataError(f"{tree.where(root + 'wnids.txt')}: lists no classes")
    if len(set(wnids)) < len(wnids):
        raise DataError(f"{tree.where(root + 'wnids.txt')}: lists a class twice")
    labelled = _train(tree, root, wnids) if split == "train" else _val(tree, root, wnids)
    classes = _class_names(tree, root, wnids)
    return load_files("tiny-imagenet", split, classes, labelled, tree, size or NATURAL_SIZE, True, progress)


def _train(tree: Tree, root: str, wnids: list[str]) -> list[tuple[str, int]]:
    folder = root + "train/"
    files_of: dict[str, list[str]] = {wnid: [] for wnid in wnids}
    for name in tree.inside(root + "train"):
        wnid = name.removeprefix(folder).split("/")[0]
        if wnid in files_of and not name.endswith(".txt"):
            files_of[wnid].append(name)
    labelled = []
    for label, (wnid, files) in enumerate(files_of.items()):
        boxes = f"{folder}{wnid}/{wnid}_boxes.txt"
        if not files:
            raise DataError(f"{tree.where(folder + wnid)}: class folder without images (class {wnid} of wnids.txt)")
        if boxes in tree:
            _must_match(tree, boxes, [line.split("\t")[0] for line in _lines(tree, boxes) if line.strip()], files)
        labelled += [(file, label) for file in files]
    return labelled


def _val(tree: Tree, root: str, wnids: list[str]) -> list[tuple[str, int]]:
    annotations = root + "val/val_annotations.txt"
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    labels: dict[str, int] = {}
    for number, line in enumerate(_lines(tree, annotations), start=1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < 2 or fields[1].strip() not in label_of:
            raise DataError(
                f"{tree.where(annotations)}: line {number}, {line!r}: expected file, tab, one of wnids.txt's classes"
            )
        labels[fields[0]] = label_of[fields[1].strip()]
    files = tree.inside(root + "val/images")
    if not labels:
        raise DataError(f"{tree.where(annotations)}: lists no images")
    _must_match(tree, annotations, list(labels), files)
    return [(file, labels[file.split("/")[-1]]) for file in files]


def _must_match(tree: Tree, list_name: str, listed: list[str], files: list[str]) -> None:
    """DataError unless the images listed and the images present are the same."""
    present = {file.split("/")[-1] for file in files}
    if missing := sorted(set(listed) - present):
        what = f"{missing[0]} is listed but missing"
    elif extra := sorted(present - set(listed)):
        what = f"{extra[0]} is there but not listed"
    elif len(listed) != len(files):
        what = "a name comes twice"
    else:
        return
    raise DataError(f"{tree.where(list_name)}: lists {len(listed)} images, found {len(files)}: {what}; unpack the set again")


def _class_names(tree: Tree, root: str, wnids: list[str]) -> list[str]:
    """First name of each class in words.txt; a name that two classes share gets its wnid added."""
    words = root + "words.txt"
    names = dict(line.split("\t", 1) for line in _lines(tree, words) if "\t" in line) if words in tree else {}
    first = [names.get(wnid, wnid).split(",")[0].strip() for wnid in wnids]
    return [name if first.count(name) == 1 else f"{name} {wnid}" for name, wnid in zip(first, wnids, strict=True)]


def _lines(tree: Tree, name: str) -> list[str]:
    if name not in tree:
        raise DataError(f"{tree.where(name)}: missing; expected the official Tiny-ImageNet layout")
    try:
        return tree.read(name).decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{tree.where(name)}: damaged, not a text file ({error})") from error
