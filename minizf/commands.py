"""What each verb of the command line does, from names and paths to files on disk. `cli.py` holds the words, this file the acts."""

import dataclasses
import logging
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

import kernels
from minizf import __version__, data, doctor, weights, zoo
from minizf.data import Dataset, Preprocess
from minizf.layers import Rules
from minizf.run import Run, RunError
from minizf.train import Recipe, TrainingStopped, evaluate, fit

log = logging.getLogger("minizf")

DEMO_DATA = "scenes:images=8000"
DEMO_RECIPE = Recipe(epochs=8)


def demo(options: Namespace) -> int:
    """Trains zfnet64 on scenes, or goes on where an earlier demo stopped, and writes its atlas."""
    choose_backend(options)
    out = Path(options.out)
    run = Run.open(out) if (out / "run.json").is_file() else begin_run(out, "zfnet64", DEMO_DATA, 64, DEMO_RECIPE, [])
    finish_run(run, options)
    return write_pages(run, options)


def train(options: Namespace) -> int:
    """Begins a run, or goes on with one, and trains it to its last epoch."""
    choose_backend(options)
    if options.resume:
        run = Run.open(options.resume)
    else:
        given = {f.name: getattr(options, f.name) for f in dataclasses.fields(Recipe) if getattr(options, f.name) is not None}
        kept = [whole_number(text, "--checkpoints") for text in options.checkpoints.split(",") if text]
        out = options.out or f"runs/{options.net}-{options.data.partition(':')[0]}"
        run = begin_run(Path(out), options.net, options.data, options.size, Recipe(**given), kept)
    net, preprocess, val_set = finish_run(run, options)
    if options.ten_crops:
        scores = evaluate(net, preprocess, val_set, ten_crops=True, show_progress=not options.quiet)
        print(f"over ten crops: {scores}")
    print(f"next: minizf atlas {run.path}")
    return 0


def begin_run(out: Path, net_name: str, spec: str, size: int, recipe: Recipe, checkpoints: list[int]) -> Run:
    """Makes the run folder after everything that can be wrong has been looked at."""
    train_set = data.load(spec, "train", size)
    if not train_set.mirror and recipe.flip:
        log.info("%s: mirrored images would change their class, so none are (as with --no-flip)", train_set.name)
        recipe = dataclasses.replace(recipe, flip=False)
    zoo.build(net_name, len(train_set.classes), train_set.image_shape[0], size, recipe.seed)
    config = {
        "minizf": __version__,
        "net": net_name,
        "data": spec,
        "size": size,
        "classes": train_set.classes,
        "channels": train_set.image_shape[0],
        "recipe": dataclasses.asdict(recipe),
        "checkpoints": checkpoints,
    }
    return Run.create(out, config)


def finish_run(run: Run, options: Namespace) -> tuple:
    """Trains a run from wherever it stands to its last epoch; returns (net, preprocess, validation set)."""
    config, recipe = run.config, Recipe(**run.config["recipe"])
    show = not options.quiet
    train_set = data.load(config["data"], "train", config["size"], progress=show)
    val_set = data.load(config["data"], "val", config["size"], progress=show)
    if train_set.classes != config["classes"]:
        raise RunError(
            f"{run.path} was begun with the classes {config['classes']}, {config['data']} now has {train_set.classes}"
        )
    net = zoo.build(config["net"], len(config["classes"]), config["channels"], config["size"], recipe.seed)
    preprocess = run.load().preprocess if run.last_path.is_file() else Preprocess.fit(train_set, progress=show)
    log.info("%s", net.summary())
    log.info("%s\n%s", train_set, val_set)
    try:
        rows = fit(run, net, preprocess, train_set, val_set, recipe, tuple(config["checkpoints"]), show, curves_of(run))
    except TrainingStopped as stop:
        raise TrainingStopped(f"{stop}; saved. Go on with: minizf train --resume {run.path}") from None
    seconds = sum(row["seconds"] for row in rows)
    print(
        f"{run.path}: validation accuracy {rows[-1]['val_accuracy']:.1%} after {len(rows)} epochs, {seconds:.0f} s of training"
    )
    return net, preprocess, val_set


def curves_of(run: Run):
    """Redraws RUN/curves.png from the rows it is given."""

    def draw(rows):
        from minizf.view.curves import draw_curves
        from minizf.view.style import save

        title = f"Training {run.config['net']} on {run.config['data']}"
        save(draw_curves(rows, title), run.path / "curves.png")

    return draw


def choose_backend(options: Namespace) -> None:
    """--backend, else what MINIZF_BACKEND or the machine says."""
    if options.backend:
        kernels.use(options.backend)


def whole_number(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option}: {text!r} is not a whole number") from None
