"""From what the runtime found to the sentence that a person reads."""

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kernels.emulator.arguments import Extent
from kernels.emulator.assembly import SharedArray
from kernels.emulator.binary import GLOBAL, MOST_SHARED, SHARED, Error
from kernels.emulator.compiler import OWN_HEADERS

Index = tuple[int, int, int]
(
    _NOTHING,
    OUT_OF_BOUNDS,
    UNWRITTEN,
    RACE,
    PENDING_COPY,
    MISALIGNED,
    COPY_NOT_SHARED,
    COPY_NOT_GLOBAL,
    BARRIER_NOT_REACHED,
    BARRIERS_DIFFER,
    LANE_MISSING,
    OPERATIONS_DIFFER,
    NOT_IN_MASK,
    SIGNAL,
    STACK_FULL,
    TIME_LIMIT,
    ASSERTION,
    TRAP,
    BAD_WIDTH,
    INTERRUPTED,
) = range(20)
DOES = ("reads", "writes", "updates atomically", "copies with cp.async to")
DID = ("read", "wrote", "updated atomically", "copied with cp.async to")


class KernelError(RuntimeError):
    """A kernel did what a GPU would not allow, or what gives no defined result there.

    Fields: kernel (name), block and thread ((x, y, z), or None where unknown), file, line (None where unknown), what.
    """

    def __init__(
        self, kernel: str, block: Index | None, thread: Index | None, what: str, file: str = "", line: int | None = None
    ):
        self.kernel, self.block, self.thread, self.what, self.file, self.line = kernel, block, thread, what, file, line
        where = [kernel]
        where += [f"block {block}"] if block is not None else []
        where += [f"thread {thread}"] if thread is not None else []
        where += [f"{file} line {line}"] if line else []
        super().__init__(f"{', '.join(where)}: {what}")

    def __reduce__(self):
        return KernelError, (self.kernel, self.block, self.thread, self.what, self.file, self.line)


@dataclass(frozen=True)
class Scene:
    """What is needed to put names to addresses: the kernel, its library, and the regions of the launch in their order."""

    kernel: str
    file: str
    library: Path
    image: int
    regions: list[Extent | SharedArray | None]  # None: dynamic shared memory
    dynamic_base: int  # where dynamic shared memory begins, also in a launch that has none
    dynamic_bytes: int
    limit_s: float


def error_from(error: Error, scene: Scene) -> KernelError:
    """The exception for what the runtime found."""
    file, line = position_of(scene, error.place) or (scene.file, error.line or None)
    return KernelError(scene.kernel, tuple(error.block), tuple(error.thread), _what(error, scene), file, line)


def position_of(scene: Scene, place: int) -> tuple[str, int] | None:
    """File and line of a return address; None outside the kernel's library, or without addr2line (of binutils)."""
    offset = place - scene.image - 1
    if not 0 <= offset < scene.library.stat().st_size:
        return None
    command = ["addr2line", "-i", "-e", str(scene.library), hex(offset)]
    try:
        frames = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return None
    for frame in frames:  # innermost first; an inlined function of the emulator's own headers is not the user's line
        path, _, number = frame.split(" ")[0].rpartition(":")
        if OWN_HEADERS not in Path(path).parts and number.isdigit() and int(number):
            return Path(path).name, int(number)
    return None


def _line(scene: Scene, place: int, known: int = 0, prefix: str = " in") -> str:
    """ "The words " in line 12", with the file's name where that is another than the kernel's; nothing where unknown."""
    file, line = position_of(scene, place) or (scene.file, known)
    return f"{prefix} line {line}{'' if file == scene.file else f' of {file}'}" if line else ""


def _element(error: Error, scene: Scene) -> str:
    """The element an error is about: `x[5]`, `As[5]`, `byte 20 of the dynamic shared memory`."""
    region = scene.regions[error.region] if error.region >= 0 else None
    if isinstance(region, Extent):
        return f"{region.name}[{error.offset // region.itemsize}]"
    if isinstance(region, SharedArray):
        return f"{region.name}[{error.offset // min(error.bytes, 4)}]"
    return f"byte {error.offset} of the dynamic shared memory"


def _extent(error: Error, scene: Scene) -> str:
    region = scene.regions[error.region]
    if isinstance(region, Extent):
        count = (region.end - region.begin) // region.itemsize
        return f"{count} element" + "s" * (count != 1)
    if isinstance(region, SharedArray):
        count = region.bytes // min(error.bytes, 4)
        return f"{count} element" + "s" * (count != 1)
    return f"{scene.dynamic_bytes} bytes (shared_mem={scene.dynamic_bytes})"


