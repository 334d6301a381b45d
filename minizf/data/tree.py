"""A folder, a zip or a tar read the same way: a list of relative file names, and the bytes of each.

Whatever is damaged raises DataError naming the archive, the member and the reason. Names starting with a dot and `__MACOSX` are
what desktops leave behind, not data, and are left out.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from pathlib import Path

from minizf.data.dataset import DataError
from minizf.data.progress import bar

# A tar cannot be read out of order, so it is held in memory, decompressed; a larger one has to be unpacked by its owner.
TAR_LIMIT_BYTES = 1 << 29
TAR_BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 20
COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
FETCH_AGAIN = "fetch or copy it again"


class Tree:
    """path: where it lies; names: file names relative to it, "/" between parts, in natural order; folders: all folders."""

    def __init__(self, path: Path, names: list[str], folders: set[str]):
        self.path = path
        self.names = sorted((name for name in names if _is_data(name)), key=natural)
        self._known = set(self.names)
        parents = {parent for name in self.names for parent in _parents(name)}
        self.folders = parents | {folder for folder in folders if _is_data(folder)}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def read(self, name: str) -> bytes:
        """The bytes of one file; may be called from several threads."""
        raise NotImplementedError

    def where(self, name: str) -> str:
        """How a message calls one file."""
        return f"{self.path}: {name}"

    def inside(self, folder: str) -> list[str]:
        """The files anywhere below `folder`, in natural order."""
        return [name for name in self.names if name.startswith(folder + "/")]


def natural(name: str) -> list:
    """Sorting key that puts img_2 before img_10, the same on every machine."""
    return [(int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _is_data(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


class FolderTree(Tree):
    def __init__(self, path: Path):
        names, folders = [], set()
        for here, inner, files in os.walk(path, followlinks=True):
            base = Path(here).relative_to(path).as_posix()
            prefix = "" if base == "." else base + "/"
            names += [prefix + file for file in files]
            folders |= {prefix + folder for folder in inner}
        super().__init__(path, names, folders)

    def where(self, name: str) -> str:
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.where(name)}: cannot be read ({error.strerror})") from error


class ZipTree(Tree):
    def __init__(self, path: Path):
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, *DAMAGE) as error:
            raise DataError(f"{path}: damaged or truncated zip archive ({_reason(error)}); {FETCH_AGAIN}") from error
        entries = self._zip.namelist()
        names = [entry for entry in entries if not entry.endswith("/")]
        super().__init__(path, names, {entry.rstrip("/") for entry in entries if entry.endswith("/")})

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, *DAMAGE) as error:
            raise DataError(f"{self.where(name)}: damaged member of the archive ({_reason(error)}); {FETCH_AGAIN}") from error


class TarTree(Tree):
    """A tar, plain or compressed. Python's tarfile ends quietly at a damaged header; this one insists on the end mark."""

    def __init__(self, path: Path, progress: bool):
        unpacked = read_whole(path, progress, TAR_LIMIT_BYTES)
        self._data = unpacked.getbuffer()
        self._places: dict[str, tuple[int, int]] = {}  # name -> (first byte, number of bytes)
        folders = set()
        try:
            with tarfile.open(fileobj=unpacked, mode="r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./").rstrip("/")
                    if member.isdir():
                        folders.add(name)
                    elif member.isreg() and not member.issparse():
                        self._places[name] = (member.offset_data, member.size)
                    elif _is_data(name):
                        raise DataError(f"{path}: {name}: a link or special file; pack the files themselves")
                end = archive.offset
        except tarfile.TarError as error:
            raise DataError(f"{path}: damaged or truncated tar archive ({error}); {FETCH_AGAIN}") from error
        mark = bytes(self._data[end : end + TAR_BLOCK_BYTES])
        if mark != bytes(TAR_BLOCK_BYTES):
            what = "its end mark is missing" if not mark else f"the header at byte {end} is damaged"
            raise DataError(f"{path}: damaged or truncated tar archive after {len(self._places)} files ({what}); {FETCH_AGAIN}")
        super().__init__(path, list(self._places), folders)

    def read(self, name: str) -> bytes:
        start, size = self._places[name]
        return bytes(self._data[start : start + size])


def open_tree(path: Path, progress: bool = False) -> Tree:
    """The files under a folder or in an archive, whichever `path` is; the content decides, not the suffix.

    Damaged, empty or of another kind: DataError.
    """
    if path.is_dir():
        return FolderTree(path)
    with _opened(path) as file:
        head = file.read(TAR_BLOCK_BYTES)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return ZipTree(path)
    if any(head.startswith(magic) for magic, _ in COMPRESSIONS) or head[257:262] == b"ustar":
        return TarTree(path, progress)
    what = f"starts with {head[:4]!r}" if head else "it is empty"
    raise DataError(f"{path}: neither a folder nor a zip or tar archive ({what})")


def read_whole(path: Path, progress: bool = False, limit_bytes: int | None = None) -> io.BytesIO:
    """All bytes of a file, decompressed if it is gzip, bzip2 or xz (its checksum is then checked). Damaged: DataError."""
    data = io.BytesIO()
    with _opened(path) as raw, bar(path.stat().st_size, f"reading {path.name}", progress, unit="B") as shown:
        head = raw.read(6)
        raw.seek(0)
        opener = next((opener for magic, opener in COMPRESSIONS if head.startswith(magic)), None)
        stream = opener(raw) if opener else raw
        try:
            while chunk := stream.read(CHUNK_BYTES):
                data.write(chunk)
                shown.update(raw.tell() - shown.n)
                if limit_bytes is not None and data.tell() > limit_bytes:
                    raise DataError(f"{path}: larger than {limit_bytes >> 20} MiB; unpack it and name the folder instead")
        except DAMAGE as error:
            raise DataError(f"{path}: damaged or truncated ({_reason(error)}); {FETCH_AGAIN}") from error
    data.seek(0)
    return data


def _opened(path: Path):
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file or folder") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
