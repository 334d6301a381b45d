"""Training by the paper's recipe: SGD with momentum, dropout, filter renormalisation, a learning rate that falls.

(Zeiler & Fergus 2014, section 3.) Every random choice is drawn from (seed, epoch, step), never from a generator that lives on,
so a run that was killed anywhere goes on from its last file and ends with the very same bits as one that was not.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np
from tqdm import tqdm

import kernels
from minizf.data import Dataset, Preprocess, random_crop_flip, ten_crop
from minizf.layers import Conv2d, softmax
from minizf.net import Net
from minizf.recipe import CHECKPOINTS, Recipe
from minizf.run import Run


class TrainingDiverged(ArithmeticError):
    """The loss is no longer a number."""


class TrainingStopped(KeyboardInterrupt):
    """The user asked to stop; what was learned is saved."""


@dataclass
class Progress:
    """Where a run stands, beside the weights and the velocity: everything that must survive a kill."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch now in work
    loss_sum: float = 0.0  # over that epoch's images so far
    right: int = 0
    rate_factor: float = 1.0  # what annealing has made of the learning rate
    best: float = 0.0  # best validation accuracy, for "plateau"
    stalled: int = 0
    seconds: float = 0.0  # training time so far, without validation
    rows: list[dict] = field(default_factory=list)  # the log, one row an epoch


def fit(
    run: Run,
    net: Net,
    preprocess: Preprocess,
    train_set: Dataset,
    val_set: Dataset,
    recipe: Recipe,
    checkpoints: tuple[int, ...] = CHECKPOINTS,
    show_progress: bool = True,
    on_epoch: Callable[[list[dict]], None] | None = None,
    autosave_s: float = 60.0,
) -> list[dict]:
    """Trains `net` in place, or goes on where `run` stopped; returns the log rows, one an epoch.

    checkpoints: the epochs after which weights are kept (the last one always is). on_epoch gets the rows after each epoch.
    TrainingStopped after Ctrl-C, with everything saved; TrainingDiverged when the loss is no longer a number.

    Weights and velocity live where the kernel implementation in use computes (net.to_device()), and stay there. On a GPU a step
    sends images, labels and dropout masks in, and waits once, for the loss and how many images were right.
    """
    velocity = {name: kernels.zeros(array.shape, array.dtype) for name, array in net.to_device().state().items()}
    at = Progress(**run.restore(net, velocity))
    steps = math.ceil(len(train_set) / recipe.batch)
    bar = tqdm(
        total=recipe.epochs * len(train_set),
        initial=min(at.epoch * len(train_set) + at.step * recipe.batch, recipe.epochs * len(train_set)),
        unit="img",
        disable=None if show_progress else True,
        smoothing=0.05,
    )
    saved = time.monotonic()
    with bar, stop_requests() as asked_to_stop:
        while at.epoch < recipe.epochs:
            order = np.random.default_rng([recipe.seed, at.epoch]).permutation(len(train_set))
            bar.set_description(f"epoch {at.epoch + 1}/{recipe.epochs}")
            while at.step < steps:
                batch = order[at.step * recipe.batch : (at.step + 1) * recipe.batch]
                train_step(net, velocity, preprocess, train_set, batch, recipe, at, steps)
                seen = min(at.step * recipe.batch, len(train_set))
                bar.set_postfix(loss=f"{at.loss_sum / seen:.3f}", right=f"{at.right / seen:.1%}", refresh=False)
                bar.update(len(batch))
                if asked_to_stop() or time.monotonic() - saved > autosave_s:
                    require_finite_weights(net, batch, at, recipe)
                    run.save_last(net, preprocess, velocity, asdict(at))
                    saved = time.monotonic()
                if asked_to_stop():
                    raise TrainingStopped(f"stopped in epoch {at.epoch + 1} after {seen:,} of its {len(train_set):,} images")
            require_finite_weights(net, order[(steps - 1) * recipe.batch :], at, recipe)
            end_epoch(net, preprocess, train_set, val_set, recipe, at)
            run.write_log(at.rows)
            if at.epoch in checkpoints or at.epoch == recipe.epochs:
                run.save_epoch(net, preprocess, at.epoch, at.rows[-1])
            # last of the three: who is killed before it does the end of the epoch again
            run.save_last(net, preprocess, velocity, asdict(at))
            if on_epoch is not None:
                on_epoch(at.rows)
    return at.rows


