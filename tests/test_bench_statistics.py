"""Medians and their intervals, when a series has settled, and what a comparison of two records may say."""

import numpy as np
import pytest

from kernels.bench import compare, statistics
from kernels.bench.compare import verdict
from kernels.bench.statistics import relative_error, settled, summarise


def test_a_summary_of_known_numbers():
    found = summarise([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.median, found.quartiles, found.iqr) == (3.0, (2.0, 4.0), 2.0)
    assert (found.low, found.high, found.runs) == (1.0, 5.0, 5)
    with pytest.raises(ValueError, match="no times"):
        summarise([])


@pytest.mark.parametrize("count", [6, 9, 20, 101])
def test_the_interval_holds_the_true_median_nineteen_times_in_twenty(count):
    """Of times with a long tail, whose true median is 1."""
    draws = np.exp(np.random.default_rng(count).standard_normal((4000, count)))
    inside = [found.low <= 1 <= found.high for found in map(summarise, draws)]
    assert 0.93 < np.mean(inside) <= 0.99


@pytest.mark.parametrize("count", [30, 200])
def test_the_error_of_a_median_is_what_it_scatters_by(count):
    draws = 10 + np.random.default_rng(1).standard_normal((3000, count))
    scatter = np.std(np.median(draws, axis=1)) / 10
    assert np.mean([relative_error(row) for row in draws]) == pytest.approx(scatter, rel=0.1)


def test_settled_needs_runs_and_quiet():
    quiet, noisy = [1.0, 1.001] * 10, [1.0, 2.0] * 10
    assert settled(quiet, 0.01, 20)
    assert not settled(quiet, 0.01, 21)
    assert not settled(noisy, 0.01, 20)


def test_ratios_are_taken_within_rounds():
    """A machine that slows down for both changes no ratio."""
    slow = np.linspace(1, 10, 30)
    found = statistics.ratio(2 * slow, slow)
    assert (found.median, found.low, found.high) == pytest.approx((2, 2, 2))
    assert statistics.geometric_mean([0.5, 2.0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 0.9, "faster"),
        (1.1, 1.2, "slower"),
        (0.98, 1.02, "same"),
        (0.9, 1.1, "unclear"),
        (0.96, 1.0, "unclear"),
        (0.5, 0.98, "unclear"),
        (1.01, 1.5, "unclear"),
    ],
)
def test_a_verdict_is_only_what_the_interval_says(low, high, said):
    assert verdict(low, high, 0.03) == said


def row(case, times, implementation="numba", ours=True, caches="warm"):
    found = summarise(times)
    return {
        "case": case,
        "shape": "-",
        "implementation": implementation,
        "caches": caches,
        "ours": ours,
        "median_s": found.median,
        "interval_s": [found.low, found.high],
    }


def record(*rows, cpu="this"):
    roofs = {"cpu": {"flops": {"loop": 1e11}, "memory": {"copy": 1e10}}}
    return {"rows": list(rows), "environment": {"cpu": cpu, "threads": 2}, "roofs": roofs}


STEADY = [1e-3, 1.001e-3, 0.999e-3] * 5


def test_comparing_finds_what_moved():
    old = record(*(row(name, STEADY) for name in ("a", "b", "c", "only-old")))
    times = np.array(STEADY)
    new = record(row("a", 1.5 * times), row("b", 0.5 * times), row("c", times), row("new", times), row("a", times, "numpy"))
    changes = compare.compare(old, new)
    assert {one.case: one.verdict for one in changes} == {"a": "slower", "b": "faster", "c": "same"}
    assert [one.case for one in compare.slower(changes)] == ["a"]
    text = compare.text(old, new, changes)
    assert "1 slower, 1 faster, 0 unclear, 1 same" in text
    assert "caution: 1 rows of the old record have no time in the new one, such as only-old" in text


def test_a_slower_peer_is_the_machines_fault_and_no_failure():
    times = np.array(STEADY)
    old = record(row("a", times), row("a", times, "torch", False))
    new = record(row("a", times), row("a", 1.4 * times, "torch", False), cpu="that")
    changes = compare.compare(old, new)
    assert not compare.slower(changes)
    cautions = compare.cautions(old, new, changes)
    assert any("cpu differs: this then, that now" in text for text in cautions)
    assert any("peers' own times moved too, to 1.40" in text for text in cautions)


def test_rows_without_times_and_other_shapes_are_not_compared():
    rejected = row("a", STEADY) | {"median_s": None}
    for other in (rejected, row("a", STEADY) | {"shape": "another"}, row("a", STEADY, caches="cold")):
        with pytest.raises(ValueError, match="no timed row in common"):
            compare.compare(record(row("a", STEADY)), record(other))
    with pytest.raises(ValueError, match="tolerance 2: expected a share"):
        compare.compare(record(row("a", STEADY)), record(row("a", STEADY)), 2)
