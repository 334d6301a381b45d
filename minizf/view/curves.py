"""Training and validation curves: loss, accuracy and learning rate, epoch by epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minizf.view.style import BODY, LIGHT, Sheet, Theme, font

SERIES = (("train", "first", "training"), ("val", "second", "validation"))


def draw_curves(rows: Sequence[dict], title: str = "Training", subtitle: str = "", theme: Theme = LIGHT) -> Figure:
    """rows: the log of a run, one dict an epoch (epoch, train_loss, val_loss, train_accuracy, val_accuracy, learning_rate).

    Accuracies come as shares and are shown in %. ValueError for an empty log.
    """
    if not rows:
        raise ValueError("no curves to draw: the log is empty; train for at least one epoch")
    epochs = [row["epoch"] for row in rows]
    best = max(rows, key=lambda row: row["val_accuracy"])
    drops = rate_drops(rows)
    sheet = Sheet(
        8.7,
        4.0,
        title,
        subtitle,
        "Training values are means over the epoch, under dropout and with shifted and mirrored images; validation values are "
        "taken after the epoch, without. "
        f"The best validation accuracy, {100 * best['val_accuracy']:.1f} %, came in epoch {best['epoch']}."
        + (" Dotted lines: the learning rate falls." if drops else ""),
        theme,
    )
    left, right, width = 0.38, 4.85, 3.1
    loss = sheet.axes(left, 0.3, width, 2.35, ylabel="Loss (nats)")
    accuracy = sheet.axes(right, 0.3, width, 2.35, ylabel="Accuracy (%)")
    rate = sheet.axes(left, 3.15, width, 0.5, "epoch", "Learning rate")
    seconds = sheet.axes(right, 3.15, width, 0.5, "epoch", "Training time (s per epoch)")
    for axes in (loss, accuracy):
        axes.tick_params(labelbottom=False)
    plot_pair(loss, rows, "loss", 1, theme)
    plot_pair(accuracy, rows, "accuracy", 100, theme)
    accuracy.set_ylim(bottom=0, top=100)
    accuracy.plot([best["epoch"]], [100 * best["val_accuracy"]], "o", markersize=4.5, color=theme.second)
    rate.plot(epochs, [row["learning_rate"] for row in rows], color=theme.muted, linewidth=1.4, drawstyle="steps-mid")
    seconds.bar(epochs, [row.get("seconds", 0) for row in rows], width=0.7, color=theme.line)
    for axes in (rate, seconds):
        axes.set_ylim(0, 1.1 * max(axes.get_ylim()[1], 1e-12))
        axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in (loss, accuracy, rate, seconds):
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        for epoch in drops:
            axes.axvline(epoch - 0.5, color=theme.muted, linewidth=0.7, linestyle=(0, (1, 2)))
    return sheet.figure


def plot_pair(axes, rows: Sequence[dict], quantity: str, factor: float, theme: Theme) -> None:
    """Training and validation in one frame, each named at its last point: no legend to look up."""
    epochs = [row["epoch"] for row in rows]
    lines = {key: [factor * row[f"{key}_{quantity}"] for row in rows] for key, _, _ in SERIES}
    for key, colour, _ in SERIES:
        marker = "o" if len(rows) == 1 else ""
        axes.plot(epochs, lines[key], marker=marker, markersize=3, color=getattr(theme, colour), linewidth=1.7)
    axes.set_ylim(bottom=0)
    # labels of lines that end close to each other are pushed apart, to 0.17 of the axis
    low, high = axes.get_ylim() if quantity == "loss" else (0, 100)
    ends = [(lines[key][-1] - low) / (high - low) for key, _, _ in SERIES]
    middle, apart = sum(ends) / 2, max(abs(ends[0] - ends[1]), 0.17)
    sign = np.sign(ends[0] - ends[1]) or 1
    for (key, colour, name), end in zip(SERIES, (middle + sign * apart / 2, middle - sign * apart / 2), strict=True):
        axes.annotate(
            f"{name}\n{lines[key][-1]:.1f} %" if quantity == "accuracy" else f"{name}\n{lines[key][-1]:.3f}",
            (1, float(np.clip(end, 0.05, 0.97))),
            (5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=getattr(theme, colour),
            va="center",
            linespacing=1.15,
            fontproperties=font(BODY),
        )


def rate_drops(rows: Sequence[dict]) -> list[int]:
    """Epochs that begin with a lower rate, where the rate falls in steps; a rate that changes all the time has none."""
    rates = [row["learning_rate"] for row in rows]
    falls = [rows[i]["epoch"] for i in range(1, len(rows)) if rates[i] < rates[i - 1]]
    return falls if 3 * len(falls) < len(rows) else []
