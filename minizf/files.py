"""Files appear whole or not at all."""

import os
import secrets
from pathlib import Path


def write_atomic(path: str | os.PathLike, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`: to a temporary name beside it, synced to disk, then renamed over it.

    A reader sees the old file or the new one, never half of one, also after a kill or a power cut. If the disk fills or the
    write fails otherwise, the old file stays, the temporary is removed, and an OSError (same errno) says so.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        fate = "the previous file is unchanged" if path.is_file() else "no file was left behind"
        advice = f"check that {path.parent} exists, may be written to and has free space"
        raise OSError(error.errno, f"{path}: not written ({error.strerror}); {fate}; {advice}") from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; on systems where a folder cannot be opened (Windows) the rename already is."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
