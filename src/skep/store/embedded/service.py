"""The embedded PostgreSQL of one data folder: start it when it is needed, stop it, say how it is."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from skep.store.embedded import processes
from skep.store.embedded.cluster import folder_errors, start_failure
from skep.store.embedded.interfaces import ServerNotAnsweringError, ServerStartTimeoutError
from skep.store.embedded.launch import Launch, launch, prepare
from skep.store.embedded.layout import Layout, hold_start_lock, is_locked, reachable_socket_folder, try_lock
from skep.store.embedded.models import RunState, ServerAddress, ServerStatus
from skep.store.embedded.processes import Kind
from skep.store.embedded.stopping import stop_server
from skep.store.embedded.wire import PORT, SOCKET_NAME, Probe, Wire, WireError, probe
from skep.store.queries import Queries

_FAST_PROBE_SECONDS = 2.0
_POLL_SECONDS = 0.01
_STATE_POLL_SECONDS = 0.03  # each look at a server that starts leaves a line in its log
_RETRY_SECONDS = 0.05


class Step(Enum):
    """What to do next to get a server that answers."""

    USE = "use"
    ADOPT = "adopt"
    START = "start"
    WAIT = "wait"


def next_step(seen: Probe, *, supervised: bool, unreachable: bool) -> Step:
    """Decide from what a client meets at the socket, and whether a supervisor lives.

    A server that does not answer, or is busy starting or stopping, is waited for; only where nobody listens and nobody
    supervises is there nothing to wait for. ``unreachable``: a postmaster lives all the same (its socket was deleted).
    """
    if seen is Probe.READY:
        return Step.USE if supervised else Step.ADOPT
    if seen is Probe.DOWN and not supervised and not unreachable:
        return Step.START
    return Step.WAIT


class EmbeddedServer:
    """PostgreSQL in ``<home>/postgres``, shared by every process that uses this data folder.

    ``home`` is the data folder. ``idle_stop_seconds``: the server stops when no session was open and none was asked for
    so long; 0: never; it holds from the server's next start. ``start_timeout_seconds`` bounds how long
    ``ensure_running`` may take. ``run_as`` names the account to run as when we are root and the data is new; None:
    ``skep`` if it exists, else ``nobody``. The object keeps nothing open and may be used from several threads.
    """

    def __init__(
        self,
        home: Path,
        *,
        idle_stop_seconds: float = 1800,
        start_timeout_seconds: float = 60,
        run_as: str | None = None,
    ) -> None:
        self.home = home
        self._layout = Layout(home)
        self._idle_stop_seconds = idle_stop_seconds
        self._start_timeout_seconds = start_timeout_seconds
        self._run_as = run_as

    def ensure_running(self) -> ServerAddress:
        """The address of a server that answers; starts it, and on first use makes it, when it does not run.

        When it runs this costs half a login (see `wire`), about 2 ms; nothing about it is remembered from call to call.
        It may still stop right after: a caller whose connection is refused with "shutting down" asks again.

        Raises an EmbeddedError; ServerStartTimeoutError, ServerNotAnsweringError or ServerLockError when
        ``start_timeout_seconds`` have passed.
        """
        deadline = time.monotonic() + self._start_timeout_seconds
        with folder_errors(self._layout):
            patience = min(_FAST_PROBE_SECONDS, self._start_timeout_seconds)
            if self._touch() and self._probe(patience) is Probe.READY:
                return self._address("skep", self._layout.password)
            self._layout.make_folder()
            with hold_start_lock(self._layout, deadline - time.monotonic()):
                self._bring_up(deadline)
            return self._address("skep", self._layout.password)

    def admin_address(self) -> ServerAddress:
        """The superuser's address, for backups and repair. Does not start the server. Raises PasswordMissingError."""
        with folder_errors(self._layout):
            return self._address("postgres", self._layout.superuser_password)

    def stop(self, timeout_seconds: float = 30) -> bool:
        """End the server, also one that hangs: fast shutdown, then immediate, then by force. False: none was there.

        Raises ServerStopError when processes are left after ``timeout_seconds``.
        """
        with folder_errors(self._layout):
            return stop_server(self._layout, timeout_seconds)

    def restart(self, timeout_seconds: float = 30) -> ServerAddress:
        """Stop it (at most ``timeout_seconds``) and start it again."""
        self.stop(timeout_seconds)
        return self.ensure_running()

    def status(self) -> ServerStatus:
        """How the server is. Starts nothing; waits at most a few seconds for a server that does not answer."""
        with folder_errors(self._layout):
            if not self._layout.data.exists():
                state = RunState.STARTING if is_locked(self._layout.start_lock) else RunState.STOPPED
                return ServerStatus(state, None, None, None, None)
            state = self._state()
            pid = self._layout.postmaster_pid() if state is not RunState.STOPPED else None
            version, since = self._version_and_start() if state is RunState.RUNNING else (None, None)
            return ServerStatus(state, pid, version, since, _size_bytes(self._layout.data))

    def _state(self) -> RunState:
        seen = self._probe(_FAST_PROBE_SECONDS)
        if seen is Probe.DOWN:
            return RunState.STARTING if is_locked(self._layout.supervisor_lock) else RunState.STOPPED
        return {
            Probe.READY: RunState.RUNNING,
            Probe.STARTING: RunState.STARTING,
            Probe.STOPPING: RunState.STOPPING,
        }.get(seen, RunState.NOT_ANSWERING)

    def _version_and_start(self) -> tuple[str | None, datetime | None]:
        password = self._layout.read_secret(self._layout.password)
        try:
            with Wire.open(self._socket_path(), _FAST_PROBE_SECONDS) as wire:
                # Not in the application's database: looking at a server must not keep it from stopping.
                wire.log_in("skep", password, "postgres")
                version, since = wire.query(Queries(__package__)["fetch_server_version_and_start"].decode())[0]
        except (OSError, WireError):  # it just stopped, or is too busy: unknown is an answer
            return None, None
        return version, datetime.fromtimestamp(float(since), UTC) if since else None

    def _address(self, user: str, password: Path) -> ServerAddress:
        return ServerAddress(
            host=str(reachable_socket_folder(self._layout)),
            port=PORT,
            user=user,
            password=self._layout.read_secret(password),
            dbname="skep",
        )

    def _socket_path(self) -> str:
        return str(reachable_socket_folder(self._layout) / SOCKET_NAME)

    def _probe(self, timeout_seconds: float) -> Probe:
        if not self._layout.socket_folder.exists():
            return Probe.DOWN
        return probe(self._socket_path(), "skep", "skep", timeout_seconds)

    def _touch(self) -> bool:
        """Tell the watchdog that the server is wanted, before looking whether it is there. False: it has no watchdog."""
        try:
            os.utime(self._layout.supervisor_lock)
        except FileNotFoundError:
            return False
        return is_locked(self._layout.supervisor_lock)

    def _bring_up(self, deadline: float) -> None:
        """Under the start lock: go on until the server answers."""
        started: Launch | None = None
        with ExitStack() as launches:
            while True:
                seen = self._probe(min(_FAST_PROBE_SECONDS, max(deadline - time.monotonic(), 0.1)))
                step, launched = self._take_step(seen)
                if launched is not None:
                    started = launched
                    launches.callback(launched.close)
                if step in {Step.USE, Step.ADOPT}:
                    return  # a server that answers is used, whether or not the adoption works out
                if time.monotonic() >= deadline:
                    raise self._too_late(seen)
                started = self._wait(started, _POLL_SECONDS if seen is Probe.DOWN else _STATE_POLL_SECONDS)

    def _take_step(self, seen: Probe) -> tuple[Step, Launch | None]:
        """Decide, and launch a supervisor where that is the decision."""
        lock = self._claim_supervisor_lock()
        try:
            step = next_step(seen, supervised=lock is None, unreachable=self._is_unreachable(seen))
            if lock is None or step not in {Step.START, Step.ADOPT}:
                return step, None
            prepared = prepare(self._layout, self._run_as) if step is Step.START else None
            return step, launch(self._layout, lock, self._idle_stop_seconds, prepared)
        finally:
            if lock is not None:
                os.close(lock)

    def _wait(self, started: Launch | None, seconds: float) -> Launch | None:
        """Let a moment pass. Returns the launch that is still on its way, if any.

        Raises ServerStartError or DiskFullError when it ended for a reason that will not pass.
        """
        if started is None:
            time.sleep(seconds)
            return None
        if not started.wait_for_end(seconds):
            return started
        said = started.said()
        if not started.may_be_tried_again():
            raise start_failure(self._layout, said)
        time.sleep(_RETRY_SECONDS)
        return None

    def _is_unreachable(self, seen: Probe) -> bool:
        pid = self._layout.postmaster_pid() if seen is Probe.DOWN else None
        return pid is not None and processes.is_postmaster(pid, self._layout.marker)

    def _claim_supervisor_lock(self) -> int | None:
        """The lock, held, or None while a supervisor lives."""
        handle = self._layout.open_private(self._layout.supervisor_lock, os.O_RDWR)
        if try_lock(handle):
            return handle
        os.close(handle)
        return None

    def _too_late(self, seen: Probe) -> ServerNotAnsweringError | ServerStartTimeoutError:
        seconds = f"{self._start_timeout_seconds:g}"
        found = {kind: process for process, kind in processes.find(self._layout.marker).items()}
        process = found.get(Kind.POSTMASTER) or found.get(Kind.BACKEND) or found.get(Kind.SUPERVISOR)
        if seen is not Probe.STARTING and process is not None:
            return ServerNotAnsweringError(pid=process.pid, seconds=seconds, reason=processes.describe(process.pid))
        reason = self._layout.log_since(0, lines=1) or "it has not said anything yet"
        return ServerStartTimeoutError(seconds=seconds, reason=reason, log=self._layout.log)


def _size_bytes(folder: Path) -> int:
    """What the files below take, as far as they can be seen; files may come and go meanwhile."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(path, name).lstat().st_size
            except FileNotFoundError:
                continue
    return total
