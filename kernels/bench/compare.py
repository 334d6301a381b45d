"""Two records of the same machine: what became faster or slower, said only where the intervals say it.

For each row that both have: the interval of the true median, 95 % on either side, gives an interval of new time / old time.

    faster    all of it below 1 - tolerance        slower    all of it above 1 + tolerance
    same      all of it within the tolerance       unclear   anything else: more runs, or a quieter machine
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 0.03
Record = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One row in both records. low, high: where new time / old time lies."""

    case: str
    implementation: str
    caches: str
    ours: bool
    old_s: float
    new_s: float
    low: float
    high: float
    verdict: str

    @property
    def ratio(self) -> float:
        return self.new_s / self.old_s


def compare(old: Record, new: Record, tolerance: float = TOLERANCE) -> list[Change]:
    """Every row with a time in both, in the order of the new record; ValueError where there is none."""
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance {tolerance}: expected a share from 0 to 1")
    before = {key(row): row for row in old["rows"] if row["median_s"]}
    changes = [change(before[key(row)], row, tolerance) for row in new["rows"] if row["median_s"] and key(row) in before]
    if not changes:
        raise ValueError("the two records have no timed row in common: compare runs of the same set and implementations")
    return changes


def key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["case"], row["shape"], row["implementation"], row["caches"]


def change(old: dict[str, Any], new: dict[str, Any], tolerance: float) -> Change:
    low = new["interval_s"][0] / old["interval_s"][1]
    high = new["interval_s"][1] / old["interval_s"][0]
    return Change(
        new["case"],
        new["implementation"],
        new["caches"],
        new["ours"],
        old["median_s"],
        new["median_s"],
        low,
        high,
        verdict(low, high, tolerance),
    )


def verdict(low: float, high: float, tolerance: float) -> str:
    if high < 1 - tolerance:
        return "faster"
    if low > 1 + tolerance:
        return "slower"
    return "same" if low >= 1 - tolerance and high <= 1 + tolerance else "unclear"


def slower(changes: list[Change]) -> list[Change]:
    """Those of ours that became slower: a script ends with 1 when there are any."""
    return [one for one in changes if one.ours and one.verdict == "slower"]


def cautions(old: Record, new: Record, changes: list[Change]) -> list[str]:
    """What else changed between the two, so that a difference may not be the kernels'."""
    then, now = old["environment"], new["environment"]
    found = [
        f"{name} differs: {then.get(name)} then, {now.get(name)} now"
        for name in ("cpu", "threads", "cores_usable", "packages", "thread_layer", "variables")
        if then.get(name) != now.get(name)
    ]
    peers = [one.ratio for one in changes if not one.ours]
    if peers and abs(np.median(peers) - 1) > TOLERANCE:
        found.append(
            f"the peers' own times moved too, to {np.median(peers):.2f} of what they were: the machine, not the kernels"
        )
    for device, roofs in new.get("roofs", {}).items():
        past = old.get("roofs", {}).get(device)
        for name, value in (roofs["flops"] | roofs["memory"]).items() if past else ():
            known = (past["flops"] | past["memory"]).get(name)
            if known and abs(value / known - 1) > 0.1:
                found.append(f"the roof '{name}' ({device}) was {known / 1e9:,.1f} G/s, is {value / 1e9:,.1f} G/s")
    lost = {key(row)[:4] for row in old["rows"] if row["median_s"]} - {key(row)[:4] for row in new["rows"] if row["median_s"]}
    if lost:
        found.append(f"{len(lost)} rows of the old record have no time in the new one, such as {sorted(lost)[0][0]}")
    return found


def text(old: Record, new: Record, changes: list[Change]) -> str:
    """The comparison for people: what moved first, the rest counted."""
    lines = [f"caution: {caution}" for caution in cautions(old, new, changes)]
    width = max(len(one.case) for one in changes)
    for what in ("slower", "faster", "unclear", "same"):
        for one in sorted((one for one in changes if one.verdict == what), key=lambda one: -abs(np.log(one.ratio))):
            lines.append(
                f"{what:<8} {one.case:<{width}} {one.implementation:<12} {one.caches:<5} {one.old_s * 1e3:>10.4g} ms to "
                f"{one.new_s * 1e3:>10.4g} ms   {one.ratio:.2f} ({one.low:.2f} to {one.high:.2f})"
            )
    counts = Counter(one.verdict for one in changes)
    return "\n".join([*lines, ", ".join(f"{counts[what]} {what}" for what in ("slower", "faster", "unclear", "same"))])
