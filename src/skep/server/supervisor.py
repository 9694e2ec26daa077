"""`skep up`: one small process that opens the socket, starts the others, and starts again those that die."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skep.observe import MetricsMemory, choose_backend, event
from skep.server.binding import bind, require_safe_bind, require_usable_tls, url_of
from skep.server.interfaces import ServerFailedError, ServerRunningError
from skep.server.orders import Orders
from skep.server.running import claim, find_running
from skep.server.signals import has_terminal, on_end
from skep.settings import CommandLine, Settings

KEY_FILE = "admin.key"

_START_SECONDS = 30.0
_FIRST_LOOK_SECONDS = 15.0
"""How long to wait for the first answer of the database before saying that the server runs without."""

_CHILDREN_SECONDS = 20.0
"""Beside the time that requests have to be drained, as long as everything else gets to end: jobs (8 s), what must be flushed."""

_LAST_PUSH_SECONDS = 10.0
"""As long as metrics get to be pushed a last time, when all else has ended: reading (3 s), sending (5 s)."""

STOP_SECONDS = _CHILDREN_SECONDS + _LAST_PUSH_SECONDS
"""What a stop may take beside the time to drain."""

_PAUSES_SECONDS = (0.1, 0.5, 2.0, 5.0)
_STEADY_SECONDS = 30.0
"""A process that lived so long did not die of its start; the next one is started without a pause again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What `skep up` says when the server answers."""

    url: str
    docs: str
    pid: int
    ready: bool
    """Whether requests can be served already; if not, it goes on trying."""
    reason: str | None
    """Why it is not ready."""
    key_file: Path
    """Where the first administrator's key stands."""
    data_folder: Path
    workers: int


async def run_server(settings: Settings, said: CommandLine, report: Callable[[Started], None]) -> None:
    """Serve until told to end. ``said`` makes the child processes read the same settings; ``report`` is called once.

    Raises RemoteBindRefusedError, TlsFilesError, MetricsAddressError, ServerRunningError, PortTakenError,
    AddressUnusableError, RunFolderError, ServerFailedError.
    """
    require_safe_bind(settings.server)
    require_usable_tls(settings.server)
    if (check := choose_backend(settings.metrics).check) is not None:
        check(settings.metrics)
    run_file = claim(settings.data_folder, "server")
    if run_file is None:
        other = next((running for running in find_running(settings.data_folder) if running.role == "server"), None)
        url, pid = (other.url, other.pid) if other else ("it is just starting", "unknown")
        raise ServerRunningError(what="the server", reason="running", url=url, pid=pid)
    try:
        with bind(settings.server.host, settings.server.port) as listener:
            url = url_of(settings.server, listener)
            run_file.write("server", url)
            with ExitStack() as stack:
                memory = _Memory.make(settings)
                stack.callback(memory.close)
                await _Crew(settings, said, listener, memory).run(url, report)
    finally:
        run_file.close()


@dataclass(frozen=True, slots=True)
class _Memory:
    """Where processes count together, and where who pushes that notes what was told; as file descriptors."""

    counted: int
    since_ns: int
    told: int
    """-1 when nobody pushes."""

    @staticmethod
    def make(settings: Settings) -> _Memory:
        since_ns = time.time_ns()
        workers = settings.server.workers
        if choose_backend(settings.metrics).push is None:
            return _Memory(MetricsMemory.make(workers), since_ns, -1)
        # Who pushes counts too, in a part of its own.
        return _Memory(MetricsMemory.make(workers + 1), since_ns, MetricsMemory.make(workers + 1))

    def close(self) -> None:
        os.close(self.counted)
        if self.told >= 0:
            os.close(self.told)


