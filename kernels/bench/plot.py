"""The record as one picture: the roofline with every timed case on it, and our time over the peer's as bars."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernels.bench.report import pairs

COLOURS = ("#0b6e99", "#c25b12", "#4b8b3b", "#8a4f9e", "#9b2335", "#666666")
MARKERS = {"conv2d": "o", "conv2d_relu": "h", "conv2d_transpose": "s", "conv2d_weight_grad": "^", "deconv_step": "D"}
MOST_BARS = 60
Record = dict[str, Any]


def draw(record: Record) -> Figure:
    """Left the roofline, right the bars (where there is a peer); ValueError when the record holds no times."""
    rows = [row for row in record["rows"] if row["median_s"]]
    if not rows or not record.get("roofs"):
        raise ValueError("the record holds no times to draw; time something first")
    state = rows[0]["caches"]
    rows = [row for row in rows if row["caches"] == state]
    ratios = {key: found for key, found in pairs(record).items() if key[2] == state}
    bars = min(MOST_BARS, max((len(found) for found in ratios.values()), default=0) * max(1, len(ratios)))
    figure = Figure(figsize=(13 if ratios else 8, max(5.6, 1.8 + 0.19 * bars)), layout="constrained")
    left, *right = figure.subplots(1, 2 if ratios else 1, squeeze=False, width_ratios=[1.1, 1] if ratios else None)[0]
    draw_roofline(left, record, rows)
    if right:
        draw_bars(right[0], ratios)
    where = record["environment"]
    figure.suptitle(
        f"minizf bench: {(where.get('gpu') or {}).get('name') or where['cpu']}, {where['threads']} threads, {state} caches"
    )
    figure.supxlabel(
        "FLOP and bytes follow from the shapes; roofs measured in the same run. Bars: median of the ratios within rounds,\n"
        "whiskers where it lies with 95 % confidence. Operations that only move data stand at the left edge, by their bytes.",
        fontsize=9,
    )
    return figure


def draw_roofline(axes: Axes, record: Record, rows: list[dict[str, Any]]) -> None:
    """GFLOP/s over FLOP per byte, both logarithmic, under the measured roofs."""
    roofs = next(iter(record["roofs"].values()))
    peak, memory = max(roofs["flops"].values()) / 1e9, max(roofs["memory"].values()) / 1e9
    computing = [row for row in rows if row["flop"] and row["bytes"]]
    intensity = [row["flop"] / row["bytes"] for row in computing] or [1.0]
    low, high = min([*intensity, 0.5 * peak / memory]) / 2, max([*intensity, 2 * peak / memory]) * 2
    bend = peak / memory
    axes.plot([low, bend, high], [low * memory, peak, peak], color="black", linewidth=1.2)
    axes.annotate(f"{peak:,.0f} GFLOP/s", (high, peak), xytext=(-4, 4), textcoords="offset points", ha="right", fontsize=9)
    axes.annotate(
        f"{memory:,.0f} GB/s", (low * 1.3, low * 1.3 * memory), xytext=(4, -12), textcoords="offset points", fontsize=9
    )
    names = list(dict.fromkeys(row["implementation"] for row in rows))
    operations = list(dict.fromkeys(row["operation"] for row in computing))
    for row in computing:
        colour = COLOURS[names.index(row["implementation"]) % len(COLOURS)]
        at = row["flop"] / row["bytes"], row["flop"] / row["median_s"] / 1e9
        axes.plot(*at, MARKERS.get(row["operation"], "v"), color=colour, markersize=6, alpha=0.8, markeredgewidth=0)
    for row in rows:
        if not row["flop"] and row["bytes"]:
            colour = COLOURS[names.index(row["implementation"]) % len(COLOURS)]
            axes.plot(low * 1.1, low * 1.1 * row["bytes"] / row["median_s"] / 1e9, "_", color=colour, markersize=9)
    for number, name in enumerate(names):
        axes.plot([], [], "o", color=COLOURS[number % len(COLOURS)], label=name)
    for operation in operations:
        axes.plot([], [], MARKERS.get(operation, "v"), color="#999999", label=operation)
    if any(not row["flop"] for row in rows):
        axes.plot([], [], "_", color="#999999", label="moves data only")
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="FLOP per byte", ylabel="GFLOP/s", title="Roofline")
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.legend(fontsize=8, loc="lower right")


def draw_bars(axes: Axes, ratios: dict[tuple[str, str, str], list[dict[str, Any]]]) -> None:
    """Our time over the peer's, case by case, best at the bottom; at most MOST_BARS, the slowest."""
    bars = [(f"{row['case']}" + (f"  {name} / {peer}" if len(ratios) > 1 else ""), row["ratio"][peer], number)
            for number, ((name, peer, _), rows) in enumerate(ratios.items()) for row in rows]  # fmt: skip
    left_out = max(0, len(bars) - MOST_BARS)
    bars = sorted(bars, key=lambda bar: bar[1]["median"])[left_out:]
    for height, (_, ratio, number) in enumerate(bars):
        colour = COLOURS[number % len(COLOURS)]
        middle = ratio["median"]
        axes.barh(height, middle, color=colour, alpha=0.75, height=0.7)
        axes.plot([ratio["low"], ratio["high"]], [height, height], color="black", linewidth=1)
        axes.annotate(
            f"{middle:.2f}",
            (max(middle, ratio["high"]), height),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars], fontsize=7)
    axes.set_ylim(-0.6, len(bars) - 0.4)
    highest = max([1.0, *(max(ratio["high"], ratio["median"]) for _, ratio, _ in bars)])
    axes.set_xlim(0, 1.12 * highest)
    name, peer, _ = next(iter(ratios))
    title = f"Time of {name} over that of {peer}" if len(ratios) == 1 else "Our time over the peer's"
    axes.set(
        xlabel="ratio of times (below 1: ours is faster)",
        title=title + (f" ({left_out} faster ones not shown)" if left_out else ""),
    )
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)
