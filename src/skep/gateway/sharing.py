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

_MOST_SECONDS = 3600.0

_GATHER_SECONDS = 0.02
"""So long failures are gathered before they are told. Where a success follows soon, as when one call of twenty fails, there is
nothing to tell."""

_queries = Queries("skep.gateway")
_log = logging.getLogger(__name__)


class Sharing:
    """Carries a board's openings and failures in a row to other processes, and theirs to it.

    ``routes``: the names that this process knows now; ``cleared`` is called when kept answers were cleared, or may have been.
    """

    def __init__(
        self,
        database: Database,
        board: Board,
        routes: Callable[[], Collection[str]],
        cleared: Callable[[], None] = lambda: None,
    ) -> None:
        self._cleared = cleared
        self._database = database
        self._board = board
        self._routes = routes
        self._sender = secrets.token_hex(8)
        self._openings: dict[str, dict[str, object]] = {}
        self._streaks: dict[str, dict[str, object]] = {}
        self._wanted = asyncio.Event()
        self._counted: set[str] = set()
        """Routes of whose failures the processes know, from this one or another, and of no success since."""
        self._is_away = False

    def tell(self, route: str, seconds: float, reason: str) -> None:
        """Have the others told that it opened, as soon as the database takes it. Does not wait."""
        self._openings[route] = {"route": route, "seconds": seconds, "reason": reason[:_LONGEST_REASON]}
        self._streaks.pop(route, None)
        self._counted.discard(route)
        self._wanted.set()

    def tell_streak(self, route: str, streak: int, reason: str) -> None:
        """Have the others told how many calls failed here in a row; 0: one succeeded. Does not wait."""
        if not streak and route not in self._counted:
            self._streaks.pop(route, None)
            return
        waiting = self._streaks.get(route)
        anew = not streak or (waiting is not None and waiting["anew"])
        self._streaks[route] = {"route": route, "streak": streak, "anew": anew, "reason": reason[:_LONGEST_REASON]}
        self._wanted.set()

    def heard(self, payload: str) -> None:
        """Take over what another process tells. An empty text only says that one listens again."""
        try:
            told = orjson.loads(payload or "{}")
            sender, route, reason = told.get("from"), told.get("route"), str(told.get("reason", ""))
            seconds = min(float(told.get("seconds", 0)), _MOST_SECONDS)
            if not told or told.get("cleared"):
                self._cleared()
            streak = None if "streak" not in told else max(0, int(told["streak"]))
        except (ValueError, TypeError, AttributeError):
            event(_log, logging.WARNING, "word of another process not understood", length=len(payload))
            return
        if sender == self._sender or route not in self._routes():
            return
        if streak is not None:
            (self._counted.add if streak else self._counted.discard)(route)
            if told.get("anew"):
                self._board.hear_success(route)
            self._board.hear_streak(route, str(sender), streak, reason)
        elif seconds > 0:
            self._counted.discard(route)
            self._board.hear_opened(route, seconds, reason)
            event(_log, logging.WARNING, "route closed elsewhere", route=route, reason=reason, seconds=round(seconds))

    async def listen(self) -> None:
        """Hear the others, until cancelled."""
        await hear(self._database, _queries["listen_gateway"], self.heard)

    async def send(self) -> None:
        """Tell the others, until cancelled. While the database is away each process finds out by itself."""
        while True:
            await self._wanted.wait()
            if not self._openings:
                await asyncio.sleep(_GATHER_SECONDS)
            self._wanted.clear()
            openings, self._openings = self._openings, {}
            streaks, self._streaks = self._streaks, {}
            for route, told in streaks.items():
                (self._counted.add if told["streak"] else self._counted.discard)(route)
            for told in (*openings.values(), *streaks.values()):
                await self._tell(told)

    async def _tell(self, told: dict[str, object]) -> None:
        payload = orjson.dumps({"from": self._sender, **told}).decode()
        try:
            await self._database.fetch_tuples(_queries["tell_gateway"], {"payload": payload})
        except UnavailableError as error:
            if not self._is_away:
                event(_log, logging.WARNING, "other processes not told how a route fares", reason=str(error))
            self._is_away = True
        else:
            self._is_away = False


@asynccontextmanager
async def shared(
    database: Database,
    board: Board,
    routes: Callable[[], Collection[str]],
    cleared: Callable[[], None] = lambda: None,
) -> AsyncIterator[Sharing]:
    """Share what a board finds out with all processes on the database, until the end of the block. See `Sharing`."""
    sharing = Sharing(database, board, routes, cleared)
    board.tell_opened, board.tell_streak = sharing.tell, sharing.tell_streak
    tasks = [
        asyncio.create_task(sharing.listen(), name="skep-gateway-hear"),
        asyncio.create_task(sharing.send(), name="skep-gateway-tell"),
    ]
    try:
        yield sharing
    finally:
        for task in tasks:
            await end_task(task)
