"""How the folders of a project are watched, as the watchers themselves have noted it."""

from __future__ import annotations

from dataclasses import dataclass

from skep.knowledge.models import WatchStatus
from skep.knowledge.storing import queries
from skep.store import Database

BEAT_SECONDS = 60.0
"""How often a watcher notes that it is still there."""

SILENT_SECONDS = 2.5 * BEAT_SECONDS
"""A watcher that was not heard of for so long is gone."""


@dataclass(frozen=True, slots=True)
class _WatchRow:
    source_id: int
    method: str
    notice: str
    lag_ms: float | None
    looks: int
    silent_seconds: float


async def fetch_watches(database: Database, project_id: int) -> dict[int, WatchStatus]:
    """The folders that are watched now, on whichever machine, by the number of the source."""
    rows = await database.fetch_all(_WatchRow, queries["fetch_watches"], {"project_id": project_id})
    return {
        row.source_id: WatchStatus(row.method, row.notice, row.lag_ms, row.looks)
        for row in rows
        if row.silent_seconds < SILENT_SECONDS
    }
