"""The command line as a person and as a script meet it: verbs end to end at a small size, errors in words, exit codes."""

import importlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import strict_device
from PIL import Image

from kernels import backends, numpy_blas
from minizf import cli, data, doctor, weights
from minizf.commands import ACTS
from minizf.data import Preprocess
from minizf.layers import KINDS, Flatten, Layer, Linear
from minizf.net import Net
from minizf.run import Run
from minizf.view.curves import draw_curves
from minizf.view.style import png

SMALL = ["--data", "scenes:images=60", "--size", "16", "--epochs", "2", "--batch", "20", "--jitter", "1", "--checkpoints", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run trained through the command line, once for all tests here."""
    path = tmp_path_factory.mktemp("runs") / "small"
    assert cli.main(["train", "zfnet64", *SMALL, "--out", str(path), "-q"]) == 0
    return path


def fails(capsys, arguments, *words):
    """The command ends with code 1, and says all these words on stderr without a traceback."""
    capsys.readouterr()
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said


class Drawer:
    """Stands before a drawing function and keeps what each call was asked to draw, by argument name, and what came of it."""

    def __init__(self, monkeypatch, module: str, name: str):
        self.draw, self.asked, self.drawn = getattr(importlib.import_module(module), name), [], []
        monkeypatch.setattr(f"{module}.{name}", self)

    def __call__(self, *arguments, **named):
        bound = inspect.signature(self.draw).bind(*arguments, **named)
        bound.apply_defaults()
        self.asked.append(bound.arguments)
        self.drawn.append(self.draw(*arguments, **named))
        return self.drawn[-1]

    def last(self, path):
        """What was asked for last; the file shows just that."""
        assert path.read_bytes() == png(self.drawn[-1])
        return self.asked[-1]


def check_net(shown, checkpoint):
    """The net shown is this one, weight by weight."""
    for name, array in checkpoint.net.state().items():
        assert np.array_equal(shown.state()[name], array), name


def test_every_verb_has_an_act_and_an_example(capsys):
    for verb in ACTS:
        with pytest.raises(SystemExit) as stop:
            cli.main([verb, "--help"])
        assert stop.value.code == 0
        assert f"minizf {verb}" in capsys.readouterr().out.partition("example")[2]


def test_training_leaves_a_whole_run(run):
    assert {p.name for p in run.iterdir()} == {"run.json", "log.jsonl", "last.safetensors", "checkpoints", "curves.png"}
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == ["epoch-0001.safetensors", "epoch-0002.safetensors"]
    config = json.loads((run / "run.json").read_text())
    assert (config["recipe"]["epochs"], config["data"], config["size"]) == (2, "scenes:images=60", 16)
    rows = Run.open(run).rows()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert (run / "curves.png").read_bytes() == png(draw_curves(rows, "Training zfnet64 on scenes:images=60"))


def test_a_finished_run_resumes_to_itself(run, capsys):
    before = (run / "last.safetensors").read_bytes()
    assert cli.main(["train", "--resume", str(run), "-q"]) == 0
    assert (run / "last.safetensors").read_bytes() == before
    assert "after 2 epochs" in capsys.readouterr().out


def test_the_atlas_is_one_page_that_needs_no_network(run, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["atlas", str(run), "--out", str(page), "--layers", "relu1,relu3", "--plates", "-q"]) == 0
    html = page.read_text()
    assert "relu3" in html
    assert "http://" not in html
    assert "https://" not in html
    assert {p.name for p in (tmp_path / "plates").iterdir()} == {"filters.png", "relu1.png", "relu3.png"}
    assert str(page.resolve()) in capsys.readouterr().out


def test_a_second_atlas_of_other_layers_or_weights_is_not_held_up_by_the_first(run, tmp_path, caplog):
    page = tmp_path / "new" / "page.html"
    command = ["atlas", str(run), "--out", str(page)]
    assert cli.main([*command, "--layers", "relu1", "-q"]) == 0
    assert cli.main([*command, "--layers", "relu2"]) == 0
    assert "belongs to a scan with another layers; scanning anew" in caplog.text
    first = page.read_text()
    assert cli.main([*command, "--layers", "relu2", "--epoch", "1", "-q"]) == 0
    assert "after 2 epochs" in first
    assert "after 1 epoch<" in page.read_text()
    page.with_suffix(".scan.npz").write_bytes(b"PK")
    assert cli.main([*command, "--layers", "relu2", "-q"]) == 0
    assert page.read_text() == first


def test_look_shows_the_strongest_maps_of_an_image_of_the_set(run, tmp_path, capsys, monkeypatch):
    looks, ways = Drawer(monkeypatch, "minizf.view.look", "draw_look"), Drawer(monkeypatch, "minizf.view.trace", "draw_trace")
    picture, way = tmp_path / "look.png", tmp_path / "trace.png"
    assert cli.main(["look", str(run), "7", "--layer", "relu2", "--out", str(picture), "--trace", str(way), "-q"]) == 0
    known, shown = data.load("scenes:images=60", "val", 16, progress=False), looks.last(picture)
    image = known.images([7])[0]
    assert np.array_equal(shown["image"], image)
    assert (shown["layer"], shown["maps"], shown["label"]) == ("relu2", 6, known.labels[7])
    assert shown["rules"].rectify == "signal"
    trained = Run.open(run).load()
    check_net(shown["net"], trained)
    logits, tape = trained.net.forward(trained.preprocess(image[None]))
    assert np.array_equal(shown["tape"].outputs["relu2"], tape.outputs["relu2"])
    steps = ways.last(way)["steps"]
    strongest = tape.outputs["relu2"][0].max(axis=(1, 2)).argmax()
    assert (steps[0].name, steps[0].operation) == ("relu2", "seed")
    assert np.flatnonzero(steps[0].signal.any(axis=(1, 2))).tolist() == [strongest]
    assert np.array_equal(ways.asked[0]["image"], image)
    assert f"map {strongest}" in ways.asked[0]["title"]
    out = capsys.readouterr().out
    assert f"{trained.classes[logits[0].argmax()]}, " in out
    assert "filter" in out


def test_look_shows_the_map_the_epoch_and_the_rule_asked_for(run, tmp_path, monkeypatch):
    looks, ways = Drawer(monkeypatch, "minizf.view.look", "draw_look"), Drawer(monkeypatch, "minizf.view.trace", "draw_trace")
    picture, way = tmp_path / "look.png", tmp_path / "trace.png"
    trained = Run.open(run).load(1)
    image = data.load("scenes:images=60", "val", 16, progress=False).images([3])[0]
    alive = trained.net.forward(trained.preprocess(image[None]))[1].outputs["relu3"][0].max(axis=(1, 2))
    weakest = int(np.where(alive > 0, alive, np.inf).argmin())
    asked = ["look", str(run), "3", "--epoch", "1", "--layer", "relu3", "--map", str(weakest), "--rectify", "both"]
    assert cli.main([*asked, "--out", str(picture), "--trace", str(way), "-q"]) == 0
    shown = looks.last(picture)
    assert (shown["layer"], shown["maps"], shown["rules"].rectify) == ("relu3", [weakest], "both")
    assert np.array_equal(shown["image"], image)
    check_net(shown["net"], trained)
    assert np.flatnonzero(ways.last(way)["steps"][0].signal.any(axis=(1, 2))).tolist() == [weakest]


def test_look_at_a_photo(run, tmp_path, monkeypatch):
    looks = Drawer(monkeypatch, "minizf.view.look", "draw_look")
    photo, picture = tmp_path / "photo.png", tmp_path / "look.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8)).save(photo)
    assert cli.main(["look", str(run), str(photo), "--maps", "2", "--out", str(picture), "-q"]) == 0
    shown = looks.last(picture)
    assert np.array_equal(shown["image"], data.decode_file(photo, 16, 3))
    assert (shown["layer"], shown["maps"], shown["label"], shown["name"]) == ("relu5", 2, None, "photo.png")


def test_a_small_photo_is_refused_unless_enlarging_is_asked_for(run, tmp_path, capsys):
    photo = tmp_path / "stamp.png"
    Image.fromarray(np.zeros((9, 12, 3), np.uint8)).save(photo)
    command = ["look", str(run), str(photo), "--out", str(tmp_path / "look.png"), "-q"]
    fails(capsys, command, "stamp.png", "12x9", "16x16 are needed", "--enlarge")
    assert cli.main([*command, "--enlarge"]) == 0


@pytest.mark.parametrize(
    ("draw", "options"), [("draw_truth", ["--truth"]), ("draw_samples", ["--split", "val", "--seed", "4"])]
)
def test_data_shows_a_page(tmp_path, capsys, monkeypatch, draw, options):
    pages, page = Drawer(monkeypatch, "minizf.view.samples", draw), tmp_path / "samples.png"
    assert cli.main(["data", "scenes:images=40", "--per-class", "2", "--size", "24", *options, "--out", str(page)]) == 0
    shown = pages.last(page)
    expected = data.load("scenes:images=40", "val" if "val" in options else "train", 24, progress=False)
    assert (shown["images"], shown["seed"]) == (20, 4 if "4" in options else 0)
    assert np.array_equal(shown["dataset"].images(np.arange(40)), expected.images(np.arange(40)))
    assert f"{page} shows 20 of them" in capsys.readouterr().out


def test_doctor_says_what_works(capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for word in ("python", "numpy", "reference", "agrees with the definition"):
        assert word in said


@pytest.mark.parametrize(("asked", "says"), [("bogus", "unknown implementation 'bogus'"), ("gone", "no_such_module")])
def test_doctor_reports_an_implementation_that_cannot_be_had_and_goes_on(asked, says, capsys, monkeypatch):
    gone = backends.Implementation("gone", "no_such_module", (backends.FLOAT32,), "install it")
    if asked == "gone":
        monkeypatch.setitem(backends.KNOWN, "gone", gone)
    monkeypatch.setattr(backends, "_active", None)
    monkeypatch.setenv("MINIZF_BACKEND", asked)
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    for word in ("MINIZF_BACKEND", says, "agrees with the definition", "disk", "1 to mend: backend"):
        assert word in said


def test_doctor_finds_no_fault_in_tf32_nor_in_arrays_of_a_device(monkeypatch):
    """TF32 rounds what it multiplies, and a device's arrays are not NumPy's: neither is wrong."""
    for finding in doctor.implementations():
        assert finding.ok is not False, finding
    with strict_device.implementation(monkeypatch):
        assert doctor.self_check("strict-device") == ""


def test_doctor_finds_wrong_results(monkeypatch):
    right = numpy_blas.conv2d
    monkeypatch.setattr(numpy_blas, "conv2d", lambda *call: right(*call) * np.float32(1 + 2.0**-20))
    assert "wrong results" in doctor.self_check("numpy")


def test_errors_name_the_input_and_the_way_out(run, tmp_path, capsys):
    fails(capsys, ["train", *SMALL, "--out", str(run)], "already holds a run", "--resume")
    fails(capsys, ["train", "vgg", *SMALL, "--out", str(tmp_path / "a")], "no net 'vgg'", "zfnet64")
    fails(capsys, ["train", "--data", "photos", "--out", str(tmp_path / "a")], "unknown image set 'photos'", "folder:")
    fails(capsys, ["train", "--data", f"folder:{tmp_path}/no", "--out", str(tmp_path / "a")], "no such file or folder")
    fails(capsys, ["train", *SMALL, "--size", "3", "--out", str(tmp_path / "a")], "size 3", "16 to 512")
    fails(capsys, ["train", *SMALL, "--backend", "cuda9", "--out", str(tmp_path / "a")], "cuda9", "numpy")
    fails(capsys, ["train", *SMALL, "--checkpoints", "1,x", "--out", str(tmp_path / "a")], "'x' is not a whole number")
    fails(capsys, ["train", *SMALL, "--jitter", "16", "--out", str(tmp_path / "a")], "--jitter 16", "0..15")
    fails(capsys, ["train", *SMALL, "--momentum", "1", "--out", str(tmp_path / "a")], "momentum is 1.0")
    (tmp_path / "photos" / "train" / "cat").mkdir(parents=True)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "photos" / "train" / "cat" / "1.png")
    photos = f"folder:{tmp_path}/photos"
    fails(capsys, ["train", "--data", photos, "--size", "16", "--out", str(tmp_path / "a")], "none of val", "add one")
    fails(capsys, ["train", "--resume", str(run), "--epochs", "9"], "--epochs cannot change", "--out")
    fails(capsys, ["train", "alexnet64", "--resume", str(run)], "net cannot change")
    fails(capsys, ["atlas", str(tmp_path)], "holds no run")
    fails(capsys, ["atlas", str(run), "--epoch", "9"], "no weights of epoch 9; kept: 1, 2")
    fails(capsys, ["atlas", str(run), "--layers", "relu9"], "no layer 'relu9'", "relu5")
    fails(capsys, ["look", str(run), "99999"], "no image 99999", "0..59")
    fails(capsys, ["look", str(run), "nowhere.jpg"], "no such image file")
    fails(capsys, ["look", str(run), "1", "--layer", "relu2", "--map", "500"], "500", "0..95")
    fails(capsys, ["look", str(run), "1", "--data", "fashion-mnist:nowhere"], "no such file or folder")
    assert not (tmp_path / "a").exists()


def test_an_occupied_folder_is_refused_before_any_image_is_read(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minizf.data.load", lambda *a, **b: pytest.fail("images were read"))
    fails(capsys, ["train", *SMALL, "--out", str(run)], "already holds a run", "--resume")
    (tmp_path / "notes.txt").write_text("mine")
    fails(capsys, ["train", *SMALL, "--out", str(tmp_path)], "not an empty folder", "--out")


def test_a_run_finds_its_images_from_every_folder(tmp_path, monkeypatch, capsys):
    for split, label, shade in (("train", "cat", 10), ("train", "dog", 200), ("val", "cat", 10), ("val", "dog", 200)):
        (tmp_path / "pets" / split / label).mkdir(parents=True)
        Image.fromarray(np.full((16, 16, 3), shade, np.uint8)).save(tmp_path / "pets" / split / label / "1.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    small = ["--size", "16", "--epochs", "1", "--jitter", "1", "-q"]
    assert cli.main(["train", "--data", "folder:pets,enlarge=yes", *small, "--out", "run"]) == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.main(["train", "--resume", "../run", "-q"]) == 0
    assert cli.main(["look", "../run", "1", "--out", "look.png", "-q"]) == 0
    assert cli.main(["look", "../run/last.safetensors", "1", "--out", "look.png", "-q"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"] == f"folder:{tmp_path.resolve()}/pets,enlarge=yes"


def test_verbose_shows_where_an_error_happened(run):
    with pytest.raises(ValueError, match="no layer 'relu9'") as stop:
        cli.main(["look", str(run), "1", "--layer", "relu9", "-v"])
    assert [entry.name for entry in stop.traceback][-1] == "check_layer"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--schedule", "hope"],
        ["look", "run", "7", "--maps", "0"],
        ["data", "scenes", "--per-class", "-1"],
        ["look", "run"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_run_files_edited_by_hand_are_named(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(config | {"recipe": {"hope": 1}}))
    fails(capsys, ["train", "--resume", str(copy)], "copy/run.json", "hope", "edited by hand")
    (copy / "run.json").write_text("{}")
    fails(capsys, ["train", "--resume", str(copy)], "copy/run.json lacks net, data")
    (copy / "log.jsonl").write_text("x")
    fails(capsys, ["atlas", str(copy), "--layers", "relu1"], "copy/log.jsonl")


def test_a_layer_without_a_way_down_is_named(tmp_path, capsys, monkeypatch):
    class Square(Layer):
        def forward(self, x, rng=None):
            return x * x, x

    monkeypatch.setitem(KINDS, "Square", Square)
    scores = Linear(np.ones((2, 768), np.float32), np.zeros(2, np.float32))
    net = Net([("square", Square()), ("flat", Flatten()), ("scores", scores)], (3, 16, 16))
    file, photo = tmp_path / "w.safetensors", tmp_path / "photo.png"
    weights.save(file, net, Preprocess(np.zeros((3, 16, 16), np.float32), 255.0), ["cat", "dog"])
    Image.fromarray(np.full((16, 16, 3), 9, np.uint8)).save(photo)
    command = ["look", str(file), str(photo), "--layer", "scores", "--out", str(tmp_path / "look.png")]
    fails(capsys, command, "through layer 'square'", "no deconv rule")


def test_a_gray_set_for_a_net_that_reads_color_names_the_option(run, tmp_path, capsys):
    header = b"\0\0\x08\x03" + np.array([5, 28, 28], ">u4").tobytes()
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(header + bytes(5 * 28 * 28))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + np.array([5], ">u4").tobytes() + bytes(5))
    spec = f"mnist:{tmp_path}"
    command = ["look", str(run), "1", "--out", str(tmp_path / "look.png"), "--data"]
    fails(capsys, [*command, spec], "1 channels, the net reads 3", f"write {spec},channels=3")
    fails(capsys, [*command, f"{spec},channels=1"], f"write {spec},channels=1,channels=3")
    assert cli.main([*command, f"{spec},channels=1,channels=3"]) == 0


def test_damaged_weights_say_which_are_intact(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    files = [copy / "last.safetensors", copy / "checkpoints" / "epoch-0002.safetensors"]
    for file in files:
        file.write_bytes(file.read_bytes()[:-4] + b"gone")
    for command in (["train", "--resume", str(copy)], ["atlas", str(copy)], ["look", str(copy), "1"]):
        fails(capsys, command, "last.safetensors: its numbers", "after epoch 1:", "--epoch 1", "--out")
    (copy / "checkpoints" / "epoch-0001.safetensors").write_bytes(b"")
    fails(capsys, ["train", "--resume", str(copy)], "no weights in its checkpoints folder are intact")


def test_a_reader_that_leaves_early_is_no_disaster():
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "minizf.cli", "doctor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_ctrl_c_saves_and_ends_with_code_130(tmp_path):
    out = tmp_path / "stopped"
    arguments = ["train", *SMALL[:-2], "--out", str(out), "-q"]
    arguments[arguments.index("--epochs") + 1] = "100000"
    command = [sys.executable, "-m", "minizf.cli", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "MINIZF_BACKEND": "numpy"})
    while not (out / "log.jsonl").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"minizf train --resume {out}" in said
    assert (out / "last.safetensors").exists()


def test_importing_the_library_is_quick():
    """Under half a second, of which NumPy itself is a part; Numba, matplotlib and Pillow wait until they are needed."""
    program = "import sys, minizf; print([m for m in ('numba', 'matplotlib', 'PIL', 'jinja2', 'torch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    total_us = int(result.stderr.strip().splitlines()[-1].split("|")[1])
    assert total_us < 500_000