def _what(e: Error, scene: Scene) -> str:
    does, size = DOES[e.access], f"{e.bytes} bytes at " if e.bytes in (8, 16) else ""
    operation, other_operation = (text.decode() if text else "" for text in (e.operation, e.other_operation))
    other = f"thread {tuple(e.other)}"
    there = _line(scene, e.other_place, e.other_line, " of")
    if e.fault == OUT_OF_BOUNDS:
        if e.address < 4096:
            return f"{does} through a null pointer"
        if e.region < 0 and not scene.dynamic_bytes and 0 <= e.address - scene.dynamic_base < MOST_SHARED:
            return f"{does} dynamic shared memory, but the launch has none; give its size in bytes as shared_mem"
        if e.region < 0:
            return f"{does} address {e.address:#x}, which lies in no array of the launch"
        shared = " in shared memory" if isinstance(scene.regions[e.region], SharedArray) else ""
        return f"{does} {size}{_element(e, scene)}{shared}, which has {_extent(e, scene)}"
    if e.fault == UNWRITTEN:
        if e.space == SHARED:
            return (
                f"{does} shared memory that no thread of its block has written yet: {_element(e, scene)}; "
                "is a __syncthreads() missing before this line?"
            )
        return f"{does} {_element(e, scene)}, which nothing has written"
    if e.fault == RACE:
        return _race(e, scene, other)
    if e.fault == PENDING_COPY:
        return f"{does} shared memory that a cp.async is still filling, no cp_async_wait covers it yet: {_element(e, scene)}"
    if e.fault == MISALIGNED:
        return f"{does} {e.bytes} bytes at {_element(e, scene)}, whose address is not a multiple of {e.bytes}"
    if e.fault == COPY_NOT_SHARED:
        return f"copies with cp.async to {_element(e, scene)}, which is not shared memory"
    if e.fault == COPY_NOT_GLOBAL:
        return "copies with cp.async from memory that is not global"
    if e.fault == BARRIER_NOT_REACHED:
        return f"waits at __syncthreads(), which {other} never reached: it has finished"
    if e.fault == BARRIERS_DIFFER:
        return f"waits at __syncthreads() while {other} waits at that{there}: all threads must reach the same one"
    if e.fault == LANE_MISSING:
        return f"waits in {operation} for lane {e.number}, {other}, which is at {other_operation}{there}"
    if e.fault == OPERATIONS_DIFFER:
        return (
            f"is at {operation} while {other} of its warp is at {other_operation}{there}: "
            "lanes of one mask must meet at the same call"
        )
    if e.fault == NOT_IN_MASK:
        if e.number:
            return f"calls {operation} in a warp that is not whole: it needs all 32 lanes"
        return f"calls {operation} with a mask that lacks its own lane"
    if e.fault == BAD_WIDTH:
        return f"calls {operation} with width {e.number}: only 1, 2, 4, 8, 16 and 32 are allowed"
    if e.fault == STACK_FULL:
        return "needs more than 256 KB for its local variables"
    if e.fault == TIME_LIMIT:
        return f"still ran after {scene.limit_s:g} s: a loop without end? (MINIZF_EMULATOR_LIMIT_S sets the limit)"
    if e.fault == INTERRUPTED:
        return "was interrupted"
    if e.fault == ASSERTION:
        return f"assertion failed: {operation}"
    if e.fault == TRAP:
        return "stopped by __trap()"
    if e.number == signal.SIGFPE:
        return "divides an integer by zero"
    if e.number in (signal.SIGSEGV, signal.SIGBUS):
        return f"touches address {e.address:#x}, which is no memory of this process; run it checked to learn which array"
    return f"was stopped by signal {signal.Signals(e.number).name}"


def _race(e: Error, scene: Scene, other: str) -> str:
    did = f"{other}" if tuple(e.block) == tuple(e.other_block) else f"{other} of block {tuple(e.other_block)}"
    line = _line(scene, e.other_place)
    element = _element(e, scene)
    if tuple(e.block) != tuple(e.other_block):
        return (
            f"{DOES[e.access]} {element}, which {did} {DID[e.other_access]}{line}: blocks run in no order; "
            "give each element one writer, or use atomics"
        )
    if e.space == GLOBAL:
        return f"{DOES[e.access]} {element}, which {did} {DID[e.other_access]}{line}, with no __syncthreads() between"
    when = f", {('read', 'written', 'updated', 'copied')[e.other_access]}{line}" if line else ""
    return f"{DOES[e.access]} shared memory that {did} {DID[e.other_access]}, with no __syncthreads() between: {element}{when}"
