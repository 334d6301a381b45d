"""The record as one picture: the roofline with every timed case under it, what data-moving operations reach, ratios as bars."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from kernels.bench.report import pairs

COLOURS = ("#0b6e99", "#c25b12", "#4b8b3b", "#8a4f9e", "#9b2335", "#666666")
MARKERS = {"conv2d": "o", "conv2d_relu": "h", "conv2d_transpose": "s", "conv2d_weight_grad": "^", "deconv_step": "D"}
MOST_BARS = 60
CAPTION = (
    "Medians, every result checked. FLOP and bytes follow from the shapes (those of deconv_step count zeros it may skip); the "
    "roofs were measured in the same run.\nRatios are medians of the ratios within rounds, black lines where they lie with "
    "95 % confidence; bars to the left of 1: ours is faster."
)
Record = dict[str, Any]
Row = dict[str, Any]


def draw(record: Record) -> Figure:
    """Left what the machine allows and what was reached, right our time over the peer's; ValueError without any times."""
    rows = [row for row in record["rows"] if row["median_s"]]
    if not rows or not record.get("roofs"):
        raise ValueError("the record holds no times to draw; time something first")
    state = rows[0]["caches"]
    rows = [row for row in rows if row["caches"] == state]
    ratios = {key: found for key, found in pairs(record).items() if key[2] == state}
    computing = [row for row in rows if row["flop"] and row["bytes"]]
    moving = [row for row in rows if not row["flop"]]
    panels: list[tuple[float, Callable[[Axes], None]]] = []  # (height in inches, how to draw it)
    names = list(dict.fromkeys(row["implementation"] for row in rows))
    if computing:
        panels.append((5.0, lambda axes: draw_roofline(axes, record, computing, names)))
    if moving:
        panels.append((1.2 + 0.19 * len(moving), lambda axes: draw_movers(axes, record, moving, names)))
    bars = min(MOST_BARS, sum(len(found) for found in ratios.values()))
    tall = max(sum(height for height, _ in panels), 1.2 + 0.19 * bars, 3.0)
    figure = Figure(figsize=(14 if ratios else 8, tall + 1.0), layout="constrained")
    halves: Any = figure.subfigures(1, 2 if ratios else 1, squeeze=False, width_ratios=[1.05, 1] if ratios else None)
    left = halves[0, 0].subplots(max(1, len(panels)), 1, squeeze=False, height_ratios=[height for height, _ in panels] or None)
    for axes, (_, fill) in zip(left[:, 0], panels, strict=False):
        fill(axes)
    if not panels:
        left[0, 0].set_axis_off()
    if ratios:
        draw_bars(halves[0, 1].subplots(), ratios)
    where = record["environment"]
    machine = (where.get("gpu") or {}).get("name") or where["cpu"]
    figure.suptitle(f"minizf bench: {machine}, {where['threads']} threads, {state} caches")
    figure.supxlabel(CAPTION, fontsize=8.5)
    return figure


def draw_roofline(axes: Axes, record: Record, rows: list[Row], names: list[str]) -> None:
    """GFLOP/s over FLOP per byte, both logarithmic, under the measured roofs."""
    peak, memory = best(record, "flops"), best(record, "memory")
    intensity = [row["flop"] / row["bytes"] for row in rows]
    low, high = min([*intensity, 0.3 * peak / memory]) / 1.5, max([*intensity, 2 * peak / memory]) * 1.5
    axes.plot([low, peak / memory, high], [low * memory, peak, peak], color="black", linewidth=1.2)
    axes.annotate(f"{peak:,.0f} GFLOP/s", (high, peak), xytext=(-4, 4), textcoords="offset points", ha="right", fontsize=9)
    axes.annotate(f"{memory:,.0f} GB/s", (low, low * memory), xytext=(6, 16), textcoords="offset points", fontsize=9)
    for row, x in zip(rows, intensity, strict=True):
        y = row["flop"] / row["median_s"] / 1e9
        axes.plot(
            x, y, MARKERS.get(row["operation"], "v"), color=colour(row, names), markersize=6, alpha=0.8, markeredgewidth=0
        )
    for number, name in enumerate(names):
        axes.plot([], [], "o", color=COLOURS[number % len(COLOURS)], label=name)
    for operation in dict.fromkeys(row["operation"] for row in rows):
        axes.plot([], [], MARKERS.get(operation, "v"), color="#999999", label=operation)
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="FLOP per byte", ylabel="GFLOP/s", title="Roofline")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.legend(fontsize=8, loc="lower right")


