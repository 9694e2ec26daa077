"""Log files: each process writes its own, begins a new one at a size, and keeps some of the old ones, packed.

    http-1.log                          being written
    http-1.20260131T235959.123456Z.log.gz   an old one; without .gz while it waits to be packed

The name belongs to who holds a lock on the file, and is taken over from a process that was killed. Old files are packed by a
thread of their own: that of a hundred megabytes takes seconds, in which many more lines come than may wait.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from skep.observe.interfaces import LogFolderError
from skep.observe.logs import FIELDS, LogFormat, render

_RETRY_SECONDS = 30.0
"""After the old file could not be put aside, what comes is appended to it for so long before it is tried again."""

_MOST_PROCESSES = 1_000
_PACK_LEVEL = 6
_PART = ".part"


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where log files are and how many."""

    folder: Path
    max_bytes: int
    """A file that is longer is put aside."""
    keep: int
    """So many old files of each process are kept; 0: none."""


class RotatingFile:
    """Takes text as a stream does, for one thread. Never fails: what the disk does not take is lost, counted, and told later.

    Raises LogFolderError when it is made and the folder cannot be used.
    """

    def __init__(self, files: LogFiles, name: str, form: LogFormat, now: Callable[[], float] = time.time) -> None:
        self._files = files
        self._form: LogFormat = form
        self._now = now
        try:
            files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path, self._descriptor = _claim(files.folder, name)
        except OSError as error:
            raise LogFolderError(path=files.folder, reason=error.strerror or str(error)) from error
        self._size = os.fstat(self._descriptor).st_size
        self._is_broken = self._size > 0 and not _ends_a_line(self._path, self._size)
        self._lost = 0
        self._next_try = 0.0
        self._shall_tidy = threading.Event()
        self._shall_tidy.set()
        self._packer = threading.Thread(target=self._pack_for_ever, name="skep-log-files", daemon=True)
        self._packer.start()

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._path

    def write(self, text: str) -> int:
        """Append whole lines."""
        data = text.encode("utf-8", "backslashreplace")
        if self._size and self._size + len(data) > self._files.max_bytes and self._now() >= self._next_try:
            self._put_aside()
        if self._lost and self._append(self._confession()) == 0:
            self._lost = 0
        # Before it is said how many are missing, nothing is written that comes after them.
        left = len(data) if self._lost else self._append(data)
        self._lost += data.count(b"\n", len(data) - left)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Let go of the file. What is not packed yet is packed by whoever has the name next."""
        os.close(self._descriptor)

    def _append(self, data: bytes) -> int:
        """How many of the bytes could not be written."""
        if self._is_broken:
            # What was written last broke off within a line.
            data = b"\n" + data
        written = 0
        with suppress(OSError):
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        self._size += written
        if written:
            self._is_broken = data[written - 1 : written] != b"\n"
        return len(data) - written

    def _confession(self) -> bytes:
        told = {"name": __name__, "levelno": logging.WARNING, "msg": "log lines lost, the disk took none"}
        record = logging.makeLogRecord({**told, "created": self._now(), FIELDS: {"lines": self._lost}})
        return f"{render(record, self._form)}\n".encode()

    def _put_aside(self) -> None:
        """Begin a new file. The name is never without one, nor is the new one without its lock: nobody else can take it."""
        moment = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        fresh = self._path.with_name(f".{self._path.name}{_PART}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):  # somebody took it away
                    os.link(self._path, self._path.with_suffix(f".{moment}.log"))
                fresh.replace(self._path)
            except OSError:
                os.close(descriptor)
                raise
        except OSError:
            self._next_try = self._now() + _RETRY_SECONDS
            return
        os.close(self._descriptor)
        self._descriptor, self._size, self._is_broken = descriptor, 0, False
        self._shall_tidy.set()

    def _pack_for_ever(self) -> None:
        while True:
            self._shall_tidy.wait()
            self._shall_tidy.clear()
            with suppress(OSError):
                tidy(self._path, self._files.keep)


def tidy(path: Path, keep: int) -> None:
    """Pack the old files of the log at ``path`` and delete all but the newest ``keep``. Raises OSError, and can be done again."""
    old = old_files(path)
    kept = max(0, len(old) - keep)
    for each in old[:kept]:
        each.unlink(missing_ok=True)
    for each in old[kept:]:
        if each.suffix != ".gz":
            _pack(each)


def old_files(path: Path) -> list[Path]:
    """The files that were put aside from the log at ``path``, oldest first."""
    pattern = re.compile(re.escape(path.stem) + r"\.\d{8}T\d{6}\.\d{6}Z\.log(\.gz)?")
    return sorted(each for each in path.parent.iterdir() if pattern.fullmatch(each.name))


def _pack(path: Path) -> None:
    packed = path.with_name(f"{path.name}.gz")
    part = path.with_name(f".{path.name}.gz{_PART}")
    try:
        with path.open("rb") as source, part.open("wb") as target:
            os.fchmod(target.fileno(), 0o600)
            with gzip.GzipFile(path.name, "wb", _PACK_LEVEL, target) as stream:
                shutil.copyfileobj(source, stream, 1 << 20)
        part.replace(packed)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _claim(folder: Path, name: str) -> tuple[Path, int]:
    """The log of a name, locked for this process; with a number in its name when another process has that."""
    for number in range(1, _MOST_PROCESSES):
        path = folder / (f"{name}.log" if number == 1 else f"{name}-{number}.log")
        while True:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                break
            except OSError:
                os.close(descriptor)
                raise
            with suppress(FileNotFoundError):
                if _is_at(path, descriptor):
                    return path, descriptor
            # Between our opening and our locking it was put aside.
            os.close(descriptor)
    raise OSError(errno.EAGAIN, f"{_MOST_PROCESSES} processes write there")


def _is_at(path: Path, descriptor: int) -> bool:
    return os.path.samestat(path.stat(), os.fstat(descriptor))


def _ends_a_line(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
