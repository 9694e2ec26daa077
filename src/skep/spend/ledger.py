"""What the ledger tells, and how it is kept in shape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from skep.access import Principal, require_role
from skep.spend.database_bank import queries
from skep.spend.interfaces import CallNotFoundError, ProcessNotReleasableError
from skep.spend.models import ProcessState, ReportLine
from skep.store import Database

ReportBy = Literal["model", "key", "user", "session", "tier", "provider", "outcome", "tag"]

DAYS_AHEAD = 3
"""Partitions that are made before their day comes."""

KEPT_WINDOW_DAYS = 40
"""Ended windows are kept for so long, for people who look back at a month."""

_MOST_LINES = 1000
_CLOCK_SKEW = timedelta(minutes=10)
_UUID7_VERSION = 7


class Ledger:
    """The calls that were made. Everything is bound to the principal's project; looking needs the role ``reader``."""

    def __init__(self, database: Database, *, retention_days: int = 400) -> None:
        self._database = database
        self._retention_days = retention_days

    async def report(
        self, principal: Principal, *, by: ReportBy, since: datetime, until: datetime | None = None
    ) -> list[ReportLine]:
        """What calls since then cost, by one of their properties, the dearest first; at most 1,000 lines.

        A call with several tags counts for each of them.
        """
        require_role(principal, "reader")
        return await self._database.fetch_all(
            ReportLine,
            queries["report_calls"],
            {
                "project_id": principal.project_id,
                "by": by,
                "since": since,
                "until": until or datetime.now(UTC) + _CLOCK_SKEW,
                "limit": _MOST_LINES,
            },
        )

    async def call(self, principal: Principal, call_id: str) -> dict[str, Any]:
        """One call with everything that the ledger knows of it. Raises CallNotFoundError."""
        require_role(principal, "reader")
        since, until = _around(call_id)
        bound = {"project_id": principal.project_id, "call_id": call_id, "from": since, "until": until}
        async with self._database.connection() as connection:
            cursor = await connection.execute(queries["fetch_call"], bound)
            row = await cursor.fetchone()
            names = [column.name for column in cursor.description or ()]
        if row is None:
            raise CallNotFoundError(call_id=call_id)
        return dict(zip(names, row, strict=True))

    async def processes(self, principal: Principal) -> list[ProcessState]:
        """Who holds leases."""
        require_role(principal, "reader")
        return await self._database.fetch_all(
            ProcessState, queries["fetch_processes"], {"project_id": principal.project_id}
        )

    async def release(self, principal: Principal, process_id: int) -> None:
        """Give back the leases of a process whose journal is lost. Its calls that are not in the ledger stay unknown.

        Raises ProcessNotReleasableError while it may live.
        """
        require_role(principal, "admin")
        bound = {"process_id": process_id}
        async with self._database.transaction() as connection:
            if await (await connection.execute(queries["lock_expired"], bound)).fetchone() is None:
                raise ProcessNotReleasableError(process_id=process_id)
            await connection.execute(queries["release_process"], bound)

    async def tidy(self) -> None:
        """A chore: make partitions ahead, drop those that are old, delete windows that ended long ago."""
        await self._database.fetch_tuples(queries["open_coming_days"], {"days": DAYS_AHEAD})
        await self._database.fetch_tuples(queries["drop_old_days"], {"days": self._retention_days})
        await self._database.execute(queries["delete_old_windows"], {"days": KEPT_WINDOW_DAYS})


def _around(call_id: str) -> tuple[datetime, datetime]:
    """When a call may have been made, by its id; a foreign id tells nothing. Raises CallNotFoundError for what is no id."""
    try:
        found = UUID(call_id)
    except ValueError:
        raise CallNotFoundError(call_id=call_id) from None
    if found.version != _UUID7_VERSION:
        return datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    made = datetime.fromtimestamp((found.int >> 80) / 1000, UTC)
    return made - _CLOCK_SKEW, made + timedelta(days=1)
