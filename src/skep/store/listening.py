"""Hearing what other sessions of the database tell, whichever process or machine they belong to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from skep.errors import UnavailableError
from skep.store.database import Connection, Database

_ALIVE_SECONDS = 20.0
"""After so long without a word we look whether the connection is still one."""

_AGAIN_SECONDS = 1.0

_log = logging.getLogger(__name__)


def _nothing() -> None:
    """For whoever does not mind silence."""


async def hear(
    database: Database, listen: bytes, tell: Callable[[str], None], lose: Callable[[], None] = _nothing
) -> None:
    """Call ``tell`` with what is told on a channel, until cancelled. ``listen`` is the statement that listens to it.

    ``tell`` is called with an empty text whenever the connection is made anew: something may have been missed before;
    ``lose`` when it is lost. It is a connection of its own; a database that is away is waited for.
    """
    said = ""
    while True:
        try:
            async with database.own_connection() as connection:
                await connection.execute(listen)
                said = ""
                tell("")
                await _hear_through(connection, listen, tell)
        except UnavailableError as error:
            lose()
            if str(error) != said:
                said = str(error)
                _log.warning("not listening: %s", said)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _hear_through(connection: Connection, listen: bytes, tell: Callable[[str], None]) -> None:
    while True:
        async for notification in connection.notifies(timeout=0):
            tell(notification.payload)
        if not await _is_readable(connection.fileno(), _ALIVE_SECONDS):
            await connection.execute(listen)


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