@np.errstate(over="ignore", invalid="ignore")  # TrainingDiverged says it, in words
def train_step(net, velocity, preprocess, train_set, batch, recipe, at: Progress, steps: int) -> None:
    """One batch forward, backward, and down the slope; `at` moves on by one step."""
    began = time.perf_counter()
    rng = np.random.default_rng([recipe.seed, at.epoch, at.step])
    images = random_crop_flip(train_set.images(batch), rng, recipe.jitter, recipe.flip)
    labels = train_set.labels[batch]
    logits, tape = net.forward(preprocess(images), rng)
    losses, dlogits = kernels.softmax_cross_entropy(logits, labels)
    hits = logits.argmax(axis=1) == kernels.to_device(labels)
    loss, right = kernels.numbers_to_host(losses.mean(), hits.sum())
    if not math.isfinite(loss):
        raise TrainingDiverged(explain_divergence(net, tape.outputs, batch, at.epoch + 1, at.step + 1, recipe))
    _, grads = net.backward(dlogits, tape, to_input=False)
    sgd_update(net, velocity, grads, recipe.learning_rate * rate_factor(recipe, at, steps), recipe)
    renormalise_filters(net, recipe.filter_rms)
    at.loss_sum += loss * len(batch)
    at.right += int(right)
    at.step += 1
    at.seconds += time.perf_counter() - began


def rate_factor(recipe: Recipe, at: Progress, steps: int) -> float:
    """What the learning rate is multiplied by at this step."""
    if recipe.schedule == "cosine":
        done = (at.epoch + at.step / steps) / recipe.epochs
        return 0.5 * (1 + math.cos(math.pi * done))
    return at.rate_factor


def sgd_update(net: Net, velocity: dict[str, np.ndarray], grads: dict[str, np.ndarray], rate: float, recipe: Recipe) -> None:
    """v <- momentum v - rate (gradient + decay w);  w <- w + v, in place. Biases do not decay."""
    for name, w in net.state().items():
        decay = recipe.weight_decay if name.endswith("weight") else 0.0
        kernels.sgd_update(w, velocity[name], grads[name], rate, recipe.momentum, decay)


def renormalise_filters(net: Net, radius: float) -> None:
    """Scales every convolution filter whose RMS exceeds `radius` back to it, so that none dominates (paper, section 3)."""
    if radius <= 0:
        return
    for layer in net.layers.values():
        if isinstance(layer, Conv2d):
            kernels.renormalise_filters(layer.weight, radius)


def end_epoch(net, preprocess, train_set, val_set, recipe, at: Progress) -> None:
    """Validates, writes the epoch's row, anneals if progress stalled, and turns to the next epoch."""
    steps = math.ceil(len(train_set) / recipe.batch)
    rate = recipe.learning_rate * rate_factor(recipe, Progress(epoch=at.epoch, rate_factor=at.rate_factor), steps)
    scores = evaluate(net, preprocess, val_set)
    if not math.isfinite(scores.loss):
        raise TrainingDiverged(
            f"the validation loss is no longer a number after epoch {at.epoch + 1}, though all weights are. {remedy(recipe)}"
        )
    before = sum(row["seconds"] for row in at.rows)
    at.rows.append(
        {
            "epoch": at.epoch + 1,
            "train_loss": at.loss_sum / len(train_set),
            "train_accuracy": at.right / len(train_set),
            "val_loss": scores.loss,
            "val_accuracy": scores.top1,
            "val_top5": scores.top5,
            "learning_rate": rate,
            "seconds": at.seconds - before,
            "images_per_s": len(train_set) / max(at.seconds - before, 1e-9),
        }
    )
    note_validation(recipe, at, scores.top1)
    at.epoch, at.step, at.loss_sum, at.right = at.epoch + 1, 0, 0.0, 0


def note_validation(recipe: Recipe, at: Progress, accuracy: float) -> None:
    """Lowers the rate when `patience` epochs in a row have brought no better accuracy (schedule "plateau")."""
    at.stalled = 0 if accuracy > at.best else at.stalled + 1
    at.best = max(at.best, accuracy)
    if recipe.schedule == "plateau" and at.stalled >= recipe.patience:
        at.rate_factor, at.stalled = at.rate_factor * recipe.anneal, 0