class _Child:
    """One process that is kept alive.

    One that ``finishes`` has work left when it is told to end: it is told by its closed pipe, which it hears even when it
    is still starting, where a signal would end it; and if it isn't there just then, it is started for that.
    """

    def __init__(
        self, name: str, orders: Orders, on_reload: Callable[[], None] = lambda: None, *, finishes: bool = False
    ) -> None:
        self.name = name
        self._finishes = finishes
        self._is_given_up = False
        self._on_reload = on_reload
        self._shall_reload = False
        self._is_listening = False
        self._orders = orders
        inherited = (orders.listener, orders.metrics_memory, orders.metrics_told)
        self._descriptors = tuple(each for each in inherited if each >= 0)
        self.process: Process | None = None
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._has_spoken = False

    async def keep_alive(self, ending: asyncio.Event, *, restart_first: bool) -> None:
        """Start it, and start it again whenever it ends, until ``ending``.

        Raises ServerFailedError when it ends before it said anything, unless ``restart_first``.
        """
        failures, has_finished = 0, False
        while not ending.is_set():
            started = time.monotonic()
            code = await self._run_once(ending)
            if ending.is_set():
                has_finished = code == 0
                break
            if not (restart_first or self._has_spoken):
                raise ServerFailedError(what=self.name, reason="it ended", role=self.name, code=code)
            failures = 0 if time.monotonic() - started > _STEADY_SECONDS else failures + 1
            pause = _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1] if failures else 0.0
            event(_log, logging.WARNING, "process died", role=self.name, code=code, again_in_seconds=pause)
            await _wait(ending, pause)
        if self._finishes and not (has_finished or self._is_given_up):
            await self._run_once(ending)

    async def _run_once(self, ending: asyncio.Event) -> int:
        self._is_listening = False
        self.process = await asyncio.create_subprocess_exec(
            *self._orders.command(),
            stdin=PIPE,  # closes when we are gone, however that happens
            stdout=PIPE if self._orders.role == "http" else DEVNULL,
            pass_fds=self._descriptors,
            # The terminal's Ctrl-C is for us; we tell the others.
            start_new_session=True,
        )
        if ending.is_set():
            # Told to end while it was being started.
            self.end()
        if self.process.stdout is not None:
            async for line in self.process.stdout:
                self._has_spoken = True
                self._hear(json.loads(line))
        return await self.process.wait()

    def _hear(self, said: dict[str, Any]) -> None:
        if "reload" in said:
            self._on_reload()
            return
        self.said.put_nowait(said)
        self._is_listening = True
        if self._shall_reload:
            self._shall_reload = False
            self._signal(signal.SIGHUP)

    def reload(self) -> None:
        """Have it read the settings again. One that is just starting may have read the old ones: it is told once it hears."""
        if self._is_listening:
            self._signal(signal.SIGHUP)
        else:
            self._shall_reload = True

    def end(self) -> None:
        if self._finishes and self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        else:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._is_given_up = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


