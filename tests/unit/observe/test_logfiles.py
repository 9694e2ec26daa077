"""Log files: begun anew at a size, packed, kept in a number, owned by one process, and of no harm when the disk is full."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from skep.observe import LogFiles, LogFolderError, RotatingFile
from skep.observe.logfiles import old_files, tidy

LINE = "x" * 99 + "\n"


@pytest.fixture
def clock() -> Callable[[], float]:
    seconds = count(1_800_000_000)
    return lambda: float(next(seconds))


def _open(
    folder: Path, clock: Callable[[], float] = time.time, *, keep: int = 3, max_bytes: int = 1000
) -> RotatingFile:
    return RotatingFile(LogFiles(folder, max_bytes, keep), "http-1", "json", clock)


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _packed(file: RotatingFile) -> list[Path]:
    return [each for each in old_files(file.path) if each.suffix == ".gz"]


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def test_it_begins_anew_at_its_size_and_packs_the_old_file(tmp_path: Path, clock: Callable[[], float]) -> None:
    file = _open(tmp_path / "logs", clock)
    for number in range(25):
        file.write(f"{number:099d}\n")
    _until(lambda: len(_packed(file)) == 2 and len(old_files(file.path)) == 2)
    whole = "".join(map(_text, old_files(file.path))) + file.path.read_text()
    assert [int(line) for line in whole.splitlines()] == list(range(25))
    assert file.path.stat().st_size == 500
    assert {path.stat().st_mode & 0o777 for path in file.path.parent.iterdir()} == {0o600}
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    file.close()


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_only_the_newest_old_files_are_kept(tmp_path: Path, clock: Callable[[], float], keep: int) -> None:
    file = _open(tmp_path, clock, keep=keep)
    for number in range(60):
        file.write(f"{number:099d}\n")

    def kept() -> list[int]:
        try:
            return [int(line) for path in old_files(file.path) for line in _text(path).splitlines()]
        except (FileNotFoundError, gzip.BadGzipFile):
            # One was packed or deleted between being listed and being read.
            return []

    _until(
        lambda: len(_packed(file)) == len(old_files(file.path)) == keep and kept() == list(range(50 - 10 * keep, 50))
    )
    file.close()


def test_a_line_longer_than_a_file_is_written_whole(tmp_path: Path, clock: Callable[[], float]) -> None:
    file = _open(tmp_path, clock)
    file.write("y" * 5000 + "\n")
    assert file.path.stat().st_size == 5001
    file.close()


def test_what_a_killed_process_left_unpacked_is_packed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "http-1.20260101T000000.000000Z.log"
    left.write_text(LINE)
    (tmp_path / f".{left.name}.gz.part").write_bytes(b"half")
    (tmp_path / "http-1.log").write_text("broken o")
    file = _open(tmp_path)
    file.write(LINE)
    _until(lambda: not left.exists())
    assert [_text(path) for path in old_files(file.path)] == [LINE]
    assert file.path.read_text() == f"broken o\n{LINE}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["http-1.20260101T000000.000000Z.log.gz", "http-1.log"]
    file.close()


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    others = ["http-11.20260101T000000.000000Z.log.gz", "http-1.log.1", "http-1.notes.log", "worker.log"]
    for name in others:
        (tmp_path / name).write_text(LINE)
    tidy(tmp_path / "http-1.log", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_name_belongs_to_one_process_until_that_is_gone(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from skep.observe import LogFiles, RotatingFile;"
        "f = RotatingFile(LogFiles(pathlib.Path(sys.argv[1]), 1000, 3), 'http-1', 'json');"
        "print(f.path.name, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "http-1.log\n"
        second = _open(tmp_path)
        assert second.path.name == "http-1-2.log"
        other.kill()
        other.wait()
    first = _open(tmp_path)
    assert first.path.name == "http-1.log"
    first.close()
    second.close()


def test_it_keeps_its_name_when_it_begins_anew(tmp_path: Path, clock: Callable[[], float]) -> None:
    first = _open(tmp_path, clock)
    for _ in range(11):
        first.write(LINE)
    second = _open(tmp_path, clock)
    assert second.path.name == "http-1-2.log"
    first.close()
    second.close()


def test_a_full_disk_loses_lines_and_nothing_else_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _open(tmp_path, max_bytes=100_000)
    real, room = os.write, [150]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = real(descriptor, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    for _ in range(4):
        file.write(LINE)  # the first fits, of the second a half
    room[0] = 100_000
    file.write('{"event": "after"}\n')
    lines = file.path.read_text().splitlines()
    assert lines[:2] == ["x" * 99, "x" * 50]
    told, after = map(json.loads, lines[2:])
    assert (told["lines"], told["level"], after["event"]) == (3, "warning", "after")
    file.close()


def test_what_cannot_be_put_aside_is_written_on(
    tmp_path: Path, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _open(tmp_path, clock)

    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    for _ in range(30):
        file.write(LINE)
    assert file.path.read_text() == LINE * 30
    file.close()


def test_a_log_that_somebody_deleted_is_there_again_at_its_size(tmp_path: Path, clock: Callable[[], float]) -> None:
    file = _open(tmp_path, clock)
    file.write(LINE)
    file.path.unlink()
    for _ in range(10):
        file.write(LINE)
    assert file.path.read_text() == LINE
    file.close()


def test_a_folder_that_cannot_be_used_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogFolderError, match=r"file/logs.*Not a directory"):
        _open(tmp_path / "file" / "logs")
