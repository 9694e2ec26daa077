"""Walking real folders: order, defaults, odd files, links, depth, and a report of all that was left out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skep.knowledge.walking import (
    DocumentPathError,
    PathOutsideRootError,
    RootIsFileError,
    RootMissingError,
    Skipped,
    SkipReason,
    WalkOptions,
    WalkReport,
    decode_path,
    read_file,
    walk,
)

NOBODY = 65534


def make(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("text\n")


def paths(root: Path, options: WalkOptions | None = None, report: WalkReport | None = None) -> list[str]:
    return [entry.path for entry in walk(root, options or WalkOptions(), report=report)]


def reasons(report: WalkReport) -> dict[str, SkipReason]:
    return {skipped.path: skipped.reason for skipped in report.skipped}


@contextmanager
def without_privileges() -> Iterator[None]:
    """Permission bits do not bind root, so a test that runs as root becomes somebody else for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    report = WalkReport()
    assert paths(tmp_path, report=report) == []
    assert report == WalkReport(folders=1, entered=[b""])


def test_files_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    make(tmp_path, "b", "a/z", "a.b", "a-b/c", "a/b/c", "a0", "B", "é", "z")
    found = paths(tmp_path)
    assert found == sorted(found, key=lambda path: path.encode())
    assert found == ["B", "a-b/c", "a.b", "a/b/c", "a/z", "a0", "b", "z", "é"]


def test_a_wrong_root_is_an_error_at_once(tmp_path: Path) -> None:
    make(tmp_path, "file")
    with pytest.raises(RootMissingError, match="nowhere"):
        walk(tmp_path / "nowhere")
    with pytest.raises(RootIsFileError, match="file"):
        walk(tmp_path / "file")
    with pytest.raises(PathOutsideRootError):
        walk(tmp_path, subpath="../x")
    with pytest.raises(DocumentPathError):
        walk(tmp_path, subpath="a//b")


def test_every_name_the_system_allows_is_found_and_read(tmp_path: Path) -> None:
    names = [
        b"new\nline.py",
        b"\xff\xfe.py",
        b"back\\slash.py",
        b"\\x41.py",
        b" .py",
        b"-rf",
        b"\x01\x7f",
        b"\xc3\xa9.py",
    ]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(name.hex().encode())
    entries = list(walk(tmp_path))
    assert [entry.raw for entry in entries] == sorted(names)
    for entry in entries:
        assert decode_path(entry.path) == entry.raw
        content = read_file(tmp_path, entry, WalkOptions())
        assert not isinstance(content, Skipped)
        assert content.text == entry.raw.hex()


def test_defaults_are_skipped_counted_and_can_be_had(tmp_path: Path) -> None:
    make(tmp_path, "node_modules/x/i.js", "src/__pycache__/x.txt", "env/pyvenv.cfg", "env/a.py", "dist/a.py")
    make(tmp_path, "pyproject.toml", "src/build/a.py", "venv/model.py")
    report = WalkReport()
    assert paths(tmp_path, report=report) == ["pyproject.toml", "src/build/a.py", "venv/model.py"]
    assert report.default_folders == {"node_modules": 1, "__pycache__": 1, "env": 1, "dist": 1}
    (tmp_path / ".gitignore").write_text("!node_modules/\n")
    assert "node_modules/x/i.js" not in paths(tmp_path)
    (tmp_path / ".skepignore").write_text("!node_modules/\n!env/\nvenv\n")
    found = paths(tmp_path)
    assert {"node_modules/x/i.js", "env/a.py"} <= set(found)
    assert "venv/model.py" not in found


def test_skepignore_wins_over_gitignore_and_extra_patterns_over_both(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "b.log", "c.log", "sub/a.log", "d.txt")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / ".skepignore").write_text("!a.log\n!b.log\n")
    (tmp_path / "sub" / ".gitignore").write_text("a.log\n")
    report = WalkReport()
    found = paths(tmp_path, WalkOptions(extra_patterns=("b.log", "/d.*")), report)
    assert [path for path in found if not path.endswith("ignore")] == ["a.log", "sub/a.log"]
    assert report.ignored_files == 3
    assert not report.skipped


def test_our_data_folder_is_never_walked_under_any_name(tmp_path: Path) -> None:
    make(tmp_path, "a.py", "data/b.py", "deep/.skep/c.py")
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    (tmp_path / ".skepignore").write_text("!data/\n!.skep/\n")
    options = WalkOptions(data_folder=tmp_path / "alias")
    assert paths(tmp_path, options) == [".skepignore", "a.py"]
    assert paths(tmp_path, WalkOptions(data_folder=tmp_path / "not-made-yet"))[-1] == "data/b.py"
    assert paths(tmp_path / "data", options) == []


