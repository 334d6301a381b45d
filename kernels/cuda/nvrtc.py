"""NVIDIA's run-time compiler through ctypes: CUDA C++ for any GPU it knows, on a machine that has none.

    compiler = Nvrtc()
    compiler.compile(text, "relu.cu", "sm_90").log        registers and spills of every kernel, as the assembler states them

It is the library `libnvrtc` of the package nvidia-cuda-nvrtc, or of an installed CUDA toolkit.

What it makes of a text, down to the registers, depends a little on what the process did before (its tables are ordered by
address). `compile_apart` therefore compiles in a fresh process; that is what this file does as a script.
"""

import ctypes
import importlib.util
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

REMEDY = "pip install nvidia-cuda-nvrtc==13.0.88 (Linux), or install the CUDA toolkit 12.8 or newer"
PACKAGED = ("cu*/lib/libnvrtc.so.*", "cuda_nvrtc/lib/libnvrtc.so.*")  # below the folder of the packages called nvidia-*
OPTIONS = ("--std=c++17", "--ptxas-options=-v")
DOES_NOT_COMPILE = 3  # exit code of the script


class NvrtcMissing(RuntimeError):
    """There is no NVRTC on this machine; the message says what to install."""


class CompileError(ValueError):
    """A source does not compile; the message is the compiler's, with the file and the line."""


class Compiled(NamedTuple):
    cubin: bytes
    log: str


def library() -> Path | None:
    """The newest packaged libnvrtc; None if there is none (a toolkit's may still be on the loader's path)."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    found = [path for root in roots for pattern in PACKAGED for path in root.glob(pattern) if "alt" not in path.name]
    return max(found, default=None)


def why_missing() -> str | None:
    """None if NVRTC can be used here, else the reason and the remedy in words."""
    try:
        Nvrtc()
    except NvrtcMissing as missing:
        return str(missing)
    return None


class Nvrtc:
    """The compiler. NvrtcMissing where there is none."""

    def __init__(self) -> None:
        path = library()
        try:
            if path is not None:
                for part in path.parent.glob("libnvrtc-builtins.so.*"):  # release 13.0 does not find it by itself
                    ctypes.CDLL(str(part), mode=ctypes.RTLD_GLOBAL)
            self.lib = ctypes.CDLL(str(path or "libnvrtc.so"))
        except OSError as error:
            raise NvrtcMissing(f"NVIDIA's compiler NVRTC is not here ({error}); {REMEDY}") from error
        self.lib.nvrtcGetErrorString.restype = ctypes.c_char_p

    @cached_property
    def version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self.lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return f"{major.value}.{minor.value}"

    @cached_property
    def architectures(self) -> list[int]:
        """Compute capabilities it compiles for, such as 90 for sm_90, rising."""
        count = ctypes.c_int()
        self._check(self.lib.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        numbers = (ctypes.c_int * count.value)()
        self._check(self.lib.nvrtcGetSupportedArchs(numbers))
        return sorted(numbers)

    def compile(self, text: str, name: str, architecture: str, options: tuple[str, ...] = ()) -> Compiled:
        """CompileError with the compiler's words when `text` does not compile for `architecture` ("sm_90")."""
        program = ctypes.c_void_p()
        self._check(self.lib.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
        try:
            every = [f"--gpu-architecture={architecture}", *OPTIONS, *options]
            failed = self.lib.nvrtcCompileProgram(
                program, len(every), (ctypes.c_char_p * len(every))(*(option.encode() for option in every))
            )
            log = self._result(program, "ProgramLog").rstrip(b"\0").decode()
            if failed:
                words = self.lib.nvrtcGetErrorString(failed).decode()
                raise CompileError(f"{name} does not compile for {architecture} ({words}):\n{log.strip()}")
            return Compiled(self._result(program, "CUBIN"), log)
        finally:
            self.lib.nvrtcDestroyProgram(ctypes.byref(program))

    def _result(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self.lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self.lib, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def _check(self, code: int) -> None:
        if code:
            raise RuntimeError(f"NVRTC says: {self.lib.nvrtcGetErrorString(code).decode()}")


def compile_apart(text: str, name: str, architecture: str, options: tuple[str, ...] = ()) -> str:
    """The log of compiling in a process of its own; CompileError as `compile`."""
    command = [sys.executable, __file__, name, architecture, *options]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode == DOES_NOT_COMPILE:
        raise CompileError(done.stderr.rstrip())
    if done.returncode:
        raise RuntimeError(f"{name} for {architecture}: the compiler died with code {done.returncode}:\n{done.stderr}")
    return done.stdout


def main() -> int:
    name, architecture, *options = sys.argv[1:]
    try:
        print(Nvrtc().compile(sys.stdin.read(), name, architecture, tuple(options)).log)
    except CompileError as error:
        print(error, file=sys.stderr)
        return DOES_NOT_COMPILE
    return 0


if __name__ == "__main__":
    sys.exit(main())
