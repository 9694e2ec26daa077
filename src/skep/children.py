"""Children of ours: Python processes that run one of our files and talk with us over a socket.

One may be started while our own code is still being loaded: on a second core it is ready when we are. This module imports
nothing that would make that later.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PARSER = Path(__file__).with_name("knowledge") / "run_parse_worker.py"
"""Cuts files: `skep.knowledge.parsing` knows what it is told and answers."""

PARSER_NICENESS = 10
"""How far a parser steps back behind us: indexing gives way to whoever works at the machine."""

_READ_AHEAD_BYTES = 1 << 20


class Child:
    """A process whose standard input and output are one socket. It is to end when that is closed."""

    def __init__(self, runner: Path, *arguments: str) -> None:
        """Start ``runner``, a file of ours. Raises OSError when the system refuses it."""
        self.command = (sys.executable, _isolation(), str(runner), *arguments)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    # Ctrl-C is for us to understand: in our group it would hit a child that is only just starting.
                    process_group=0,
                )
        except BaseException:
            ours.close()
            raise
        self._socket = ours
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def exit_code(self) -> int | None:
        """As `subprocess.Popen.returncode`; None while it runs."""
        return self._process.poll()

    async def send(self, data: bytes) -> None:
        """Write, and wait while the child is slow to read. Raises ConnectionError when it is gone."""
        _, writer = await self._open()
        writer.write(data)
        await writer.drain()

    async def receive(self, size: int) -> bytes:
        """So many bytes. Raises IncompleteReadError or ConnectionError when the child is gone."""
        reader, _ = await self._open()
        return await reader.readexactly(size)

    async def wait(self) -> None:
        """Until it has ended."""
        while self.exit_code is None:  # noqa: ASYNC110 -- no portable event tells of the end of a process
            await asyncio.sleep(0.002)

    async def end(self) -> None:
        """Kill it, unless it has ended, and forget it. Cancelled meanwhile, no process is left all the same."""
        self.kill()
        try:
            await self.wait()
        finally:
            self._process.wait()
            if self._streams is not None:
                self._streams[1].close()

    def kill(self) -> None:
        """End it without waiting, and close what nobody uses yet."""
        with suppress(ProcessLookupError):
            self._process.kill()
        if self._streams is None:
            self._socket.close()

    def end_now(self) -> None:
        """What `end` does, for a child nobody has talked with yet, where nothing can be awaited."""
        self.kill()
        self._process.wait()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(sock=self._socket, limit=_READ_AHEAD_BYTES)
        return self._streams


def start_parser(niceness: int = PARSER_NICENESS, runner: Path = PARSER) -> Child:
    """A process that cuts files. Raises OSError when the system refuses it."""
    return Child(runner, str(niceness))


def _isolation() -> str:
    # The current folder may be the one that is indexed: its files must never be imported (-P, or -I as we ourselves).
    return "-I" if sys.flags.isolated else "-P"


_early: list[Child] = []
"""Started by a command that will need it, until somebody takes it."""


def start_parser_early() -> None:
    """Start a parser for whoever needs one first in this process; it ends with us if nobody does.

    For a command that is about to load its code. A refusal of the system is left to whoever would need the parser.
    """
    if not _early and _has_another_core():
        with suppress(OSError):
            _early.append(start_parser())
            atexit.register(_end_untaken)


def take_early_parser() -> Child | None:
    """The parser that was started early, if it was and still runs."""
    child = _early.pop() if _early else None
    if child is not None and child.exit_code is not None:
        child.end_now()
        return None
    return child


def _end_untaken() -> None:
    while _early:
        _early.pop().end_now()


def _has_another_core() -> bool:
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) > 1
