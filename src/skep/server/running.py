"""Which of our processes run from a data folder: one file each below ``run/``, locked as long as its process lives.

The lock says whether a process is there, the file only who it is: the kernel drops the lock with its holder, so a stale
file is harmless. Before anything is signalled the process id must also belong to a process that started when the file
says, because ids are used again.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from skep.server.interfaces import RunFolderError, StopFailedError

Role = Literal["server", "worker", "embedder"]

_CREATE_TIME_TOLERANCE_SECONDS = 2.0
"""psutil works the start out from the boot time, which moves a little when the clock is set."""

_POLL_SECONDS = 0.05
_CLAIM_ATTEMPTS = 5
"""Somebody who only looks holds the lock for an instant."""

_KILL_GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Running:
    """A living process of ours."""

    role: Role
    pid: int
    started: float
    """Unix seconds, as psutil says."""
    url: str
    """Where a server listens; empty for the others."""


class RunFile:
    """The file of this process. `close` takes it away; so does the end of the process, in effect."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def write(self, role: Role, url: str) -> None:
        """Say who we are."""
        us = Running(role, os.getpid(), psutil.Process().create_time(), url)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(asdict(us)).encode(), 0)

    def close(self) -> None:
        """Take the file away, then let go of the lock, so that nobody finds it without its holder. Safe to call twice."""
        if self._descriptor < 0:
            return
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


def claim(data_folder: Path, name: str) -> RunFile | None:
    """The file ``name`` for this process; None when a living process has it. Raises RunFolderError."""
    folder = data_folder / "run"
    try:
        # One by one: parents that mkdir makes on the way would be open to everybody.
        data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return _claim(folder / f"{name}.json")
    except OSError as error:
        raise RunFolderError(what=folder, path=folder, reason=error.strerror or str(error)) from error


def _claim(path: Path) -> RunFile | None:
    attempts = _CLAIM_ATTEMPTS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            attempts -= 1
            if attempts == 0:
                return None
            time.sleep(_POLL_SECONDS)
            continue
        # Its former holder may have taken the file away between our opening and our lock.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return RunFile(path, descriptor)
        os.close(descriptor)


def find_running(data_folder: Path) -> tuple[Running, ...]:
    """Every living process of ours that works with this data folder."""
    found = (_read(path) for path in sorted((data_folder / "run").glob("*.json")))
    return tuple(running for running in found if running is not None)


def stop(processes: Iterable[Running], *, timeout_seconds: float) -> None:
    """Ask processes to end, and after ``timeout_seconds`` make them. Raises StopFailedError when some are left."""
    targets = [process for running in processes if (process := _process(running)) is not None]
    # Taken down before, since a process that was killed no longer knows its children.
    family = [*targets, *(child for target in targets for child in _children(target))]
    _signal(targets, signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    if _left(targets, deadline):
        _signal(family, signal.SIGKILL)
    if left := _left(family, max(deadline, time.monotonic() + _KILL_GRACE_SECONDS)):
        raise StopFailedError(
            what="a process", reason="it does not end", pids=", ".join(str(process.pid) for process in left)
        )


def _left(processes: list[psutil.Process], deadline: float) -> list[psutil.Process]:
    while alive := [process for process in processes if not _has_ended(process)]:
        if time.monotonic() >= deadline:
            return alive
        time.sleep(_POLL_SECONDS)
    return []


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
            # A stopped process hears nothing until it goes on.
            process.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise StopFailedError(what="a process", reason="not ours", pids=str(process.pid)) from error


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _process(running: Running) -> psutil.Process | None:
    try:
        process = psutil.Process(running.pid)
        same = abs(process.create_time() - running.started) < _CREATE_TIME_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _read(path: Path) -> Running | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if _lock(descriptor, shared=True):
            # Nobody holds it. It is left there: taking it away could hit one who is just claiming it.
            return None
        return Running(**json.loads(os.pread(descriptor, 65_536, 0)))
    except (ValueError, TypeError):
        # It is being written at this moment.
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
