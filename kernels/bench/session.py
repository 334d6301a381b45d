"""A whole run: all problems one after the other, a record after each, resumable; and reading such records back.

A record is plain data, written as JSON: what was asked (`settings`), where (`environment`, `roofs`), what came (`rows`).
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import kernels
from kernels.bench import clock, environment, peers, problems
from kernels.bench.case import Case
from kernels.bench.contestants import EMULATED, Contestant, Ours, timed
from kernels.bench.problems import Net, Problem
from kernels.bench.roofs import Roofs, measure, measure_gpu
from kernels.bench.runner import ClockShop, Judge, Settings, check_only, run_case

FORMAT = "minizf bench 1"
Show = Callable[[str, float], None]  # what is being done, and how many cases are done (with a fraction)


class BenchStopped(KeyboardInterrupt):
    """Ctrl-C. What was done is in `record`."""

    def __init__(self, message: str, record: dict[str, Any]) -> None:
        super().__init__(message)
        self.record = record


@dataclass(frozen=True)
class Plan:
    """What is asked for. peers None: PyTorch where it is installed."""

    sets: tuple[str, ...] = ("zfnet64",)
    operations: tuple[str, ...] = ()
    implementations: tuple[str, ...] = ()
    peers: tuple[str, ...] | None = None
    batch: int | None = None
    settings: Settings = field(default_factory=Settings)

    def problems(self) -> list[Problem]:
        return problems.choose(self.sets, self.operations, self.batch)

    def as_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        def told(value: Any) -> Any:
            return tuple(value) if isinstance(value, list) else value

        inner = Settings(**{name: told(value) for name, value in values["settings"].items()})
        return cls(**{name: told(value) for name, value in values.items() if name != "settings"}, settings=inner)


def run(
    plan: Plan,
    save: Callable[[dict[str, Any]], None] = lambda record: None,
    show: Show = lambda text, done: None,
    earlier: dict[str, Any] | None = None,
    net_case: Callable[[Problem, Sequence[Contestant]], Any] | None = None,
    remark: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Times everything planned and returns the record; `save` gets it before the first case and after each.

    earlier: a record to go on with. net_case: makes the case of a `Net` problem; without it those are left out.
    remark: told warnings. BenchStopped after Ctrl-C; ValueError and BackendUnavailable before anything is timed.
    """
    todo = [problem for problem in plan.problems() if net_case or not isinstance(problem.shape, Net)]
    plan = replace(plan, implementations=plan.implementations or (kernels.current(),))
    ours, others, missing = contestants_of(plan)
    settings = plan.settings
    gpu = any(one.gpu for one in ours)
    clocked = any(timed(one.name) for one in ours)
    warnings = environment.set_threads(settings.threads)
    warnings += environment.warnings_about(settings.threads) if clocked else []
    judge = Judge(lambda on_gpu: measured(on_gpu, settings.threads, shop))
    shop = ClockShop(settings.threads)
    record = earlier or {"format": FORMAT, "settings": plan.as_dict(), "rows": [], "seconds": 0.0}
    record |= {"complete": False, "warnings": warnings, "missing": missing, "threads_note": environment.thread_note()}
    record["environment"] = environment.describe(settings.threads, gpu)
    if earlier and "roofs" in earlier:
        judge.known = {name == "gpu": Roofs.from_dict(values) for name, values in earlier["roofs"].items()}
    for text in [*warnings, *(f"{name} is left out: {reason}" for name, reason in missing.items())]:
        remark(text)
    done = {row["case"] for row in record["rows"]}
    todo = [problem for problem in todo if problem.name not in done]
    total, began, before = len(todo) + len(done), time.perf_counter(), record["seconds"]
    save(record)
    try:
        if todo and clocked:
            show("measuring what this machine can do", len(done))
            for on_gpu in {one.gpu for one in ours}:
                judge.again(on_gpu) if earlier else judge.roofs(on_gpu)
        for number, problem in enumerate(todo, start=len(done)):
            within = within_case(show, number)
            rows = rows_of(problem, ours, others, settings, judge, shop, net_case, within)
            record["rows"] += [row.as_dict() for row in rows]
            record["roofs"] = {"gpu" if on_gpu else "cpu": roofs.as_dict() for on_gpu, roofs in judge.known.items()}
            record["environment"]["thread_layer"] = environment.numba_layer()
            record["seconds"] = before + time.perf_counter() - began
            record["complete"] = number + 1 == total
            save(record)
            show(problem.name, number + 1)
    except KeyboardInterrupt:
        finished = len({row["case"] for row in record["rows"]})
        raise BenchStopped(f"stopped after {finished} of {total} cases", record) from None
    record["complete"] = True
    return record


