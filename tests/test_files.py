"""minizf/files.py: whole or not at all."""

import os
import subprocess
import sys
import textwrap

import pytest

from minizf.files import write_atomic


def test_writes_bytes_and_text_and_replaces(tmp_path):
    path = tmp_path / "run.json"
    write_atomic(path, b"old")
    write_atomic(path, "näw\n")
    assert path.read_bytes() == "näw\n".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_new_file_has_ordinary_permissions(tmp_path):
    umask = os.umask(0o022)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_full_disk_keeps_old_file_and_leaves_no_temporary(tmp_path):
    """A file size limit makes the real write call fail half way, as a full disk does."""
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"the old weights")
    script = f"""
        import resource, signal
        from minizf.files import write_atomic
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            write_atomic({str(path)!r}, bytes(100_000))
        except OSError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "last.safetensors: not written (File too large); the previous file is unchanged" in done.stdout
    assert path.read_bytes() == b"the old weights"
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failure_at_any_step_keeps_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match=r"No space left on device.*previous file is unchanged.*free space") as raised:
        write_atomic(path, b"new")
    assert raised.value.errno == 28
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_interrupt_leaves_no_temporary(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_data_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    """Renamed before it is synced, a power cut would leave an empty file under the good name."""
    steps = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, real=real, name=name: (steps.append(name), real(*args))[1])
    write_atomic(tmp_path / "a", b"new")
    assert steps == ["fsync", "replace", "fsync"]  # file, rename, folder


def test_missing_folder_says_what_to_check(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not written.*no file was left behind; check that .*gone exists"):
        write_atomic(tmp_path / "gone" / "a", b"x")
