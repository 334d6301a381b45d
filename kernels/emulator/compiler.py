"""Compiles with g++, and keeps what it compiled.

A build is a folder in the cache, named by a digest of all it depends on: source text, options, the emulator's own C++,
compiler and processor. It is made under another name and renamed when whole, so a killed build leaves nothing behind and two
processes may build the same at once. `build.json` holds a digest of every file; a folder that does not match is built anew.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from kernels.backends import BackendUnavailable

HERE = Path(__file__).parent
OWN_HEADERS = "emulator-of-minizf"  # what compiled code calls HERE, wherever that is
CACHE_VARIABLE = "MINIZF_EMULATOR_CACHE"
INSTALL = (
    "install g++: `apt install g++` (Debian, Ubuntu), `dnf install gcc-c++` (Fedora), `pacman -S gcc` (Arch), "
    "`conda install gxx` (conda)"
)
LANGUAGE = ("-std=c++20", "-DMINIZF_CPU=1", "-x", "c++")
COMMON = (
    *("-g", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-fno-gnu-unique", "-fno-section-anchors"),
    *("-fno-math-errno", "-ffp-contract=fast", "-fno-strict-aliasing", "-fstack-clash-protection"),
)
# checked: -O1 keeps accesses as the source has them (float4 stays one access without SRA); the hooks are the runtime's own
CHECKED = ("-O1", "-fno-tree-sra", "-fsanitize=thread", "-DMINIZF_CHECKED")
FAST = ("-O3",)
WARNINGS = (
    *("-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-unused-parameter", "-Wno-unused-function", "-Wno-sign-compare"),
    *("-Wno-sequence-point", "-Wno-volatile", "-Wdouble-promotion"),  # `0.5 * x` is computed in double, slowly on most GPUs
)
IGNORED_OPTION = re.compile(
    r"--?std=|--use_fast_math$|-use_fast_math$|-?-generate-line-info$|-lineinfo$|-G$|-w$|--ptxas-options|-Xptxas|"
    r"--?arch=|--gpu-architecture|--maxrregcount|--fmad=|--device-debug$|--default-device$|-default-device$"
)


class CompileError(RuntimeError):
    """A CUDA source text that g++ refuses; the message is g++'s, with the text's own line numbers."""


def unavailable_reason() -> str | None:
    """Why kernels cannot be compiled here and what to install, or None if they can."""
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, and this is {sys.platform}; use WSL on Windows, a Linux container or virtual machine on macOS"
    if not shutil.which("g++"):
        return f"there is no g++ on the PATH; {INSTALL}"
    return None


def compiler() -> str:
    """The path of g++. Raises BackendUnavailable with what to install."""
    reason = unavailable_reason()
    if reason:
        raise BackendUnavailable("emulator", reason)
    return str(shutil.which("g++"))


@lru_cache(maxsize=4)
def compiler_identity(path: str) -> str:
    """Changes when the compiler or the processor does: code built for one processor may not run on another."""
    file = Path(path).resolve().stat()
    cpu = platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text()
        cpu += "".join(re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", text.split("\n\n")[0], re.MULTILINE))
    except OSError:
        pass
    return f"{path} {file.st_size} {file.st_mtime_ns} {cpu}"


@lru_cache(maxsize=4)
def native_flags(path: str) -> tuple[str, ...]:
    """-march=native where this g++ knows this processor."""
    done = subprocess.run([path, "-march=native", "-E", "-x", "c++", "/dev/null"], capture_output=True)
    return ("-march=native",) if done.returncode == 0 else ()


@lru_cache(maxsize=1)
def own_source_digest() -> str:
    files = sorted([*HERE.glob("device/*"), *HERE.glob("runtime/*"), HERE / "assembly.py", HERE / "source.py", Path(__file__)])
    return digest(*(file.read_bytes() for file in files if file.is_file()))


def digest(*parts: bytes | str) -> str:
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:24]


def accepted(options: Iterable[str]) -> tuple[str, ...]:
    """Those of CuPy's compile options that matter here: macros and include folders. Raises ValueError for unknown ones."""
    kept, waiting = [], ""
    for option in options:
        option = re.sub(r"^--(define-macro|undefine-macro|include-path)[= ]", lambda m: "-" + m[1][0].upper(), option)
        if waiting:
            kept.append(waiting + option)
            waiting = ""
        elif option in ("-D", "-U", "-I"):
            waiting = option
        elif option[:2] in ("-D", "-U", "-I"):
            kept.append(option[:2] + option[2:].strip())
        elif not IGNORED_OPTION.match(option):
            raise ValueError(
                f"compile option {option!r} is unknown to the emulator; it takes -D, -U and -I, and passes over NVRTC's own"
            )
    return tuple(kept)