@dataclass(frozen=True)
class Scores:
    """What a net achieves on a labelled set: mean loss in nats, shares of images right at the first and within five guesses."""

    loss: float
    top1: float
    top5: float

    def __str__(self) -> str:
        return f"top-1 {self.top1:.1%}, top-5 {self.top5:.1%}, loss {self.loss:.3f}"


def evaluate(
    net: Net,
    preprocess: Preprocess,
    dataset: Dataset,
    batch: int = 128,
    ten_crops: bool = False,
    jitter: int = 6,
    show_progress: bool = False,
) -> Scores:
    """Scores of a net on a data set. ten_crops averages the probabilities over ten views (paper, section 3); where a
    mirrored image would change its class, over the five that are not mirrored. jitter: how far off the centre the corner crops
    are, best as in training."""
    known = net.shapes[net.chain()[-1]][0]
    if len(dataset.classes) > known:
        raise ValueError(f"{dataset.name} has {len(dataset.classes)} classes, the net knows {known}; choose a set of these")
    net.to_device()
    loss, top1, top5 = 0.0, 0, 0
    views = (10 if dataset.mirror else 5) if ten_crops else 1
    batches = range(0, len(dataset), max(1, batch // views))
    for start in tqdm(batches, desc="evaluating", disable=None if show_progress else True, leave=False):
        index = np.arange(start, min(start + batches.step, len(dataset)))
        images = dataset.images(index)
        crops = ten_crop(images, jitter=jitter)[:, :views] if ten_crops else images[:, None]  # (n, views, C, H, W)
        logits, _ = net.forward(preprocess(crops.reshape(-1, *images.shape[1:])))
        p = softmax(kernels.to_host(logits)).reshape(len(index), views, -1).mean(axis=1)  # (n, classes)
        labels = dataset.labels[index]
        truth = p[np.arange(len(index)), labels]
        rank = np.where(np.isnan(truth), np.inf, (p > truth[:, None]).sum(axis=1))  # NaN is never right
        loss += float(-np.log(np.maximum(truth, np.finfo(np.float32).tiny)).sum())
        top1 += int((rank < 1).sum())
        top5 += int((rank < 5).sum())
    n = len(dataset)
    return Scores(loss / n, top1 / n, top5 / n)


def require_finite_weights(net: Net, batch: np.ndarray, at: Progress, recipe: Recipe) -> None:
    """TrainingDiverged when the last step left weights that are no numbers: they must neither be saved nor judged."""
    if not all(is_finite(array) for array in net.state().values()):
        raise TrainingDiverged(explain_divergence(net, {}, batch, at.epoch + 1, at.step, recipe))


def explain_divergence(
    net: Net, outputs: Mapping[str, np.ndarray], batch: np.ndarray, epoch: int, step: int, recipe: Recipe
) -> str:
    """Where the numbers went wrong, and what to try. outputs: those of the layers, as far as there are any."""
    culprit = "the loss itself"
    for name, layer in net.layers.items():
        bad = [key for key, array in layer.arrays.items() if array is not None and not is_finite(array)]
        if bad or (name in outputs and not is_finite(outputs[name])):
            culprit = f"layer {name}" + (f" (its {' and '.join(bad)})" if bad else " (its output)")
            break
    images = ", ".join(map(str, batch[:5]))
    return (
        f"the loss is no longer a number in epoch {epoch}, step {step} (images {images} ...); first not finite: {culprit}. "
        f"Look at the images named. {remedy(recipe)}"
    )


def is_finite(array: np.ndarray) -> bool:
    """Whether every number is one, wherever the array lives: NaN and infinity come out as the largest magnitude."""
    return math.isfinite(abs(array).max())


def remedy(recipe: Recipe) -> str:
    """What to try when numbers overflow."""
    return (
        f"Try a learning rate below {recipe.learning_rate:g} (a tenth of it) and keep filter renormalisation on; the last "
        "saved state of the run is intact"
    )


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks for a stop at the end of the step, so that no update is half done; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def on_signal(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = signal.signal(signal.SIGINT, on_signal)
    except ValueError:  # not in the main thread: whoever runs us there handles Ctrl-C
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