class _Crew:
    """All child processes of one server."""

    def __init__(self, settings: Settings, said: CommandLine, listener: socket.socket, memory: _Memory) -> None:
        self._settings = settings
        other = Orders.for_command("worker", said, supervised=True)
        counting = replace(other, metrics_memory=memory.counted, metrics_since_ns=memory.since_ns)
        http = replace(counting, role="http", listener=listener.fileno())
        # Each counts in a part of its own, in which the one that is started in its place goes on.
        self._servers = [
            _Child(f"http {part + 1}", replace(http, metrics_part=part), self._reload)
            for part in range(settings.server.workers)
        ]
        self._others = [_Child("worker", other)]
        if settings.embedding.enabled:
            self._others.append(_Child("embedder", replace(other, role="embedder")))
        if settings.watch.enabled:
            self._others.append(_Child("watcher", replace(other, role="watcher")))
        pusher = replace(counting, role="pusher", metrics_part=settings.server.workers, metrics_told=memory.told)
        self._pushers = [_Child("pusher", pusher, finishes=True)] if memory.told >= 0 else []
        self._ending = asyncio.Event()
        self._all_ended = asyncio.Event()
        self._had_terminal = has_terminal()

    def _reload(self) -> None:
        for child in self._servers:
            child.reload()

    def _end(self) -> None:
        """End; the second time without waiting for what is under way."""
        if self._ending.is_set():
            for child in self._servers:
                child.end()
        self._ending.set()

    def _hang_up(self) -> None:
        """SIGHUP: the settings shall be read again, or the terminal that we were started from is gone."""
        if self._had_terminal and not has_terminal():
            self._ending.set()
        else:
            self._reload()

    async def run(self, url: str, report: Callable[[Started], None]) -> None:
        keeping: list[asyncio.Task[None]] = []
        pushing: list[asyncio.Task[None]] = []
        with on_end(self._end, supervised=False, hung_up=self._hang_up):
            try:
                keeping += [self._keep(child, restart_first=False) for child in self._servers]
                await self._until_answering(keeping, url, report)
                # Only now: on a small machine their start would slow down that of the server.
                keeping += [self._keep(child, restart_first=True) for child in self._others]
                pushing += [self._keep(child, restart_first=True, ending=self._all_ended) for child in self._pushers]
                await self._until_end(keeping + pushing)
            finally:
                self._ending.set()
                await _end(
                    [*self._servers, *self._others], keeping, self._settings.server.drain_seconds + _CHILDREN_SECONDS
                )
                # Last: it has to tell what the others counted until they ended.
                self._all_ended.set()
                await _end(self._pushers, pushing, _LAST_PUSH_SECONDS)

    def _keep(self, child: _Child, *, restart_first: bool, ending: asyncio.Event | None = None) -> asyncio.Task[None]:
        return asyncio.create_task(
            child.keep_alive(ending or self._ending, restart_first=restart_first), name=f"skep-keep-{child.name}"
        )

    async def _until_answering(
        self, keeping: list[asyncio.Task[None]], url: str, report: Callable[[Started], None]
    ) -> None:
        """Wait until every server process listens and one knows whether it is ready; then report."""
        answers = asyncio.create_task(self._first_answers(), name="skep-first-answers")
        ending = asyncio.create_task(self._ending.wait(), name="skep-end")
        try:
            await asyncio.wait({answers, ending, *keeping}, return_when=asyncio.FIRST_COMPLETED)
            for task in keeping:
                if task.done():
                    task.result()
            if answers.done():
                ready, reason = answers.result()
                report(self._started(url, ready=ready, reason=reason))
        finally:
            answers.cancel()
            ending.cancel()
            await asyncio.gather(answers, ending, return_exceptions=True)

    async def _first_answers(self) -> tuple[bool, str | None]:
        async with asyncio.timeout(_START_SECONDS):
            for child in self._servers:
                await child.said.get()
        try:
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                answer = await self._servers[0].said.get()
        except TimeoutError:
            return False, "the database has not answered yet"
        return bool(answer["ready"]), answer["reason"]

    def _started(self, url: str, *, ready: bool, reason: str | None) -> Started:
        folder = self._settings.data_folder
        return Started(
            url=url,
            docs=f"{url}/api/docs",
            pid=os.getpid(),
            ready=ready,
            reason=reason,
            key_file=folder / KEY_FILE,
            data_folder=folder,
            workers=len(self._servers),
        )

    async def _until_end(self, keeping: list[asyncio.Task[None]]) -> None:
        ending = asyncio.create_task(self._ending.wait(), name="skep-end")
        done, _ = await asyncio.wait({ending, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        for task in done:
            task.result()


async def _end(children: list[_Child], keeping: list[asyncio.Task[None]], seconds: float) -> None:
    """Tell children to end, and after so many seconds make them."""
    for child in children:
        child.end()
    if not keeping:
        return
    _, late = await asyncio.wait(keeping, timeout=seconds)
    if late:
        event(_log, logging.WARNING, "processes killed", seconds=seconds)
        for child in children:
            child.kill()
    await asyncio.gather(*keeping, return_exceptions=True)


async def _wait(ending: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        return
