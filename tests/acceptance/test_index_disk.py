"""A disk that is full, or may not be written: said in words with exit code 4, and no harm done once there is room."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from skep.store import EmbeddedServer
from tests.command import Command, Done, write
from tests.levels import full

pytestmark = pytest.mark.no_cover

IS_ROOT = os.geteuid() == 0

FILES = 200

DISK_BYTES = 160 << 20
"""The embedded database takes 40 MB when new, and 32 MB of write-ahead log."""


def corpus(folder: Path, count: int) -> None:
    """Files that take room: no two lines are alike, so nothing is shared, and nothing packs well."""
    for number in range(count):
        lines = [f"value_{os.urandom(12).hex()} = '{os.urandom(24).hex()}'" for _ in range(60)]
        write(folder, {f"part_{number % 9}/module_{number}.py": "\n".join([f"# heron {number}", *lines, ""])})


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Use up all room but ``leave`` bytes."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as file:
        for _ in range(max(0, free - leave) // 65_536):
            file.write(bytes(65_536))
    return filler


def assert_said(done: Done) -> None:
    """Words, the exit code, and no traceback."""
    assert done.code == 4, done
    assert done.error["message"], done
    assert done.error["fix"], done
    assert "Traceback" not in done.err, done


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """For who may not mount: no file of ours, or of processes we start, may grow beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("leave_mb", [0, full(2)])
def test_a_full_disk(tmp_path: Path, database_url: str, leave_mb: int) -> None:
    folder = tmp_path / "project"
    corpus(folder, 20)
    if IS_ROOT:
        with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
            command = Command(disk / "data", folder)
            server = EmbeddedServer(disk / "data")
            try:
                command("index", ".")
                corpus(folder, FILES)
                filler = fill(disk, leave_mb << 20)
                assert_said(command("index", ".", "--json", code=None))
                filler.unlink()
                recover(command)
            finally:
                server.stop(20)
    else:
        command = Command(tmp_path / "data", folder, database_url)
        command("index", ".")
        corpus(folder, FILES)
        with limited_files((leave_mb + 1) << 16):
            assert_said(command("index", ".", "--json", code=None))
        recover(command)


def recover(command: Command) -> None:
    """Once there is room, a plain run makes all well."""
    answer = command("index", ".", "--json").answer
    assert (answer["files_seen"], answer["files_failed"]) == (FILES, [])
    assert command("verify", "--json").answer["equal"]
    assert len(command("search", "heron", "-k", "1000", "--json").answer["results"]) == FILES


def test_a_disk_too_full_to_begin(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "project"
    corpus(folder, 3)
    if IS_ROOT:
        with small_disk(tmp_path / "disk", 8 << 20) as disk:
            command = Command(disk / "data", folder)
            assert_said(command("index", ".", "--json", code=None))
            fill(disk, 0)
            assert_said(replace(command, url=database_url)("index", ".", "--json", code=None))
    else:
        with limited_files(0):
            assert_said(Command(tmp_path / "data", folder, database_url)("index", ".", "--json", code=None))


def test_a_source_that_may_not_be_written_is_indexed_and_left_as_it_is(skep_on: Command) -> None:
    corpus(skep_on.folder, 5)
    before = {path: path.stat().st_mtime_ns for path in skep_on.folder.rglob("*")}
    for path in (*before, skep_on.folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        if IS_ROOT:  # whom modes do not stop
            with read_only(skep_on.folder):
                assert skep_on("index", ".", "--json").answer["files_added"] == 5
        else:
            assert skep_on("index", ".", "--json").answer["files_added"] == 5
    finally:
        for path in (skep_on.folder, *sorted(before)):
            path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in skep_on.folder.rglob("*")} == before


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder as on a read-only disk."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_data_folder_that_may_not_be_written(skep_on: Command) -> None:
    corpus(skep_on.folder, 2)
    skep_on("index", ".")
    skep_on.data.chmod(0o500)
    lexical = skep_on.data / "lexical"
    try:
        if IS_ROOT:
            with read_only(skep_on.data):
                assert_said(skep_on("search", "heron", "--json", code=None))  # Tantivy locks its folder to read it
                corpus(skep_on.folder, 4)
                assert_said(skep_on("index", ".", "--json", code=None))
        else:
            lexical.chmod(0o500)
            for path in lexical.rglob("*"):
                path.chmod(0o500 if path.is_dir() else 0o400)
            assert_said(skep_on("search", "heron", "--json", code=None))
            corpus(skep_on.folder, 4)
            assert_said(skep_on("index", ".", "--json", code=None))
    finally:
        skep_on.data.chmod(0o700)
        for path in (lexical, *lexical.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
    skep_on("index", ".")
    assert skep_on("verify", "--json").answer["equal"]


def test_a_file_and_a_folder_that_may_not_be_read(skep_on: Command) -> None:
    corpus(skep_on.folder, 3)
    write(skep_on.folder, {"closed.py": "heron = 1\n", "shut/inside.py": "heron = 2\n"})
    skep_on("index", ".")
    (skep_on.folder / "closed.py").chmod(0)
    (skep_on.folder / "shut").chmod(0)
    command = skep_on
    if IS_ROOT:  # whom modes do not stop: let go of the rights that make it so
        dropped = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")
        command = replace(skep_on, wrapper=dropped)
    try:
        answer = command("index", ".", "--json").answer
    finally:
        (skep_on.folder / "closed.py").chmod(0o644)
        (skep_on.folder / "shut").chmod(0o755)
    assert {(file["path"], file["reason"].rpartition(": ")[2]) for file in answer["files_failed"]} == {
        ("closed.py", "Permission denied."),
        ("shut", "Permission denied."),
    }
    found = {hit["path"] for hit in skep_on("search", "heron", "--json").answer["results"]}
    assert "closed.py" not in found, "nothing that cannot be read is shown"
    assert "shut/inside.py" in found, "a folder that cannot be listed proves nothing about what is in it"
    skep_on("index", ".")
    assert "closed.py" in {hit["path"] for hit in skep_on("search", "heron", "--json").answer["results"]}
