"""`minizf bench`: times kernels, keeps records, and shows, compares and draws them. The measuring itself is `kernels.bench`."""

import dataclasses
import logging
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kernels import backends
from kernels.bench import compare, environment, problems, report, session
from kernels.bench.contestants import Contestant, timed
from kernels.bench.problems import Problem
from kernels.bench.runner import Settings
from kernels.bench.session import BenchStopped, Plan
from minizf.files import write_atomic
from minizf.view.style import save

log = logging.getLogger("minizf")

FULL = Settings(least_runs=20, limit_s=12.0)
PLANNED = ("set", "operations", "implementations", "peer", "batch", "threads", "caches", "runs", "limit", "noise")


def bench(options: Namespace) -> int:
    """Does what the options ask; exit code 1 when a result was rejected, or one of ours became slower."""
    if options.list:
        print("\n".join(f"{name:<20} {about}" for name, about in problems.sets().items()))
        print(f"\noperations: {', '.join(problems.OPERATIONS)}\nimplementations: {', '.join(backends.KNOWN)}")
        return 0
    if (options.compare or options.show) and (given := asked_of_a_run(options)):
        raise ValueError(f"--{given[0]} goes with timing; --compare and --show time nothing: leave it out")
    if options.compare:
        old, new = options.compare
        return compared(old, new, options.tolerance)
    check_places(options)
    records = [session.read(path) for path in options.show] if options.show else [measured(options)]
    for record in records:
        print(report.text(record))
    return finished(records, options)


def check_places(options: Namespace) -> None:
    """What is to be written can be: better said now than after minutes of timing."""
    for path in filter(None, (options.plot, options.readme, options.json)):
        if not Path(path).parent.is_dir():
            raise ValueError(f"{path}: there is no folder {Path(path).parent}; make it first")
        if Path(path).is_dir():
            raise ValueError(f"{path} is a folder; name a file in it")
    if options.readme:
        with_table(Path(options.readme), "")


def with_table(page: Path, table: str) -> str:
    """The page's text with the table between its markers."""
    try:
        return report.between_markers(page.read_text(), table)
    except ValueError as error:
        raise ValueError(f"{page}: {error}") from None


def finished(records: list[dict[str, Any]], options: Namespace) -> int:
    """The picture and the README, where asked for; the exit code."""
    if options.plot:
        from kernels.bench.plot import draw

        if len(records) > 1:
            raise ValueError("--plot draws one record; name one file with --show")
        save(draw(records[0]), options.plot)
        print(f"{options.plot} shows the roofline and the ratios")
    if options.readme:
        page = Path(options.readme)
        write_atomic(page, with_table(page, report.readme_table(records)))
        print(f"{page}: the table of kernels is written anew")
    return 1 if any(row["rejected"] for record in records for row in record["rows"]) else 0


def compared(old_path: str, new_path: str, tolerance: float) -> int:
    """Prints what changed between two records; 1 when one of ours became slower."""
    old, new = session.read(old_path), session.read(new_path)
    changes = compare.compare(old, new, tolerance)
    print(compare.text(old, new, changes))
    return 1 if compare.slower(changes) else 0


def measured(options: Namespace) -> dict[str, Any]:
    """Times what was asked for, with a bar, writing the record after every case."""
    plan, earlier, path = planned(options)

    def keep(record: dict[str, Any]) -> None:
        if path:
            write_atomic(path, session.as_json(record))

    def remark(text: str) -> None:
        with tqdm.external_write_mode():
            log.warning("%s", text)

    total = len(plan.problems())
    try:
        with tqdm(total=total, disable=True if options.quiet else None, bar_format=BAR) as bar:
            return session.run(plan, keep, shown_on(bar), earlier, net_case, remark)
    except BenchStopped as stop:
        print(report.text(stop.record))
        where = f"; saved. Go on with: minizf bench --resume {path}" if path else " (--json FILE would have kept them)"
        raise KeyboardInterrupt(f"{stop}{where}") from None


BAR = "{desc:<46} {percentage:3.0f}% |{bar}| {elapsed}"


def shown_on(bar: tqdm) -> Callable[[str, float], None]:
    """Moves a bar to how many cases are done, in fractions."""

    def show(text: str, done: float) -> None:
        bar.n = min(done, bar.total)
        bar.set_description_str(text[:46])

    return show


def planned(options: Namespace) -> tuple[Plan, dict[str, Any] | None, str | None]:
    """(plan, a record to go on with, the file to keep)."""
    if options.resume:
        if given := asked_of_a_run(options):
            raise ValueError(f"--{given[0]} cannot change in a run that goes on: leave it out, or begin another (--json)")
        plan, earlier = session.resume(options.resume)
        return plan, earlier, options.resume
    implementations = names(options.implementations) or names(options.backend)
    settings = FULL if options.full else Settings()
    chosen: dict[str, Any] = {"threads": options.threads or environment.cores()}
    if options.caches:
        chosen["caches"] = names(options.caches)
    if options.runs:
        chosen["least_runs"] = options.runs
    if options.limit is not None:
        chosen["limit_s"] = options.limit
    if options.noise is not None:
        chosen["noise"] = options.noise / 100
    plan = Plan(
        sets=names(options.set) or session.default_sets(implementations),
        operations=names(options.operations),
        implementations=implementations,
        peers=None if options.peer is None else () if options.peer == "none" else names(options.peer),
        batch=options.batch,
        settings=dataclasses.replace(settings, **chosen),
    )
    plan.problems()  # a name that does not exist shows before anything else begins
    return plan, None, options.json


def asked_of_a_run(options: Namespace) -> list[str]:
    """The options given that say what a new run measures and where it is kept."""
    given = [name for name in PLANNED if getattr(options, name) is not None]
    return given + [name for name in ("full", "json") if getattr(options, name)]


def names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def net_case(problem: Problem, contestants: Sequence[Contestant]) -> Any:
    """The case of a whole training step."""
    from minizf.training_step import StepCase

    return StepCase(problem, [one for one in contestants if timed(one.name)] or contestants)
