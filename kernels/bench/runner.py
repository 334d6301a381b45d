"""Who is called when: contestants take turns, round by round, until every median is known well enough.

In each round, for cold and for warm caches: new inputs; then each contestant in turn, the order reversed every other round, is
called once with the clock running and checked. Medians, ratios within rounds, and what bounds a case follow from these times.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from kernels.bench import clock as clocks
from kernels.bench import statistics
from kernels.bench.checking import Rejected
from kernels.bench.contestants import Contestant
from kernels.bench.costs import Cost
from kernels.bench.problems import Problem
from kernels.bench.roofs import MARGIN, Roofs
from kernels.emulator.traffic import Traffic, watching

IDLE_STEP_S, IDLE_STEPS = 0.0005, 60
LOOKS = 4  # measurements of a roof that a time is above: other programs may have disturbed the first
FEWEST_RUNS = 3  # of a case that takes four times its limit
# what an implementation may raise without ending the whole run
FAILURES = (MemoryError, RuntimeError, ValueError, TypeError, ArithmeticError, IndexError, AttributeError, OSError)


@dataclass(frozen=True)
class Settings:
    """How long to look. noise: relative standard error of a median at which a series has settled."""

    caches: tuple[str, ...] = ("warm", "cold")
    least_runs: int = 7
    limit_s: float = 1.5  # a case's timed rounds, all contestants and caches together
    noise: float = 0.01
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if unknown := [name for name in self.caches if name not in ("warm", "cold")]:
            raise ValueError(f"caches {unknown[0]!r}: there are warm and cold")
        if not all(value > 0 for value in (self.least_runs, self.limit_s, self.noise, self.threads)):  # so is NaN refused
            raise ValueError("runs, time limit, noise and threads must be positive numbers")


@dataclass
class Row:
    """One contestant at one case with one state of the caches. Without times it was refused, rejected, or only checked."""

    case: str
    operation: str
    shape: str
    implementation: str
    ours: bool
    caches: str
    flop: float
    bytes: float
    times_s: list[float] = field(default_factory=list)
    median_s: float | None = None
    quartiles_s: tuple[float, float] | None = None
    interval_s: tuple[float, float] | None = None
    settled: bool = False
    bound: str | None = None
    of_roof: float | None = None
    of_copy: float | None = None
    ratio: dict[str, dict[str, float]] = field(default_factory=dict)  # peer -> median, low, high of time / its time
    checked: dict[str, Any] = field(default_factory=dict)
    rejected: str | None = None
    refused: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class ClockShop:
    """The clock for each contestant, made when first needed."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.made: dict[bool, clocks.Clock] = {}

    def of(self, one: Contestant) -> clocks.Clock:
        if one.gpu not in self.made:
            if one.gpu:
                import cupy

                self.made[True] = clocks.gpu_clock(cupy)
            else:
                self.made[False] = clocks.WallClock(2 * clocks.last_cache_bytes(), self.threads)
        return self.made[one.gpu]


class Judge:
    """Holds times against roofs. Before a time above one is called wrong, the roof is measured again."""

    def __init__(self, measure: Callable[[bool], Roofs]) -> None:
        self.measure = measure
        self.known: dict[bool, Roofs] = {}

    def roofs(self, gpu: bool) -> Roofs:
        if gpu not in self.known:
            self.known[gpu] = self.measure(gpu)
        return self.known[gpu]

    def again(self, gpu: bool) -> None:
        self.known[gpu] = self.roofs(gpu).highest(self.measure(gpu))

    def place(self, row: Row, cost: Cost, gpu: bool, tf32: bool) -> None:
        """Fills in what bounds the row and its share of the roof; Rejected above it, unless it is a peer.

        A peer may compute less than the definition does (Winograd, FFT) and pass the roof; its result was checked.
        """
        cold = row.caches == "cold"
        for look in range(1, LOOKS + 1):
            floor, row.bound = self.roofs(gpu).floor(cost, cold, tf32)
            row.of_roof = floor / row.median_s
            row.of_copy = cost.bytes / row.median_s / self.roofs(gpu).copy
            if row.of_roof <= 1 + MARGIN or not row.ours:
                return
            if look < LOOKS:
                self.again(gpu)
        raise Rejected(
            f"{row.of_roof:.0%} of the {row.bound} roof, more than the {MARGIN:.0%} that noise explains: its median of "
            f"{row.median_s * 1e6:.4g} us is less than the {floor * 1e6:.4g} us the measured roof allows"
        )


