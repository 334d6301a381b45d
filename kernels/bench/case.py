"""One problem with its contestants: two sets of inputs that take turns, and the checks around every call.

Before every timed call one input gets new values, in the other of two sets of arrays: the drawn ones moved along by a random
number of places, across rows, maps and images, times a new factor. So an earlier answer, however it was recognised, is wrong,
and cannot be made right by a multiplication. Results are overwritten before their memory is given back, so the next call
of that size usually starts from NaN. Checked are, before any time is taken, two results computed in memory filled with a
pattern, one of them as a whole; after every timed call its form, its inputs, that everything is written, and values at random
positions; at the end the last timed result as a whole.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.bench import checking
from kernels.bench.checking import Allowed, Outputs, Rejected
from kernels.bench.contestants import Contestant, Loaded
from kernels.bench.costs import cost
from kernels.bench.guards import guarded
from kernels.bench.operations import FRESH, Arrays, expected, inputs, result_shapes
from kernels.bench.problems import Problem

WHOLE_IN_FLOAT64 = 2e10  # FLOP; up to here whole results are compared with NumPy in float64,
WHOLE_IN_FLOAT32 = 1e12  # to here in float32, beyond with the definition at random positions only
WHOLE_BYTES = 2e9  # of a memory-bound problem
SAMPLE_FIRST, SAMPLE_EACH = 400, 24  # positions looked at, unless the sums are so long that they take too long:
SAMPLE_FIRST_TERMS, SAMPLE_EACH_TERMS = 40_000_000, 1_000_000
PATIENCE_S = 0.03  # how long after its return a result is looked at again


@dataclass
class Held:
    """A result on the host, and what it was when the call returned."""

    raw: Any
    outputs: Outputs
    at_return: int


class Case:
    """What the runner needs: see `runner.run_case`. Another kind of case (a training step) offers the same."""

    def __init__(self, problem: Problem, contestants: Sequence[Contestant], seed: int = 0) -> None:
        self.problem, self.cost = problem, cost(problem)
        self.refused = {one.name: reason for one in contestants if (reason := one.refuses(problem))}
        self.contestants = [one for one in contestants if one.name not in self.refused]
        self.rng = np.random.default_rng(seed)
        self.base = inputs(problem, seed)
        self.fresh = FRESH[problem.operation]
        self.guards = [{name: guarded(array) for name, array in self.base.items()} for _ in range(2)]
        self.slots: list[Arrays] = [{name: one.array for name, one in guards.items()} for guards in self.guards]
        self.prints: list[dict[str, int]] = [{}, {}]
        self.drawn = [(0, np.float32(1)), (0, np.float32(1))]  # of each slot: how far the values are moved, and their factor
        self.calls: dict[tuple[str, int], Loaded] = {}
        self.turn = 0
        self.held: dict[str, Held] = {}
        self.seen: dict[str, dict[int, int]] = {one.name: {} for one in contestants}  # print of a result -> turn
        self.true: tuple[int, Any, bool] | None = None
        self.refresh()
        self.refresh()

    def refresh(self) -> None:
        """New values for the next call, in the set of arrays that was not used last; results so far are overwritten."""
        self.drop()
        self.turn += 1
        slot = self.slots[self.turn % 2]
        factor = np.float32(self.rng.uniform(0.5, 2.0) * self.rng.choice([-1.0, 1.0]))
        self.drawn[self.turn % 2] = int(self.rng.integers(slot[self.fresh].size)), factor
        self.renew(self.turn % 2)
        self.prints[self.turn % 2] = {name: checking.fingerprint(array) for name, array in slot.items()}
        for one in self.contestants:
            if one.gpu:  # its arrays are copies
                self.calls.pop((one.name, self.turn % 2), None)

    def renew(self, which: int) -> None:
        """Writes the values of this turn, in one pass over the array."""
        places, factor = self.drawn[which]
        values, target = self.base[self.fresh].reshape(-1), self.slots[which][self.fresh].reshape(-1)
        np.multiply(values[: values.size - places], factor, out=target[places:])
        np.multiply(values[values.size - places :], factor, out=target[:places])

    def fill(self, which: int) -> None:
        """A set of inputs and its guard bands as they should be, after somebody has spoilt them."""
        for name, one in self.guards[which].items():
            one.restore()
            one.array[...] = self.base[name]
        self.renew(which)

    def active(self, one: Contestant) -> AbstractContextManager:
        return one.active()

    def call(self, one: Contestant, ago: int = 0) -> Callable[[], Any]:
        """Its call with the newest inputs, or with those of the time before."""
        slot = (self.turn - ago) % 2
        if (one.name, slot) not in self.calls:
            self.calls[one.name, slot] = one.load(self.problem, self.slots[slot])
        return self.calls[one.name, slot].run

    def warm(self, one: Contestant) -> None:
        """An untimed call with the inputs of the time before."""
        one.spoil(self.problem, self.call(one, ago=1)())

    def bounds(self, one: Contestant, slot: Arrays) -> tuple[Allowed, ...]:
        return checking.allowed(self.problem, slot, one.product_error, one.slack)

    def check_first(self, one: Contestant) -> dict[str, Any]:
        """Two untimed calls with different inputs; returns what was checked. Rejected when either is not right."""
        try:
            return self.look_first(one)
        except Exception:
            self.fill(0)  # for the others
            self.fill(1)
            raise

    def look_first(self, one: Contestant) -> dict[str, Any]:
        with one.active(), checking.poisoned_memory() as poisoned:
            held = [self.take(one, self.call(one, ago)()) for ago in (1, 0)]
        for ago, result in zip((1, 0), held, strict=True):
            slot = self.slots[(self.turn - ago) % 2]
            earlier = held[0].outputs if ago == 0 else ()
            if not one.gpu:  # from there come copies
                checking.require_own_memory(result.outputs, slot, earlier)
            checking.require_finished(result.outputs, result.at_return, PATIENCE_S)
            self.require_untouched(one, (self.turn - ago) % 2)
            checking.require_written(result.outputs)
            self.require_new(one, result, self.turn - ago)
        samples = self.samples(SAMPLE_FIRST, SAMPLE_FIRST_TERMS)
        slot = self.slots[self.turn % 2]
        checking.require_sample(self.problem, slot, held[1].outputs, self.bounds(one, slot), self.rng, samples)
        how = self.compare_whole(one, held[1].outputs)
        for result in held:
            one.spoil(self.problem, result.raw)
        return {"whole result": how, "positions": samples, "fresh memory poisoned": poisoned}

    def take(self, one: Contestant, raw: Any) -> Held:
        """The result as arrays on the host. Its print is taken first: that is the moment of the return."""
        outputs = one.outputs(self.problem, raw)
        checking.require_form(self.problem, outputs)
        return Held(raw, outputs, checking.fingerprints(outputs))

    def check(self, one: Contestant, raw: Any) -> None:
        """After a timed call. The result is kept until the next `refresh`."""
        if one.gpu:
            return self.glance(one, raw)
        held = self.held[one.name] = self.take(one, raw)
        slot = self.slots[self.turn % 2]
        try:
            if not one.gpu:
                checking.require_own_memory(held.outputs, slot)
            self.require_untouched(one, self.turn % 2)
            checking.require_written(held.outputs)
            self.require_new(one, held, self.turn)
            count = self.samples(SAMPLE_EACH, SAMPLE_EACH_TERMS)
            checking.require_sample(self.problem, slot, held.outputs, self.bounds(one, slot), self.rng, count)
        except Rejected:
            checking.require_finished(held.outputs, held.at_return, PATIENCE_S)  # then that is what is wrong
            self.look_closer(one, held)
            self.fill(self.turn % 2)  # for the others
            raise

    def glance(self, one: Contestant, raw: Any) -> None:
        """On a GPU only a few values come to the host after each call; the last result comes whole."""
        slot, count = self.slots[self.turn % 2], self.samples(SAMPLE_EACH, SAMPLE_EACH_TERMS)
        places = checking.sample(result_shapes(self.problem)[0], self.rng, count)
        finite, values = one.glance(self.problem, raw, places)
        if not finite:
            checking.require_written(self.take(one, raw).outputs)
        checking.require_values(self.problem, slot, places, values, self.bounds(one, slot))
        self.held[one.name] = Held(raw, (), 0)

    def look_closer(self, one: Contestant, held: Held) -> None:
        """The same complaint from more positions tells more."""
        checking.require_written(held.outputs)
        slot, count = self.slots[self.turn % 2], self.samples(SAMPLE_FIRST, SAMPLE_FIRST_TERMS)
        self.require_new(one, held, self.turn)
        checking.require_sample(self.problem, slot, held.outputs, self.bounds(one, slot), self.rng, count)

    def require_untouched(self, one: Contestant, which: int) -> None:
        """A set of inputs, its copies on a device, and the memory around it are as they were."""
        inputs = self.calls[one.name, which].inputs
        checking.require_unchanged(inputs() if inputs else self.slots[which], self.prints[which])
        for name, guard in self.guards[which].items():
            if not guard.intact():
                raise Rejected(f"wrote beyond its input {name}")

    def require_new(self, one: Contestant, held: Held, turn: int) -> None:
        """Different inputs give different results."""
        if not any(output is not None and output.any() for output in held.outputs):
            raise Rejected("returned zeros")
        known = self.seen[one.name]
        if known.setdefault(held.at_return, turn) != turn:
            raise Rejected("returned the result of earlier inputs for new ones")

    def samples(self, most: int, terms: int) -> int:
        return int(np.clip(terms // max(1, self.cost.terms), 4, most))

    def compare_whole(self, one: Contestant, outputs: Outputs) -> str:
        """All values of the newest inputs' result against NumPy's, where that does not take too long; says how."""
        if self.cost.flop > WHOLE_IN_FLOAT32 or self.cost.bytes > WHOLE_BYTES:
            return "positions only"
        slot = self.slots[self.turn % 2]
        exact = self.cost.flop <= WHOLE_IN_FLOAT64
        if self.true is None or self.true[0] != self.turn:
            self.true = (self.turn, expected(self.problem, slot, np.float64 if exact else np.float32), exact)
        bounds = self.bounds(one, slot)
        if not exact:
            bounds = tuple(Allowed(2 * bound.rms, 2 * bound.worst) for bound in bounds)
        checking.require_equal(outputs, self.true[1], bounds)
        return "NumPy in float64" if exact else "NumPy in float32"

    def check_last(self, one: Contestant) -> None:
        """The result that was timed last, as a whole."""
        held = self.held[one.name]
        if one.gpu:
            held = self.held[one.name] = self.take(one, held.raw)
            self.require_untouched(one, self.turn % 2)
            checking.require_written(held.outputs)
            self.require_new(one, held, self.turn)
        checking.require_finished(held.outputs, held.at_return)
        self.compare_whole(one, held.outputs)

    def drop(self) -> None:
        """Results are overwritten and given back."""
        for one in self.contestants:
            held = self.held.pop(one.name, None)
            if held is not None:
                one.spoil(self.problem, held.raw)
