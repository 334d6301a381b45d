"""What people read: a table for each case, a summary by operation, and the README's table between two markers."""

from collections.abc import Iterable
from typing import Any

from kernels.bench.statistics import geometric_mean

BEGIN = "<!-- kernels: written by `minizf bench --readme` -->"
END = "<!-- end of kernels -->"
Record = dict[str, Any]


def text(record: Record) -> str:
    """The whole report."""
    parts = [heading(record), *(block(rows) for rows in by_case(record).values()), summary(record)]
    if not record["rows"]:
        parts.append("nothing was timed yet")
    return "\n\n".join(part for part in parts if part)


def heading(record: Record) -> str:
    """Where this was, what it can do, and what may have spoilt it."""
    where, settings = record["environment"], record["settings"]["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in where["packages"].items())
    commit = f"{(where['commit'] or 'no git')[:9]}{' and uncommitted changes' if where['dirty'] else ''}"
    lines = [
        f"{where['cpu']}, {where['threads']} of {where['cores']} cores, {where['system']}; {commit}",
        f"Python {where['python']}, {packages}",
        f"caches: {', '.join(f'{name} {size}' for name, size in where['caches'].items()) or 'unknown'}; BLAS: {where['blas']}",
    ]
    if where.get("gpu"):
        lines.append("GPU: " + ", ".join(f"{name} {value}" for name, value in where["gpu"].items()))
    for device, roofs in record.get("roofs", {}).items():
        lines.append(f"roofs, measured here ({device}): {roof_words(roofs)}")
    if record.get("roofs"):
        lines += [
            f"median of at least {settings['least_runs']} runs, until its error is below {settings['noise']:.1%} or "
            f"{settings['limit_s']:g} s are over",
            record.get("threads_note", ""),
        ]
    return "\n".join(lines + [f"warning: {warning}" for warning in record.get("warnings", [])])


def roof_words(roofs: dict[str, Any]) -> str:
    flops = ", ".join(
        f"{value / 1e9:,.0f} GFLOP/s ({name})" for name, value in sorted(roofs["flops"].items(), key=lambda it: -it[1])
    )
    memory = ", ".join(f"{name} {value / 1e9:,.1f} GB/s" for name, value in roofs["memory"].items())
    return f"{flops}; memory: {memory}"


def by_case(record: Record) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in record["rows"]:
        found.setdefault(row["case"], []).append(row)
    return found


def block(rows: list[dict[str, Any]]) -> str:
    """One case: a heading and a line for each contestant and state of the caches."""
    first = rows[0]
    work = f"{amount(first['flop'])}FLOP, " if first["flop"] else ""
    moved = f"{amount(first['bytes'])}B" if first["bytes"] else "bytes not counted"
    peers = list(dict.fromkeys(peer for row in rows for peer in row["ratio"]))
    title = f"{first['case']}   {first['shape']}   {work}{moved}"
    columns = (
        f"  {'':<20} {'caches':<6} {'median':>10} {'IQR':>6} {'runs':>5} {'GFLOP/s':>8} {'GB/s':>7} {'of roof':>8} {'bound':<8}"
    )
    against = "".join(f" {'time / ' + peer + chr(39) + 's':<24}" for peer in peers)
    head = [title, (columns + against).rstrip()] if any(row["median_s"] for row in rows) else [title]
    return "\n".join([*head, *(line(row, peers) for row in rows)])


def line(row: dict[str, Any], peers: list[str]) -> str:
    who = f"  {row['implementation']:<20} {row['caches']:<6}"
    if row["rejected"]:
        return f"{who} REJECTED {row['rejected']}"
    if row["refused"]:
        return f"{who} left out: {row['refused']}"
    if row["median_s"] is None:
        return f"{who} right (not timed){traffic_words(row)}"
    first, third = row["quartiles_s"]
    flops = f"{row['flop'] / row['median_s'] / 1e9:8,.0f}" if row["flop"] else f"{'-':>8}"
    moved = f"{row['bytes'] / row['median_s'] / 1e9:7.1f}" if row["bytes"] else f"{'-':>7}"
    mark = "" if row["settled"] else "  did not settle"
    against = "".join(f" {ratio_words(row['ratio'].get(peer)):<24}" for peer in peers)
    middle = f"{duration(row['median_s']):>10} {(third - first) / row['median_s']:>6.1%}"
    return (
        f"{who} {middle} {len(row['times_s']):>5} {flops} {moved} {row['of_roof']:>8.0%} {row['bound']:<8}{against}{mark}"
    ).rstrip()


def traffic_words(row: dict[str, Any]) -> str:
    """What an emulator counted, against the least the shapes need."""
    counted = row["checked"].get("traffic")
    if not counted:
        return ""
    read, wrote = counted["global read bytes"], counted["global write bytes"]
    launches = f"{counted['launches']} launch{'es' if counted['launches'] > 1 else ''}"
    return (
        f"; {launches} read {amount(read)}B and wrote {amount(wrote)}B of global memory, "
        f"{(read + wrote) / row['bytes']:.1f} times the least"
    )


def amount(number: float) -> str:
    """Three figures and the letter of a thousand, a million ... : "5.46 G", to be followed by the unit."""
    for letter, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g} "


