"""One way to name image sets, the same in Python, on the command line and in run.json.

    NAME[:PATH][,option=value]...      fashion-mnist:~/sets/fashion,channels=3
    scenes[:option=value,...]          scenes:seed=3,images=8000,shortcut=ball

A path may hold commas and equal signs: only the options a set knows, at the end, are taken for options.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from minizf.data.dataset import DataError, Dataset


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def _yes_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError("expected yes or no")
    return text.lower() == "yes"


def _gray_or_rgb(text: str) -> int:
    if text not in ("1", "3"):
        raise ValueError("expected 1 or 3")
    return int(text)


class Form(NamedTuple):
    """How one kind of set is written: what follows the name, and its options with the function that reads each value."""

    example: str
    needs_path: bool
    options: dict[str, Callable[[str], Any]]


IDX_OPTIONS: dict[str, Callable[[str], Any]] = {"channels": _gray_or_rgb}
FORMS = {
    "scenes": Form(
        "scenes or scenes:seed=3,images=8000,shortcut=ball,shortcut_class=cat",
        False,
        {"seed": _whole_number, "images": _whole_number, "shortcut": str, "shortcut_class": str},
    ),
    "mnist": Form("mnist:FOLDER[,channels=3]", True, IDX_OPTIONS),
    "fashion-mnist": Form("fashion-mnist:FOLDER[,channels=3]", True, IDX_OPTIONS),
    "cifar10": Form("cifar10:FOLDER or .tar.gz", True, {}),
    "tiny-imagenet": Form("tiny-imagenet:FOLDER or .zip", True, {}),
    "folder": Form("folder:FOLDER or archive of class folders[,enlarge=yes]", True, {"enlarge": _yes_no}),
}


def load(spec: str, split: str = "train", size: int | None = None, progress: bool = True, **options) -> Dataset:
    """The image set that `spec` names.

    split     "train" or "val"
    size      side of the images in pixels; without it each set's own: scenes, tiny-imagenet, folder 64, cifar10 32, mnist 28.
              Sets of small official images are enlarged (bilinear) only when asked by this.
    progress  a bar on the terminal when reading takes more than a second
    options   the same as in the spec, e.g. enlarge=True; these win

    DataError: unknown name or option, missing path, damaged or unfit files; each says which and what to do.
    """
    if split not in ("train", "val"):
        raise DataError(f"split is {split!r}, expected 'train' or 'val'")
    if size is not None and (not isinstance(size, int) or size < 1):
        raise DataError(f"size is {size!r}, expected a positive whole number of pixels")
    name, path, written = parse(spec)
    if unknown := sorted(set(options) - set(FORMS[name].options)):
        raise DataError(f"{name}: no option {unknown[0]}; it knows {', '.join(FORMS[name].options) or 'none'}")
    options = written | options
    if path is None:
        from minizf.data.scenes import Scenes

        return Scenes(split=split, size=64 if size is None else size, **options)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder (from {spec!r}; form: {FORMS[name].example})")
    if name in ("mnist", "fashion-mnist"):
        from minizf.data.idx import load_idx

        return load_idx(name, path, split, size, progress=progress, **options)
    if name == "cifar10":
        from minizf.data.cifar import load_cifar10

        return load_cifar10(path, split, size, progress)
    if name == "tiny-imagenet":
        from minizf.data.tiny_imagenet import load_tiny_imagenet

        return load_tiny_imagenet(path, split, size, progress)
    from minizf.data.folder import load_folder

    return load_folder(path, split, size, progress=progress, **options)


def parse(spec: str) -> tuple[str, Path | None, dict[str, Any]]:
    """(name, path or None, options) of a spec. Another form than the known ones: DataError that lists them."""
    name, _, rest = spec.partition(":")
    if name not in FORMS:
        hint = f"; {spec} is a path: say what it is, e.g. folder:{spec}" if Path(spec).expanduser().exists() else ""
        raise DataError(f"unknown image set {spec!r}{hint}; known forms:\n{known_forms()}")
    form = FORMS[name]
    path, texts = _split_options(rest, form)
    if form.needs_path and not path:
        raise DataError(f"{spec!r} names no path; form: {form.example}")
    if path and not form.needs_path:
        raise DataError(f"{spec!r}: {path!r} is none of the options {', '.join(form.options)}; form: {form.example}")
    options = {}
    for option, text in texts.items():
        try:
            options[option] = form.options[option](text)
        except ValueError as error:
            raise DataError(f"{spec!r}: {option}={text}: {error}") from None
    return name, Path(path).expanduser() if path else None, options


def absolute(spec: str) -> str:
    """The same set, with a path that means the same from every folder; for what is written down."""
    name, path, options = _parts(spec)
    return f"{name}:{path.resolve()}{options}" if path else spec


def brief(spec: str) -> str:
    """The same set for a caption: of its path only the last name."""
    name, path, options = _parts(spec)
    return f"{name}:{path.name}{options}" if path else spec


def known_forms() -> str:
    """The forms of all sets, one a line, for help and error texts."""
    return "\n".join(f"  {form.example}" for form in FORMS.values())


def _parts(spec: str) -> tuple[str, Path | None, str]:
    """(name, path or None, options as they are written, with their commas) of a spec that `parse` accepts."""
    name, path, _ = parse(spec)
    rest = spec.partition(":")[2]
    written = _split_options(rest, FORMS[name])[0]
    return name, path, rest[len(written) :]


def _split_options(rest: str, form: Form) -> tuple[str, dict[str, str]]:
    """Options taken off the end one by one until something is none; what remains is the path."""
    texts: dict[str, str] = {}
    while rest:
        before, _, last = rest.rpartition(",")
        option, equals, text = last.partition("=")
        if not equals or option not in form.options:
            break
        texts.setdefault(option, text)
        rest = before
    return rest, texts
