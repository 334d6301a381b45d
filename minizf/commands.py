"""What each verb does, from names and paths to files on disk. `cli.py` holds the words, this file the acts."""

import dataclasses
import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kernels
from minizf import data, deconvnet, doctor, weights
from minizf.data import Dataset
from minizf.layers import Rules, softmax
from minizf.recipe import CHECKPOINTS, Recipe
from minizf.run import Run
from minizf.train import evaluate
from minizf.training_run import begin_run, epochs_of, finish_run, recipe_of, refuse_new_options, reopen_run
from minizf.weights import Checkpoint

log = logging.getLogger("minizf")

DEMO_DATA = "scenes"
# ten times the usual decay: in so few steps the noise of the random start would not fade, and every projection would show it
DEMO_RECIPE = Recipe(epochs=8, weight_decay=5e-3)


def demo(options: Namespace) -> None:
    """Trains zfnet64 on scenes, or goes on where an earlier demo stopped, and writes its atlas and pictures."""
    choose_backend(options)
    out = Path(options.out)
    if (out / "run.json").is_file():
        run, sets = reopen_run(out, options)
        log.info("%s was begun before and goes on from there; remove that folder to begin anew", out)
    else:
        kept = list(range(1, DEMO_RECIPE.epochs + 1))
        run, sets = begin_run(out, "zfnet64", DEMO_DATA, 64, DEMO_RECIPE, kept, options)
    checkpoint, val_set = finish_run(run, *sets, options)
    write_pages(run, checkpoint, val_set, run.path / "atlas.html", run.path / "plates", options)


def train(options: Namespace) -> None:
    """Begins a run, or goes on with one, and trains it to its last epoch."""
    choose_backend(options)
    if options.resume:
        refuse_new_options(options)
        run, sets = reopen_run(Path(options.resume), options)
    else:
        fields = [field.name for field in dataclasses.fields(Recipe)]
        recipe = Recipe(**{name: getattr(options, name) for name in fields if getattr(options, name, None) is not None})
        asked = options.checkpoints or ",".join(map(str, CHECKPOINTS))
        kept = [whole_number(text, "--checkpoints") for text in asked.split(",") if text]
        net, spec = options.net or "zfnet64", options.data or "scenes"
        out = Path(options.out or f"runs/{net}-{spec.partition(':')[0]}")
        run, sets = begin_run(out, net, spec, options.size or 64, recipe, kept, options)
    checkpoint, val_set = finish_run(run, *sets, options)
    if options.ten_crops:
        jitter = run.config["recipe"]["jitter"]
        net, preprocess = checkpoint.net, checkpoint.preprocess
        scores = evaluate(net, preprocess, val_set, ten_crops=True, jitter=jitter, show_progress=not options.quiet)
        print(f"over ten crops: {scores}")
    log.info("next: minizf atlas %s", run.path)


def atlas(options: Namespace) -> None:
    """Writes the atlas of a run, or of a weights file, over its own validation images or others."""
    choose_backend(options)
    run, checkpoint = open_trained(options)
    dataset = matching_set(checkpoint, options.data, options.split, options)
    home = run.path if run else Path(options.run).parent
    out = Path(options.out) if options.out else home / "atlas.html"
    write_pages(run, checkpoint, dataset, out, out.parent / "plates" if options.plates else None, options)


def look(options: Namespace) -> None:
    """Draws one image's way through a net: prediction, strongest maps, their projections; with --trace, one map's way down."""
    from minizf.view.look import draw_look
    from minizf.view.style import save
    from minizf.view.trace import draw_trace

    choose_backend(options)
    _, checkpoint = open_trained(options)
    net, rules = checkpoint.net, rules_of(options)
    layer = net.check_layer(options.layer or net.feature_layers[-1])
    image, label, name = one_image(checkpoint, options)
    logits, tape = net.forward(checkpoint.preprocess(image[None]))
    maps = options.maps if options.map is None else [options.map]
    save(draw_look(net, tape, image, layer, checkpoint.classes, maps, rules, label=label, name=name), options.out)
    best = int(logits[0].argmax())
    guess = checkpoint.classes[best] if checkpoint.classes else f"class {best}"
    print(f"{name}: {guess}, {softmax(logits)[0, best]:.0%} sure; {options.out} shows layer {layer}")
    if options.trace:
        strongest = tape.outputs[layer][0].reshape(net.shapes[layer][0], -1).max(axis=1).argmax()
        chosen = int(strongest) if options.map is None else options.map
        steps = deconvnet.trace(net, tape, layer, 0, chosen, rules=rules)
        save(draw_trace(steps, image, title=f"The way down from {layer}, map {chosen}"), options.trace)
        print("\n".join(map(str, steps)))
        print(f"{options.trace} shows these steps")


