"""The small process that is PostgreSQL's parent: it starts it, reaps it, and stops it when nobody uses it any more.

It lives exactly as long as its server. It gets its orders on standard input, leaves the process that started it (own
session, no inherited files but the ones named in the orders), gives up root for good before anything else runs, and
holds ``supervisor.lock`` until it ends. Its working directory is the database's own folder: there the socket has a
short relative path that works below closed folders too.

If it is killed the server goes on; the next client starts another supervisor, which adopts the server.

Everything is imported before root is given up: the account may not be able to read Python's library (so no encodings
here but UTF-8, which is always there: others are imported on use). Standard library only, for it stays in memory: about 10 MB, half of it shared with other Python processes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import NoReturn

from skep.store.embedded.wire import SOCKET_NAME, Probe, Wire, WireError, probe

SOCKET_PATH = f"socket/{SOCKET_NAME}"
LOG_LIMIT_BYTES = 20 * 1024 * 1024
"""While the server runs its log is emptied at this size; before each start it is set aside at half of it."""

_ANSWER_SECONDS = 5.0
_LONGEST_LOOK_SECONDS = 30.0
_ADOPTED_LOOK_SECONDS = 2.0  # nobody tells us when a process ends that is not our child


class Orders:
    """What the client that starts a supervisor tells it."""

    def __init__(
        self,
        *,
        command: list[str],
        environment: dict[str, str],
        folder: int,
        handles: list[int],
        account: tuple[int, int] | None,
        idle_stop_seconds: float,
        login: dict[str, str],
    ) -> None:
        self.command = command
        """PostgreSQL's command line; empty to adopt the server that already listens."""
        self.environment = environment
        self.folder = folder
        """Descriptor of the database's folder; PostgreSQL inherits it, and may reach its data only through it."""
        self.handles = handles
        """Descriptors to keep open until the end: the supervisor's lock first, then what tells the client we ended."""
        self.account = account
        """User and group to become, or None."""
        self.idle_stop_seconds = idle_stop_seconds
        """0: never."""
        self.login = login
        """``user``, ``password``, ``statement`` of the look at the server's sessions."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(vars(self))


class IdleWatch:
    """Decides from looks at the server whether it has been idle long enough. Pure: time comes in as an argument."""

    def __init__(self, idle_stop_seconds: float, now: float) -> None:
        self._limit = idle_stop_seconds
        self._since = now
        self._seen: tuple[float, float] | None = None

    def look_interval_seconds(self) -> float:
        """How long until the next look: ten looks per limit."""
        return min(max(self._limit / 10, 0.1), _LONGEST_LOOK_SECONDS) if self._limit > 0 else _LONGEST_LOOK_SECONDS

    def is_over(self, now: float, sessions: tuple[int, int] | None, touched: float) -> bool:
        """Whether to stop now.

        ``sessions`` are (ever opened, open now), or None when the server could not be asked: unknown counts as busy.
        ``touched`` changes whenever a client asks for the server.
        """
        seen = None if sessions is None else (float(sessions[0]), touched)
        if seen is None or seen != self._seen or (sessions and sessions[1] > 0):
            self._since = now
        self._seen = seen
        return 0 < self._limit <= now - self._since


def main() -> NoReturn:
    """Read the orders, leave the caller, supervise."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    if os.fork():
        os._exit(0)  # the caller's child is this one, already gone: nobody has to reap the supervisor
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    for handle in orders.handles:
        os.set_inheritable(handle, False)  # they mean "the supervisor lives"; PostgreSQL must not hold them
    os.ftruncate(orders.handles[0], 0)
    os.pwrite(orders.handles[0], str(os.getpid()).encode(), 0)
    os.fchdir(orders.folder)
    if orders.account:
        user, group = orders.account
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    os.umask(0o077)
    sys.exit(Supervisor(orders).run())


