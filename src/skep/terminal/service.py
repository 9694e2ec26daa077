"""The two streams of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from skep.errors import SkepError
from skep.terminal.interfaces import OutputError
from skep.terminal.text import printable, printable_lines, to_json

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

DETAILS_FIELD = "problems"
"""A field of an error with this name holds a sequence, which people see as one line each."""


class ProgressBar:
    """What ``Terminal.progress`` hands out. Does nothing where there is no bar."""

    def __init__(self, bar: RichProgress | None = None, task: TaskID | None = None) -> None:
        self._bar = bar
        self._task = task

    def advance(self, steps: float = 1) -> None:
        """So many more of the total are done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, steps)

    def update(
        self, *, description: str | None = None, total: float | None = None, completed: float | None = None
    ) -> None:
        """Changes what is said; None leaves it as it is."""
        if self._bar is not None and self._task is not None:
            description = None if description is None else printable(description)
            self._bar.update(self._task, description=description, total=total, completed=completed)


class Terminal:
    """The two streams of one command. ``json`` says that its result is one JSON object.

    Streams are those of the process at the time of writing when None.
    """

    def __init__(self, *, json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json = json
        self._stdout = stdout
        self._stderr = stderr

    def result(self, value: object, human: str | Callable[[], str]) -> None:
        """Writes what the command is for: ``value`` as JSON, or ``human`` (called only then) for people. Once per command; a
        command that stays writes one for each thing that happens.

        Raises OutputError. A reader that has gone away (``| head``) is not an error.
        """
        if self.json:
            self._write(self._out, to_json(value))
        else:
            self._write(self._out, printable_lines(human() if callable(human) else human))

    def say(self, text: str) -> None:
        """One line of talk."""
        self._write(self._err, printable(text))

    def say_lines(self, text: str) -> None:
        """Several lines of talk."""
        self._write(self._err, printable_lines(text.rstrip()))

    def warn(self, text: str) -> None:
        """One line about something doubtful that stops nothing."""
        self.say(f"warning: {text}")

    def show_error(self, error: SkepError) -> int:
        """Says what went wrong and what to do, and returns the exit code for it."""
        if self.json:
            self._write(self._out, to_json({"error": error_object(error)}, lenient=True))
            return error.exit_code
        # A docstring that was wrapped is one sentence.
        self.say(f"error: {error}".replace("\n", " "))
        details = error.fields.get(DETAILS_FIELD)
        if isinstance(details, list | tuple) and len(details) > 1:
            for detail in details:
                self.say(f"  {detail}")
        if error.fix_text:
            self.say(f"fix: {error.fix_text}")
        return error.exit_code

    @contextmanager
    def progress(self, description: str, total: float | None = None) -> Iterator[ProgressBar]:
        """A progress bar on standard error while the block runs, if that is a terminal; else nothing. None: total unknown."""
        stream = self._err
        if not _is_terminal(stream):
            yield ProgressBar()
            return
        from rich.console import Console  # rich costs 55 ms, and only people at a terminal need it.
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        # In markup, brackets of a file name would be read as colours; and data must stay on standard output.
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(file=stream), transient=True, redirect_stdout=False) as bar:
            yield ProgressBar(bar, bar.add_task(printable(description), total=total))

    @property
    def _out(self) -> TextIO | None:
        return self._stdout or sys.stdout

    @property
    def _err(self) -> TextIO | None:
        return self._stderr or sys.stderr

    def _write(self, stream: TextIO | None, text: str) -> None:
        """Writes a line at once. Raises OutputError."""
        if stream is None:
            # Python's own value for a stream that was closed before it started (``>&-``).
            return
        encoding = stream.encoding or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()
        except BrokenPipeError:
            _mute(stream)
        except OSError as exc:
            _mute(stream)
            raise OutputError(reason=exc.strerror or str(exc)) from exc


def error_object(error: SkepError) -> dict[str, object]:
    """An error as it stands in JSON output."""
    return {"code": error.code, "message": str(error), "fix": error.fix_text, "fields": error.fields}


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _mute(stream: TextIO) -> None:
    """Sends the rest of a broken stream nowhere, so that Python does not complain about it at exit."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