def run(command: list[str], folder: Path, name: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """What the command wrote. Raises CompileError with what it said of an error."""
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, input=text, env=english, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise CompileError(f"{name} does not compile:\n{tidy(done.stderr)}")
    return done


def tidy(message: str) -> str:
    """g++'s message without the emulator's own lines: what leads to them says enough."""
    message = re.sub(r"(?m)^In file included from .*(?:\n +from .*)*\n", "", message)
    return message.replace(str(HERE) + os.sep, "emulator/").strip()


def cache_folder() -> Path:
    """Where builds are kept: MINIZF_EMULATOR_CACHE, else in the user's cache, else in the folder for temporary files."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        folder = Path(named)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError("it cannot be written")
        except OSError as error:
            why = error.strerror or error
            raise OSError(
                f"{CACHE_VARIABLE}={named!r}: {why}; name a folder for compiled kernels that can be written"
            ) from None
        return folder
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (base / "minizf" / "emulator", Path(tempfile.gettempdir()) / f"minizf-emulator-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK | os.X_OK) and folder.stat().st_uid == os.getuid():
                return folder
        except OSError:
            continue
    raise OSError(f"no folder for compiled kernels can be written; name one in {CACHE_VARIABLE}")


def cached(key: str, build: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The folder of build `key`, whole, and what its `build.json` says; `build(folder)` makes it when it is not there."""
    final = cache_folder() / key
    facts = _read(final)
    if facts is not None:
        return final, facts
    with tempfile.TemporaryDirectory(prefix=f"{key}.", dir=final.parent) as temporary:
        folder = Path(temporary) / "build"
        folder.mkdir()
        facts = build(folder)
        files = {file.name: digest(file.read_bytes()) for file in sorted(folder.iterdir())}
        (folder / "build.json").write_text(json.dumps({"files": files, "facts": facts}))
        for _ in range(20):
            try:
                folder.rename(final)
                break
            except OSError:  # somebody else was faster, or what is there is broken
                if _read(final) is not None:
                    break
                final.rename(Path(temporary) / f"broken{_}")
        return final, facts


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / "build.json").read_text())
        whole = all(digest((folder / name).read_bytes()) == wanted for name, wanted in record["files"].items())
        return record["facts"] if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def runtime() -> tuple[Path, str]:
    """The emulator's runtime as a shared library, and its key; compiled once per machine in a few seconds."""
    path = compiler()
    fibers = os.environ.get("MINIZF_EMULATOR_FIBERS", "")
    if fibers not in ("", "ucontext"):
        raise ValueError(f"MINIZF_EMULATOR_FIBERS={fibers!r}: only 'ucontext' can be asked for; leave it unset for the fastest")
    portable = ("-DMINIZF_UCONTEXT",) if fibers else ()
    key = "runtime-" + digest(own_source_digest(), compiler_identity(path), *portable)

    def build(folder: Path) -> dict[str, Any]:
        flags = [
            "-O2",
            "-ftree-vectorize",
            "-Wl,-z,now",
            *native_flags(path),
            *COMMON,
            *portable,
            "-shared",
            f"-Wl,-soname,{key}.so",
        ]
        run(
            [path, *LANGUAGE, *flags, str(HERE / "runtime" / "runtime.cpp"), "-o", f"{key}.so"],
            folder,
            "the emulator's runtime",
        )
        return {}

    return cached(key, build)[0] / f"{key}.so", key
