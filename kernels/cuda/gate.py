"""The compile gate: every `.cu` file compiles for every GPU we name, and no kernel grows unnoticed.

    python -m kernels.cuda.gate            compile all files, print what each kernel takes, compare with resources.json
    python -m kernels.cuda.gate --write    the same, and make resources.json say what came out

Needs no GPU, only NVRTC (nvrtc.py). Registers decide how many threads are resident on a multiprocessor, and a number that does
not fit in a register travels to memory and back (local memory: spills, or arrays that are indexed at run time). So local memory
must be 0, and registers and static shared memory may fall but not rise above the table. A GPU hands out registers in eights, so
growth within an eight costs nothing and counts as none. Exit code 0: all is well; 1: it is not; 2: NVRTC is not here.
"""

import argparse
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from kernels.cuda.device import source
from kernels.cuda.nvrtc import CompileError, Nvrtc, NvrtcMissing, compile_apart

KERNELS = Path(__file__).parents[1]
FOLDERS = ("cuda", "ladder")
TABLE = Path(__file__).with_name("resources.json")
HANDED_OUT = 8  # registers of a thread come in multiples of it
UPDATE = "python -m kernels.cuda.gate --write"
LEAST_ARCHITECTURES = ("sm_80", "sm_90")  # A100; H100 and H200

ENTRY = re.compile(r"(?:Compiling entry function '|Function properties for )(\w+)")
LOCAL = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


class Resources(NamedTuple):
    """What a kernel takes: registers and local bytes (stack and spills) of a thread, static shared bytes of a block."""

    registers: int
    shared_bytes: int
    local_bytes: int = 0


Files = dict[str, dict[str, dict[str, Resources]]]  # file -> kernel -> architecture -> what it takes


class Outcome(NamedTuple):
    """What compiling gave: the resources, and the errors of files that do not compile."""

    files: Files
    errors: list[str]


def all_files() -> dict[str, str]:
    """Every .cu file by its name below `kernels/`, with its whole text."""
    paths = sorted(path for folder in FOLDERS for path in (KERNELS / folder).rglob("*.cu"))
    return {path.relative_to(KERNELS).as_posix(): whole_text(path) for path in paths}


def whole_text(path: Path) -> str:
    """What a GPU's compiler gets: the prelude, then the file with what it includes."""
    if path.parent == Path(__file__).parent:
        return f"{source('prelude.cuh')}\n{source(path.name)}"
    return f'{source("prelude.cuh")}\n#line 1 "{path.relative_to(KERNELS).as_posix()}"\n{path.read_text()}'


def targets(compiler: Nvrtc) -> tuple[str, ...]:
    """The architectures to compile for: the two we know, and the newest that this compiler knows."""
    return (*LEAST_ARCHITECTURES, f"sm_{compiler.architectures[-1]}")


def compile_all(compiler: Nvrtc, files: dict[str, str], options: tuple[str, ...] = ()) -> Outcome:
    """Compiles each text for each architecture, two at a time."""
    jobs = [(name, architecture) for name in files for architecture in targets(compiler)]

    def resources_or_error(job: tuple[str, str]) -> dict[str, Resources] | str:
        name, architecture = job
        try:
            return parse(compile_apart(files[name], name, architecture, options))
        except CompileError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(jobs, pool.map(resources_or_error, jobs), strict=True))
    found: Files = {name: {} for name in files}
    errors = []
    for (name, architecture), result in results.items():
        if isinstance(result, str):
            errors.append(result)
            continue
        for kernel, taken in result.items():
            found[name].setdefault(kernel, {})[architecture] = taken
    return Outcome(found, errors)


def parse(log: str) -> dict[str, Resources]:
    """The assembler's log -> kernel -> what it takes."""
    found: dict[str, Resources] = {}
    kernel = ""
    for line in log.splitlines():
        if entry := ENTRY.search(line):
            kernel = entry[1]
            found.setdefault(kernel, Resources(0, 0))
        elif local := LOCAL.search(line):
            found[kernel] = found[kernel]._replace(local_bytes=max(map(int, local.groups())))
        elif used := REGISTERS.search(line):
            shared = SHARED.search(line)
            found[kernel] = found[kernel]._replace(registers=int(used[1]), shared_bytes=int(shared[1]) if shared else 0)
    return found


def read_table() -> tuple[str, Files]:
    """(NVRTC's version, the resources it gave), of resources.json."""
    table: dict[str, Any] = json.loads(TABLE.read_text()) if TABLE.is_file() else {"nvrtc": "", "files": {}}
    return table["nvrtc"], {
        file: {
            kernel: {architecture: Resources(*numbers) for architecture, numbers in taken.items()}
            for kernel, taken in kernels.items()
        }
        for file, kernels in table["files"].items()
    }


