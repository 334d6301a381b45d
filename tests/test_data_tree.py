"""minizf/data/tree.py: folders and archives; a damaged archive never becomes half a set."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile

import pytest

from minizf.data import DataError
from minizf.data import tree as module
from minizf.data.tree import natural, open_tree, read_whole

FILES = {
    f"set/{group}/img_{k}.bin": random.Random(f"{group}{k}").randbytes(300 + 400 * k)
    for group in ("b", "a")
    for k in (10, 2, 1)
}
LITTER = ["set/.DS_Store", "__MACOSX/set/a/._img_1.bin", "set/a/.hidden"]
NAMES = [f"set/{group}/img_{k}.bin" for group in ("a", "b") for k in (1, 2, 10)]


def tar_bytes(mode="w", extra=()):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for folder in ("set", "set/empty"):
            member = tarfile.TarInfo(folder)
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
        for name, data in (FILES | dict.fromkeys(LITTER, b"x")).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in extra:
            archive.addfile(member)
    return file.getvalue()


def zip_bytes(compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.mkdir("set/empty")
        for name, data in (FILES | dict.fromkeys(LITTER, b"x")).items():
            archive.writestr(name, data)
    return file.getvalue()


def written(tmp_path, data):
    path = tmp_path / "set.archive"  # the content decides, not the suffix
    path.write_bytes(data)
    return path


def outcome(path):
    """(name -> bytes, "") or (nothing, the error's message)."""
    try:
        tree = open_tree(path)
        return {name: tree.read(name) for name in tree.names}, ""
    except DataError as error:
        return {}, str(error)


ARCHIVES = {
    "zip": zip_bytes,
    "tar": tar_bytes,
    "tgz": lambda: gzip.compress(tar_bytes()),
    "tar.bz2": lambda: bz2.compress(tar_bytes()),
    "tar.xz": lambda: lzma.compress(tar_bytes()),
}


@pytest.mark.parametrize("kind", [*ARCHIVES, "folder"])
def test_all_kinds_show_the_same_files(tmp_path, kind):
    if kind == "folder":
        for name, data in (FILES | dict.fromkeys(LITTER, b"x")).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        (tmp_path / "set/empty").mkdir()
        path = tmp_path
    else:
        path = written(tmp_path, ARCHIVES[kind]())
    tree = open_tree(path)
    assert tree.names == NAMES
    assert tree.folders == {"set", "set/a", "set/b", "set/empty"}
    assert {name: tree.read(name) for name in tree.names} == FILES
    assert tree.inside("set/b") == NAMES[3:]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_truncated_at_any_place_is_named(tmp_path, kind):
    data = ARCHIVES[kind]()
    # the padding after a tar's end mark carries nothing
    last = len(data) - 1 if kind != "tar" else data.rstrip(b"\0").__len__() + 1
    for length in [0, 1, 5, 300, 512, 1024, *range(700, last, max(1, len(data) // 60)), last]:
        path = written(tmp_path, data[:length])
        with pytest.raises(DataError, match=r"set\.archive"):
            open_tree(path)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_flipped_bits_are_found_or_harmless(tmp_path, kind):
    """Compressed archives carry checksums; in a plain tar only the headers do, so there only names and sizes are sure."""
    data = ARCHIVES[kind]()
    caught = 0
    for place in range(0, len(data), max(1, len(data) // 150)):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        path = written(tmp_path, bytes(damaged))
        contents, message = outcome(path)
        if message:
            assert "set.archive" in message
            caught += 1
        elif kind == "zip":  # names are kept twice, and dates, rights and such may change without harm
            assert set(contents.values()) <= set(FILES.values())
        elif kind == "tar":
            assert {name: len(content) for name, content in contents.items()} == {k: len(v) for k, v in FILES.items()}
        else:
            assert contents == FILES
    assert caught > (20 if kind == "tar" else 75)


def test_damaged_zip_member_is_named(tmp_path):
    data = bytearray(zip_bytes(zipfile.ZIP_STORED))
    data[data.index(FILES["set/a/img_2.bin"]) + 7] ^= 1
    tree = open_tree(written(tmp_path, bytes(data)))
    tree.read("set/a/img_10.bin")
    with pytest.raises(DataError, match=r"set.archive: set/a/img_2.bin: damaged member of the archive \(Bad CRC"):
        tree.read("set/a/img_2.bin")


def test_damaged_tar_header_says_after_how_many_files(tmp_path):
    data = bytearray(tar_bytes())
    data[data.index(b"set/b/img_2.bin")] ^= 1
    with pytest.raises(
        DataError, match=r"damaged or truncated tar archive after 1 files \(the header at byte \d+ is damaged\)"
    ):
        open_tree(written(tmp_path, bytes(data)))


def test_links_in_a_tar_are_not_dropped_in_silence(tmp_path):
    link = tarfile.TarInfo("set/a/linked.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "img_1.bin"
    with pytest.raises(DataError, match=r"set/a/linked.jpg: a link or special file; pack the files themselves"):
        open_tree(written(tmp_path, tar_bytes(extra=[link])))


def test_tar_larger_than_memory_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TAR_LIMIT_BYTES", 4096)
    with pytest.raises(DataError, match="unpack it and name the folder"):
        open_tree(written(tmp_path, gzip.compress(tar_bytes())))


def test_other_files_and_missing_ones(tmp_path):
    for data, reason in [(b"hello", "starts with b'hell'"), (b"", "it is empty")]:
        with pytest.raises(DataError, match=f"neither a folder nor a zip or tar archive .{reason}"):
            open_tree(written(tmp_path, data))
    with pytest.raises(DataError, match="gone: no such file"):
        open_tree(tmp_path / "gone")


def test_file_that_vanishes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.bin").write_bytes(b"x")
    tree = open_tree(tmp_path)
    (tmp_path / "a/x.bin").unlink()
    with pytest.raises(DataError, match=r"a/x.bin: cannot be read \(No such file"):
        tree.read("a/x.bin")


def test_read_whole_checks_what_follows_the_data(tmp_path):
    packed = gzip.compress(b"abc" * 1000)
    assert read_whole(written(tmp_path, packed)).read() == b"abc" * 1000
    for damaged in (packed[:-1], packed[:-6] + b"\0" + packed[-5:], packed + b"trailing"):
        with pytest.raises(DataError, match="damaged or truncated"):
            read_whole(written(tmp_path, damaged))


def test_natural_order():
    assert sorted(["b1", "a10", "a2", "10", "9", "a"], key=natural) == ["9", "10", "a", "a2", "a10", "b1"]
