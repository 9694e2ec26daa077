"""What was cleared: every process on the database knows within a moment, and what was kept before counts no more.

A clearing is a number that grows, under a name (a project's whole, a model, a tag). An answer is kept with the numbers that its names
had when it was asked for; it is given only while they are the same. So nothing need be deleted anywhere, whichever store keeps it, and a
process that is late keeps nothing that others would give.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from skep.access import Principal, require_role
from skep.errors import UnavailableError
from skep.gateway.caching.entries import WHOLE_PROJECT
from skep.gateway.configuring import LONGEST_CACHE_SECONDS
from skep.observe import event
from skep.store import Database, Queries

TRUSTED_SECONDS = 30.0
"""Without word from the database for so long, nothing is given: something may have been cleared. As long as keys live without it."""

_READ_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
_REMEMBERED_SECONDS = 2 * LONGEST_CACHE_SECONDS

_queries = Queries("skep.gateway")
_log = logging.getLogger(__name__)


class Clearings:
    """The numbers, as this process last heard."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.installation = ""
        """Which database this is; empty as long as it is not known. A Redis may be shared with others."""
        self._epochs: dict[tuple[int, str], int] = {}
        self._known_at: float | None = None
        self._changed = asyncio.Event()
        self._is_away = False

    def epochs(self, project_id: int, names: Iterable[str]) -> dict[str, int] | None:
        """The numbers of the names; None when they are not known well enough."""
        if self._known_at is None or time.monotonic() - self._known_at > TRUSTED_SECONDS:
            return None
        found = self._epochs
        return {name: found.get((project_id, name), 0) for name in names}

    def changed(self) -> None:
        """Something was cleared, or may have been: read anew, soon."""
        self._changed.set()

    async def keep_reading(self) -> None:
        """Read now, when something changes and every few seconds (some poolers lose notifications), until cancelled."""
        while True:
            self._changed.clear()
            pause = _READ_SECONDS if await self._read() else _AGAIN_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _read(self) -> bool:
        began = time.monotonic()
        try:
            ((self.installation,),) = await self._database.fetch_tuples(_queries["fetch_cache_installation"])
            rows = await self._database.fetch_tuples(_queries["fetch_clearings"])
        except UnavailableError as error:
            if not self._is_away:
                event(_log, logging.WARNING, "answers that are kept wait for the database", reason=str(error))
            self._is_away = True
            return False
        self._epochs = {(project_id, name): epoch for project_id, name, epoch in rows}
        self._known_at = began
        self._is_away = False
        return True


async def clear(database: Database, principal: Principal, *, tags: Iterable[str], models: Iterable[str]) -> list[str]:
    """Have no kept answer of the principal's project given any more that has one of the tags, or is of one of the models.

    Without both: none at all. Needs the role ``admin``. The names that were cleared. Raises an UnavailableError.
    """
    require_role(principal, "admin")
    names = sorted({*(f"tag:{tag}" for tag in tags), *(f"model:{model}" for model in models)}) or [WHOLE_PROJECT]
    bound = {"project_id": principal.project_id, "names": names, "seconds": _REMEMBERED_SECONDS}
    await database.fetch_tuples(_queries["clear_answers"], bound)
    event(_log, logging.INFO, "kept answers cleared", names=", ".join(names), project=principal.project_name)
    return names