def duration(seconds: float) -> str:
    """Three figures, in the unit that suits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def ratio_words(ratio: dict[str, float] | None) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else ""


def pairs(record: Record) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """(implementation of ours, peer, caches) -> its rows that have a ratio."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        for peer in row["ratio"] if row["ours"] else ():
            found.setdefault((row["implementation"], peer, row["caches"]), []).append(row)
    return found


def summary(record: Record) -> str:
    """Geometric means of the ratios, the worst case, and everything that is not as it should be."""
    lines = []
    for (name, peer, caches), rows in pairs(record).items():
        ratios = {row["case"]: row["ratio"][peer]["median"] for row in rows}
        worst = max(ratios, key=lambda case: ratios[case])
        lines.append(
            f"{name}, {caches} caches: {geometric_mean(list(ratios.values())):.2f} of {peer}'s time (geometric mean of "
            f"{len(ratios)} cases), at worst {ratios[worst]:.2f} ({worst})"
        )
        lines += [f"    {what:<20} {mean:.2f}" for what, mean in means_by(rows, peer, "operation").items()]
    unsettled = sum(bool(row["median_s"]) and not row["settled"] for row in record["rows"])
    rejected = sum(row["rejected"] is not None for row in record["rows"])
    if unsettled:
        lines.append(f"warning: {unsettled} medians did not settle; give more time (--full, --limit), or a quieter machine")
    if rejected:
        lines.append(f"REJECTED: {rejected} rows, see above")
    if not record.get("complete") and record["rows"]:
        lines.append("not complete")
    return "\n".join(lines)


def means_by(rows: Iterable[dict[str, Any]], peer: str, key: str) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row["ratio"][peer]["median"])
    return {name: geometric_mean(values) for name, values in groups.items()}


def readme_table(records: list[Record]) -> str:
    """Markdown: our time over a peer's by set and operation, with what it was measured on."""
    lines = []
    for record in records:
        where = record["environment"]
        peers_named = sorted({peer for _, peer, _ in pairs(record)})
        named = ", ".join(f"{peer} {where['packages'].get(peer.partition('-')[0], '')}".strip() for peer in peers_named)
        states = list(dict.fromkeys(state for _, _, state in pairs(record)))
        machine = (where.get("gpu") or {}).get("name") or where["cpu"]
        lines += [
            f"Time of ours over that of {named or 'a peer'}, below 1 is faster (geometric mean; in brackets the worst case). "
            f"{machine}, {where['threads']} threads, {' and '.join(states)} caches.",
            "",
            "| set | operation | implementation | cases | "
            + " | ".join(f"{peer}, {state}" for peer in peers_named for state in states)
            + " |",
            "| --- | --- | --- | ---: |" + " ---: |" * (len(peers_named) * len(states)),
        ]
        lines += [*table_rows(record, peers_named, states), ""]
    return "\n".join(lines).rstrip()


def table_rows(record: Record, peers_named: list[str], states: list[str]) -> list[str]:
    cells: dict[tuple[str, str, str], dict[tuple[str, str], list[float]]] = {}
    for (name, peer, state), rows in pairs(record).items():
        for row in rows:
            key = row["case"].partition("/")[0], row["operation"], name
            cells.setdefault(key, {}).setdefault((peer, state), []).append(row["ratio"][peer]["median"])
    lines = []
    for (set_name, operation, name), found in cells.items():
        shown = []
        for peer, state in ((peer, state) for peer in peers_named for state in states):
            values = found.get((peer, state), [])
            mean = f"{geometric_mean(values):.2f}" if values else "-"
            shown.append(mean + (f" ({max(values):.2f})" if len(values) > 1 else ""))
        count = max(len(values) for values in found.values())
        lines.append(f"| {set_name} | `{operation}` | {name} | {count} | {' | '.join(shown)} |")
    return lines


def between_markers(page: str, table: str) -> str:
    """The page with the table where the markers stand; ValueError without exactly one pair of them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page has no place for the table: put these two lines where it belongs, once\n{BEGIN}\n{END}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
