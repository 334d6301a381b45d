"""Training: it learns, it resumes with the same bits after any kill, and it says what went wrong."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import kernels
from minizf import train, weights, zoo
from minizf.data import ArrayDataset, Preprocess, ten_crop
from minizf.layers import softmax
from minizf.run import Run, RunError
from minizf.train import Progress, Recipe, TrainingDiverged, TrainingStopped, evaluate, fit

RECIPE = Recipe(epochs=3, batch=16, learning_rate=0.02, jitter=2)


def stripes(count: int, seed: int, split: str) -> ArrayDataset:
    """Three classes one can learn in seconds: horizontal, vertical and diagonal stripes of any phase and colour, 16 x 16."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    rows, cols = np.mgrid[:16, :16]
    fields = [rows, cols, rows + cols]
    images = np.empty((count, 3, 16, 16), np.uint8)
    for i, label in enumerate(labels):
        wave = ((fields[label] + rng.integers(6)) // 3) % 2
        low, high = rng.integers(0, 90, 3), rng.integers(150, 250, 3)
        images[i] = np.where(wave, high[:, None, None], low[:, None, None]) + rng.integers(0, 6, (3, 16, 16))
    return ArrayDataset("stripes", split, ["rows", "columns", "diagonals"], labels, images, mirror=False)


def parts(tmp_path, name="run"):
    train_set, val_set = stripes(96, 1, "train"), stripes(33, 2, "val")
    run = Run.create(tmp_path / name, {"net": "zfnet64", "data": "stripes", "classes": train_set.classes})
    return run, zoo.zfnet64(3, size=16, seed=4), Preprocess.fit(train_set, progress=False), train_set, val_set


def trained_state(run):
    return run.load().net.state()


def check_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


def without_timing(rows):
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_s")} for row in rows]


def test_learns_and_keeps_its_log_and_checkpoints(tmp_path):
    run, *rest = parts(tmp_path)
    recipe = dataclasses.replace(RECIPE, epochs=8)
    rows = fit(run, *rest, recipe, checkpoints=(1, 2), show_progress=False)
    assert rows[-1]["val_accuracy"] > 0.9 > rows[0]["train_accuracy"]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert run.rows() == rows
    assert sorted(run.checkpoints()) == [1, 2, 8]
    net, preprocess, _, _, val_set = (rest[0], *rest[1:2], None, None, rest[3])
    loaded = run.load(8)
    assert evaluate(loaded.net, loaded.preprocess, val_set) == evaluate(net, preprocess, val_set)
    assert loaded.classes == val_set.classes


def test_two_runs_give_the_same_bits(tmp_path):
    states = []
    for name in ("a", "b"):
        run, *rest = parts(tmp_path, name)
        fit(run, *rest, RECIPE, show_progress=False)
        states.append(trained_state(run))
    check_same_bits(*states)


def test_another_seed_gives_other_bits(tmp_path):
    states = []
    for seed in (0, 1):
        run, *rest = parts(tmp_path, f"seed{seed}")
        fit(run, *rest, dataclasses.replace(RECIPE, epochs=1, seed=seed), show_progress=False)
        states.append(trained_state(run))
    assert not np.array_equal(states[0]["conv1.weight"], states[1]["conv1.weight"])


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_stop_in_mid_epoch_resumes_with_the_same_bits(tmp_path, monkeypatch, schedule):
    recipe = dataclasses.replace(RECIPE, schedule=schedule, patience=1)
    run, *rest = parts(tmp_path, "whole")
    fit(run, *rest, recipe, show_progress=False)
    whole, whole_rows = trained_state(run), run.rows()

    run, *rest = parts(tmp_path, "stopped")
    step = train.train_step

    def interrupted(net, velocity, preprocess, train_set, batch, recipe, at, steps):
        step(net, velocity, preprocess, train_set, batch, recipe, at, steps)
        if (at.epoch, at.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train, "train_step", interrupted)
    with pytest.raises(TrainingStopped, match="stopped in epoch 2 after 32 of its 96"):
        fit(run, *rest, recipe, show_progress=False)
    monkeypatch.undo()
    fresh = zoo.zfnet64(3, size=16, seed=99)
    fit(Run.open(run.path), fresh, *rest[1:], recipe, show_progress=False)
    check_same_bits(whole, trained_state(run))
    assert without_timing(run.rows()) == without_timing(whole_rows)


KILLS = [  # (the file in work, which write of it since that start, how far the write has come)
    ("last.safetensors", 1, "half written"),  # nothing was saved before
    ("last.safetensors", 4, "not renamed"),
    ("last.safetensors", 2, "half written"),
    ("last.safetensors", 2, "renamed"),
    ("last.safetensors", 1, "renamed"),
    ("last.safetensors", 5, "not renamed"),
    ("log.jsonl", 1, "half written"),  # all steps of an epoch are done, its end is not saved
    ("epoch-0003.safetensors", 1, "half written"),
    ("epoch-0003.safetensors", 1, "not renamed"),
]


def test_killed_at_any_moment_it_resumes_with_the_same_bits(tmp_path):
    """Every start but the last is killed inside a write it was told of, early and late; the last goes on to the end."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import os, signal, sys
        sys.path[:0] = [{str(os.path.dirname(__file__))!r}]
        from pathlib import Path
        from test_train import RECIPE, parts
        from minizf import files, zoo
        from minizf.run import Run
        from minizf.train import fit

        folder, name, attempt, victim, number, moment = Path(sys.argv[1]), *sys.argv[2:]
        if (folder / name / "run.json").exists():
            run, (_, net, *rest) = Run.open(folder / name), parts(folder, name + "-unused" + attempt)
        else:
            run, net, *rest = parts(folder, name)
        fsync, replace, left, due = os.fsync, os.replace, int(number), False

        def open_counting(path, mode="r"):
            global left, due
            left -= "w" in mode and victim in str(path)
            due = "w" in mode and victim in str(path) and left == 0
            return open(path, mode)

        def die(here):
            if due and here == moment:
                print("killed", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        def fsync_or_die(descriptor):
            if due and moment == "half written":
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die("half written")
            fsync(descriptor)

        def replace_or_die(temporary, path):
            die("not renamed")
            replace(temporary, path)
            die("renamed")

        files.open, os.fsync, os.replace = open_counting, fsync_or_die, replace_or_die
        fit(run, net, *rest, RECIPE, show_progress=False, autosave_s=-1.0)
        print("done", flush=True)
        """)
    )
    environment = {**os.environ, "MINIZF_BACKEND": "numpy"}

    def start(name, attempt, file="none", number=1, moment="never"):
        command = [sys.executable, str(program), str(tmp_path), name, str(attempt), file, str(number), moment]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment).stdout

    assert start("whole", 0) == "done\n"
    for attempt, kill in enumerate(KILLS):
        assert start("killed", attempt, *kill) == "killed\n", kill
    assert start("killed", len(KILLS)) == "done\n"
    whole, killed = Run.open(tmp_path / "whole"), Run.open(tmp_path / "killed")
    check_same_bits(trained_state(whole), trained_state(killed))
    assert list(killed.checkpoints()) == list(whole.checkpoints())
    for epoch in whole.checkpoints():
        check_same_bits(whole.load(epoch).net.state(), killed.load(epoch).net.state())
    assert without_timing(killed.rows()) == without_timing(whole.rows())


