"""The command line: one verb a user types is one function of `minizf.commands` that it calls.

Exit codes for scripts: 0 done, 1 could not be done (the reason is on the last line), 2 wrong usage, 130 stopped with Ctrl-C.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from minizf import __version__
from minizf.recipe import CHECKPOINTS, Recipe

VERBS: list = []


def verb(function):
    """Adds one verb's parser, in the order of this file."""
    VERBS.append(function)
    return function


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    options = parser().parse_args(arguments)
    level = logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("minizf").setLevel(level)
    try:
        from minizf import commands

        code = commands.ACTS[options.verb](options) or 0
        sys.stdout.flush()  # a reader that left (`| head`) shows here, not while Python ends
        return code
    except KeyboardInterrupt as stop:
        print(f"minizf {options.verb}: {stop or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # what else is in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ArithmeticError, IndexError, RuntimeError, MemoryError) as error:
        if options.verbose:
            raise
        text = str(error) or type(error).__name__
        print(f"minizf {options.verb}: {text}\n(-v shows where this happened)", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument("-q", "--quiet", action="store_true", help="print only results and errors, no progress")
    everywhere.add_argument("-v", "--verbose", action="store_true", help="print more, and full tracebacks")
    everywhere.add_argument(
        "--backend", metavar="NAME", help="kernel implementation (see `minizf doctor`); default: the fastest"
    )

    top = argparse.ArgumentParser(
        prog="minizf",
        description="Train a convolutional network, open it, and look at what every feature in it sees.",
        epilog="example: minizf demo        then open the page it names",
    )
    top.add_argument("--version", action="version", version=f"minizf {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in VERBS:
        name = add.__name__.removeprefix("add_")
        summary, _, example = add.__doc__.partition("\n\n")
        sub = verbs.add_parser(
            name,
            parents=[everywhere],
            help=summary.rstrip("."),
            description=summary,
            epilog="\n".join(line.strip() for line in example.strip().splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(sub)
    return top


@verb
def add_demo(sub):
    """Train zfnet64 on drawn scenes in about two minutes and write its atlas.

    example: minizf demo --out runs/demo
    """
    sub.add_argument("--out", default="runs/demo", metavar="RUN", help="run folder (default: %(default)s)")


@verb
def add_train(sub):
    """Train a network; Ctrl-C keeps what was learned, --resume goes on.

    examples:
    minizf train zfnet64 --data scenes --out runs/scenes
    minizf train zfnet64 --data tiny-imagenet:tiny-imagenet-200.zip --epochs 24 --out runs/tiny
    minizf train alexnet64 --data folder:my-photos --out runs/mine --schedule plateau
    minizf train --resume runs/tiny
    """
    sub.add_argument("net", nargs="?", metavar="NET", help="zfnet64 (default) or alexnet64")
    sub.add_argument("--data", metavar="SPEC", help="image set (default: scenes); `minizf data -h` lists the forms")
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="RUN", help="new run folder (default: runs/NET-DATA)")
    where.add_argument("--resume", metavar="RUN", help="go on with this run, with the options it was begun with")
    sub.add_argument("--size", type=count, metavar="PIXELS", help="side of the net's input (default: 64)")
    sub.add_argument(
        "--checkpoints",
        metavar="EPOCHS",
        help=f"keep weights after these (default: {','.join(map(str, CHECKPOINTS))})",
    )
    usual = Recipe()
    recipe = sub.add_argument_group("recipe (defaults follow the paper, scaled to this size)")
    recipe.add_argument("--epochs", type=int, metavar="N", help=f"times over the training set (default: {usual.epochs})")
    recipe.add_argument("--batch", type=int, metavar="N", help=f"images a step (default: {usual.batch})")
    recipe.add_argument("--learning-rate", type=float, metavar="RATE", help=f"at the start (default: {usual.learning_rate})")
    recipe.add_argument("--momentum", type=float, metavar="M", help=f"(default: {usual.momentum})")
    recipe.add_argument("--weight-decay", type=float, metavar="D", help=f"(default: {usual.weight_decay})")
    recipe.add_argument(
        "--schedule", choices=("cosine", "plateau", "constant"), help=f"how the rate falls (default: {usual.schedule})"
    )
    recipe.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help=f"plateau: epochs without progress before it falls (default: {usual.patience})",
    )
    recipe.add_argument(
        "--filter-rms",
        type=float,
        metavar="R",
        help=f"filters above this RMS are scaled back; 0: never (default: {usual.filter_rms})",
    )
    recipe.add_argument(
        "--jitter", type=int, metavar="PIXELS", help=f"random crops move by up to this (default: {usual.jitter})"
    )
    recipe.add_argument("--no-flip", dest="flip", action="store_false", default=None, help="do not mirror images")
    recipe.add_argument("--seed", type=int, metavar="N", help=f"of weights, order, crops and dropout (default: {usual.seed})")
    sub.add_argument("--ten-crops", action="store_true", help="at the end, also evaluate over ten crops of each image")


@verb
def add_atlas(sub):
    """Find each map's nine strongest images, project them to pixels, and write all as one offline page.

    examples:
    minizf atlas runs/demo
    minizf atlas runs/tiny --layers relu2,relu5 --plates
    minizf atlas runs/demo --data folder:my-photos --out mine.html
    """
    sub.add_argument("run", metavar="RUN", help="a run folder, or a weights file")
    sub.add_argument("--data", metavar="SPEC", help="images to search (default: the run's own)")
    sub.add_argument("--split", choices=("train", "val"), default="val", help="which part of them (default: %(default)s)")
    sub.add_argument("--epoch", type=int, metavar="N", help="weights after this epoch (default: the last)")
    sub.add_argument("--layers", metavar="NAMES", help="comma-separated (default: the rectifier behind every convolution)")
    sub.add_argument("--out", metavar="FILE", help="the page (default: RUN/atlas.html)")
    sub.add_argument("--plates", action="store_true", help="also write each layer as a PNG plate, as in the paper's figure 2")
    add_rules(sub)


@verb
def add_look(sub):
    """Show one image through the net: prediction, strongest maps of a layer, and their projections.

    examples:
    minizf look runs/demo 17
    minizf look runs/demo photo.jpg --layer relu3 --out look.png
    minizf look runs/demo 17 --layer relu4 --map 12 --trace trace.png
    """
    sub.add_argument("run", metavar="RUN", help="a run folder, or a weights file")
    sub.add_argument("image", metavar="IMAGE", help="an image file, or the number of an image in the run's validation set")
    sub.add_argument("--data", metavar="SPEC", help="take the number from this image set instead")
    sub.add_argument("--epoch", type=int, metavar="N", help="weights after this epoch (default: the last)")
    sub.add_argument("--layer", metavar="NAME", help="whose maps to show (default: the last convolution's rectifier)")
    sub.add_argument("--map", type=int, metavar="K", help="show this map instead of the strongest")
    sub.add_argument("--maps", type=count, default=6, metavar="N", help="how many maps (default: %(default)s)")
    sub.add_argument("--out", default="look.png", metavar="FILE", help="the picture (default: %(default)s)")
    sub.add_argument("--enlarge", action="store_true", help="accept an image smaller than the net's input")
    sub.add_argument("--trace", metavar="FILE", help="also draw the strongest map's way down step by step")
    add_rules(sub)


@verb
def add_doctor(sub):
    """Say in plain words what this machine can use, and why not.

    example: minizf doctor
    """


@verb
def add_data(sub):
    """Show a page of samples of an image set, with their labels.

    examples:
    minizf data scenes --truth
    minizf data fashion-mnist:fashion-mnist --split val --out samples.png

    image sets:
    scenes[:seed=3,images=8000,shortcut=ball]      drawn, nothing to download
    fashion-mnist:FOLDER  mnist:FOLDER             the official idx files
    cifar10:FOLDER_OR_TAR_GZ                       the official binary version
    tiny-imagenet:FOLDER_OR_ZIP                    the official layout
    folder:FOLDER[,enlarge=yes]                    class folders, or train/ and val/ with class folders
    """
    sub.add_argument("data", metavar="SPEC", help="image set, see below")
    sub.add_argument("--split", choices=("train", "val"), default="train", help="which part (default: %(default)s)")
    sub.add_argument("--size", type=count, metavar="PIXELS", help="side of the images (default: the set's own)")
    sub.add_argument("--per-class", type=count, default=8, metavar="N", help="samples a class (default: %(default)s)")
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="which samples (default: %(default)s)")
    sub.add_argument("--truth", action="store_true", help="scenes: draw object outlines and part boxes too")
    sub.add_argument("--out", default="samples.png", metavar="FILE", help="the picture (default: %(default)s)")


@verb
def add_bench(sub):
    """Time the kernels beside PyTorch's, every result checked before and after; compare, draw and keep the times.

    examples:
    minizf bench                                               zfnet64's layers, about two minutes
    minizf bench --set seven --full --json new.json --plot new.png
    minizf bench --set zfnet --batch 16 --operations conv2d,conv2d_transpose --implementations numba,numpy
    minizf bench --resume new.json                             go on after Ctrl-C
    minizf bench --compare old.json new.json                   exit code 1 when something became slower
    minizf bench --show kernels/bench/results/cpu.json --readme README.md
    minizf bench --implementations cuda-emulated               no clock: right or wrong, and what was read and written
    minizf bench --list                                        sets, operations, implementations

    A time counts only when every result was right: outputs that were never written, cached or changed later, changed inputs,
    skipped work, half precision and patched timers are found and named. Nothing may be faster than the roofs measured here.
    """
    what = sub.add_argument_group("what")
    what.add_argument("--set", metavar="NAMES", help="sets of problems, comma-separated (default: zfnet64; --list shows all)")
    what.add_argument("--operations", metavar="NAMES", help="only these operations of the sets")
    what.add_argument("--implementations", metavar="NAMES", help="ours to time (default: the one in use)")
    what.add_argument("--peer", metavar="NAMES", help="torch, torch-tf32, scipy, or none (default: torch where installed)")
    what.add_argument("--batch", type=count, metavar="N", help="images a call, instead of the sets' own")
    how = sub.add_argument_group("how")
    how.add_argument("--full", action="store_true", help="at least 20 runs and up to 12 s a case (else 7 and 1.5 s)")
    how.add_argument("--threads", type=count, metavar="N", help="for ours and the peers (default: all cores)")
    how.add_argument("--caches", metavar="STATES", help="warm, cold (default: both)")
    how.add_argument("--runs", type=count, metavar="N", help="at least so many of each")
    how.add_argument("--limit", type=float, metavar="S", help="seconds of timing a case at most")
    how.add_argument("--noise", type=float, metavar="PERCENT", help="a median has settled when its error is below (default: 1)")
    kept = sub.add_argument_group("records")
    kept.add_argument("--json", metavar="FILE", help="write the record here after every case")
    kept.add_argument("--resume", metavar="FILE", help="go on with this record, as it was begun")
    kept.add_argument("--show", metavar="FILE", nargs="+", help="time nothing: report these records")
    kept.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="time nothing: what became faster or slower")
    kept.add_argument("--tolerance", type=float, default=0.03, metavar="SHARE", help="a smaller change is none (default: 0.03)")
    kept.add_argument("--plot", metavar="PNG", help="draw the roofline and the ratios to the peer")
    kept.add_argument("--readme", metavar="FILE", help="write the table of kernels anew, between its two markers")
    kept.add_argument("--list", action="store_true", help="print what can be timed, and end")


def count(text: str) -> int:
    """A whole number from 1 up, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def add_rules(sub):
    """The choices on which published deconvnets disagree."""
    rules = sub.add_argument_group("rules of the deconvnet (defaults: the paper's)")
    rules.add_argument("--rectify", choices=("signal", "mask", "both"), default="signal", help="deconvnet, gradient, or guided")
    rules.add_argument(
        "--collisions", choices=("sum", "max", "mean", "last"), default="sum", help="two windows at one position"
    )
    rules.add_argument("--lrn", choices=("skip", "jacobian"), default="skip", help="contrast normalisation on the way down")


if __name__ == "__main__":
    sys.exit(main())