def data_page(options: Namespace) -> None:
    """Draws a page of samples of an image set and prints what the set holds."""
    from minizf.view.samples import draw_samples, draw_truth
    from minizf.view.style import save

    dataset = data.load(options.data, options.split, options.size, progress=not options.quiet)
    print(data.describe(dataset))
    count = min(options.per_class * len(dataset.classes), len(dataset))
    if options.truth and dataset.name != "scenes":
        raise ValueError(f"--truth draws what is known of scenes; nothing of the kind is known of {dataset.name}")
    draw: Callable[..., Any] = draw_truth if options.truth else draw_samples
    save(draw(dataset, count, options.seed), options.out)
    print(f"{options.out} shows {count} of them")


def doctor_report(options: Namespace) -> int:
    """Prints what this machine can use; exit code 1 when something that is needed is missing or wrong."""
    choose_backend(options)
    findings = doctor.examine()
    print("\n".join(map(str, findings)))
    faults = [finding for finding in findings if finding.ok is False]
    print(f"{len(faults)} to mend: {', '.join(f.topic for f in faults)}" if faults else "everything that is needed works")
    return 1 if faults else 0


def bench_kernels(options: Namespace) -> int:
    """Times the kernels, or shows, compares and draws earlier times; exit code 1 when a result is wrong or a time is worse."""
    from minizf.bench import bench

    return bench(options)


ACTS: dict[str, Callable[[Namespace], int | None]] = {
    "demo": demo,
    "train": train,
    "atlas": atlas,
    "look": look,
    "data": data_page,
    "doctor": doctor_report,
    "bench": bench_kernels,
}


def write_pages(
    run: Run | None, checkpoint: Checkpoint, dataset: Dataset, out: Path, plates_folder: Path | None, options: Namespace
) -> None:
    """Scans the set, projects every map's winners, and writes the atlas; with a folder, each layer as a PNG plate too."""
    from minizf.experiments import top9
    from minizf.view.atlas import write_atlas
    from minizf.view.filters import draw_filters
    from minizf.view.style import save

    net, preprocess, show = checkpoint.net, checkpoint.preprocess, not options.quiet
    named = getattr(options, "layers", None)
    layers = [net.check_layer(name) for name in named.split(",")] if named else net.feature_layers
    top9.require_room(net, layers)
    rules = rules_of(options)
    out.parent.mkdir(parents=True, exist_ok=True)
    state = out.with_suffix(".scan.npz")
    try:
        winners = top9.scan(net, preprocess, dataset, layers, state=state, progress=show)
    except top9.StateError as other:  # left by an earlier page: after more training, of another epoch, set or choice of layers
        log.info("%s; scanning anew", str(other).partition(";")[0])
        state.unlink()
        winners = top9.scan(net, preprocess, dataset, layers, state=state, progress=show)
    if plates_folder:
        plates_folder.mkdir(parents=True, exist_ok=True)
        save(draw_filters(net), plates_folder / "filters.png")

    plates = top9.each_plate(net, preprocess, dataset, winners, rules, progress=show)
    if plates_folder:
        plates = drawn_plates(plates, f"{dataset.name} {dataset.split}", plates_folder)
    rows = run.rows() if run else []
    size = write_atlas(
        out, net, plates, dataset, rules=rules, facts=facts_of(run, checkpoint, dataset), log=rows, progress=show
    )
    print(f"{out.resolve()}  ({size / 1e6:.1f} MB; open it in a browser, it needs no network)")
    if plates_folder:
        print(f"{plates_folder}: plates as in the paper's figure 2")


