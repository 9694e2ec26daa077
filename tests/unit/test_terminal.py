from __future__ import annotations

import errno
import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import pytest
from typing_extensions import override

from skep.errors import RefusedError, UsageError
from skep.settings import Secret
from skep.terminal import OutputError, Terminal, printable, printable_lines, to_json

SOURCE = str(Path(__file__).parents[2] / "src")
HOSTILE = "a\x1b[31m\nb\r\x07\u202e\udcff\x9b\ud800.py"
HOSTILE_SHOWN = r"a\x1b[31m\nb\r\x07\u202e\xff\x9b\ud800.py"


class BudgetError(RefusedError):
    """The budget of {who}
    is spent."""

    fix: ClassVar[str] = "Ask {who} for more."


class ProblemsError(UsageError):
    """There are problems."""


@dataclass(frozen=True)
class Inner:
    when: datetime
    raw: bytes


@dataclass(frozen=True)
class Outer:
    inner: Inner
    path: Path


class Colour(Enum):
    RED = "red"


class Broken(io.StringIO):
    """A stream whose other end is gone, or whose disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    @override
    def flush(self) -> None:
        raise self._error


def streams(*, as_json: bool = False) -> tuple[Terminal, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Terminal(json=as_json, stdout=out, stderr=err), out, err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HOSTILE, HOSTILE_SHOWN),
        ("häuschen/日本.py 🙂", "häuschen/日本.py 🙂"),
        ("tab\tnul\x00del\x7f", r"tab\tnul\x00del\x7f"),
        ("\u2028\u2066\ufeff", r"\u2028\u2066\ufeff"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_printable_lines_keeps_lines_and_tabs() -> None:
    assert printable_lines("a\r\n\tb\rc\x1b\x08\n") == "a\n\tb\\rc\\x1b\\x08\n"


def test_every_control_character_is_escaped() -> None:
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000, 37)):
        assert printable(chr(code)).isprintable()
        assert chr(code) in "\n\t" or printable_lines(chr(code)).isprintable()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            Outer(Inner(datetime(2026, 1, 2, 3, 4, tzinfo=UTC), b"a\xff"), Path("/x")),
            {"inner": {"when": "2026-01-02T03:04:00+00:00", "raw": "a\udcff"}, "path": "/x"},
        ),
        ({"day": date(2026, 1, 2), "took": timedelta(seconds=1.5)}, {"day": "2026-01-02", "took": 1.5}),
        (
            {"set": {"b", "a"}, "tuple": (1, None), "colour": Colour.RED},
            {"set": ["a", "b"], "tuple": [1, None], "colour": "red"},
        ),
        (MappingProxyType({"id": 1}), {"id": 1}),
        ({"key": Secret("hunter2")}, {"key": "**********"}),
        ({"name": HOSTILE}, {"name": HOSTILE}),
    ],
)
def test_json_forms(value: object, expected: object) -> None:
    text = to_json(value)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == expected


@pytest.mark.parametrize(("value", "error"), [({"x": float("nan")}, ValueError), ({"x": object()}, TypeError)])
def test_what_has_no_json_form_is_an_error(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        to_json(value)


def test_result_is_text_or_one_object() -> None:
    terminal, out, err = streams()
    terminal.result({"n": 1}, "one\ntwo")
    terminal.say("talk")
    assert (out.getvalue(), err.getvalue()) == ("one\ntwo\n", "talk\n")
    terminal, out, err = streams(as_json=True)
    terminal.result({"n": 1}, lambda: pytest.fail("nobody reads this text"))
    terminal.warn("careful")
    assert (out.getvalue(), err.getvalue()) == ('{"n": 1}\n', "warning: careful\n")


def test_a_hostile_name_cannot_drive_the_terminal() -> None:
    terminal, out, err = streams()
    terminal.result({}, lambda: f"hit: {HOSTILE}")
    terminal.say(HOSTILE)
    terminal.warn(HOSTILE)
    terminal.show_error(BudgetError(who=HOSTILE))
    for line in (out.getvalue() + err.getvalue()).splitlines():
        assert line.isprintable()
    assert HOSTILE_SHOWN in err.getvalue()


def test_error_for_people() -> None:
    terminal, out, err = streams()
    assert terminal.show_error(BudgetError(who="ada")) == 3
    assert (out.getvalue(), err.getvalue()) == ("", "error: The budget of ada is spent.\nfix: Ask ada for more.\n")


def test_error_with_details_for_people() -> None:
    terminal, _, err = streams()
    assert terminal.show_error(ProblemsError(problems=("one\n", "two"))) == 2
    assert err.getvalue() == "error: There are problems.\n  one\\n\n  two\n"


def test_error_as_one_object() -> None:
    terminal, out, err = streams(as_json=True)
    assert terminal.show_error(BudgetError(who="ada", cause=ValueError("x"), path=Path("/p"))) == 3
    assert json.loads(out.getvalue()) == {
        "error": {
            "code": "budget",
            "message": "The budget of ada is spent.",
            "fix": "Ask ada for more.",
            "fields": {"who": "ada", "cause": "x", "path": "/p"},
        }
    }
    assert (out.getvalue().count("\n"), err.getvalue()) == (1, "")


def test_a_reader_that_left_is_no_error_and_a_full_disk_is() -> None:
    Terminal(stdout=Broken(BrokenPipeError())).result({}, "text")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match="The output cannot be written: No space left on device"):
        Terminal(stdout=Broken(full)).result({}, "text")


def test_characters_that_the_encoding_lacks_are_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    Terminal(stdout=stream).result({}, "ü 日")
    assert raw.getvalue() == b"\xfc \\u65e5\n"


def test_no_bar_without_a_terminal() -> None:
    terminal, out, err = streams()
    with terminal.progress("work", total=2) as bar:
        bar.advance()
        bar.update(description="more", total=3)
    assert (out.getvalue(), err.getvalue()) == ("", "")


CODE = """
import sys
from skep.terminal import Terminal
terminal = Terminal(json=True)
with terminal.progress("walk [red]\\x1b]0;evil\\x07[/red]", total=2) as bar:
    bar.advance()
    terminal.say("talk")
    bar.update(description="store\\n", completed=2)
    terminal.result({"done": True}, "done")
