"""How many calls run at the same time, and how many may wait for their turn."""

from __future__ import annotations

import asyncio
from collections import deque

from skep.gateway.interfaces import OverloadedError


class Turns:
    """At most ``most`` calls run, at most ``most_waiting`` wait, none longer than ``wait_seconds``; first come, first served."""

    def __init__(self, most: int, most_waiting: int, wait_seconds: float) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.active = 0

    def resize(self, most: int, most_waiting: int, wait_seconds: float) -> None:
        """From now on other bounds count; who runs or waits already goes on."""
        self._most, self._most_waiting, self._wait_seconds = most, most_waiting, wait_seconds
        while self._waiting and self.active < most:
            turn = self._waiting.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def try_take(self) -> bool:
        """Take a turn if one is free and nobody was here before."""
        if self.active >= self._most or self._waiting:
            return False
        self.active += 1
        return True

    async def take(self) -> None:
        """Wait for a turn. Raises OverloadedError when too many wait, or when it takes too long."""
        if self.try_take():
            return
        if len(self._waiting) >= self._most_waiting:
            raise self._overloaded()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # It was ours in the same moment: the next one gets it.
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._overloaded() from error
            raise

    def leave(self) -> None:
        """End a turn; whoever waits longest has it now."""
        # More may run than a bound that was lowered meanwhile allows.
        while self._waiting and self.active <= self._most:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.active -= 1

    def _overloaded(self) -> OverloadedError:
        wait = max(1.0, self._wait_seconds / 2)
        return OverloadedError(active=self.active, waiting=len(self._waiting), retry_after_seconds=wait)
