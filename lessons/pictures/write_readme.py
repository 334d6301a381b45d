"""Makes the pictures and numbers of README.md, so that no figure in it was typed by hand.

    python lessons/pictures/write_readme.py                  pictures, program output, tables
    python lessons/pictures/write_readme.py --note RUN ...   first adds what these runs reached

Pictures and output come from runs/demo (`make demo`), the tables from lessons/results: training.json, which
--note adds to, and projections.json, which `make bench` writes.
"""

import argparse
import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from minizf import cli, data, weights
from minizf.data import Dataset
from minizf.experiments import top9
from minizf.run import Run
from minizf.train import Recipe, evaluate
from minizf.view.plates import draw_plate
from minizf.view.style import png

ROOT = Path(__file__).resolve().parents[2]
README, PICTURES, RESULTS = ROOT / "README.md", ROOT / "lessons" / "pictures", ROOT / "lessons" / "results"
DEMO = Path("runs/demo")
SHOWN = {"relu2": 8, "relu5": 6}  # maps of each layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--note", nargs="*", default=[], metavar="RUN", help="runs whose accuracy goes into the table"
    )
    options = parser.parse_args()
    note_training([Run.open(path) for path in options.note])
    make_pictures()
    text = README.read_text()
    text = fill(text, "output", lambda: f"```\n{program_output(block(text, 'program'))}```")
    text = fill(text, "training", training_table)
    text = fill(text, "projections", projections_table)
    README.write_text(text)


def block(text: str, name: str) -> str:
    """What stands between a pair of markers."""
    found = re.search(rf"<!-- {name}: .*?-->\n(.*?)<!-- end of {name} -->", text, re.DOTALL)
    if not found:
        raise ValueError(f"README.md has no block {name!r}")
    return found[1]


def fill(text: str, name: str, content: Callable[[], str]) -> str:
    """The text with the block's inside replaced."""
    return text.replace(
        f"-->\n{block(text, name)}<!-- end of {name} -->", f"-->\n{content()}\n<!-- end of {name} -->"
    )


def program_output(program: str) -> str:
    """Runs the page's Python program and returns what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program.replace("```python\n", "").replace("```", ""), {})
    return printed.getvalue()


def make_pictures() -> None:
    """The pictures of the page, all from the demo's run."""
    PICTURES.mkdir(exist_ok=True)
    trained = weights.load(DEMO / "last.safetensors")
    scenes = data.load("scenes", "val", 64)
    (PICTURES / "atlas.png").write_bytes(strongest_maps(trained, scenes))
    run(
        [
            "data",
            "scenes",
            "--split",
            "val",
            "--per-class",
            "2",
            "--seed",
            "3",
            "--out",
            str(PICTURES / "scenes.png"),
        ]
    )
    look = ["look", str(DEMO), "3", "--layer", "relu4", "--out", str(PICTURES / "look.png")]
    run(look)
    run(["look", str(DEMO), "3", "--trace", str(PICTURES / "trace.png"), "--out", str(PICTURES / "unused.png")])
    (PICTURES / "unused.png").unlink()


def run(arguments: list[str]) -> None:
    """One verb of the command line, which must succeed."""
    if cli.main([*arguments, "-q"]):
        raise SystemExit(f"minizf {' '.join(arguments)} failed")


def strongest_maps(trained: weights.Checkpoint, dataset: Dataset) -> bytes:
    """Some maps of two layers, one plate below the other, as PNG."""
    winners = top9.scan(trained.net, trained.preprocess, dataset, list(SHOWN))
    plates = top9.plates_of(trained.net, trained.preprocess, dataset, winners)
    sheets = []
    for layer, plate in plates.items():
        chosen = varied(plate, SHOWN[layer])
        title = f"Layer {layer.removeprefix('relu')}: what excites its maps"
        figure = draw_plate(plate, f"{dataset.name} {dataset.split}", chosen, title=title)
        sheets.append(Image.open(io.BytesIO(png(figure))).convert("RGB"))
    width = max(sheet.width for sheet in sheets)
    scaled = [
        sheet.resize((width, round(sheet.height * width / sheet.width)), Image.Resampling.LANCZOS)
        for sheet in sheets
    ]
    page = Image.new("RGB", (width, sum(sheet.height for sheet in scaled)), "white")
    top = 0
    for sheet in scaled:
        page.paste(sheet, (0, top))
        top += sheet.height
    file = io.BytesIO()
    page.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def varied(plate: top9.Plate, count: int) -> list[int]:
    """The maps that answer most, but only the first of those whose images are mostly of one class."""
    chosen: dict[int, int] = {}
    for number in np.argsort(-plate.winners.value.mean(axis=1)).tolist():
        chosen.setdefault(int(np.bincount(plate.labels[number].clip(0)).argmax()), number)
    return sorted(list(chosen.values())[:count])


def note_training(runs: list[Run]) -> None:
    """Adds what these runs reached, one crop and ten, to lessons/results/training.json."""
    path = RESULTS / "training.json"
    table = json.loads(path.read_text()) if path.exists() else {}
    for found in runs:
        config, rows, checkpoint = found.config, found.rows(), found.load()
        val_set = data.load(config["data"], "val", config["size"])
        scores = evaluate(checkpoint.net, checkpoint.preprocess, val_set)
        crops = evaluate(
            checkpoint.net, checkpoint.preprocess, val_set, ten_crops=True, jitter=config["recipe"]["jitter"]
        )
        table[val_set.name] = {
            "net": config["net"],
            "classes": len(config["classes"]),
            "size": config["size"],
            "epochs": len(rows),
            "recipe": unlike_default(config["recipe"]),
            "train_images": len(data.load(config["data"], "train", config["size"])),
            "val_images": len(val_set),
            "top1": scores.top1,
            "top1_ten_crops": crops.top1,
            "top5": scores.top5,
            "minutes": sum(row["seconds"] for row in rows) / 60,
        }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(table, indent=2) + "\n")


def unlike_default(recipe: dict) -> dict:
    """What of a run's recipe is not the default; the epochs have a column of their own."""
    return {
        name: value for name, value in recipe.items() if value != getattr(Recipe, name) and name != "epochs"
    }


def training_table() -> str:
    """lessons/results/training.json as a table."""
    lines = [
        "| images | training / validation | classes | epochs | top-1 | ten crops | unlike the default recipe |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in json.loads((RESULTS / "training.json").read_text()).items():
        cells = [
            f"{name}, {row['size']}x{row['size']}",
            f"{row['train_images']:,} / {row['val_images']:,}",
            str(row["classes"]),
            str(row["epochs"]),
            f"{row['top1']:.1%}",
            f"{row['top1_ten_crops']:.1%}",
            ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row["recipe"].items()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def projections_table() -> str:
    """lessons/results/projections.json as a table."""
    found = json.loads((RESULTS / "projections.json").read_text())
    lines = ["| layer | projections | times faster |", "| --- | --- | --- |"]
    for row in found["rows"]:
        spread = f"({row['least']:.0f} to {row['most']:.0f})"
        lines.append(f"| {row['what']} | {row['projections']:,} | **{row['times_faster']:.0f}** {spread} |")
    return "\n".join(
        [*lines, "", f"PyTorch {found['torch']}, {found['threads']} threads, kernels `{found['kernels']}`."]
    )


if __name__ == "__main__":
    main()
