"""One timer for everything that may take too long: a timer of the loop for each call costs as much as reading its answer.

Whoever is late is told up to `TICK_SECONDS` after the time that was named.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

TICK_SECONDS = 0.02


class Late(Protocol):
    """Something that can be late."""

    def be_late(self) -> None:
        """Called once when the time is over. Must not raise."""


class Deadlines:
    """Of one event loop. Its timer runs while somebody is watched."""

    __slots__ = ("_is_ticking", "_until", "loop")

    def __init__(self) -> None:
        self._until: dict[Late, float] = {}
        self._is_ticking = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop, once somebody was watched: asking asyncio for it is a system call."""

    def add(self, one: Late, until: float) -> None:
        """Call its `be_late` at ``until``, on the monotonic clock, unless it is discarded before."""
        self._until[one] = until
        if not self._is_ticking:
            self._is_ticking = True
            self.loop = asyncio.get_running_loop()
            self.loop.call_later(TICK_SECONDS, self._tick)

    def discard(self, one: Late) -> None:
        """Watch it no more. Nothing happens when it is not watched."""
        self._until.pop(one, None)

    def _tick(self) -> None:
        now = time.monotonic()
        for one in [one for one, until in self._until.items() if until <= now]:
            if self._until.pop(one, None) is not None:
                one.be_late()
        self._is_ticking = bool(self._until)
        if self._is_ticking:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