def draw_movers(axes: Axes, record: Record, rows: list[Row], names: list[str]) -> None:
    """GB/s of operations that compute next to nothing, against the measured copy."""
    several = len(names) > 1
    for height, row in enumerate(reversed(rows)):
        rate = row["bytes"] / row["median_s"] / 1e9
        axes.barh(height, rate, color=colour(row, names), alpha=0.75, height=0.7)
        axes.annotate(f"{rate:.3g}", (rate, height), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
    labels = [row["case"] + (f"  {row['implementation']}" if several else "") for row in reversed(rows)]
    copy = next(iter(record["roofs"].values()))["memory"]["copy"] / 1e9
    axes.axvline(copy, color="black", linewidth=1.2)
    axes.annotate(
        f"copy in memory {copy:,.0f} GB/s",
        (copy, 1),
        xytext=(-4, -10),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(-0.6, len(rows) + 0.4)
    axes.set_xlim(0, 1.12 * max(copy, *(row["bytes"] / row["median_s"] / 1e9 for row in rows)))
    axes.set(xlabel="GB/s", title="Operations that move data")
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)


def draw_bars(axes: Axes, ratios: dict[tuple[str, str, str], list[Row]]) -> None:
    """Our time over the peer's, case by case, fastest at the bottom; at most MOST_BARS, the slowest."""
    bars = []
    for number, ((name, peer, _), rows) in enumerate(ratios.items()):
        ending = f"  {name} / {peer}" if len(ratios) > 1 else ""
        bars += [(row["case"] + ending, row["ratio"][peer], number) for row in rows]
    left_out = max(0, len(bars) - MOST_BARS)
    bars = sorted(bars, key=lambda bar: bar[1]["median"])[left_out:]
    for height, (_, ratio, number) in enumerate(bars):
        middle = ratio["median"]
        axes.barh(height, middle - 1, left=1, color=COLOURS[number % len(COLOURS)], alpha=0.75, height=0.7)
        axes.plot([ratio["low"], ratio["high"]], [height, height], color="black", linewidth=1)
        away = max(1.0, ratio["high"], middle)
        axes.annotate(f"{middle:.2f}", (away, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars], fontsize=7)
    axes.set_ylim(-0.6, len(bars) - 0.4)
    ends = [end for _, ratio, _ in bars for end in (ratio["low"], ratio["high"], ratio["median"])]
    axes.set(xscale="log", xlim=(0.85 * min([0.5, *ends]), 2 * max([1.5, *ends])))
    plain_numbers(axes.xaxis)
    name, peer, _ = next(iter(ratios))
    title = f"Time of {name} over that of {peer}" if len(ratios) == 1 else "Our time over the peer's"
    axes.set(xlabel="ratio of times", title=title + (f" ({left_out} faster ones not shown)" if left_out else ""))
    axes.grid(axis="x", alpha=0.25, linewidth=0.5, which="both")


def best(record: Record, kind: str) -> float:
    """The highest measured roof of a kind, in G/s."""
    return max(next(iter(record["roofs"].values()))[kind].values()) / 1e9


def colour(row: Row, names: list[str]) -> str:
    return COLOURS[names.index(row["implementation"]) % len(COLOURS)]


def plain_numbers(axis: Any) -> None:
    """0.5, 1, 200 instead of powers of ten; between them only where there is less than a decade to label."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(plain)
    low, high = axis.get_view_interval()
    minor = FuncFormatter(
        lambda value, _: f"{value:g}" if int(round(value / 10 ** np.floor(np.log10(value)), 6)) in (2, 5) else ""
    )
    axis.set_minor_formatter(minor if high / low < 30 else NullFormatter())
