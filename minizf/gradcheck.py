"""Is the gradient the slope? Centred differences in float64 against the backward pass, without false alarms at the kinks.

    slope  = (L(v + h) - L(v - h)) / 2h         error = |slope - gradient| / max(|slope|, |gradient|, tiny)

A max pool and a rectifier have kinks: if v + h and v - h choose another maximum, or wake another unit, the difference measures
two different functions. We know exactly when that happens, because switches and masks are on the tape: such coordinates are
reported as skipped, and all others must pass. (Why plain checks need luck: Karpathy, CS231n notes, "Gradient checks".)
"""

from dataclasses import dataclass, field

import numpy as np

import kernels
from minizf.layers import MaxPool2d, ReLU
from minizf.net import Net, Tape


@dataclass
class GradReport:
    """What a check found. `ok` only if something was checked, and all of it passed."""

    checked: int = 0
    skipped: int = 0  # coordinates whose switch or mask changed between v - h and v + h
    worst: float = 0.0  # largest relative error
    failures: list[str] = field(default_factory=list)  # the coordinates that failed, in words

    @property
    def ok(self) -> bool:
        return self.checked > 0 and not self.failures

    def __str__(self) -> str:
        verdict = "passed" if self.ok else "FAILED" if self.failures else "nothing could be checked"
        found = f"{self.checked} coordinates, worst relative error {self.worst:.1e}, {self.skipped} skipped at kinks"
        return "\n".join([f"gradient check {verdict}: {found}"] + [f"  {failure}" for failure in self.failures[:10]])


def gradcheck(
    net: Net, x: np.ndarray, samples: int = 40, step: float = 1e-5, tolerance: float = 1e-6, seed: int = 0, noise: float = 1e-8
) -> GradReport:
    """Checks d(loss)/d(every parameter and the input) of a net at `samples` random coordinates of each array.

    x (N, C, H, W) any float; the net's parameters are converted to float64 for the check and restored. The loss is a fixed
    random weighting of the outputs, so every output counts. step: h for values of order one or less; noise: slopes below
    it count as zero.
    """
    rng = np.random.default_rng(seed)
    report = GradReport()
    saved = {name: dict(layer.arrays) for name, layer in net.layers.items()}
    x = x.astype(np.float64)
    try:
        for layer in net.layers.values():
            for key, array in layer.arrays.items():
                if array is not None:
                    setattr(layer, key, array.astype(np.float64))
        with kernels.use(kernels.current() if kernels.current() == "reference" else "numpy"):
            y, tape = net.forward(x)
            weighting = rng.standard_normal(y.shape)
            dx, grads = net.backward(weighting, tape)
            for name, array in {"input": x, **net.state()}.items():
                gradient = dx if name == "input" else grads[name]
                check_array(net, x, name, array, gradient, weighting, tape, report, rng, samples, step, tolerance, noise)
    finally:
        for name, arrays in saved.items():
            for key, array in arrays.items():
                setattr(net.layers[name], key, array)
    return report


def check_array(net, x, name, array, gradient, weighting, tape, report, rng, samples, step, tolerance, noise):
    """Adds to `report` what the sampled coordinates of one array show; the array is left as it was."""
    h = step * max(float(np.abs(array).mean()), 1.0)
    flat = array.reshape(-1)
    for i in rng.choice(flat.size, min(samples, flat.size), replace=False):
        before = flat[i]
        flat[i] = before + h
        above, tape_above = net.forward(x)
        flat[i] = before - h
        below, tape_below = net.forward(x)
        flat[i] = before
        if kinked(net, tape, tape_above) or kinked(net, tape, tape_below):
            report.skipped += 1
            continue
        slope = float(((above - below) * weighting).sum() / (2 * h))
        given = float(gradient.reshape(-1)[i])
        size = max(abs(slope), abs(given))
        error = abs(slope - given) / size if size > noise else 0.0
        report.checked += 1
        report.worst = max(report.worst, error)
        if not error <= tolerance:
            report.failures.append(
                f"{name}[{i}]: backward says {given:.8g}, the slope is {slope:.8g} (relative error {error:.1e})"
            )


def kinked(net: Net, tape: Tape, other: Tape) -> bool:
    """True when a max pool chose another winner, or a rectifier woke or silenced a unit, between two passes."""
    for name, layer in net.layers.items():
        if isinstance(layer, MaxPool2d) and not np.array_equal(tape[name].switches, other[name].switches):
            return True
        if isinstance(layer, ReLU) and not np.array_equal(tape[name] > 0, other[name] > 0):
            return True
    return False