def test_a_full_disk_leaves_the_last_save_intact(tmp_path, monkeypatch):
    run, *rest = parts(tmp_path)
    fit(run, *rest, dataclasses.replace(RECIPE, epochs=1), show_progress=False)
    before = run.last_path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"(?i)space"):
        fit(run, *rest, dataclasses.replace(RECIPE, epochs=2), show_progress=False)
    monkeypatch.undo()
    assert run.last_path.read_bytes() == before
    assert weights.load(run.last_path).metadata["epoch"] == 1
    assert {path.name for path in run.path.iterdir()} == {"run.json", "log.jsonl", "last.safetensors", "checkpoints"}


def test_a_diverging_loss_names_layer_batch_and_remedy(tmp_path):
    run, net, *rest = parts(tmp_path)
    net.layers["conv3"].weight[7, 0, 0, 0] = np.nan
    with pytest.raises(
        TrainingDiverged, match=r"epoch 1, step 1 \(images .*\).*layer conv3 \(its weight.*learning rate below 0.02"
    ):
        fit(run, net, *rest, RECIPE, show_progress=False)


@pytest.mark.parametrize("implementation", ["numpy", "numba"])
def test_overflow_ends_in_one_error_without_a_warning_of_numpy(tmp_path, implementation):
    run, net, *rest = parts(tmp_path)
    recipe = dataclasses.replace(RECIPE, learning_rate=1e9, filter_rms=0)
    with kernels.use(implementation), pytest.raises(TrainingDiverged, match="no longer a number in epoch 1, step"):
        fit(run, net, *rest, recipe, show_progress=False)


