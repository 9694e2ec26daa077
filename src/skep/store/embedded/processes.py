"""Which processes belong to one data folder: the only place that looks at process ids, and never trusts one alone.

A process is ours when it is called ``postgres`` (or is a supervisor) and its command line carries the folder's marker;
both can be read for any account's processes, also in a container without CAP_SYS_PTRACE. Signals go through psutil,
which compares the start time, so that a re-used id is not hit.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from enum import Enum

import psutil

from skep.store.embedded.interfaces import ServerStopError

RUNNER = "run_supervisor.py"


class Kind(Enum):
    """What a process of ours is."""

    POSTMASTER = "postmaster"
    BACKEND = "backend"
    SUPERVISOR = "supervisor"


def classify(name: str, arguments: list[str], marker: str) -> Kind | None:
    """What a process with this name and command line is to the folder with this marker; None: a stranger."""
    if not arguments:
        return None
    # psutil splits a title at its blanks, for want of the NULs of a real command line.
    if name == "postgres" and " ".join(arguments).startswith(f"postgres: {marker}: "):
        return Kind.BACKEND
    if name == "postgres" and f"cluster_name={marker}" in arguments:
        return Kind.POSTMASTER
    if arguments[-1] == marker and any(argument.endswith(RUNNER) for argument in arguments):
        return Kind.SUPERVISOR
    return None


def kind_of(process: psutil.Process, marker: str) -> Kind | None:
    """What a living process is to the folder; None also for a zombie and for one that has ended."""
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return classify(process.name(), process.cmdline(), marker)
    except psutil.Error:  # ended meanwhile, or a stranger's
        return None


def find(marker: str) -> dict[psutil.Process, Kind]:
    """All living processes of the folder."""
    found = ((process, kind_of(process, marker)) for process in psutil.process_iter())
    return {process: kind for process, kind in found if kind is not None}


def is_postmaster(pid: int, marker: str) -> bool:
    """Whether this id now belongs to the folder's postmaster (a child about to be titled looks the same)."""
    try:
        return kind_of(psutil.Process(pid), marker) is Kind.POSTMASTER
    except psutil.Error:
        return False


def describe(pid: int) -> str:
    """A few words on what a process is doing, for a message."""
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return "it has ended"
    if status == psutil.STATUS_STOPPED:
        return "it is stopped (a SIGSTOP, or a debugger)"
    return f"it is {status}"


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or only a zombie is left of it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal those that still are the processes they were. Raises ServerStopError for one of another account."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise ServerStopError(processes=f"process {process.pid} belongs to another account") from error
