"""Ends the server of a data folder, by ever harder means within a time."""

from __future__ import annotations

import signal
import time

import psutil

from skep.store.embedded import processes
from skep.store.embedded.interfaces import ServerStopError
from skep.store.embedded.layout import Layout, is_locked
from skep.store.embedded.processes import Kind

_STEPS = ((0.0, signal.SIGINT), (0.5, signal.SIGQUIT), (0.75, signal.SIGKILL))
"""PostgreSQL's fast and immediate shutdown (chapter 18.5 of its manual), then force; at which share of the time.
The data survives each of them; after the last two the next start repeats the log."""

_SUPERVISOR_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.02


def stop_server(layout: Layout, timeout_seconds: float) -> bool:
    """End every process of this folder. False: there was none.

    Takes no lock: a client that waits for a server that hangs holds the lock, and this is what frees it. Should that
    client then start the server anew, the new one is left alone. Raises ServerStopError after ``timeout_seconds``.
    """
    begun = time.monotonic()
    ours = _find_waiting_for_start(layout, begun + timeout_seconds)
    if not ours:
        return False
    step = 0
    supervisors = [process for process, kind in ours.items() if kind is Kind.SUPERVISOR]
    servers = [process for process, kind in ours.items() if kind is not Kind.SUPERVISOR]
    servers_ended_at: float | None = None
    while alive := [process for process in ours if not processes.has_ended(process)]:
        passed = time.monotonic() - begun
        if passed >= timeout_seconds:
            left = ", ".join(str(process.pid) for process in alive)
            raise ServerStopError(processes=f"after {timeout_seconds:g} s these processes are left: {left}")
        if step < len(_STEPS) and passed >= _STEPS[step][0] * timeout_seconds:
            processes.send(_targets(ours, alive), _STEPS[step][1])
            # A stopped process notices nothing until it is continued, except SIGKILL.
            processes.send(alive, signal.SIGCONT)
            step += 1
        if servers_ended_at is None and all(processes.has_ended(process) for process in servers):
            servers_ended_at = time.monotonic()
        if servers_ended_at is not None and time.monotonic() - servers_ended_at > _SUPERVISOR_GRACE_SECONDS:
            processes.send(supervisors, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return True


def _targets(ours: dict[psutil.Process, Kind], alive: list[psutil.Process]) -> list[psutil.Process]:
    """The postmaster, which takes its children along; orphans of a killed one are told themselves."""
    postmasters = [process for process in alive if ours[process] is Kind.POSTMASTER]
    return postmasters or [process for process in alive if ours[process] is Kind.BACKEND]


def _find_waiting_for_start(layout: Layout, deadline: float) -> dict[psutil.Process, Kind]:
    """The folder's processes; while somebody is just starting the server, wait until there is something to stop."""
    while True:
        found = processes.find(layout.marker)
        if any(kind is not Kind.SUPERVISOR for kind in found.values()):
            return found
        starting = is_locked(layout.start_lock) or bool(found)
        if not starting or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_SECONDS)
