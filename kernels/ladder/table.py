"""What was counted, as a table: for the terminal and for the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kernels.ladder import running
from kernels.ladder.ceilings import SECTOR_BYTES, Ceiling, Gpu, ceilings
from kernels.ladder.running import Ran
from kernels.ladder.steps import FOLDER, Ladder, Step, Traffic

README = FOLDER / "README.md"
CLEARING_BYTES, RECTIFYING_BYTES = 4, 8  # for each place of x: written by the host; read and written by a kernel of its own

LEFT = ("step", "idea", "limit", "same bits in any order")  # columns of words


class Counted(NamedTuple):
    """A step that ran on a problem and was right."""

    step: Step
    problem: Any
    ran: Ran
    results: int  # how many different ones, bit for bit, under three thread schedules


def count(ladder: Ladder, step: Step, problem: Any, language: str = "cuda") -> Counted:
    ran = running.run(ladder, step, problem, language)
    running.check(ladder, step, problem, ran.output)
    return Counted(step, problem, ran, 1 if ladder.deterministic else running.bits(ladder, step, problem, language))


def ceiling(counted: Counted, gpu: Gpu) -> Ceiling:
    traffic = counted.ran.traffic
    accesses = sum(memory.accesses for memory in traffic)
    products, tensor_cores = counted.problem.products, counted.step.tensor_cores
    return ceilings(gpu, products, accesses, counted.ran.sectors, counted.ran.passes, tensor_cores)[0]


def conv2d_columns(counted: Counted, gpu: Gpu) -> dict[str, str]:
    """Per output y[n,k,p,q]; ceilings only where sectors were counted."""
    outputs, ran = counted.problem.outputs, counted.ran
    cells = {"global reads": number(ran.traffic.global_reads.accesses / outputs)}
    if ran.sectors is not None:
        cells["global sectors"] = number(ran.sectors / outputs)
    cells["shared reads"] = number(ran.traffic.shared_reads.accesses / outputs)
    if ran.passes is not None:
        cells["shared passes"] = number(ran.passes / outputs)
    cells["barriers"] = str(counted.step.barriers(counted.problem))
    if ran.sectors is not None:
        lowest = ceiling(counted, gpu)
        cells["FLOP/byte"] = number(2 * counted.problem.products / (ran.sectors * SECTOR_BYTES))
        cells[f"TFLOP/s at most, {gpu.name}"] = number(lowest.tflops)
        cells["limit"] = lowest.limit
    return cells


def unpool2d_columns(counted: Counted, gpu: Gpu) -> dict[str, str]:
    """Per place of x."""
    outputs, traffic = counted.problem.outputs, counted.ran.traffic
    around, moved = bytes_around(counted.step), bytes_moved(counted)
    return {
        "reads": number(traffic.global_reads.accesses / outputs),
        "writes": number(traffic.global_writes.accesses / outputs),
        "bytes read": number(traffic.global_reads.bytes / outputs),
        "bytes written": number(traffic.global_writes.bytes / outputs),
        "bytes to clear and rectify": str(around),
        "bytes in all": number(moved),
        f"places/ns at most, {gpu.name}": number(gpu.memory * 1000 / moved),
        "same bits in any order": "yes" if counted.results == 1 else f"no: {counted.results} results",
    }


def bytes_around(step: Step) -> int:
    """What must be done beside the kernel until x is unpooled and rectified."""
    return (CLEARING_BYTES if step.cleared else 0) + (0 if step.rectified else RECTIFYING_BYTES)


def bytes_moved(counted: Counted) -> float:
    """For each place of x, from the pooled map to the rectified one."""
    traffic = counted.ran.traffic
    own = traffic.global_reads.bytes + traffic.global_writes.bytes
    return own / counted.problem.outputs + bytes_around(counted.step)


COLUMNS: dict[str, Callable[[Counted, Gpu], dict[str, str]]] = {"conv2d": conv2d_columns, "unpool2d": unpool2d_columns}


def rows(ladder: Ladder, counted: list[Counted], gpu: Gpu) -> list[dict[str, str]]:
    return [{"step": c.step.name, "idea": c.step.idea} | COLUMNS[ladder.name](c, gpu) for c in counted]


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def as_text(table: list[dict[str, str]]) -> str:
    """Columns under their titles, numbers to the right; the words of a title stand one under another."""
    columns = [
        (title.split(" ") if title not in ("step", "idea") else [title], [row[title] for row in table]) for title in table[0]
    ]
    height = max(len(title) for title, _ in columns)
    blocks = []
    for title, cells in columns:
        lines = [""] * (height - len(title)) + title + cells
        width = max(map(len, lines))
        left = " ".join(title) in LEFT
        blocks.append([line.ljust(width) if left else line.rjust(width) for line in lines])
    return "\n".join("  ".join(line).rstrip() for line in zip(*blocks, strict=True))


def as_markdown(ladder: Ladder, table: list[dict[str, str]]) -> str:
    """The same for the page, where ideas have a text of their own; the step's name leads to its files."""
    titles = [title for title in table[0] if title != "idea"]
    lines = [
        "| " + " | ".join(titles) + " |",
        "| " + " | ".join("---" if t in LEFT else "--:" for t in titles) + " |",
    ]
    for step, row in zip(ladder.steps, table, strict=True):
        files = [ladder.path(step, language) for language in step.languages]
        links = " ".join(f"[{path.suffix}](./{ladder.name}/{path.name})" for path in files)
        lines.append("| " + " | ".join([f"{row['step']} {links}", *(row[title] for title in titles[1:])]) + " |")
    return "\n".join(lines)


def described(problem: Any) -> str:
    return " ".join(f"{name}{value}" for name, value in problem._asdict().items())


def block(ladder: Ladder, gpu: Gpu) -> str:
    """What stands between the page's markers for this ladder."""
    counted = [count(ladder, step, ladder.shown) for step in ladder.steps]
    unit = "output" if ladder.name == "conv2d" else "place of x"
    table = as_markdown(ladder, rows(ladder, counted, gpu))
    return f"{described(ladder.shown)}, counted by the emulator, for each {unit}:\n\n{table}"


def filled(text: str, ladder: Ladder, content: str) -> str:
    """The page with the ladder's table replaced."""
    marked = re.compile(rf"(<!-- {ladder.name}: [^>]*-->\n).*?(\n<!-- end of {ladder.name} -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"the page has no markers for {ladder.name}")
    return marked.sub(lambda found: found[1] + content + found[2], text)


def write_page(ladders: list[Ladder], gpu: Gpu, path: Path = README) -> None:
    text = path.read_text()
    for ladder in ladders:
        text = filled(text, ladder, block(ladder, gpu))
    path.write_text(text)


def promised(counted: Counted, language: str) -> Traffic:
    return counted.step.claims(counted.problem, language)