def test_odd_files_are_reported_each_with_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, "good.py", ".env", "key.p12", "a.png", "yarn.lock", "a.min.js", "tracked.py")
    make(tmp_path, "outside.py")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    with open(root / "huge.py", "wb") as huge:
        huge.truncate(1 << 30)
    (root / "inside").symlink_to("good.py")
    (root / "outside").symlink_to("../outside.py")
    (root / "broken").symlink_to("nothing")
    (root / "circle").symlink_to("circle")
    (root / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    report = WalkReport()
    assert paths(root, report=report) == ["good.py", "tracked.py"]
    assert reasons(report) == {
        ".env": SkipReason.SECRET,
        "key.p12": SkipReason.SECRET,
        "a.png": SkipReason.BINARY,
        "yarn.lock": SkipReason.GENERATED,
        "a.min.js": SkipReason.MINIFIED,
        "fifo": SkipReason.SPECIAL,
        "socket": SkipReason.SPECIAL,
        "huge.py": SkipReason.TOO_LARGE,
        "outside": SkipReason.SYMLINK_OUTSIDE,
        "up": SkipReason.SYMLINK_OUTSIDE,
        "broken": SkipReason.SYMLINK_BROKEN,
        "circle": SkipReason.SYMLINK_BROKEN,
    }
    assert report.links == 6
    assert "1,073,741,824" in next(skipped.detail for skipped in report.skipped if skipped.path == "huge.py")
    assert [skipped.path for skipped in report.skipped] == sorted(reasons(report))


def test_an_unreadable_folder_is_reported_as_unknown_not_as_empty(open_folder: Path) -> None:
    make(open_folder, "a/x.py", "closed/y.py", "z.py")
    (open_folder / "closed").chmod(0)
    report = WalkReport()
    with without_privileges():
        assert paths(open_folder, report=report) == ["a/x.py", "z.py"]
    assert report.skipped == [Skipped("closed", SkipReason.UNREADABLE, "Permission denied.", folder=True)]
    (open_folder / "closed").chmod(0o755)


def test_an_unreadable_file_is_reported_when_read(open_folder: Path) -> None:
    make(open_folder, "a.py")
    (open_folder / "a.py").chmod(0)
    with without_privileges():
        (entry,) = walk(open_folder)
        content = read_file(open_folder, entry, WalkOptions())
    assert content == Skipped("a.py", SkipReason.UNREADABLE, "Permission denied.")


def test_an_ignore_file_that_is_too_large_is_reported_and_not_applied(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    (tmp_path / ".gitignore").write_text("*.py\n" * 400_000)
    report = WalkReport()
    assert paths(tmp_path, report=report) == ["a.py"]
    assert {(skipped.path, skipped.reason) for skipped in report.skipped} == {(".gitignore", SkipReason.TOO_LARGE)}


def nest(root: Path, levels: int, *, beside: bool) -> None:
    """Folders far deeper than any path may be long, each with a file in it."""
    current = os.open(root, os.O_RDONLY)
    for level in range(levels):
        os.mkdir("d", dir_fd=current)
        deeper = os.open("d", os.O_RDONLY, dir_fd=current)
        if beside:
            os.close(os.open("z.py", os.O_CREAT | os.O_WRONLY, dir_fd=current))
        if beside and level % 10 == 0:
            os.mkdir("e", dir_fd=current)
        os.close(current)
        current = deeper
    os.write(bottom := os.open("bottom.py", os.O_CREAT | os.O_WRONLY, dir_fd=current), b"here\n")
    os.close(bottom)
    os.close(current)


@pytest.fixture
def deep() -> Iterator[Path]:
    """A folder in memory if possible, removed by ``rm``: pytest's own way is recursive."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    (folder / "deep").mkdir()
    yield folder / "deep"
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_ten_thousand_levels_are_walked_and_read(deep: Path) -> None:
    nest(deep, 10_000, beside=False)
    report = WalkReport()
    (entry,) = walk(deep, report=report)
    assert entry.path == "d/" * 10_000 + "bottom.py"
    assert report.folders == 10_001
    content = read_file(deep, entry, WalkOptions())
    assert not isinstance(content, Skipped)
    assert content.text == "here\n"


def test_coming_back_up_a_deep_tree_loses_nothing(deep: Path) -> None:
    nest(deep, 1_000, beside=True)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    report = WalkReport()
    found = paths(deep, report=report)
    assert len(found) == len(set(found)) == 1_001
    assert found == sorted(found)
    assert not report.skipped
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_moved_away_during_the_walk_is_reported(deep: Path) -> None:
    nest(deep, 200, beside=True)
    (deep.parent / "elsewhere").mkdir()
    report = WalkReport()
    entries = walk(deep, report=report)
    assert next(entries).path.endswith("bottom.py")
    # The folder's own child goes elsewhere first, so that not even the way up leads back to it.
    (deep / "d/d/d/d/d").rename(deep.parent / "elsewhere" / "child")
    (deep / "d/d/d/d").rename(deep.parent / "elsewhere" / "folder")
    rest = [entry.path for entry in entries]
    assert rest[-4:] == ["d/d/d/z.py", "d/d/z.py", "d/z.py", "z.py"]
    assert "d/d/d/d/z.py" not in rest
    assert [(each.path, each.reason, each.folder) for each in report.skipped] == [
        ("d/d/d/d", SkipReason.CHANGING, True)
    ]


def test_an_abandoned_walk_closes_what_it_opened(tmp_path: Path) -> None:
    make(tmp_path, *(f"a/b{index}/c/d.py" for index in range(5)))
    before = set(os.listdir("/dev/fd"))
    entries = iter(walk(tmp_path))
    next(entries)
    del entries
    assert set(os.listdir("/dev/fd")) == before
