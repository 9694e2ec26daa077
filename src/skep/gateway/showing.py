"""Lets every process on the database know how the gateway fares in each of the others."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import orjson

from skep.errors import UnavailableError
from skep.gateway.statuses import GatewayStatus, ProcessStatus, digest, process_status, told_status
from skep.jobs import end_task
from skep.observe import event
from skep.store import Database, Queries

_LOOK_SECONDS = 1.0
_SAY_SECONDS = 10.0
"""How often a process says that it is there though nothing has changed."""

_LAST_WORDS_SECONDS = 1.0

_queries = Queries("skep.gateway")
_log = logging.getLogger(__name__)


class Showing:
    """Says how this process fares, and reads what the others said. ``status`` is that of now."""

    def __init__(self, database: Database, node: str, status: Callable[[], GatewayStatus]) -> None:
        self._database = database
        self._node = node
        self._status = status
        self._process_id = secrets.token_hex(8)
        self._said: object = None
        self._said_at = 0.0
        self._is_away = False

    async def everywhere(self) -> list[ProcessStatus]:
        """Every process that was heard of in the last minute, this one first. Raises an UnavailableError."""
        rows = await self._database.fetch_tuples(_queries["fetch_gateways"], {"process_id": self._process_id})
        found = [self.here()]
        for pid, node, age_seconds, told in rows:
            try:
                found.append(told_status(pid, node, float(age_seconds), told))
            except (KeyError, TypeError, ValueError) as error:
                event(_log, logging.WARNING, "status of another process not understood", reason=repr(error))
        return found

    def here(self) -> ProcessStatus:
        """This process, now."""
        return process_status(os.getpid(), self._node, self._status())

    async def keep_saying(self) -> None:
        """Say how this process fares, now and whenever it changes, until cancelled."""
        while True:
            status = self._status()
            fares = digest(status)
            if fares != self._said or time.monotonic() - self._said_at >= _SAY_SECONDS:
                await self._say(status, fares)
            await asyncio.sleep(_LOOK_SECONDS)

    async def leave(self) -> None:
        """Be no longer among them, if the database still takes it."""
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._database.execute(_queries["leave_gateways"], {"process_id": self._process_id})

    async def _say(self, status: GatewayStatus, fares: object) -> None:
        bound = {
            "process_id": self._process_id,
            "node": self._node,
            "pid": os.getpid(),
            "status": orjson.dumps(status).decode(),
        }
        try:
            await self._database.execute(_queries["show_gateway"], bound)
        except UnavailableError as error:
            if not self._is_away:
                event(_log, logging.WARNING, "other processes not told how this one fares", reason=str(error))
            self._is_away = True
        else:
            self._said, self._said_at, self._is_away = fares, time.monotonic(), False


@asynccontextmanager
async def shown(database: Database, node: str, status: Callable[[], GatewayStatus]) -> AsyncIterator[Showing]:
    """Be seen by the other processes until the end of the block."""
    showing = Showing(database, node, status)
    saying = asyncio.create_task(showing.keep_saying(), name="skep-gateway-show")
    try:
        yield showing
    finally:
        await end_task(saying)
        await showing.leave()
