"""A training run from what the user asked for to its last epoch: begun, or opened again, then finished.

    run, sets = begin_run(...) or reopen_run(...)      everything that can be wrong is looked at before anything is written
    checkpoint, val_set = finish_run(run, *sets, ...)  trains from wherever the run stands

`run.py` is the folder on disk, `train.py` the training itself.
"""

import dataclasses
import logging
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from minizf import __version__, data, zoo
from minizf.data import Dataset, Preprocess
from minizf.recipe import Recipe
from minizf.run import Run, RunError, require_free
from minizf.train import TrainingStopped, fit
from minizf.weights import Checkpoint

log = logging.getLogger("minizf")

Sets = tuple[Dataset, Dataset]  # to train on, and to validate on


def begin_run(
    out: Path, net_name: str, spec: str, size: int, recipe: Recipe, checkpoints: list[int], options: Namespace
) -> tuple[Run, Sets]:
    """Makes the run folder, after everything that can be wrong has been looked at."""
    require_free(out)
    train_set, val_set = load_sets(spec, size, options)
    if recipe.jitter >= size:
        raise ValueError(f"--jitter {recipe.jitter}: images of {size} pixels can move by 0..{size - 1}")
    if not train_set.mirror and recipe.flip:
        log.info("%s: mirrored images would change their class, so none are (as with --no-flip)", train_set.name)
        recipe = dataclasses.replace(recipe, flip=False)
    zoo.build(net_name, len(train_set.classes), train_set.image_shape[0], size, recipe.seed)
    config = {
        "minizf": __version__,
        "net": net_name,
        "data": data.absolute(spec),
        "size": size,
        "classes": train_set.classes,
        "channels": train_set.image_shape[0],
        "recipe": dataclasses.asdict(recipe),
        "checkpoints": checkpoints,
    }
    return Run.create(out, config), (train_set, val_set)


def reopen_run(path: Path, options: Namespace) -> tuple[Run, Sets]:
    """A run begun earlier, with the images it was begun with."""
    run = Run.open(path)
    missing = [
        name for name in ("net", "data", "size", "classes", "channels", "recipe", "checkpoints") if name not in run.config
    ]
    if missing:
        raise RunError(f"{path / 'run.json'} lacks {', '.join(missing)}; only runs of `minizf train` and `demo` can go on here")
    recipe_of(run)
    spec, classes = run.config["data"], run.config["classes"]
    train_set, val_set = load_sets(spec, run.config["size"], options)
    if train_set.classes != classes:
        raise RunError(f"{path} was begun with the classes {classes}, {spec} now has {train_set.classes}")
    return run, (train_set, val_set)


def load_sets(spec: str, size: int, options: Namespace) -> Sets:
    """The images to train on and to validate on."""
    show = not options.quiet
    return data.load(spec, "train", size, progress=show), data.load(spec, "val", size, progress=show)


def recipe_of(run: Run) -> Recipe:
    """How a run is trained; RunError when its file says something else."""
    try:
        return Recipe(**run.config["recipe"])
    except (TypeError, ValueError) as error:
        raise RunError(f"{run.path / 'run.json'} holds no recipe of this version ({error}); was it edited by hand?") from error


def refuse_new_options(options: Namespace) -> None:
    """A resumed run keeps its options, so that it ends as if it had never stopped; others would be ignored in silence."""
    fixed = ["net", "data", "size", "checkpoints", *(field.name for field in dataclasses.fields(Recipe))]
    given = [name for name in fixed if getattr(options, name, None) is not None]
    if given:
        what = given[0] if given[0] == "net" else "--no-flip" if given[0] == "flip" else f"--{given[0].replace('_', '-')}"
        raise ValueError(f"{what} cannot change in a run that goes on: leave it out, or begin another run (--out)")


def finish_run(run: Run, train_set: Dataset, val_set: Dataset, options: Namespace) -> tuple[Checkpoint, Dataset]:
    """Trains a run from wherever it stands to its last epoch; returns what it learned, and the validation set."""
    config, recipe, show = run.config, recipe_of(run), not options.quiet
    log.info("%s\n%s", train_set, val_set)
    train_set = train_set.preload()
    net = zoo.build(config["net"], len(config["classes"]), config["channels"], config["size"], recipe.seed)
    preprocess = run.load().preprocess if run.last_path.is_file() else Preprocess.fit(train_set, progress=show)
    log.info("%s", net.summary())
    try:
        rows = fit(run, net, preprocess, train_set, val_set, recipe, tuple(config["checkpoints"]), show, curves_of(run))
    except TrainingStopped as stop:
        raise TrainingStopped(f"{stop}; saved. Go on with: minizf train --resume {run.path}") from None
    seconds = sum(row["seconds"] for row in rows)
    print(
        f"{run.path}: validation accuracy {rows[-1]['val_accuracy']:.1%} after {epochs_of(rows)}, {seconds:.0f} s of training"
    )
    return Checkpoint(net, preprocess, train_set.classes), val_set


def epochs_of(rows: list[dict]) -> str:
    """How many, in words."""
    return f"{len(rows)} epoch" + "s" * (len(rows) != 1)


def curves_of(run: Run) -> Callable[[list[dict]], None]:
    """Redraws RUN/curves.png from the rows it is given."""

    def draw(rows: list[dict]) -> None:
        from minizf.view.curves import draw_curves
        from minizf.view.style import save

        save(draw_curves(rows, f"Training {run.config['net']} on {data.brief(run.config['data'])}"), run.path / "curves.png")

    return draw
