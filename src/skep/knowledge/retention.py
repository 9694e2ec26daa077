"""Taking away: tombstones, erasing for good, and collecting what nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from skep.knowledge.interfaces import DocumentNotFoundError
from skep.knowledge.models import RemovalReport
from skep.knowledge.storing import append_changes, lock_collection, queries, remove_documents
from skep.store import Connection, Database

_BATCH_DOCUMENTS = 1_000

FORGET_FOLLOWERS = timedelta(days=7)
"""A follower that was not seen for so long does not hold the change log back; when it returns it rebuilds."""


@dataclass(frozen=True, slots=True)
class _DocumentRow:
    document_id: int
    path: str
    version_id: int | None


async def forget_documents(
    database: Database, *, project_id: int, collection_id: int, collection: str, path: str | None
) -> RemovalReport:
    """Give tombstones to the document at ``path``, all below it, or (None) all of the collection.

    They are not findable from the moment this commits; their versions are kept for the retention time.
    Raises DocumentNotFoundError when nothing living is there.
    """
    bound = {"project_id": project_id, "collection_id": collection_id, "path": path}
    rows = await database.fetch_all(_DocumentRow, queries["fetch_documents_matching"], bound)
    if not rows and path is not None:
        raise DocumentNotFoundError(collection=collection, path=path)
    removed = 0
    for start in range(0, len(rows), _BATCH_DOCUMENTS):
        batch = rows[start : start + _BATCH_DOCUMENTS]
        removed += await remove_documents(
            database,
            project_id=project_id,
            collection_id=collection_id,
            documents=[(row.document_id, row.version_id) for row in batch if row.version_id is not None],
            observed_ns=time.time_ns(),
        )
    return RemovalReport(collection=collection, documents=removed, versions=0, chunks=0, blobs=0)


async def purge_documents(
    database: Database, *, project_id: int, collection_id: int, collection: str, path: str
) -> RemovalReport:
    """Erase the document at ``path`` and all below it with every version, and contents that nothing else has.

    Raises DocumentNotFoundError when nothing, living or deleted, is there.
    """
    bound = {"project_id": project_id, "collection_id": collection_id, "path": path}
    async with database.transaction() as connection:
        last_seq = await lock_collection(connection, project_id, collection_id)
        cursor = await connection.execute(queries["fetch_documents_to_purge"], bound)
        rows = [_DocumentRow(*row) for row in await cursor.fetchall()]
        if not rows:
            raise DocumentNotFoundError(collection=collection, path=path)
        documents = bound | {"document_ids": [row.document_id for row in rows]}
        versions = await _count(connection, "count_versions", documents)
        changes = [(row.version_id, "removed") for row in rows if row.version_id is not None]
        await append_changes(connection, project_id, collection_id, last_seq, changes)
        await connection.execute(queries["erase_documents"], documents)
    chunks, blobs = await collect_contents(database, project_id)
    await _scrub(database)
    return RemovalReport(collection=collection, documents=len(rows), versions=versions, chunks=chunks, blobs=blobs)


async def purge_collection(
    database: Database, *, project_id: int, collection_id: int, collection: str
) -> RemovalReport:
    """Erase a whole collection, and contents that no other collection of the project has."""
    bound = {"project_id": project_id, "collection_id": collection_id}
    async with database.transaction() as connection:
        documents = await _count(connection, "count_collection_documents", bound)
        versions = await _count(connection, "count_collection_versions", bound)
        await connection.execute(queries["delete_collection"], bound)
    chunks, blobs = await collect_contents(database, project_id)
    await _scrub(database)
    return RemovalReport(collection=collection, documents=documents, versions=versions, chunks=chunks, blobs=blobs)


async def expire(database: Database, *, project_id: int, collection_id: int, keep: timedelta) -> int:
    """Delete versions that were removed longer than ``keep`` ago, and what only they had; returns how many.

    Also shortens the change log to what living followers still need.
    """
    bound = {"project_id": project_id, "collection_id": collection_id}
    await database.execute(queries["prune_change_log"], bound | {"forget_followers": FORGET_FOLLOWERS})
    expired = await database.execute(queries["expire_versions"], bound | {"keep": keep})
    if expired:
        await database.execute(queries["expire_documents"], bound)
        await collect_contents(database, project_id)
    return expired


async def collect_contents(database: Database, project_id: int) -> tuple[int, int]:
    """Delete passages and original bytes that nothing refers to; returns how many of each."""
    bound = {"project_id": project_id}
    async with database.transaction() as connection:
        await connection.execute(queries["lock_contents"], bound)
        chunks = (await connection.execute(queries["collect_chunks"], bound)).rowcount
        blobs = (await connection.execute(queries["collect_blobs"], bound)).rowcount
    return chunks, blobs


async def _scrub(database: Database) -> None:
    # Deleted rows stay in PostgreSQL's files until vacuumed; erasing for good must not wait for autovacuum.
    for name in ("vacuum_chunks", "vacuum_blobs", "vacuum_symbols"):
        await database.execute(queries[name])


async def _count(connection: Connection, name: str, bound: Mapping[str, object]) -> int:
    row = await (await connection.execute(queries[name], bound)).fetchone()
    return int(row[0]) if row else 0
