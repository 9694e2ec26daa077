"""What a file that takes its reader over can do: nothing."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from skep.documents import (
    Documents,
    FileTooHungryError,
    FileTooSlowError,
    FileUnfoldsError,
    Limits,
    ReaderCrashedError,
    ReaderStartError,
    SandboxMissingError,
)
from skep.documents import reader as reading
from skep.documents.reader import Reader, open_memory
from skep.documents.sandbox import RUNNER, sandboxed_command
from skep.errors import SkepError
from tests import documents

HOSTILE = Path(__file__).parents[2] / "hostile_reader.py"
LIMITS = Limits(memory_bytes=384 << 20, seconds=2)


def _hostile(limits: Limits = LIMITS) -> Reader:
    bubblewrap = shutil.which("bwrap")
    assert bubblewrap is not None
    command = sandboxed_command(bubblewrap, HOSTILE)
    place = command.index(str(HOSTILE), command.index("--chdir")) + 1
    return Reader([*command[:place], str(RUNNER), *command[place:]], limits)


@pytest.fixture(scope="module")
def hostile() -> Iterator[Reader]:
    reader = _hostile()
    yield reader
    reader.close()


def _try(reader: Reader, attempt: str) -> str:
    with open_memory(attempt.encode()) as file:
        return reader.read(file, "x.txt").blocks[0].text


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/cmdline"])
def test_it_reads_no_file_of_the_machine(hostile: Reader, path: str) -> None:
    assert _try(hostile, f"read {path}") == "refused: No such file or directory"


def test_it_reads_no_file_of_a_user(hostile: Reader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    for path in (tmp_path / "secret", Path(__file__)):
        assert _try(hostile, f"read {path}") == "refused: No such file or directory"


def test_it_sees_next_to_nothing(hostile: Reader) -> None:
    assert _try(hostile, "list /etc") in ("got ['ld.so.cache']", "refused: No such file or directory")
    assert _try(hostile, "list /tmp").startswith("refused")
    assert _try(hostile, "list /dev") == "got ['null']"
    assert "SECRET" not in _try(hostile, "environment")
    assert _try(hostile, "parent") == "got 2"


@pytest.mark.parametrize("path", ["/x", "/dev/x", str(RUNNER), str(RUNNER.parent / "x.py")])
def test_it_writes_nowhere(hostile: Reader, path: str) -> None:
    assert _try(hostile, f"write {path}").startswith("refused")
    assert path == str(RUNNER) or not Path(path).exists()


@pytest.mark.parametrize("attempt", ["socket", "pair", "connect", "fork", "execute", "kill"])
def test_it_calls_nobody_and_starts_nothing(hostile: Reader, attempt: str) -> None:
    assert _try(hostile, attempt) == "refused: Operation not permitted"


ENDS: list[tuple[str, type[SkepError], str]] = [
    ("loop", FileTooSlowError, "2 s"),
    ("allocate", FileTooHungryError, str(LIMITS.memory_bytes)),
    ("recurse", FileUnfoldsError, "nested too deeply"),
    ("crash", ReaderCrashedError, "SIGABRT"),
    ("exit", ReaderCrashedError, "exit code 7"),
    ("nonsense", ReaderCrashedError, "an answer that is none"),
    ("error", ReaderCrashedError, "KeyError at hostile_reader.py"),
]


@pytest.mark.parametrize(("attempt", "error", "words"), ENDS, ids=[row[0] for row in ENDS])
def test_each_end_has_a_reason_and_the_next_file_is_read(
    hostile: Reader, attempt: str, error: type[SkepError], words: str
) -> None:
    with pytest.raises(error) as caught:
        _try(hostile, attempt)
    assert words in str(caught.value)
    assert caught.value.fix_text
    assert _try(hostile, "list /dev") == "got ['null']"


@pytest.mark.parametrize(("attempt", "error"), [("sleep", FileTooSlowError), ("endless", FileUnfoldsError)])
def test_what_does_not_end_is_ended_with_its_sandbox(
    attempt: str, error: type[SkepError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_GRACE_SECONDS", 1.0)
    reader = _hostile(Limits(memory_bytes=384 << 20, seconds=1))
    with pytest.raises(error):
        _try(reader, attempt)
    assert not reader.is_free


def test_nothing_listens_inside() -> None:
    """The loopback of the machine is another one: what listens here cannot be reached from there."""
    reader = _hostile()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port
        assert _try(reader, "connect").startswith("refused")
    reader.close()


def test_without_bubblewrap_plain_formats_are_read() -> None:
    with Documents(bubblewrap=None) as opened:
        assert opened.read_now(b"# Words", "a.md").title == "Words"
        with pytest.raises(SandboxMissingError, match="bubblewrap is not installed"):
            opened.read_now(documents.pdf(["text"]), "a.pdf")
        assert opened.read_now(b"a,b\n1,2\n", "a.csv").format == "csv"
        assert not opened.sandbox_state().works


def test_without_bubblewrap_all_is_read_when_allowed() -> None:
    with Documents(bubblewrap=None, allow_unsandboxed=True) as opened:
        assert opened.read_now(documents.pdf(["text"]), "a.pdf").blocks[0].text == "text"


def test_a_sandbox_that_does_not_start_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace.' >&2\nexit 1\n")
    broken.chmod(0o755)
    with Documents(bubblewrap=str(broken)) as opened:
        with pytest.raises(SandboxMissingError, match="No permissions to create new namespace"):
            opened.read_now(documents.pdf(["text"]), "a.pdf")
        assert opened.sandbox_state().reason == "bwrap: No permissions to create new namespace"


def test_one_process_reads_one_file_after_the_other() -> None:
    with Documents() as opened:
        texts = [opened.read_now(f"text {number}".encode(), "a.txt").blocks[0].text for number in range(20)]
        assert texts == [f"text {number}" for number in range(20)]
        assert len(opened._idle) == 1


def test_a_reader_that_was_killed_is_replaced() -> None:
    with Documents() as opened:
        opened.read_now(b"words", "a.txt")
        opened._idle[0]._process.kill()
        opened._idle[0]._process.wait()
        assert opened.read_now(b"words", "a.txt").blocks[0].text == "words"


def test_a_program_that_is_none_is_said() -> None:
    with pytest.raises(ReaderStartError, match="No such file"):
        Reader(["/nonexistent/reader"], LIMITS)


def test_a_file_that_grew_is_refused() -> None:
    with Documents(Limits(file_bytes=10)) as opened, open_memory(b"x" * 11) as file:
        assert isinstance(file, BytesIO) is False
        with pytest.raises(SkepError, match="11 bytes"):
            opened._read(file, os.devnull)
