"""python -m kernels.ladder: runs the steps of a ladder, checks them, counts what they read and write."""

import argparse
import sys
from typing import Any

from kernels import BackendUnavailable
from kernels.emulator import KernelError
from kernels.ladder import LADDERS, table
from kernels.ladder.ceilings import GPUS, Gpu
from kernels.ladder.running import WrongResult, check, run
from kernels.ladder.steps import LANGUAGES, Ladder, Step
from kernels.ladder.table import as_text, count, described, promised, rows

EXAMPLES = """examples:
  python -m kernels.ladder conv2d                          every step: right? and what does it read and write?
  python -m kernels.ladder conv2d --step 3                 one step
  python -m kernels.ladder conv2d --shape "N2 C3 H9 W7 K5 stride2 pad1"
  python -m kernels.ladder conv2d --step 5 --break barrier   what happens without the barrier
  python -m kernels.ladder unpool2d --language python      the Numba twins, in the simulator
  python -m kernels.ladder conv2d --time                   real times, on a machine with an NVIDIA GPU
"""


def main(arguments: list[str] | None = None) -> int:
    """0: all is right; 1: a step is wrong (or was broken, and was caught); 2: the command was not understood."""
    options = parser().parse_args(arguments)
    gpu = GPUS[options.gpu]
    try:
        if options.write:
            table.write_page(list(LADDERS.values()), gpu)
            print(f"written: {table.README}")
            return 0
        if options.ladder is None:
            parser().print_help()
            return 0
        ladder = LADDERS[options.ladder]
        usual = ladder.small if options.language == "python" else ladder.layer if options.time else ladder.shown
        problem = ladder.parse(options.shape) if options.shape else usual
        ladder.case(problem)  # a shape that does not fit is refused before any kernel runs
        steps = chosen(ladder, options.step, options.language)
        if options.broken:
            problems = (problem,) if options.shape else (problem, *ladder.awkward)
            return show_broken(ladder, steps, problems, options.language, options.broken)
        if options.time:
            return show_times(ladder, steps, problem)
        return show(ladder, steps, problem, options.language, gpu)
    except (ValueError, BackendUnavailable, ImportError, OSError) as error:
        print(f"kernels.ladder: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m kernels.ladder",
        description="The same operation in steps, each with one idea more: checked and counted without a GPU.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("ladder", nargs="?", choices=LADDERS, help="which operation")
    made.add_argument("--step", type=int, metavar="N", help="only this step")
    made.add_argument("--shape", help="another problem; what is not named stays as on the page")
    made.add_argument(
        "--language", choices=LANGUAGES, default="cuda", help="cuda: the .cu files (default); python: their Numba twins"
    )
    made.add_argument(
        "--break", dest="broken", metavar="BUG", help="plant this bug in the steps that have it, and see it caught"
    )
    made.add_argument("--gpu", choices=GPUS, default="h200", help="whose datasheet the ceilings are taken from")
    made.add_argument("--time", action="store_true", help="real times instead of counts; needs CuPy and an NVIDIA GPU")
    made.add_argument("--write", action="store_true", help="write the tables of kernels/ladder/README.md again")
    return made


def chosen(ladder: Ladder, number: int | None, language: str) -> list[Step]:
    steps = [step for step in ladder.steps if language in step.languages and number in (None, step.number)]
    if not steps:
        known = ", ".join(str(step.number) for step in ladder.steps if language in step.languages)
        raise ValueError(f"{ladder.name} has no step {number} in {language}; it has {known}")
    return steps


def show(ladder: Ladder, steps: list[Step], problem: Any, language: str, gpu: Gpu) -> int:
    """Every step on the awkward shapes, then counted on the problem."""
    counted = []
    for step in steps:
        try:
            for awkward in ladder.awkward:
                check(ladder, step, awkward, run(ladder, step, awkward, language).output)
            counted.append(count(ladder, step, problem, language))
        except (KernelError, WrongResult) as error:
            print(f"{step.name}: {error}")
            return 1
    print(f"{ladder.name}, {described(problem)}: right here and on {len(ladder.awkward)} awkward shapes, per output")
    print()
    print(as_text(rows(ladder, counted, gpu)))
    differing = [c.step.name for c in counted if c.ran.traffic != promised(c, language)]
    if differing:
        print(f"\nreads and writes differ from what the files say: {', '.join(differing)}")
        return 1
    print(
        f"\nReads and writes are those that the files promise. 'At most' is an estimate from the {gpu.name}'s datasheet, with"
    )
    print("no cache helping (kernels/ladder/ceilings.py); it was not measured.")
    return 0


def show_broken(ladder: Ladder, steps: list[Step], problems: tuple, language: str, bug: str) -> int:
    """What the bug does on the first of the problems where it does anything."""
    have = [step for step in steps if bug in step.bugs]
    if not have:
        known = "; ".join(f"{step.name}: {', '.join(step.bugs)}" for step in steps)
        raise ValueError(f"nothing to break by the name {bug!r}; there is {known}")
    for step in have:
        print(f"{step.name}, broken: {step.bugs[bug].says}")
        for problem in problems:
            try:
                check(ladder, step, problem, run(ladder, step, problem, language, bug=bug).output)
            except (KernelError, WrongResult) as error:
                print(f"    {described(problem)}:\n    {error}\n")
                break
            print(f"    {described(problem)}: nothing went wrong")
        else:
            print("    try another shape with --shape\n")
    return 1


def show_times(ladder: Ladder, steps: list[Step], problem: Any) -> int:
    from kernels.ladder.on_gpu import microseconds

    print(f"{ladder.name}, {described(problem)}: median of one launch, cold cache")
    for step in steps:
        time = microseconds(ladder, step, problem)
        if ladder.name == "conv2d":
            rate = f"{2 * problem.products / time / 1e6:8.2f} TFLOP/s"
        else:
            rate = f"{problem.outputs / time / 1e3:8.2f} places/ns"
        print(f"  {step.name:20} {time:12.1f} us  {rate}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
