"""The server's Skep: opened in the background, again and again until it works, and asked whether it is ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

from skep.access import STALE_SECONDS, Principal
from skep.app import Skep
from skep.errors import SkepError
from skep.gateway import Gateway
from skep.observe import event
from skep.server.interfaces import NotReadyError, ServerStoppingError
from skep.store import DatabaseUnavailableError, ensure_schema

OpenSkep = Callable[[], AbstractAsyncContextManager[Skep]]

OpenGateway = Callable[[Skep], AbstractAsyncContextManager[Gateway]]

Probe = Callable[[], AbstractAsyncContextManager[object]]
"""Connects to the database once, anew; raises the reason when that fails."""

_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
_ANSWER_SECONDS = 2.0
"""A database that takes longer for one small statement is not one to send people to."""

_GLANCE_SECONDS = 0.3
"""For a look at one that is known to be away."""

_LOOK_SECONDS = 0.5
_FIRST_SECONDS = 5.0
"""How long a request waits for the first attempt; mostly it takes a tenth of a second."""

_log = logging.getLogger(__name__)


class Opening:
    """Holds the opened Skep from `hold` to the end of the process. ``where`` says for people which database it needs."""

    def __init__(
        self, open_skep: OpenSkep, probe: Probe, open_gateway: OpenGateway, *, where: str = "the database"
    ) -> None:
        self._open_skep = open_skep
        self._probe = probe
        self._open_gateway = open_gateway
        self._skep: Skep | None = None
        self._gateway: Gateway | None = None
        self._where = where
        self._reason = f"it has just started, and {where} has not answered yet"
        self._ending = asyncio.Event()
        self._closing = asyncio.Event()
        self._away: str | None = None
        self._watching: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[object] | None = None
        """What opens, until everything is open."""
        self.tried = asyncio.Event()
        """Set when the first attempt has ended, however."""

    @property
    def skep(self) -> Skep:
        """The opened Skep. Raises NotReadyError with the reason of the last attempt."""
        if self._skep is None:
            raise NotReadyError(what="Skep", reason=self._reason)
        return self._skep

    @property
    def gateway(self) -> Gateway:
        """The opened gateway. Raises NotReadyError with the reason of the last attempt."""
        if self._gateway is None:
            raise NotReadyError(what="Skep", reason=self._reason)
        return self._gateway

    def recall(self, key: str) -> Principal | None:
        """Who has a key that was authenticated a moment ago, without waiting for anything; None when that must be asked.

        While the database is away a moment is longer: calls of models go on then, as far as what is leased lasts.
        """
        if self._skep is None:
            return None
        if self._away is None:
            return self._skep.access.recall(key)
        return self._skep.access.recall(key, within_seconds=STALE_SECONDS)

    async def authenticate(self, key: str) -> Principal:
        """Who has a key. Raises what `Access.authenticate` raises, and NotReadyError.

        Every request comes through here, so it is here that a database that went away is noticed: one request finds
        out, the others are told at once instead of waiting in line for a connection.
        """
        await self._first_attempt()
        access = self.skep.access
        if self._away is None:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await access.authenticate(key)
            except (TimeoutError, DatabaseUnavailableError):
                await self._look()
        if self._away is not None:
            # Also for the request that found out: its key was known a moment ago.
            known = self.recall(key)
            if known is not None:
                return known
            raise NotReadyError(what="Skep", reason=self._away)
        # It was only slow, or has just been replaced.
        return await access.authenticate(key)

    @property
    def is_open(self) -> bool:
        """Whether there is a Skep and a gateway."""
        return self._gateway is not None

    def begin_end(self) -> None:
        """The server is about to stop: nothing new is let in, and answers without an end of their own end now."""
        self._ending.set()

    def stop_calls(self) -> None:
        """Break off the calls of models that are still under way."""
        if self._gateway is not None:
            self._gateway.stop_calls()

    def end(self) -> None:
        """Let `hold` close everything."""
        self._ending.set()
        self._closing.set()
        if self._trying is not None:
            # A database that does not answer is not waited for any more.
            self._trying.cancel()

    @property
    def ending(self) -> asyncio.Event:
        """Set when the server is about to stop, see `begin_end`."""
        return self._ending

    @property
    def closing(self) -> asyncio.Event:
        """Set when everything is closed, after what was under way has ended."""
        return self._closing

    async def hold(self) -> None:
        """Open, keep open until `end`, close."""
        failures = 0
        while not self._closing.is_set():
            self._trying = asyncio.current_task()
            try:
                async with self._open_skep() as skep, self._open_gateway(skep) as gateway:
                    self._trying = None
                    self._skep, self._gateway = skep, gateway
                    self.tried.set()
                    event(_log, logging.INFO, "ready", database=skep.database.where)
                    warming = asyncio.create_task(skep.knowledge.warm_up(), name="skep-warm-up")
                    await self._closing.wait()
                    warming.cancel()
                    self._skep = self._gateway = None
                    if self._watching is not None:
                        self._watching.cancel()
            except SkepError as error:
                self._note(str(error))
            except Exception as error:  # noqa: BLE001 -- a server that goes on trying; the cause is logged
                _log.exception("opening failed")
                self._note(f"{type(error).__name__}: {error}")
            except asyncio.CancelledError:
                if self._trying is None or not self._closing.is_set():
                    raise
                return
            else:
                return
            finally:
                self._trying = None
            await self._pause(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
            failures += 1

    async def check(self) -> None:
        """Return when the database answers and has the schema of this code; an older schema is brought up to date.

        Raises NotReadyError, ServerStoppingError, or the error of the store that says why not.
        """
        if self._ending.is_set():
            raise ServerStoppingError
        await self._first_attempt()
        database = self.skep.database
        await self._glance()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await ensure_schema(database)
        except (TimeoutError, DatabaseUnavailableError) as error:
            await self._look()
            slow = f"the database at {database.where} took longer than {_ANSWER_SECONDS:g} s"
            raise NotReadyError(what="Skep", reason=self._away or str(error) or slow) from error

    async def _glance(self) -> None:
        """Look shortly at a database that is known to be away: who hears that we are ready must find us so. Raises NotReadyError.

        Its return is watched for with more patience; who asks whether we are ready gives us a second, as a rule.
        """
        away = self._away
        if away is not None:
            if await self._reason_away(_GLANCE_SECONDS) is not None:
                raise NotReadyError(what="Skep", reason=away)
            self._away = None

    async def _look(self) -> None:
        """Find out whether the database is away, and why; if it is, have its return watched for."""
        self._away = await self._reason_away()
        if self._away is not None and (self._watching is None or self._watching.done()):
            event(_log, logging.WARNING, "database away", reason=self._away)
            self._watching = asyncio.create_task(self._watch_for_return(), name="skep-database-return")

    async def _watch_for_return(self) -> None:
        while self._away is not None and not self._closing.is_set():
            await self._pause(_LOOK_SECONDS)
            self._away = await self._reason_away()
        event(_log, logging.INFO, "database back")

    async def _reason_away(self, seconds: float = _ANSWER_SECONDS) -> str | None:
        """Why a new connection cannot be made; None when it can. The pool's own would not say."""
        try:
            async with asyncio.timeout(seconds), self._probe():
                return None
        except TimeoutError:
            return f"no connection to {self._where} could be made within {seconds:g} s"
        except SkepError as error:
            return str(error)

    async def _first_attempt(self) -> None:
        """Let a request wait while this process, just started beside others that are ready, opens its Skep."""
        if not self.tried.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await self.tried.wait()

    def _note(self, reason: str) -> None:
        if reason != self._reason:
            event(_log, logging.WARNING, "not ready", reason=reason)
        self._reason = reason
        self.tried.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
