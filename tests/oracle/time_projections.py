"""How much faster are all top-9 projections of a net than Captum's NeuronDeconvolution, one by one?

    python -m tests.oracle.time_projections [--images 1000] [--rounds 7] [--json FILE]        needs the `oracle` extra

Both sides in one process, warm, float32, on the same threads, taking turns: in every round ours makes all projections of all
layers, our forward passes included, then Captum a sample of them, forward pass and all, one unit at a time as its interface has
it. The net is zfnet64 with random weights, its winners those of a scan over `scenes`. Printed are medians over the rounds, with
the smallest and largest; a ratio is taken within each round, so that a busy machine slows both. Every sampled projection is
compared with ours.
"""

import argparse
import json
import os
import time
from collections.abc import Callable

# Captum is fastest when waiting threads spin; our own kernels would let them sleep. The peer gets what suits it best.
os.environ.setdefault("OMP_WAIT_POLICY", "active")

import numpy as np
import torch

import kernels
from minizf import data, zoo
from minizf.data.preprocess import Preprocess
from minizf.experiments.top9 import Winners, in_order_of_images, scan
from minizf.net import Net
from minizf.windows import project_windows, shared_pass
from tests.oracle.torch_nets import SilentDeconvolution, torch_net

BATCH = 64  # images that go up together


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    net = zoo.zfnet64(10)
    images = data.load(f"scenes:images={options.images}", "train")
    preprocess = Preprocess.fit(images)
    winners = scan(net, preprocess, images)
    x = preprocess(images.images(np.arange(len(images))))
    units = {layer: in_order_of_images(won) for layer, won in winners.items()}
    jobs: dict[str, list[str]] = {layer: [layer] for layer in units} | {"all layers": list(units)}
    theirs = Captum(net, x)
    rng = np.random.default_rng(0)
    rounds: dict[str, list[tuple[float, float]]] = {job: [] for job in jobs}
    for turn in range(options.rounds + 1):  # the first warms up
        ours = {job: seconds(lambda layers=layers: project_all(net, x, winners, units, layers)) for job, layers in jobs.items()}
        one = {layer: theirs.seconds_each(layer, winners[layer], units[layer], rng, options.sample) for layer in units}
        for job, layers in jobs.items():
            if turn:
                rounds[job].append((ours[job], sum(one[layer] * len(units[layer][0]) for layer in layers)))
    report(rounds, {job: sum(len(units[layer][0]) for layer in layers) for job, layers in jobs.items()}, options)


def project_all(net: Net, x: np.ndarray, winners: dict[str, Winners], units: dict, layers: list[str]) -> dict[str, np.ndarray]:
    """All top-9 projections of some layers, as `plates_of` makes them: BATCH images at a time, those in several layers once."""
    found: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    distinct = np.unique(np.concatenate([units[layer][0] for layer in layers]))
    for first in range(0, len(distinct), BATCH):
        numbers = distinct[first : first + BATCH]
        chosen = {}
        for layer in layers:
            image, maps, ranks = (part[np.isin(units[layer][0], numbers)] for part in units[layer])
            chosen[layer] = np.searchsorted(numbers, image), maps, ranks
        source = shared_pass(net, x[numbers], {layer: local for layer, (local, _, _) in chosen.items()})
        for layer, (local, maps, ranks) in chosen.items():
            won = winners[layer]
            windows = project_windows(net, source, layer, local, maps, won.at[maps, ranks], won.value[maps, ranks])
            found[layer].append(windows.pixels)
    return {layer: np.concatenate(parts) for layer, parts in found.items()}


class Captum:
    """The same net in PyTorch, and one projection after the other."""

    def __init__(self, net: Net, x: np.ndarray):
        self.net, self.x = net, x
        model = torch_net(net, "skip", torch.float32)
        self.methods = {layer: SilentDeconvolution(model, getattr(model, layer)) for layer in net.feature_layers}

    def seconds_each(self, layer: str, winners: Winners, units, rng: np.random.Generator, sample: int) -> float:
        """Median time of one projection, over a random sample of a layer's winners; each is compared with ours."""
        taken = []
        for number in rng.integers(len(units[0]), size=sample):
            image, map, rank = (int(part[number]) for part in units)
            at, value = winners.at[map, rank], winners.value[map, rank]
            picture = torch.from_numpy(self.x[image : image + 1]).requires_grad_()
            start = time.perf_counter()
            found = self.methods[layer].attribute(picture, (map, int(at[0]), int(at[1])))
            taken.append(time.perf_counter() - start)
            windows = project_windows(self.net, self.x[image : image + 1], layer, [0], [map], [at], [value])
            check_equal(windows, value * found.detach().numpy()[0], layer)
        return float(np.median(taken))


def check_equal(windows, true: np.ndarray, layer: str) -> None:
    """AssertionError unless our window shows what Captum's whole image shows there."""
    top, left, bottom, right = windows.boxes[0]
    ours = windows.pixels[0][:, max(-top, 0) :, max(-left, 0) :][:, : min(bottom, true.shape[1]), : min(right, true.shape[2])]
    theirs = true[:, max(top, 0) : bottom, max(left, 0) : right]
    error = np.abs(ours[:, : theirs.shape[1], : theirs.shape[2]] - theirs).max() / np.abs(true).max()
    assert error < 1e-4, f"{layer}: differs from Captum by {error:.1e}"


def seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(rounds: dict[str, list[tuple[float, float]]], counts: dict[str, int], options) -> None:
    """A table on stdout, and the same numbers as JSON where asked for."""
    print(f"kernels: {kernels.current()}, PyTorch {torch.__version__}, {options.threads} threads, {options.rounds} rounds")
    print(f"{'':10} {'projections':>11} {'ours, ms each':>15} {'Captum, ms each':>16} {'times faster':>13}   least to most")
    rows = []
    for job, pairs in rounds.items():
        ours, theirs = (np.array(side) for side in zip(*pairs, strict=True))
        ratio = theirs / ours
        row = {
            "what": job,
            "projections": counts[job],
            "ours_ms": float(np.median(ours)) * 1e3 / counts[job],
            "captum_ms": float(np.median(theirs)) * 1e3 / counts[job],
            "times_faster": float(np.median(ratio)),
            "least": float(ratio.min()),
            "most": float(ratio.max()),
        }
        rows.append(row)
        print(
            f"{job:10} {row['projections']:>11} {row['ours_ms']:>15.3f} {row['captum_ms']:>16.2f} {row['times_faster']:>13.1f} "
            f"{row['least']:>8.1f} to {row['most']:.1f}"
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {"kernels": kernels.current(), "torch": torch.__version__, "threads": options.threads, "rows": rows}, file
            )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="images scanned for winners (default 1000)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--sample", type=int, default=20, help="Captum's projections a layer and round (default 20)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for PyTorch (default: all cores)")
    parser.add_argument("--json", help="also write the numbers to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