class Supervisor:
    """One server, from its start to its end."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._adopted = not orders.command
        self._pid = 0
        self._wake_up = -1

    def run(self) -> int:
        """Return the exit code when the server has ended."""
        self._wake_up = _signal_pipe()
        if self._adopted:
            self._pid = _listening_pid() or 0
        else:
            _clear_old_claims()
            self._pid = os.posix_spawn(self._orders.command[0], self._orders.command, self._orders.environment)
        if not self._pid:
            _say("the server that was to be adopted is not there, or not visible from here")
            return 1
        watch = IdleWatch(self._orders.idle_stop_seconds, time.monotonic())
        interval = watch.look_interval_seconds()
        next_look = time.monotonic() + interval
        while not self._has_ended():
            wait = next_look - time.monotonic()
            self._sleep(min(wait, _ADOPTED_LOOK_SECONDS) if self._adopted else wait)
            if time.monotonic() < next_look:
                continue
            next_look = time.monotonic() + interval
            _bound_log()
            touched = os.fstat(self._orders.handles[0]).st_mtime
            if watch.is_over(time.monotonic(), self._sessions(), touched):
                _say(f"no session for {self._orders.idle_stop_seconds:g} s: stopping")
                self._stop()
        return 0

    def _sleep(self, seconds: float) -> None:
        """Wait for a signal, at most so long. Being told to end means: end the server, fast."""
        ready, _, _ = select.select([self._wake_up], [], [], max(seconds, 0.0))
        if ready and {signal.SIGTERM, signal.SIGINT} & set(os.read(self._wake_up, 64)):
            self._stop()

    def _stop(self) -> None:
        """Fast shutdown: sessions are ended, work that is not committed is rolled back, the data is left clean."""
        # A child keeps its id until we reap it; an adopted server must first prove that the id is still its own.
        if not self._adopted or _listening_pid() == self._pid:
            os.kill(self._pid, signal.SIGINT)

    def _has_ended(self) -> bool:
        if self._adopted:
            return _listening_pid() != self._pid
        return os.waitpid(self._pid, os.WNOHANG)[0] != 0

    def _sessions(self) -> tuple[int, int] | None:
        login = self._orders.login
        try:
            with Wire.open(SOCKET_PATH, _ANSWER_SECONDS) as wire:
                wire.log_in(login["user"], login["password"], "postgres")
                opened, present = wire.query(login["statement"])[0]
        except (OSError, WireError, LookupError, ValueError) as error:
            if probe(SOCKET_PATH, login["user"], "postgres", _ANSWER_SECONDS) is Probe.READY:
                _say(f"cannot look at the sessions: {error}")  # else it starts or stops, which is no news
            return None
        return int(opened or 0), int(present or 0)


def _signal_pipe() -> int:
    """A descriptor that becomes readable, one byte per signal, when a child ended or we are told to end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reading


def _listening_pid() -> int | None:
    try:
        with Wire.open(SOCKET_PATH, _ANSWER_SECONDS) as wire:
            return wire.peer_pid()
    except OSError:
        return None


def _clear_old_claims() -> None:
    """Make what a killed postmaster left behind harmless, without taking PostgreSQL's own protection away.

    PostgreSQL refuses to start while the process id in ``postmaster.pid`` exists, which is also true of a zombie nobody
    reaps and of a stranger who got the id. That id says nothing here: we hold the supervisor's lock and nobody listens.
    So it is replaced by our own, which PostgreSQL knows to ignore (it is its parent's). The rest of the file stays,
    above all the id of the old shared memory: while any process of the old server is attached to it, PostgreSQL still
    refuses to start ("pre-existing shared memory block"), so two servers never work on the same data.
    (src/backend/utils/init/miscinit.c, CreateLockFile.)
    """
    path = "data/postmaster.pid"
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        lines = []
    if len(lines) > 1:
        lines[0] = str(os.getpid()).encode()
        with open(path + ".new", "wb") as file:
            file.write(b"\n".join(lines))
        os.replace(path + ".new", path)
    elif lines:
        os.unlink(path)  # cut off while it was written: it names no shared memory, so nothing was running yet
    for name in (SOCKET_PATH, SOCKET_PATH + ".lock"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            continue


def _bound_log() -> None:
    """Both processes append to standard error, so the file can be emptied under them."""
    if os.fstat(2).st_size > LOG_LIMIT_BYTES:
        os.ftruncate(2, 0)
        _say("the log had become too long and was emptied")


def _say(text: str) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    sys.stderr.write(f"{now} [{os.getpid()}] SUPERVISOR:  {text}\n")
    sys.stderr.flush()
