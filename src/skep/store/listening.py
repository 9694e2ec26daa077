"""Hearing what other sessions of the database tell, whichever process or machine they belong to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from skep.errors import UnavailableError
from skep.store.database import Connection, Database
from skep.store.silence import shut

_ALIVE_SECONDS = 20.0
"""After so long we look whether the connection is still one."""

_MOST_ANSWER_SECONDS = 10.0
"""So long may the answer take; not longer than the silence was allowed to."""

_AGAIN_SECONDS = 1.0

_log = logging.getLogger(__name__)


def _nothing() -> None:
    """For whoever does not mind silence."""


def _no_proof(_: float) -> None:
    """The same."""


async def hear(
    database: Database,
    listen: bytes,
    tell: Callable[[str], None],
    lose: Callable[[], None] = _nothing,
    *,
    prove: Callable[[float], None] = _no_proof,
    alive_seconds: float = _ALIVE_SECONDS,
) -> None:
    """Call ``tell`` with what is told on a channel, until cancelled. ``listen`` is the statement that listens to it.

    ``tell`` is called with an empty text whenever the connection is made anew: something may have been missed before;
    ``lose`` when it is lost. It is a connection of its own; a database that is away is waited for.

    Every ``alive_seconds`` it is asked whether it still is one, since a network can fall silent without an end.
    ``prove`` is called with the monotonic time up to which everything that was told has been heard.
    """
    listener = _Listener(listen, tell, prove, alive_seconds)
    said = ""
    while True:
        try:
            async with database.own_connection() as connection:
                began = time.monotonic()
                await connection.execute(listen)
                said = ""
                tell("")
                prove(began)
                await listener.hear_through(connection)
        except UnavailableError as error:
            lose()
            if str(error) != said:
                said = str(error)
                _log.warning("not listening: %s", said)
        await asyncio.sleep(_AGAIN_SECONDS)


@dataclass(frozen=True, slots=True)
class _Listener:
    listen: bytes
    tell: Callable[[str], None]
    prove: Callable[[float], None]
    alive_seconds: float

    async def hear_through(self, connection: Connection) -> None:
        """Until the connection breaks."""
        proved_at = time.monotonic()
        while True:
            await self._drain(connection)
            # Also where something is told all the time: a word proves only that the one before it was heard.
            left = proved_at + self.alive_seconds - time.monotonic()
            if left > 0 and await _is_readable(connection.fileno(), left):
                continue
            began = proved_at = time.monotonic()
            await _answers(connection, self.listen, min(_MOST_ANSWER_SECONDS, self.alive_seconds))
            await self._drain(connection)
            self.prove(began)

    async def _drain(self, connection: Connection) -> None:
        async for notification in connection.notifies(timeout=0):
            self.tell(notification.payload)


async def _answers(connection: Connection, listen: bytes, seconds: float) -> None:
    """Have the connection answer in time, or break it: psycopg would wait for the answer though it was cancelled."""
    ending = asyncio.get_running_loop().call_later(seconds, shut, connection.fileno())
    try:
        await connection.execute(listen)
    finally:
        ending.cancel()


async def _is_readable(descriptor: int, timeout_seconds: float) -> bool:
    """Wait for something to read; psycopg's own waiting wakes up ten times a second."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, woken.set)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await woken.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
