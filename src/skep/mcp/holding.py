"""Skep as a stdio server holds it: opened behind the first words of the protocol, and again when that failed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from skep.app import Skep, open_skep
from skep.errors import SkepError
from skep.mcp.interfaces import StillOpeningError
from skep.mcp.models import Answer
from skep.mcp.service import Caller, Tools, error_answer
from skep.observe import event
from skep.settings import Settings

_WAIT_SECONDS = 30.0
"""How long a call waits for the database: making an embedded one takes 5 s, starting it 1 s."""

_LOOK_SECONDS = 1.0
"""How soon to look again, at the earliest, whether a call that runs has ended."""

_log = logging.getLogger(__name__)


class Holder:
    """Does calls as the local principal, from one folder. `begin` opens early; a call opens again what could not be.

    An agent's session may stay open for days: what is not used for so long as an embedded database may idle is closed, and
    opened again by the next call.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._ending = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[Skep] | None = None
        self._idle_seconds = settings.database.idle_stop_minutes * 60.0
        self._calls = 0
        self._used = time.monotonic()

    def begin(self) -> None:
        """Open in the background, unless it is open or being opened."""
        if self._owner is None or self._owner.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(self._opened), name="skep-mcp-owner")

    async def call(self, name: str, arguments: Mapping[str, Any] | None, _request: object) -> Answer:
        """Do a call; waits for the opening."""
        self._calls += 1
        try:
            skep = await self._skep()
            caller = Caller(await skep.local_principal(), self._folder)
            tools = Tools(skep.knowledge, default_top_k=self._settings.search.default_top_k)
            return await tools.call(caller, name, arguments)
        except SkepError as error:
            return error_answer(error)
        finally:
            self._calls -= 1
            self._used = time.monotonic()

    async def close(self) -> None:
        """Close what was opened."""
        self._ending.set()
        left = [task for task in (self._owner, self._closing) if task is not None]
        await asyncio.gather(*left, return_exceptions=True)

    async def _skep(self) -> Skep:
        self.begin()
        opened = self._opened
        assert opened is not None, "begin makes it"
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                # Others wait for it too.
                return await asyncio.shield(opened)
        except TimeoutError as error:
            raise StillOpeningError(what="Skep", reason="opening", seconds=f"{_WAIT_SECONDS:g}") from error

    async def _own(self, opened: asyncio.Future[Skep]) -> None:
        """Open, keep, close: in one task, whoever asked for it may be gone by then."""
        try:
            async with open_skep(
                self._settings, notice=lambda text: event(_log, logging.INFO, text), name="skep mcp"
            ) as skep:
                self._used = time.monotonic()
                opened.set_result(skep)
                await self._until_unused()
                # From here on a call opens another one.
                self._closing, self._owner = self._owner, None
        except SkepError as error:
            self._fail(opened, error)
        except Exception as error:  # noqa: BLE001 -- told to who calls next; the cause is logged
            _log.exception("opening failed")
            self._fail(opened, SkepError(reason=f"{type(error).__name__}: {error}"))

    async def _until_unused(self) -> None:
        """Return at the end, or when nobody has called for long enough."""
        while not self._ending.is_set():
            unused = time.monotonic() - self._used
            if self._idle_seconds and not self._calls and unused >= self._idle_seconds:
                return
            pause = max(self._idle_seconds - unused, _LOOK_SECONDS) if self._idle_seconds else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()

    @staticmethod
    def _fail(opened: asyncio.Future[Skep], error: SkepError) -> None:
        event(_log, logging.WARNING, "not ready", reason=str(error))
        if not opened.done():
            opened.set_exception(error)
            # Nobody may be waiting; the next call tries again.
            opened.exception()
