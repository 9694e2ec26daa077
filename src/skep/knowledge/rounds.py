"""Many askers, few statements: whoever asks while a statement is under way is asked for together in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Round(Generic[Key, Answer]):
    keys: set[Key] = field(default_factory=set)
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Rounds(Generic[Key, Answer]):
    """Shares statements between askers. One asker alone waits for nobody.

    ``fetch`` answers for a set of keys at once, and is never called twice at the same time. Its answer is always from
    after the asking: who comes while it is under way gets the next. (Facebook's DataLoader does this between the turns of
    an event loop; here the length of a statement sets the pace, so that the busier it gets, the fewer there are for each.)
    """

    def __init__(self, fetch: Callable[[frozenset[Key]], Awaitable[Answer]]) -> None:
        self._fetch = fetch
        self._next: _Round[Key, Answer] | None = None
        self._is_busy = False
        self._running: asyncio.Task[None] | None = None

    async def ask(self, keys: Iterable[Key]) -> Answer:
        """What ``fetch`` answers for these keys, and perhaps for others'. Raises what it raises."""
        if self._is_busy:
            if self._next is None:
                self._next = _Round()
            joined = self._next
            joined.keys.update(keys)
            # An asker that is cancelled leaves; the others still get their answer.
            return await asyncio.shield(joined.answer)
        self._is_busy = True
        try:
            return await self._fetch(frozenset(keys))
        finally:
            self._go_on()

    def _go_on(self) -> None:
        current, self._next = self._next, None
        self._is_busy = current is not None
        if current is not None:
            self._running = asyncio.create_task(self._answer(current), name="skep-rounds")

    async def _answer(self, current: _Round[Key, Answer]) -> None:
        try:
            answer = await self._fetch(frozenset(current.keys))
        except asyncio.CancelledError:
            current.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 -- handed to those who asked
            current.answer.set_exception(error)
            current.answer.exception()  # seen, should all who asked be gone
        else:
            current.answer.set_result(answer)
        finally:
            self._go_on()