def within_case(show: Show, number: int) -> Show:
    """Progress inside one case, as progress of the whole."""
    return lambda text, share: show(text, number + share)


def contestants_of(plan: Plan) -> tuple[list[Ours], list[Any], dict[str, str]]:
    """(our implementations, peers, peers that are missing and why). An implementation that cannot work is an error."""
    ours = [Ours(name) for name in plan.implementations]
    gpu = [one.gpu for one in ours if timed(one.name)]
    if any(gpu) and not all(gpu):
        raise ValueError("implementations on the processor and on a GPU cannot take turns in one run; time them apart")
    on_gpu, missing = any(gpu), {}
    others = []
    wanted = plan.peers if plan.peers is not None else ("torch", "torch-tf32") if on_gpu else ("torch",) if gpu else ()
    for name in wanted:
        try:
            others.append(peers.find(name, on_gpu, plan.settings.threads))
        except peers.PeerMissing as reason:
            if plan.peers is not None:
                raise
            missing[name] = str(reason)
    return ours, others, missing


def measured(on_gpu: bool, threads: int, shop: ClockShop) -> Roofs:
    if not on_gpu:
        return measure(threads, clock.last_cache_bytes())
    import cupy

    shop.made.setdefault(True, clock.gpu_clock(cupy))
    return measure_gpu(cupy, shop.made[True])


def rows_of(
    problem: Problem,
    ours: Sequence[Ours],
    others: Sequence[Any],
    settings: Settings,
    judge: Judge,
    shop: ClockShop,
    net_case: Callable | None,
    show: Show,
) -> list[Any]:
    """The rows of one problem: those with a clock, and those of emulated kernels, which are only checked."""
    make = net_case if isinstance(problem.shape, Net) else lambda problem, who: Case(problem, who, settings.seed)
    assert make is not None  # such problems were left out
    racing = [one for one in ours if timed(one.name)]
    emulated = [one for one in ours if not timed(one.name)]
    show(problem.name, 0.0)
    try:
        rows = run_case(make(problem, [*racing, *others]), settings, judge, shop, show) if racing or others else []
        return rows + (check_only(make(problem, emulated)) if emulated else [])
    except MemoryError as error:
        raise MemoryError(f"{problem.name}: too little memory for its arrays; give a smaller --batch ({error})") from error


def default_sets(implementations: Sequence[str]) -> tuple[str, ...]:
    """What is timed when nobody says: the layers of zfnet64; for emulated kernels something small enough."""
    return ("tiny",) if implementations and all(name.endswith(EMULATED) for name in implementations) else ("zfnet64",)


def as_json(record: dict[str, Any]) -> str:
    """A record as text: a line for each row, so that versions of it can be compared by eye."""
    head = json.dumps({name: value for name, value in record.items() if name != "rows"}, indent=1)
    rows = ",\n".join("  " + json.dumps(row) for row in record["rows"])
    return f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n'


def read(path: str | Path) -> dict[str, Any]:
    """A record; ValueError in words where the file is none."""
    try:
        record = json.loads(Path(path).read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); was it cut off, or is it something else?") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path}: no record of `minizf bench` of this version (its format is not {FORMAT!r})")
    missing = [name for name in ("settings", "rows", "environment", "seconds") if name not in record]
    if missing or not all(
        isinstance(row, dict) and {"case", "implementation", "caches"} <= row.keys() for row in record["rows"]
    ):
        raise ValueError(f"{path}: an incomplete record ({', '.join(missing) or 'rows without a case'}); time anew")
    return record


def resume(path: str | Path) -> tuple[Plan, dict[str, Any]]:
    """A record to go on with and its plan; ValueError where this is another machine or other software."""
    record = read(path)
    if record.get("complete"):
        raise ValueError(f"{path}: complete; nothing is left to time (--show {path} shows it)")
    try:
        plan = Plan.from_dict(record["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its settings are not of this version ({error}); time anew") from error
    then, now = record["environment"], environment.describe(plan.settings.threads)
    changed = [name for name in ("cpu", "cores_usable", "packages", "commit") if then.get(name) != now[name]]
    if changed:
        raise ValueError(f"{path}: begun with another {', '.join(changed)}; times of both would not belong together: time anew")
    return plan, record
