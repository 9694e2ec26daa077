"""Breakers that open everywhere: what one process finds out about a route, the others hear over the database."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import orjson

from skep.errors import UnavailableError
from skep.gateway.board import Board
from skep.jobs import end_task
from skep.observe import event
from skep.store import Database, Queries, hear

_LONGEST_REASON = 500
"""A notification has room for 8,000 bytes."""

_MOST_WAITING = 1000
_MOST_SECONDS = 3600.0

_queries = Queries("skep.gateway")
_log = logging.getLogger(__name__)


class Sharing:
    """Carries a board's openings to other processes, and theirs to it. ``routes``: the names that this process knows now."""

    def __init__(self, database: Database, board: Board, routes: Callable[[], Collection[str]]) -> None:
        self._database = database
        self._board = board
        self._routes = routes
        self._sender = secrets.token_hex(8)
        self._payloads: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)

    def tell(self, route: str, seconds: float, reason: str) -> None:
        """Have the others told, as soon as the database takes it. Does not wait."""
        told = {"from": self._sender, "route": route, "seconds": seconds, "reason": reason[:_LONGEST_REASON]}
        if not self._payloads.full():
            self._payloads.put_nowait(orjson.dumps(told).decode())

    def heard(self, payload: str) -> None:
        """Take over what another process tells. An empty text only says that one listens again."""
        try:
            told = orjson.loads(payload or "{}")
            sender, route, reason = told.get("from"), told.get("route"), str(told.get("reason", ""))
            seconds = min(float(told.get("seconds", 0)), _MOST_SECONDS)
        except (ValueError, TypeError, AttributeError):
            event(_log, logging.WARNING, "word of another process not understood", length=len(payload))
            return
        if sender != self._sender and route in self._routes() and seconds > 0:
            self._board.hear_opened(route, seconds, reason)
            event(_log, logging.WARNING, "route closed elsewhere", route=route, reason=reason, seconds=round(seconds))

    async def listen(self) -> None:
        """Hear the others, until cancelled."""
        await hear(self._database, _queries["listen_gateway"], self.heard)

    async def send(self) -> None:
        """Tell the others, until cancelled. While the database is away each process finds out by itself."""
        while True:
            payload = await self._payloads.get()
            try:
                await self._database.fetch_tuples(_queries["tell_gateway"], {"payload": payload})
            except UnavailableError as error:
                event(_log, logging.WARNING, "other processes not told of a closed route", reason=str(error))


@asynccontextmanager
async def shared(database: Database, board: Board, routes: Callable[[], Collection[str]]) -> AsyncIterator[Sharing]:
    """Share what a board finds out with all processes on the database, until the end of the block."""
    sharing = Sharing(database, board, routes)
    board.tell_opened = sharing.tell
    tasks = [
        asyncio.create_task(sharing.listen(), name="skep-gateway-hear"),
        asyncio.create_task(sharing.send(), name="skep-gateway-tell"),
    ]
    try:
        yield sharing
    finally:
        for task in tasks:
            await end_task(task)
