"""The command line as a real process, on a data folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import skep
from tests.prefork import Prefork

SOURCE = str(Path(skep.__file__).parent.parent)

_TIMEOUT_SECONDS = 50.0
_prefork = Prefork()

_Arguments = Sequence[str | os.PathLike[str] | bytes]


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """Its one JSON object."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self
        answer: dict[str, Any] = json.loads(lines[0])
        return answer

    @property
    def error(self) -> dict[str, Any]:
        """The error in its one JSON object."""
        assert self.answer.keys() == {"error"}, self
        error: dict[str, Any] = self.answer["error"]
        return error


@dataclass
class Command:
    """Runs `skep` with a data folder and, unless it brings its own database, a database."""

    data: Path
    folder: Path
    """Where it runs, unless told otherwise."""
    url: str | None = None
    wrapper: Sequence[str] = ()
    """A program that runs the command."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables of its environment."""

    def __call__(
        self, *arguments: str | os.PathLike[str] | bytes, cwd: Path | None = None, code: int | None = 0
    ) -> Done:
        """Run it to its end, and look that it exits as expected (None: however it likes)."""
        found = None if self.wrapper else self._run_warm(arguments, cwd or self.folder)
        number, out, err = found or self._run_cold(arguments, cwd or self.folder)
        result = Done(number, out.decode(), err.decode(errors="replace"))
        assert code in (None, result.code), result
        return result

    def _run_warm(self, arguments: _Arguments, cwd: Path) -> tuple[int, bytes, bytes] | None:
        words = [os.fspath(argument) for argument in ("--data-dir", self.data, *arguments)]
        return _prefork.run(words, cwd, self.environment, _TIMEOUT_SECONDS)

    def _run_cold(self, arguments: _Arguments, cwd: Path) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            self.line(*arguments),
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, *arguments: str | os.PathLike[str] | bytes) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own."""
        return subprocess.Popen(
            self.line(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def line(self, *arguments: str | os.PathLike[str] | bytes) -> list[str | os.PathLike[str] | bytes]:
        """The command as the system takes it."""
        return [*self.wrapper, sys.executable, "-P", "-m", "skep", "--data-dir", self.data, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """What it sees."""
        url = {} if self.url is None else {"SKEP_DATABASE_URL": self.url}
        outer = {name: value for name, value in os.environ.items() if not name.startswith("SKEP_")}
        # Every index run would start a process that embeds; tests of that switch it on.
        embedding = {"SKEP_EMBEDDING_ENABLED": "false"}
        return {**outer, "PYTHONPATH": SOURCE, **url, **embedding, **self.more}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make files with the folders above them."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
