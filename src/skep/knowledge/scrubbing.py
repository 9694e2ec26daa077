"""Getting the bytes of what was purged out of the files of the database."""

from __future__ import annotations

import asyncio

from skep.knowledge.storing import queries
from skep.store import Database, DatabaseBusyError

_TABLES = (
    "vacuum_chunks",
    "vacuum_blobs",
    "vacuum_placements",
    "vacuum_embeddings",
    "vacuum_symbols",
    "vacuum_mentions",
    "vacuum_versions",
    "vacuum_documents",
)

_LOCK_WAIT_MS = 2_000
"""Writing a table anew needs it alone, and whoever comes while it waits for that has to wait too: so never for long."""

_PAUSE_SECONDS = 1.0

ATTEMPTS = 5
"""How often a purge tries: 15 s, if somebody reads all the time (a backup, say)."""


async def scrub(database: Database, *, attempts: int = ATTEMPTS) -> bool:
    """Write the tables that hold contents anew, if something was purged since that was last done.

    False when a table was in use all the time, or what was erased could still be seen by an older statement, with which it
    would be taken along: then the next call has to do it. The write-ahead log may have the bytes until it is recycled,
    and so may backups.
    """
    purges = [row[0] for row in await database.fetch_tuples(queries["fetch_unscrubbed"])]
    if not purges:
        return True
    left = list(_TABLES)
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(_PAUSE_SECONDS)
        if await database.fetch_tuples(queries["fetch_onlookers"], {"purge_ids": purges}):
            continue
        if await _write_anew(database, left):
            await database.execute(queries["note_scrubbed"], {"purge_ids": purges})
            await database.execute(queries["delete_purges"])
            return True
    return False


async def _write_anew(database: Database, left: list[str]) -> bool:
    """Write tables anew and strike them off the list; False when one was in use for too long."""
    try:
        async with database.patient_connection() as connection:
            await connection.execute(queries["limit_lock_wait"], {"milliseconds": _LOCK_WAIT_MS})
            await connection.execute(queries["give_vacuum_memory"])
            try:
                while left:
                    await connection.execute(queries[left[0]])
                    left.pop(0)
            finally:
                if not connection.closed:
                    await connection.execute(queries["reset_lock_wait"])
                    await connection.execute(queries["reset_vacuum_memory"])
    except DatabaseBusyError:
        return False
    return True