"""


def run(code: str, stdout: int, stderr: int, *options: str) -> int:
    environ = {"PYTHONPATH": SOURCE, "TERM": "xterm", "PATH": os.environ["PATH"]}
    arguments = [sys.executable, *options, "-c", code]
    return subprocess.run(arguments, env=environ, stdout=stdout, stderr=stderr, timeout=30).returncode


def test_a_bar_at_a_terminal_leaves_the_data_alone(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        with (tmp_path / "out").open("wb") as out:
            assert run(CODE, out.fileno(), slave) == 0
        seen = os.read(master, 65_536).decode()
    finally:
        os.close(slave)
        os.close(master)
    assert (tmp_path / "out").read_text() == '{"done": true}\n'
    assert "walk [red]\\x1b]0;evil\\x07[/red]" in seen
    assert "talk" in seen
    assert "\x1b]0;" not in seen


@pytest.mark.parametrize(
    ("out", "code", "complaint"),
    [("gone", 0, b""), ("/dev/full", 1, b"error: The output cannot be written: No space left on device")],
)
def test_a_real_process_ends_in_order(tmp_path: Path, out: str, code: int, complaint: bytes) -> None:
    program = (
        "import sys\nfrom skep.errors import SkepError\nfrom skep.terminal import Terminal\nterminal = Terminal()\n"
        "try:\n    terminal.result({}, 'text')\n    terminal.result({}, 'text')\n"
        "except SkepError as exc:\n    sys.exit(terminal.show_error(exc))\n"
    )
    if out == "gone":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(out, os.O_WRONLY)
    with (tmp_path / "err").open("wb") as err:
        assert run(program, writer, err.fileno(), "-X", "dev") == code
    os.close(writer)
    written = (tmp_path / "err").read_bytes()
    assert complaint in written
    assert (b"Traceback" in written, b"Exception ignored" in written) == (False, False)


def test_closed_streams_are_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    terminal = Terminal()
    terminal.result({}, "text")
    with terminal.progress("work") as bar:
        bar.advance()
    assert terminal.show_error(BudgetError(who="ada")) == 3