def table_text(version: str, files: Files) -> str:
    """resources.json, one kernel a line so that a difference reads well: [registers, static shared bytes]."""
    blocks = []
    for file, kernels in sorted(files.items()):
        lines = [
            f"      {json.dumps(kernel)}: {json.dumps({a: taken[a][:2] for a in sorted(taken, key=number_of)})}"
            for kernel, taken in sorted(kernels.items())
        ]
        blocks.append(f"    {json.dumps(file)}: {{\n" + ",\n".join(lines) + "\n    }")
    return f'{{\n  "nvrtc": "{version}",\n  "files": {{\n' + ",\n".join(blocks) + "\n  }\n}\n"


def faults(version: str, found: Files, table_version: str, table: Files) -> list[str]:
    """What is wrong, in words that say what to do; empty when the gate is open."""
    wrong = []
    for file, kernels in found.items():
        if not kernels:
            wrong.append(f'{file}: no kernel in it; declare kernels as extern "C" __global__, or remove the file')
        for kernel, taken in kernels.items():
            for architecture, now in taken.items():
                if now.local_bytes:
                    wrong.append(
                        f"{file}: {kernel} for {architecture} keeps {now.local_bytes} bytes a thread in local memory, not 0 "
                        "(spills, or an array indexed at run time); use fewer values at a time, or unroll the loop"
                    )
            if kernel not in table.get(file, {}):
                wrong.append(f"{file}: {kernel} is not in {TABLE.name}; if it is meant to be there: {UPDATE}")
            elif version == table_version:
                wrong += growth(file, kernel, taken, table[file][kernel])
    for file, kernels in table.items():
        gone = set(kernels) - set(found.get(file, {}))
        wrong += [f"{file}: {kernel} is in {TABLE.name} but no longer exists; {UPDATE}" for kernel in sorted(gone)]
    return wrong


def growth(file: str, kernel: str, now: dict[str, Resources], allowed: dict[str, Resources]) -> list[str]:
    """Where a kernel takes more than the table allows."""
    wrong = []
    for architecture, taken in now.items():
        limit = allowed.get(architecture)
        if limit is None:
            wrong.append(f"{file}: {kernel} has no entry for {architecture} in {TABLE.name}; {UPDATE}")
            continue
        for what, count, most, unit in (
            ("registers", taken.registers, limit.registers, HANDED_OUT),
            ("bytes of static shared memory", taken.shared_bytes, limit.shared_bytes, 1),
        ):
            if -(-count // unit) > -(-most // unit):
                wrong.append(
                    f"{file}: {kernel} for {architecture} takes {count} {what}, {TABLE.name} allows {most}; "
                    f"make it smaller, or if it is worth it: {UPDATE}"
                )
    return wrong


def for_people(version: str, files: Files) -> str:
    """The table as it is printed: registers / static shared bytes for each architecture."""
    named = {a for kernels in files.values() for taken in kernels.values() for a in taken}
    architectures = sorted(named, key=number_of)
    lines = [f"NVRTC {version}; registers of a thread / static shared bytes of a block; * local memory"]
    for file, kernels in sorted(files.items()):
        lines += ["", f"{file:<44}" + "".join(f"{a:>14}" for a in architectures)]
        for kernel, taken in sorted(kernels.items()):
            cells = (taken.get(a) for a in architectures)
            texts = ("-" if c is None else f"{c.registers} / {c.shared_bytes}{'*' if c.local_bytes else ''}" for c in cells)
            lines.append(f"  {kernel:<42}" + "".join(f"{text:>14}" for text in texts))
    return "\n".join(lines)


def number_of(architecture: str) -> int:
    return int(architecture.removeprefix("sm_"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kernels.cuda.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"make {TABLE.name} say what came out")
    options = parser.parse_args(arguments)
    try:
        compiler = Nvrtc()
    except NvrtcMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    outcome = compile_all(compiler, all_files())
    print(for_people(compiler.version, outcome.files))
    if options.write and not outcome.errors:
        TABLE.write_text(table_text(compiler.version, outcome.files))
    table_version, table = read_table()
    if table_version != compiler.version:
        of = table_version or "(none)"
        print(f"\n{TABLE.name} is of NVRTC {of}: each release counts registers differently, so they are not compared")
    wrong = outcome.errors + faults(compiler.version, outcome.files, table_version, table)
    print(
        "\n" + ("\n".join(wrong) if wrong else "the gate is open: everything compiles, nothing in local memory, nothing grew")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
