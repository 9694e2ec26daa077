"""Notices that a client went away while its call is under way."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Receive

from skep.gateway.deadlines import Deadlines


class ClientWatch:
    """Cancels a task when the client goes away, or, without ``cancels``, only notes it. Stop it in a ``finally``.

    With ``after_seconds`` it is cancelled so long after that. Whoever catches the cancellation asks `is_gone`, and then calls `forgive` to go on.
    """

    __slots__ = ("_after_seconds", "_cancels", "_deadlines", "_receive", "_task", "_watcher", "is_gone")

    def __init__(self, receive: Receive, *, cancels: bool, after_seconds: float = 0.0) -> None:
        self._receive = receive
        self._cancels = cancels
        self._after_seconds = after_seconds
        self._task: asyncio.Task[object] | None = None
        self._deadlines: Deadlines | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.is_gone = False

    def start_later(self, deadlines: Deadlines, seconds: float) -> None:
        """Watch over the present task, once it has taken so long: most calls are over before, and need no watcher."""
        self._task = asyncio.current_task(deadlines.loop)
        self._deadlines = deadlines
        deadlines.add(self, time.monotonic() + seconds)

    def be_late(self) -> None:
        """The call is one of those that take long."""
        self._start()

    def start(self) -> None:
        """Watch over the present task."""
        self._task = asyncio.current_task()
        self._start()

    def stop(self) -> None:
        """Watch no more."""
        if self._deadlines is not None:
            self._deadlines.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()

    def forgive(self) -> None:
        """The cancellation was ours, and has been dealt with."""
        if self._cancels and self._task is not None:
            self._task.uncancel()

    def _start(self) -> None:
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="skep-client-watch")

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        if self._after_seconds:
            await asyncio.sleep(self._after_seconds)
        if self._cancels and self._task is not None and not self._task.done():
            self._task.cancel()