@pytest.mark.parametrize(("step", "autosave_s"), [(6, 60.0), (2, 0.0)], ids=["last step of all", "autosave in mid-epoch"])
def test_weights_that_are_no_numbers_are_neither_judged_nor_saved(tmp_path, monkeypatch, step, autosave_s):
    run, net, *rest = parts(tmp_path)
    fit(run, net, *rest, dataclasses.replace(RECIPE, epochs=1), show_progress=False)
    update = train.sgd_update

    def overflowing(net, velocity, grads, rate, recipe):
        update(net, velocity, grads, rate, recipe)
        overflowing.steps += 1
        if overflowing.steps == step:
            net.layers["conv2"].bias[3] = np.inf

    overflowing.steps = 0
    monkeypatch.setattr(train, "sgd_update", overflowing)
    recipe = dataclasses.replace(RECIPE, epochs=2)
    with pytest.raises(TrainingDiverged, match=rf"epoch 2, step {step} .*layer conv2 \(its bias\).*saved state .* intact"):
        fit(run, net, *rest, recipe, show_progress=False, autosave_s=autosave_s)
    assert all(np.isfinite(array).all() for array in trained_state(run).values())
    assert len(run.rows()) == 1
    assert sorted(run.checkpoints()) == [1]


def test_a_net_that_answers_nan_is_never_right():
    val_set = stripes(10, 3, "val")
    net = zoo.zfnet64(3, size=16)
    net.layers["fc8"].bias[:] = np.nan
    scores = evaluate(net, Preprocess.fit(val_set, progress=False), val_set)
    assert (scores.top1, scores.top5, np.isnan(scores.loss)) == (0, 0, True)


def test_plateau_anneals_only_when_validation_stalls():
    recipe = dataclasses.replace(RECIPE, schedule="plateau", patience=2, anneal=0.5)
    at = Progress(best=0.5)
    history = []
    for accuracy in (0.6, 0.6, 0.55, 0.7, 0.7, 0.7, 0.7):
        train.note_validation(recipe, at, accuracy)
        history.append(at.rate_factor)
    assert history == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_filters_are_scaled_back_to_the_radius_and_not_beyond():
    net = zoo.zfnet64(3, size=16)
    conv = net.layers["conv2"]
    conv.weight[0] *= 100
    small = conv.weight[1].copy()
    train.renormalise_filters(net, 0.1)
    assert np.sqrt(np.square(conv.weight[0]).mean()) == pytest.approx(0.1, rel=1e-5)
    assert np.array_equal(conv.weight[1], small)


