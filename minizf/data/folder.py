"""Any folder of class folders (or a zip or tar of one), as Imagenette, Caltech-101 and most people's own photos come.

    PATH/train/<class>/*.jpg  PATH/val/<class>/*.jpg      two splits given (val may be called valid, validation or test)
    PATH/<class>/*.jpg                                    one set: of each class every fifth image in natural order (the
                                                          5th, 10th, ...) is validation, the others train; a class of two to
                                                          four images gives its last

A single folder around all this, as archives have, is stepped into. Class names are the folder names in natural order (2 before
10). Every file in a class folder, however deep, is taken for an image, except hidden files and the plain non-images of
NOT_IMAGES: an image is never dropped in silence.
"""

from pathlib import Path

from minizf.data.dataset import DataError, Dataset
from minizf.data.image_files import load_files
from minizf.data.tree import Tree, natural, open_tree

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "valid", "validation", "test")
NOT_IMAGES = (".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".html", ".mat", ".npy", ".pdf", ".db", ".ini", ".py")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
EVERY = 5


def load_folder(path: Path, split: str, size: int | None, enlarge: bool = False, progress: bool = True) -> Dataset:
    """size: side in pixels, default 64. enlarge: allow images smaller than `size`. Trouble of any kind: DataError."""
    tree = open_tree(path, progress)
    root = _root(tree)
    splits = _children(tree, root)
    train = next((name for name in TRAIN_NAMES if name in splits), None)
    val = next((name for name in VAL_NAMES if name in splits), None)
    if train:
        train_root = _join(root, train)
        classes = _classes(tree, train_root)
        if split == "train":
            labelled = _labelled(tree, train_root, classes)
        elif val is None:
            raise DataError(f"{path}: has {train}/ but none of {', '.join(VAL_NAMES)}; add one of these for validation")
        else:
            labelled = _labelled_val(tree, _join(root, val), train_root, classes)
    else:
        classes = _classes(tree, root)
        labelled = _every_fifth(_labelled(tree, root, classes), len(classes), split, path)
    return load_files(path.name, split, classes, labelled, tree, 64 if size is None else size, enlarge, progress)


def _root(tree: Tree) -> str:
    """Step into the folder that an archive wraps around everything: one folder, no images beside it, class folders inside."""
    root = ""
    while True:
        children = _children(tree, root)
        if len(children) != 1 or children[0] in TRAIN_NAMES + VAL_NAMES or _stray_images(tree, root):
            return root
        inner = _join(root, children[0])
        if not _children(tree, inner) or _stray_images(tree, inner):
            return root
        root = inner


def _children(tree: Tree, root: str) -> list[str]:
    """Names of the folders directly inside `root`, sorted."""
    prefix = root + "/" if root else ""
    below = [folder.removeprefix(prefix) for folder in tree.folders if folder.startswith(prefix)]
    return sorted((folder for folder in below if "/" not in folder), key=natural)


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name


def _stray_images(tree: Tree, root: str) -> list[str]:
    """Image files lying directly in `root`."""
    prefix = root + "/" if root else ""
    inside = [name.removeprefix(prefix) for name in tree.names if name.startswith(prefix)]
    return [name for name in inside if "/" not in name and name.lower().endswith(IMAGES)]


def _classes(tree: Tree, root: str) -> list[str]:
    classes, stray = _children(tree, root), _stray_images(tree, root)
    where = tree.where(root) if root else str(tree.path)
    if not classes:
        found = f"{len(stray)} images but no class folders" if stray else "no class folders"
        raise DataError(f"{where}: {found}; put the images of each class in a folder named after it")
    if stray:
        raise DataError(f"{where}: image {stray[0]} lies beside the class folders; move it into one of them")
    return classes


def _labelled(tree: Tree, root: str, classes: list[str]) -> list[tuple[str, int]]:
    """(file, label) of all images, class by class, each in natural order. A class folder without images: DataError."""
    by_class: dict[str, list[str]] = {name: [] for name in classes}
    prefix = root + "/" if root else ""
    for name in tree.names:
        label, slash, rest = name.removeprefix(prefix).partition("/")
        if name.startswith(prefix) and slash and label in by_class and not rest.lower().endswith(NOT_IMAGES):
            by_class[label].append(name)
    for name, files in by_class.items():
        if not files:
            raise DataError(f"{tree.where(_join(root, name))}: class folder without images; add some or remove the folder")
    return [(file, label) for label, name in enumerate(classes) for file in by_class[name]]


def _labelled_val(tree: Tree, root: str, train_root: str, classes: list[str]) -> list[tuple[str, int]]:
    found = set(_children(tree, root))
    if unknown := sorted(found - set(classes)):
        raise DataError(f"{tree.where(root)}: class folder {unknown[0]} is not among those of {train_root}/: {classes}")
    if missing := sorted(set(classes) - found):
        raise DataError(
            f"{tree.where(root)}: no class folder {missing[0]}, which {train_root}/ has; add it or remove the other"
        )
    return _labelled(tree, root, _classes(tree, root))


def _every_fifth(labelled: list[tuple[str, int]], classes: int, split: str, path: Path) -> list[tuple[str, int]]:
    by_label: list[list[tuple[str, int]]] = [[] for _ in range(classes)]
    for pair in labelled:
        by_label[pair[1]].append(pair)
    chosen = []
    for pairs in by_label:
        if len(pairs) == 1:
            raise DataError(f"{path}: {pairs[0][0]} is the only image of its class; a train and a val split need two or more")
        last = min(EVERY, len(pairs)) - 1
        chosen += [pair for place, pair in enumerate(pairs) if (place % EVERY == last) == (split == "val")]
    return chosen