def drawn_plates(plates: Iterable[Any], data_name: str, folder: Path) -> Iterator[Any]:
    """Writes each plate as a PNG on its way to the atlas, so that no two are needed at once."""
    from minizf.view.plates import draw_plate
    from minizf.view.style import save

    for plate in plates:
        save(draw_plate(plate, data_name), folder / f"{plate.layer}.png")
        yield plate


def facts_of(run: Run | None, checkpoint: Checkpoint, dataset: Dataset) -> dict[str, str]:
    """What the atlas tells of the run."""
    facts = {"images searched": f"{len(dataset):,} ({dataset.name}, {dataset.split})"}
    if run:
        rows, told = run.rows(), run.config
        if "data" in told:
            facts = {"trained on": data.brief(told["data"])} | facts
        if "net" in told:
            facts = {"network": told["net"]} | facts
        if "recipe" in told:
            recipe = recipe_of(run)
            facts["recipe"] = (
                f"SGD, momentum {recipe.momentum:g}, rate {recipe.learning_rate:g} ({recipe.schedule}), batch {recipe.batch}"
            )
        rows = rows[: checkpoint.metadata.get("epoch", len(rows))]  # what came after the weights shown is not theirs
        if rows:
            facts["validation accuracy"] = f"{rows[-1]['val_accuracy']:.1%} after {epochs_of(rows)}"
            facts["training time"] = f"{sum(row['seconds'] for row in rows):.0f} s"
    return {**facts, "parameters": f"{checkpoint.net.parameter_count:,}"}


def open_trained(options: Namespace) -> tuple[Run | None, Checkpoint]:
    """A run folder's weights (--epoch chooses), or a weights file's."""
    path = Path(options.run)
    if path.is_dir():
        run = Run.open(path)
        checkpoint = run.load(options.epoch)
    else:
        run, checkpoint = None, weights.load(path)
    if checkpoint.preprocess is None:
        raise ValueError(f"{path} does not say how its images were prepared; it was saved without `preprocess`")
    return run, checkpoint


def matching_set(checkpoint: Checkpoint, spec: str | None, split: str, options: Namespace) -> Dataset:
    """The image set asked for, or the one the net was trained on, at the net's size."""
    spec = spec or checkpoint.metadata.get("data")
    if not spec:
        raise ValueError(f"{options.run} does not say which images it was trained on; name some with --data")
    channels, size, _ = checkpoint.net.input_shape
    dataset = data.load(spec, split, size, progress=not options.quiet)
    if dataset.image_shape[0] != channels:
        knows_channels = "channels" in data.FORMS[spec.partition(":")[0]].options
        remedy = f"write {spec},channels={channels}" if knows_channels else "choose another image set (--data)"
        raise ValueError(f"{spec} has images with {dataset.image_shape[0]} channels, the net reads {channels}; {remedy}")
    return dataset


def one_image(checkpoint: Checkpoint, options: Namespace) -> tuple[np.ndarray, int | None, str]:
    """(pixels uint8 (C, S, S), its class if known, name) of an image file, or of an image of the set by its number."""
    path = Path(options.image)
    if options.image.isdigit() and not path.exists():
        dataset = matching_set(checkpoint, options.data, "val", options)
        number = int(options.image)
        pixels = dataset.images([number])[0]
        label = int(dataset.labels[number]) if dataset.classes == checkpoint.classes else None
        return pixels, label, dataset.image_name(number)
    if not path.is_file():
        raise ValueError(f"{path}: no such image file, and not an image's number")
    channels, size, _ = checkpoint.net.input_shape
    return data.decode_file(path, size, channels, options.enlarge), None, path.name


def rules_of(options: Namespace) -> Rules:
    """The deconvnet's rules the user asked for."""
    return Rules(**{name: getattr(options, name) for name in Rules.KNOWN if hasattr(options, name)})


def choose_backend(options: Namespace) -> None:
    """--backend, else what MINIZF_BACKEND or the machine says."""
    if options.backend:
        kernels.use(options.backend)


def whole_number(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option}: {text!r} is not a whole number") from None
