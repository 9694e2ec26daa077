"""Taking away: tombstones, erasing for good, and collecting what nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from skep.errors import SkepError
from skep.knowledge.interfaces import DocumentNotFoundError
from skep.knowledge.models import RemovalReport
from skep.knowledge.sources import can_be_stored
from skep.knowledge.storing import lock_collection, queries, remove_documents
from skep.store import Connection, Database

_BATCH_DOCUMENTS = 1_000

FORGET_FOLLOWERS = timedelta(days=7)
"""A follower that was not seen for so long does not hold the change log back; when it returns it rebuilds."""

KEEP_CHANGES = timedelta(minutes=15)
"""The change log is kept for so long in any case: who is told of changes may have been away for a moment."""


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
    if path is not None and not can_be_stored(path):
        raise DocumentNotFoundError(collection=collection, path=path)
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

    Every follower of the collection, on any machine, finds itself left behind and builds its files anew. An index run
    that read one of them before does not put it back. What stays in the files of the database is left to `scrub`.

    Raises DocumentNotFoundError when nothing, living or deleted, is there.
    """
    if not can_be_stored(path):
        raise DocumentNotFoundError(collection=collection, path=path)
    bound = {"project_id": project_id, "collection_id": collection_id, "path": path}
    async with _all_contents(database, project_id) as connection:
        await lock_collection(connection, project_id, collection_id)
        cursor = await connection.execute(queries["fetch_documents_to_purge"], bound)
        rows = [_DocumentRow(*row) for row in await cursor.fetchall()]
        if not rows:
            raise DocumentNotFoundError(collection=collection, path=path)
        documents = bound | {"document_ids": [row.document_id for row in rows]}
        versions = await _count(connection, "count_versions", documents)
        await connection.execute(queries["insert_purge"], bound | {"whole": False})
        await connection.execute(queries["clear_change_log"], bound | {"now_ns": time.time_ns()})
        await connection.execute(queries["erase_documents"], documents)
        chunks, blobs = await _collect_contents(connection, project_id)
    return RemovalReport(collection=collection, documents=len(rows), versions=versions, chunks=chunks, blobs=blobs)


async def purge_collection(
    database: Database, *, project_id: int, collection_id: int, collection: str
) -> RemovalReport:
    """Erase a whole collection, and contents that no other collection of the project has.

    Its followers' folders are left to `sweep`, on each machine, and what stays in the database's files to `scrub`.
    """
    bound = {"project_id": project_id, "collection_id": collection_id}
    async with _all_contents(database, project_id) as connection:
        documents = await _count(connection, "count_collection_documents", bound)
        versions = await _count(connection, "count_collection_versions", bound)
        await connection.execute(queries["insert_purge"], bound | {"whole": True})
        await connection.execute(queries["delete_collection"], bound)
        chunks, blobs = await _collect_contents(connection, project_id)
    return RemovalReport(collection=collection, documents=documents, versions=versions, chunks=chunks, blobs=blobs)


async def expire(database: Database, *, project_id: int, collection_id: int, keep: timedelta) -> int:
    """Delete versions that were removed longer than ``keep`` ago, and what only they had; returns how many.

    Also shortens the change log to what living followers still need.
    """
    bound = {"project_id": project_id, "collection_id": collection_id, "keep": keep}
    kept = {"forget_followers": FORGET_FOLLOWERS, "keep_changes": KEEP_CHANGES}
    await database.execute(queries["prune_change_log"], bound | kept)
    # Nearly always there is nothing, and then nobody who is storing contents has to wait for us.
    ((has_expired,),) = await database.fetch_tuples(queries["has_expired_versions"], bound)
    if not has_expired:
        return 0
    async with _all_contents(database, project_id) as connection:
        expired = (await connection.execute(queries["expire_versions"], bound)).rowcount
        await connection.execute(queries["expire_documents"], bound)
        await _collect_contents(connection, project_id)
    return expired


async def expire_project(database: Database, *, project_id: int, keep: timedelta) -> None:
    """`expire` for every collection of a project that has something to expire, whoever indexed it last."""
    bound = {"project_id": project_id, "keep": keep}
    for (collection_id,) in await database.fetch_tuples(queries["fetch_expired_collections"], bound):
        await expire(database, project_id=project_id, collection_id=collection_id, keep=keep)


async def expire_everywhere(database: Database, *, keep: timedelta) -> None:
    """`expire` for every collection of every project, also those that nobody indexes any more."""
    failures: list[SkepError] = []
    for project_id, collection_id in await database.fetch_tuples(queries["fetch_collection_ids"]):
        try:
            await expire(database, project_id=project_id, collection_id=collection_id, keep=keep)
        except SkepError as error:  # one must not keep the others from it
            failures.append(error)
    if failures:
        raise failures[0]


@asynccontextmanager
async def _all_contents(database: Database, project_id: int) -> AsyncIterator[Connection]:
    """A transaction in which versions may be deleted and contents collected: nobody else stores contents meanwhile.

    Taken before any collection's lock, as in `store_files`; the other way round two transactions could wait for each
    other. A version may only be deleted under this lock, since somebody may be copying its passages.
    """
    async with database.transaction() as connection:
        await connection.execute(queries["lift_statement_timeout"])
        await connection.execute(queries["lock_contents"], {"project_id": project_id})
        yield connection


async def _collect_contents(connection: Connection, project_id: int) -> tuple[int, int]:
    """Delete passages and original bytes that nothing refers to; returns how many of each."""
    bound = {"project_id": project_id}
    chunks = (await connection.execute(queries["collect_chunks"], bound)).rowcount
    blobs = (await connection.execute(queries["collect_blobs"], bound)).rowcount
    await connection.execute(queries["collect_embeddings"], bound)
    return chunks, blobs


async def _count(connection: Connection, name: str, bound: Mapping[str, object]) -> int:
    row = await (await connection.execute(queries[name], bound)).fetchone()
    return int(row[0]) if row else 0