def test_sgd_follows_momentum_and_decay_by_hand():
    net = zoo.zfnet64(3, size=16)
    w, b = net.layers["fc8"].weight, net.layers["fc8"].bias
    w[...], b[...] = 2.0, 1.0
    velocity = {name: np.zeros_like(a) for name, a in net.state().items()}
    grads = {name: np.zeros_like(a) for name, a in net.state().items()}
    grads["fc8.weight"] += 0.5
    grads["fc8.bias"] += 0.5
    recipe = dataclasses.replace(RECIPE, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        train.sgd_update(net, velocity, grads, 0.01, recipe)
    first = -0.01 * (0.5 + 0.1 * 2)
    second = 0.9 * first - 0.01 * (0.5 + 0.1 * (2 + first))
    assert w == pytest.approx(2 + first + second, rel=1e-6)
    assert b == pytest.approx(1 - 0.005 - (0.9 * 0.005 + 0.005), rel=1e-6)


def test_evaluate_counts_as_one_would_by_hand():
    val_set = stripes(10, 3, "val")
    net, preprocess = zoo.zfnet64(3, size=16, seed=1), Preprocess.fit(val_set, progress=False)
    scores = evaluate(net, preprocess, val_set, batch=4)
    logits, _ = net.forward(preprocess(val_set.images(np.arange(10))))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert scores.top1 == (logits.argmax(axis=1) == val_set.labels).mean()
    assert scores.top5 == 1.0
    assert scores.loss == pytest.approx(-np.log(p[np.arange(10), val_set.labels]).mean(), rel=1e-5)


@pytest.mark.parametrize(("mirror", "views"), [(True, 10), (False, 5)])
def test_ten_crops_average_the_probabilities_of_each_image(mirror, views):
    val_set = stripes(10, 3, "val")
    val_set.mirror = mirror
    net, preprocess = zoo.zfnet64(3, size=16, seed=1), Preprocess.fit(val_set, progress=False)
    scores = evaluate(net, preprocess, val_set, batch=3 * views, ten_crops=True)
    p = [softmax(net.forward(preprocess(crops[:views]))[0]).mean(axis=0) for crops in ten_crop(val_set.images(np.arange(10)))]
    assert scores.top1 == (np.argmax(p, axis=1) == val_set.labels).mean()
    assert scores.loss == pytest.approx(-np.log(np.array(p)[np.arange(10), val_set.labels]).mean(), rel=1e-5)


def test_run_folders_refuse_what_would_lose_something(tmp_path):
    run, *_ = parts(tmp_path)
    with pytest.raises(RunError, match=r"already holds a run.*--resume"):
        Run.create(run.path, {})
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("...")
    with pytest.raises(RunError, match="not an empty folder"):
        Run.create(tmp_path / "letters", {})
    with pytest.raises(RunError, match=r"holds no run"):
        Run.open(tmp_path / "letters")
    with pytest.raises(RunError, match=r"not been trained"):
        run.load()
    with pytest.raises(RunError, match=r"no weights of epoch 5; kept: none"):
        run.load(5)
    (run.path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"not valid JSON"):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("schedule", "hope"),
        ("learning_rate", -1.0),
        ("learning_rate", np.inf),
        ("momentum", 5),
        ("patience", 0),
        ("jitter", -1),
    ],
)
def test_recipes_that_make_no_sense(field, value):
    with pytest.raises(ValueError, match="recipe"):
        dataclasses.replace(RECIPE, **{field: value})


def test_a_run_is_readable_without_us(tmp_path):
    run, *rest = parts(tmp_path)
    fit(run, *rest, dataclasses.replace(RECIPE, epochs=1), show_progress=False)
    assert json.loads((run.path / "run.json").read_text())["net"] == "zfnet64"
    assert json.loads((run.path / "log.jsonl").read_text())["epoch"] == 1
    assert kernels.current()


def test_a_set_of_more_classes_than_the_net_knows_is_refused():
    val_set = stripes(5, 0, "val")
    net = zoo.zfnet64(len(val_set.classes) - 1, *val_set.image_shape[:2])
    with pytest.raises(ValueError, match=rf"has {len(val_set.classes)} classes, the net knows {len(val_set.classes) - 1}"):
        evaluate(net, Preprocess.fit(val_set, progress=False), val_set)