def run_case(
    case: Any,
    settings: Settings,
    judge: Judge,
    shop: ClockShop,
    show: Callable[[str, float], None] = lambda text, share: None,
    now: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """All rows of one case. show(what, share of the time limit) is called after every round."""
    problem = case.problem
    rows = {(one.name, state): new_row(problem, one, state, case) for one in case.contestants for state in settings.caches}
    refused = [refusal(problem, name, reason, case) for name, reason in case.refused.items()]
    alive = [one for one in case.contestants if first_check(case, one, rows, settings, show)]
    began = now()
    round_number = 0
    while alive:
        for state in settings.caches:
            case.refresh()
            for one in alive if round_number % 2 == 0 else reversed(alive):
                run_once(case, one, rows[one.name, state], shop.of(one))
        round_number += 1
        alive = [one for one in alive if not any(rows[one.name, state].rejected for state in settings.caches)]
        series = [rows[one.name, state].times_s for one in alive for state in settings.caches]
        used = now() - began
        show(problem.name, min(1.0, used / settings.limit_s))
        calm = all(statistics.settled(times, settings.noise, settings.least_runs) for times in series)
        enough = settings.least_runs if used < 4 * settings.limit_s else min(FEWEST_RUNS, settings.least_runs)
        if calm or (used > settings.limit_s and round_number >= enough):
            break
    last_check(case, alive, rows, settings)
    finish(case, rows, settings, judge)
    case.drop()
    return [*rows.values(), *refused]


def sum_of(launches: Iterable[Traffic]) -> dict[str, int]:
    """What all launches of one call moved."""
    launches = list(launches)
    fields = (
        "global_reads",
        "global_read_bytes",
        "global_writes",
        "global_write_bytes",
        "shared_reads",
        "shared_writes",
        "atomics",
    )
    total = {name.replace("_", " "): sum(getattr(one, name) for one in launches) for name in fields}
    return total | {"launches": len(launches)}


def new_row(problem: Problem, one: Contestant, state: str, case: Any) -> Row:
    cost = case.cost
    return Row(problem.name, problem.operation, str(problem.shape), one.name, one.ours, state, cost.flop, cost.bytes)


def refusal(problem: Problem, name: str, reason: str, case: Any) -> Row:
    row = Row(problem.name, problem.operation, str(problem.shape), name, False, "", case.cost.flop, case.cost.bytes)
    row.refused = reason
    return row


def first_check(case: Any, one: Contestant, rows: dict, settings: Settings, show: Callable[[str, float], None]) -> bool:
    """Whether a contestant is right before any time is taken."""
    show(f"{case.problem.name}: checking {one.name}", 0.0)
    try:
        checked = case.check_first(one)
        clocks.require_true_timers()
    except Rejected as reason:
        reject(rows, one, settings, f"before timing: {reason}")
        return False
    except FAILURES as error:
        reject(rows, one, settings, failure(error))
        return False
    for state in settings.caches:
        rows[one.name, state].checked = dict(checked)
    return True


def failure(error: Exception) -> str:
    return f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def run_once(case: Any, one: Contestant, row: Row, clock: clocks.Clock) -> None:
    """One timed call and its check."""
    if row.rejected:
        return
    try:
        with case.active(one):
            call = case.call(one)
            wait_until_idle()
            if row.caches == "cold":
                clock.flush()
            else:
                case.warm(one)
            result, seconds = clock.time(call)
            case.check(one, result)
    except Rejected as reason:
        row.rejected = f"in timed run {len(row.times_s) + 1}: {reason}"
        return
    except FAILURES as error:
        row.rejected = f"in timed run {len(row.times_s) + 1}: {failure(error)}"
        return
    row.times_s.append(round(seconds, 10))


def wait_until_idle(
    used: Callable[[], float] = time.process_time, now: Callable[[], float] = time.perf_counter, rest: Callable = time.sleep
) -> bool:
    """Waits until no thread of this process works: waiting threads may spin after a call. False: they still do."""
    for _ in range(IDLE_STEPS):
        began, before = now(), used()
        rest(IDLE_STEP_S)
        if used() - before < 0.3 * (now() - began):
            return True
    return False


def last_check(case: Any, alive: Iterable[Contestant], rows: dict, settings: Settings) -> None:
    """The results that were timed last, as a whole."""
    for one in alive:
        try:
            case.check_last(one)
        except Rejected as reason:
            reject(rows, one, settings, f"after timing: {reason}")


def reject(rows: dict, one: Contestant, settings: Settings, reason: str) -> None:
    for state in settings.caches:
        rows[one.name, state].rejected = reason


def finish(case: Any, rows: dict[tuple[str, str], Row], settings: Settings, judge: Judge) -> None:
    """Medians, roofs and ratios. Whoever was wrong once keeps no times at all."""
    peers = [one.name for one in case.contestants if not one.ours]
    for one in case.contestants:
        own = [rows[one.name, state] for state in settings.caches]
        for row in own:
            if row.rejected or not row.times_s:
                continue
            found = statistics.summarise(row.times_s)
            row.median_s, row.quartiles_s, row.interval_s = found.median, found.quartiles, (found.low, found.high)
            row.settled = statistics.settled(row.times_s, settings.noise, settings.least_runs)
            try:
                judge.place(row, case.cost, one.gpu, one.product_error > 0)
            except Rejected as reason:
                row.rejected = str(reason)
        if wrong := next((row.rejected for row in own if row.rejected), None):
            for row in own:
                row.rejected, row.times_s, row.median_s = row.rejected or wrong, [], None
                row.quartiles_s = row.interval_s = row.of_roof = row.of_copy = None
    for (name, state), row in rows.items():
        for peer in peers if row.median_s else ():
            other = rows[peer, state]
            if peer != name and other.median_s:
                found = statistics.ratio(row.times_s, other.times_s)
                row.ratio[peer] = {"median": found.median, "low": found.low, "high": found.high}


def check_only(case: Any) -> list[Row]:
    """Rows without times: for implementations that are emulated."""
    rows = {(one.name, ""): new_row(case.problem, one, "", case) for one in case.contestants}
    for one in case.contestants:
        row = rows[one.name, ""]
        try:
            row.checked = case.check_first(one)
            with case.active(one), watching() as launches:
                case.call(one)()
            if launches:
                row.checked["traffic"] = sum_of(launches)
        except Rejected as reason:
            row.rejected = str(reason)
        except FAILURES as error:
            row.rejected = failure(error)
    return [*rows.values(), *(refusal(case.problem, name, reason, case) for name, reason in case.refused.items())]
