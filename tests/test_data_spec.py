"""minizf/data/spec.py: one way to name sets."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from minizf import data
from minizf.data import DataError
from minizf.data.spec import FORMS, parse


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("scenes", ("scenes", None, {})),
        ("scenes:seed=3,images=8000,shortcut=ball", ("scenes", None, {"seed": 3, "images": 8000, "shortcut": "ball"})),
        ("cifar10:a/b.tar.gz", ("cifar10", Path("a/b.tar.gz"), {})),
        ("cifar10:C:\\sets", ("cifar10", Path("C:\\sets"), {})),
        ("fashion-mnist:sets,channels=3", ("fashion-mnist", Path("sets"), {"channels": 3})),
        ("folder:cats, dogs,size=big,enlarge=yes", ("folder", Path("cats, dogs,size=big"), {"enlarge": True})),
        ("folder:a=b,c,enlarge=no,x", ("folder", Path("a=b,c,enlarge=no,x"), {})),
        ("folder:~/pets", ("folder", Path.home() / "pets", {})),
    ],
)
def test_forms(spec, parsed):
    assert parse(spec) == parsed


@pytest.mark.parametrize(
    ("spec", "written_down", "in_a_caption"),
    [
        ("scenes:seed=3,images=80", "scenes:seed=3,images=80", "scenes:seed=3,images=80"),
        ("folder:a/cats, dogs", "folder:{here}/a/cats, dogs", "folder:cats, dogs"),
        ("folder:../up,size=big,enlarge=yes", "folder:{above}/up,size=big,enlarge=yes", "folder:up,size=big,enlarge=yes"),
        ("mnist:/sets/a,b/,channels=3", "mnist:/sets/a,b,channels=3", "mnist:a,b,channels=3"),
        ("cifar10:~/c.tar.gz", "cifar10:{home}/c.tar.gz", "cifar10:c.tar.gz"),
    ],
)
def test_what_is_written_down_means_the_same_from_every_folder(spec, written_down, in_a_caption, tmp_path, monkeypatch):
    here = tmp_path.resolve() / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert data.absolute(spec) == written_down.format(here=here, above=here.parent, home=Path.home().resolve())
    assert data.brief(spec) == data.brief(data.absolute(spec)) == in_a_caption


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cifar100:x", "unknown image set 'cifar100:x'; known forms:\n"),
        ("", "unknown image set ''"),
        ("folder:", "names no path; form: folder:FOLDER"),
        ("mnist", "names no path; form: mnist:FOLDER"),
        ("folder:x,enlarge=maybe", "enlarge=maybe: expected yes or no"),
        ("mnist:x,channels=2", "channels=2: expected 1 or 3"),
        ("scenes:seed=x", "seed=x: expected a whole number"),
        ("scenes:sed=3", "'sed=3' is none of the options seed, images, shortcut"),
        ("folder:gone,enlrage=yes", r"gone,enlrage=yes: no such file or folder \(from .*; form: folder:FOLDER"),
    ],
)
def test_wrong_specs(spec, message):
    with pytest.raises(DataError, match=message):
        data.load(spec)


def test_unknown_set_lists_every_form():
    with pytest.raises(DataError) as raised:
        data.load("imagenet:x")
    for name in FORMS:
        assert re.search(rf"^  {name}", str(raised.value), re.MULTILINE)


def test_a_bare_path_is_recognised(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"say what it is, e.g. folder:{tmp_path}")):
        data.load(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "split is 'test', expected 'train' or 'val'"),
        ({"size": 0}, "size is 0"),
        ({"size": 2.5}, "size is 2.5"),
        ({"enlarge": True}, "scenes: no option enlarge; it knows seed, images, shortcut"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        data.load("scenes", **arguments)


def test_scenes_take_their_options():
    scenes = data.load("scenes:images=13,seed=5", "val", 96)
    assert (len(scenes), scenes.split, scenes.image_shape, scenes.seed) == (13, "val", (3, 96, 96), 5)
    assert len(data.load("scenes:images=13", images=7)) == 7


def test_importing_is_light():
    """No Pillow, no tqdm, no compiler until something is loaded."""
    script = "import sys, minizf.data; print([name for name in ('PIL', 'tqdm', 'numba', 'tarfile') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
