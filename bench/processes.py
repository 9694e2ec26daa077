"""Running commands as a user runs them: wall time, and the memory of everything they start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from skep.store import EmbeddedServer

REPOSITORY = Path(__file__).resolve().parent.parent
_COMMAND_SECONDS = 1800
_SAMPLE_SECONDS = 0.2


class CommandError(Exception):
    """A measured command failed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well."""

    seconds: float
    """Wall time from before the start of the process until after its end."""
    stdout: str

    def json(self) -> dict[str, Any]:
        """Its output as one JSON object."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value


def run_command(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> Finished:
    """Run and time a command. Raises CommandError with what it said."""
    started = time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=_COMMAND_SECONDS
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise CommandError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Finished(seconds, done.stdout)


def plain_environment(**more: str) -> dict[str, str]:
    """Our environment without settings of ours or of the peer's, and ``more``."""
    foreign = ("SKEP_", "SEMBLE_", "PYTHON", "COVERAGE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


class Skep:
    """The `skep` of this checkout on a data folder of its own. A context manager that stops what was started."""

    def __init__(self, data_folder: Path, *, embedding: bool = False, watch: bool = False) -> None:
        """Without ``embedding`` nothing is embedded, and words alone are searched; without ``watch`` no folder is watched,
        whose first look would fall into what is measured.
        """
        self.data_folder = data_folder
        self.embedding = embedding
        self._environment = plain_environment(
            SKEP_HOME=str(data_folder),
            PYTHONPATH=str(REPOSITORY / "src"),
            SKEP_EMBEDDING_ENABLED="true" if embedding else "false",
            SKEP_WATCH_ENABLED="true" if watch else "false",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, *arguments: str, folder: Path | None = None) -> Finished:
        """Run a command to its end. Raises CommandError."""
        return run_command(self._command(arguments), self._environment, folder)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that stays; the caller ends it. What it says goes to `log`."""
        with self.log.open("a") as log:
            return subprocess.Popen(self._command(arguments), env=self._environment, stdout=log, stderr=log, text=True)

    @property
    def log(self) -> Path:
        """What commands that stay have said."""
        return self.data_folder.with_name(f"{self.data_folder.name}.log")

    def stop(self) -> None:
        """Stop the database."""
        if self.data_folder.exists():
            EmbeddedServer(self.data_folder).stop()

    @staticmethod
    def _command(arguments: Sequence[str]) -> list[str]:
        # What the launcher starts, without the launcher's 2 ms.
        return [sys.executable, "-m", "skep", *arguments]


def database_processes(data_folder: Path) -> list[psutil.Process]:
    """The embedded database of a data folder: its supervisor, the postmaster and all backends; empty when it is down."""
    try:
        text = (data_folder / "postgres" / "data" / "postmaster.pid").read_text(encoding="utf-8")
        postmaster = psutil.Process(int(text.split("\n", 1)[0]))
        supervisor = postmaster.parent()
        found = [postmaster, *postmaster.children(recursive=True)]
    except (OSError, ValueError, psutil.NoSuchProcess):
        return []
    # An orphaned postmaster belongs to process 1, which is not ours.
    return found if supervisor is None or supervisor.pid == 1 else [supervisor, *found]


def descendants() -> list[psutil.Process]:
    """What this benchmark has started and still runs; not the database, which belongs to nobody."""
    return psutil.Process().children(recursive=True)


def memory_bytes(processes: Sequence[psutil.Process]) -> int:
    """Proportional set size: memory shared by several processes counts once in their sum."""
    total = 0
    for process in processes:
        with suppress(OSError, ValueError):
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
            total += int(text.split("\nPss:", 1)[1].split(None, 1)[0]) * 1024 if "\nPss:" in text else 0
    return total


@dataclass(slots=True)
class MemoryWatch:
    """Samples groups of processes while its block runs, and remembers the largest of each group and of the sum."""

    groups: Mapping[str, Callable[[], list[psutil.Process]]]
    peaks: dict[str, int] = field(default_factory=dict)
    """Bytes by group, and ``total``: the largest sum at one moment."""
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="memory-watch")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            sizes = {name: memory_bytes(find()) for name, find in self.groups.items()}
            sizes["total"] = sum(sizes.values())
            for name, size in sizes.items():
                self.peaks[name] = max(size, self.peaks.get(name, 0))
