"""What is made of a record: the tables, the README between its markers, and the picture."""

import numpy as np
import pytest
from bench_records import MIXED, told_roofs  # noqa: F401

from kernels.bench import report, session
from kernels.bench.plot import draw
from kernels.bench.report import BEGIN, END, between_markers, duration

pytestmark = pytest.mark.usefixtures("told_roofs")


def with_peer(record, ratios=(0.5, 2.0, 0.8)):
    """The record as if its `reference` were a peer called torch, with these ratios for our rows."""
    record = dict(record, rows=[dict(row) for row in record["rows"]])
    numbers = iter(ratios * 9)
    for row in record["rows"]:
        row["ratio"] = {}
        if row["implementation"] == "reference":
            row |= {"implementation": "torch", "ours": False}
        else:
            middle = next(numbers)
            row["ratio"] = {"torch": {"median": middle, "low": 0.9 * middle, "high": 1.1 * middle}}
    return record


@pytest.fixture
def record():
    return with_peer(session.run(MIXED))


def test_the_table_says_who_where_and_how_fast(record):
    text = report.text(record)
    row = next(row for row in record["rows"] if row["case"] == "tiny/deep/conv2d")
    assert "tiny/deep/conv2d   2x17x6x5 by 19 of 1x3 pad 0x1   116 kFLOP, 12.5 kB" in text
    line = next(line for line in text.split("tiny/deep/conv2d")[1].splitlines() if line.strip().startswith("numpy"))
    assert duration(row["median_s"]) in line
    assert f"{(row['quartiles_s'][1] - row['quartiles_s'][0]) / row['median_s']:.1%}" in line.split()
    assert f"{row['flop'] / row['median_s'] / 1e9:,.0f}" in line.split()
    assert "2.00 (1.80 to 2.20)" in line
    assert "time / torch's" in text
    assert "GFLOP/s (told)" in text
    assert "warning: told: a warning" in text
    assert "numpy, warm caches: 0.80 of torch's time (geometric mean of 4 cases), at worst 2.00 (tiny/deep/conv2d)" in text


def test_what_was_rejected_refused_or_unsettled_is_said(record):
    rows = [row for row in record["rows"] if row["case"] == "tiny/conv/conv2d"]
    rows[0] |= {"rejected": "before timing: returned zeros", "median_s": None, "ratio": {}}
    rows[1] |= {"refused": "has nothing of the kind", "median_s": None}
    text = report.text(dict(record, complete=False))
    assert "REJECTED before timing: returned zeros" in text
    assert "REJECTED: 1 rows, see above" in text
    assert "left out: has nothing of the kind" in text
    assert text.endswith("not complete")
    unsettled = sum(row["median_s"] is not None and not row["settled"] for row in record["rows"])
    assert (f"warning: {unsettled} medians did not settle" in text) == (unsettled > 0)
    assert "nothing was timed yet" in report.text(dict(record, rows=[]))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.0123456, "12.3 ms"), (1e-3, "1 ms"), (4.5678e-5, "45.7 us"), (1234.5, "1,234 s"), (3e-9, "3 ns")],
)
def test_durations_have_three_figures(seconds, text):
    assert duration(seconds) == text


def test_the_readme_is_written_between_its_markers_only(record):
    page = f"# Title\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    written = between_markers(page, report.readme_table([record]))
    assert written.startswith("# Title\n\nbefore\n\n" + BEGIN)
    assert written.endswith(END + "\n\nafter\n")
    assert "old" not in written
    rows = [line for line in written.splitlines() if line.startswith("| tiny")]
    assert rows == [
        "| tiny | `conv2d` | numpy | 2 | 1.00 (2.00) |",
        "| tiny | `maxpool2d` | numpy | 1 | 0.80 |",
        "| tiny | `linear` | numpy | 1 | 0.50 |",
    ]
    header = next(line for line in written.splitlines() if line.startswith("| set"))
    assert header.count("|") == rows[0].count("|")
    assert between_markers(written, report.readme_table([record])) == written


@pytest.mark.parametrize("page", ["no markers", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_place_is_refused(page):
    with pytest.raises(ValueError, match="put these two lines where it belongs"):
        between_markers(page, "table")


def test_the_picture_holds_every_case_and_its_words(record):
    figure = draw(record)
    axes = {found.get_title(): found for found in figure.axes}
    assert list(axes) == ["Roofline", "Operations that move data", "Time of numpy over that of torch"]
    roofline = axes["Roofline"]
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in roofline.lines if len(line.get_xdata()) == 1}
    for row in record["rows"]:
        if row["flop"]:
            assert (row["flop"] / row["bytes"], row["flop"] / row["median_s"] / 1e9) in points
    assert (roofline.get_xlabel(), roofline.get_ylabel()) == ("FLOP per byte", "GFLOP/s")
    labels = [label.get_text() for label in axes["Time of numpy over that of torch"].get_yticklabels()]
    assert labels == ["tiny/conv/conv2d", "tiny/linear/linear", "tiny/pool/maxpool2d", "tiny/deep/conv2d"]
    bars = axes["Time of numpy over that of torch"].patches
    assert sorted(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx([0.5, 0.5, 0.8, 2.0])
    words = figure.get_suptitle() + figure.get_supxlabel()
    for word in ("threads", "warm caches", "95 % confidence", "to the left of 1: ours is faster"):
        assert word in words


def test_the_picture_without_a_peer_or_without_products(record):
    alone = dict(record, rows=[dict(row, ratio={}) for row in record["rows"]])
    assert [axes.get_title() for axes in draw(alone).axes] == ["Roofline", "Operations that move data"]
    moving = dict(alone, rows=[row for row in alone["rows"] if not row["flop"]])
    assert [axes.get_title() for axes in draw(moving).axes] == ["Operations that move data"]
    with pytest.raises(ValueError, match="holds no times to draw"):
        draw(dict(record, rows=[dict(row, median_s=None) for row in record["rows"]]))


def test_many_bars_show_the_slowest(record):
    row = next(row for row in record["rows"] if row["ours"])
    ratios = np.linspace(0.2, 3, 75)
    record["rows"] = [
        dict(row, case=f"case {n}", ratio={"torch": {"median": m, "low": m, "high": m}}) for n, m in enumerate(ratios)
    ]
    bars = next(axes for axes in draw(record).axes if axes.get_title().startswith("Time of"))
    assert len(bars.patches) == 60
    assert bars.get_title() == "Time of numpy over that of torch (15 faster ones not shown)"
    assert max(bar.get_x() + bar.get_width() for bar in bars.patches) == pytest.approx(3)
