"""Putting prepared files into the database: one transaction per batch, right also when others do the same."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skep.knowledge.edges import SEPARATOR, joined, symbol_family
from skep.knowledge.interfaces import CollectionGoneError
from skep.knowledge.preparing import PreparedFile
from skep.store import Connection, Database, Queries

queries = Queries("skep.knowledge")

_LAST_SECOND = 253_402_300_799
"""9999-12-31 23:59:59 UTC, the last that Python's and PostgreSQL's times share; files may claim to be from later."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a batch goes: the principal's project, one of its collections, and the folder the files came from."""

    project_id: int
    collection_id: int
    source_id: int
    chunker: str

    def bound(self, **more: object) -> dict[str, object]:
        """The parameters every statement takes, and ``more``."""
        return {
            "project_id": self.project_id,
            "collection_id": self.collection_id,
            "source_id": self.source_id,
            "chunker": self.chunker,
            **more,
        }


@dataclass(slots=True)
class StoreCounts:
    """What batches did, added up."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    chunks_new: int = 0
    chunks_placed: int = 0

    @property
    def chunks_reused(self) -> int:
        """Passages that stand in a new version but whose text was stored already."""
        return self.chunks_placed - self.chunks_new


@dataclass(frozen=True, slots=True)
class _Current:
    """A document's state inside the transaction, under the collection's lock."""

    document_id: int
    observed_ns: int
    version_id: int | None
    blob_sha256: bytes | None
    chunker: str | None
    language: str | None
    modified_at: int | None
    """Unix seconds; None like everything of a version that is not there."""


@dataclass(frozen=True, slots=True)
class LockedCollection:
    """A collection under its lock: the last number of its change log, and when documents of it were last purged."""

    last_seq: int
    purged_ns: int


@dataclass(frozen=True, slots=True)
class NotStored:
    """What a transaction had to leave out."""

    orphans: list[PreparedFile]
    """Were not cut because their content was stored, and it was collected meanwhile: to be cut and stored again."""
    outrun: list[PreparedFile]
    """Were read before somebody purged documents, and are none that survived it: to be looked for again."""


@dataclass(frozen=True, slots=True)
class _Donor:
    """A version whose passages another one with the same content may have."""

    version_id: int
    chunks: int


_SYMBOL_COLUMNS = (
    "version_ids",
    "ordinals",
    "names",
    "qualified_names",
    "kinds",
    "start_lines",
    "end_lines",
    "families",
)

Donors = dict[tuple[bytes, str], _Donor]
"""By the content's SHA-256 and language."""


@dataclass(slots=True)
class _Batch:
    """What a transaction is going to write."""

    touched: list[tuple[_Current, PreparedFile]] = field(default_factory=list)
    retimed: dict[int, int] = field(default_factory=dict)
    """Of touched ones, by the version: the second the file says it was changed in, where it is another one now."""
    new: list[PreparedFile] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)


async def store_files(
    database: Database, target: Target, files: Sequence[PreparedFile], counts: StoreCounts
) -> NotStored:
    """Store a batch of files, in one transaction; what comes back is not stored yet.

    The state of each document is read under the collection's lock, so that two indexers never double anything, and an
    observation older than the stored one changes nothing: a process that was stopped for an hour does no harm.
    (Unless the stored one is from the future: then the clock was set back, and it proves nothing.)
    """
    async with database.transaction() as connection:
        await connection.execute(queries["hold_contents"], target.bound())
        locked = await lock_collection(connection, target.project_id, target.collection_id)
        now_ns = time.time_ns()
        current = await _fetch_current(connection, target, [file.path for file in files])
        outrun = [file for file in files if file.path not in current and file.observed_ns <= locked.purged_ns <= now_ns]
        late = {file.path for file in outrun}
        files = [file for file in files if file.path not in late]
        donors = await _fetch_donors(connection, target, [file for file in files if file.reuses])
        orphans = [file for file in files if file.reuses and (file.sha256, file.language) not in donors]
        lost = {file.path for file in orphans}
        batch = _sort_out(target, (file for file in files if file.path not in lost), current, now_ns=now_ns)
        version_ids = await _reserve(connection, len(batch.new))
        await _write_contents(connection, target, batch.new, counts)
        document_ids = await _write_documents(connection, target, batch, version_ids)
        await _write_versions(connection, target, batch.new, version_ids, document_ids, donors)
        await _write_placements(connection, target, batch.new, version_ids, counts)
        await _write_mentions(connection, target, batch.new, version_ids, donors)
        await _clone(connection, target, batch.new, version_ids, donors, counts)
        await _retire(connection, target.bound(version_ids=batch.replaced))
        changes = [(version_id, "removed") for version_id in batch.replaced]
        # A version that is added once more is replaced in the indexes.
        changes += [(version_id, "added") for version_id in (*version_ids, *batch.retimed)]
        await append_changes(connection, target.project_id, target.collection_id, locked.last_seq, changes)
    counts.added += len(batch.new) - len(batch.replaced)
    counts.changed += len(batch.replaced)
    counts.unchanged += len(batch.touched)
    return NotStored(orphans, outrun)


async def remove_documents(
    database: Database,
    *,
    project_id: int,
    collection_id: int,
    documents: Sequence[tuple[int, int]],
    observed_ns: int,
) -> int:
    """Give tombstones to documents ``(document_id, version_id)``; returns how many got one.

    A document whose version is another one by now, or that was observed after ``observed_ns``, is left alone (but an
    observation from the future does not count, see `store_files`).
    """
    bound = {"project_id": project_id, "collection_id": collection_id, "observed_ns": observed_ns}
    async with database.transaction() as connection:
        locked = await lock_collection(connection, project_id, collection_id)
        cursor = await connection.execute(
            queries["delete_documents"],
            bound
            | {
                "now_ns": time.time_ns(),
                "document_ids": [document_id for document_id, _ in documents],
                "version_ids": [version_id for _, version_id in documents],
            },
        )
        version_of = dict(documents)
        removed = [version_of[row[0]] for row in await cursor.fetchall()]
        await _retire(connection, bound | {"version_ids": removed})
        changes = [(version_id, "removed") for version_id in removed]
        await append_changes(connection, project_id, collection_id, locked.last_seq, changes)
    return len(removed)


async def _retire(connection: Connection, bound: Mapping[str, object]) -> None:
    """Make versions ones that were: nothing leads to them any more."""
    if bound["version_ids"]:
        for name in ("retire_versions", "retire_symbols", "retire_mentions"):
            await connection.execute(queries[name], bound)


async def append_changes(
    connection: Connection,
    project_id: int,
    collection_id: int,
    last_seq: int,
    changes: Sequence[tuple[int, str]],
) -> None:
    """Number the changes after ``last_seq`` and write them; the caller holds the collection's lock."""
    if not changes:
        return
    await connection.execute(
        queries["insert_changes"],
        {
            "project_id": project_id,
            "collection_id": collection_id,
            "last_seq": last_seq,
            "version_ids": [version_id for version_id, _ in changes],
            "changes": [change for _, change in changes],
        },
    )
    await connection.execute(
        queries["advance_collection"],
        {"project_id": project_id, "collection_id": collection_id, "last_seq": last_seq + len(changes)},
    )


def _sort_out(target: Target, files: Iterable[PreparedFile], current: dict[str, _Current], *, now_ns: int) -> _Batch:
    """Decide for each file whether it is news. Pure."""
    batch = _Batch()
    for file in files:
        known = current.get(file.path)
        if known is not None and file.observed_ns < known.observed_ns <= now_ns:
            continue
        is_same = (
            known is not None
            and known.version_id is not None
            and known.blob_sha256 == file.sha256
            and known.chunker == target.chunker
            and known.language == file.language
        )
        if known is not None and known.version_id is not None and is_same:
            batch.touched.append((known, file))
            if known.modified_at != modified_second(file.stat.mtime_ns):
                batch.retimed[known.version_id] = modified_second(file.stat.mtime_ns)
            continue
        batch.new.append(file)
        if known is not None and known.version_id is not None:
            batch.replaced.append(known.version_id)
    return batch


def modified_second(mtime_ns: int) -> int:
    """When a file says it was changed, in unix seconds: what filters by time and the lexical index go by."""
    return min(max(0, mtime_ns // 1_000_000_000), _LAST_SECOND)


async def lock_collection(connection: Connection, project_id: int, collection_id: int) -> LockedCollection:
    """Take the collection's lock until the transaction ends.

    Raises CollectionGoneError when it was purged meanwhile.
    """
    bound = {"project_id": project_id, "collection_id": collection_id}
    row = await (await connection.execute(queries["lock_collection"], bound)).fetchone()
    if row is None:
        raise CollectionGoneError(collection_id=collection_id)
    return LockedCollection(*row)


async def _fetch_current(connection: Connection, target: Target, paths: list[str]) -> dict[str, _Current]:
    cursor = await connection.execute(queries["fetch_current_documents"], target.bound(paths=paths))
    return {row[0]: _Current(*row[1:]) for row in await cursor.fetchall()}


async def _fetch_donors(connection: Connection, target: Target, files: list[PreparedFile]) -> Donors:
    if not files:
        return {}
    sha256s = list({file.sha256 for file in files})
    cursor = await connection.execute(queries["fetch_donors"], target.bound(sha256s=sha256s))
    return {(row[0], row[1]): _Donor(row[2], row[3]) for row in await cursor.fetchall()}


async def _reserve(connection: Connection, count: int) -> list[int]:
    cursor = await connection.execute(queries["reserve_version_ids"], {"count": count})
    return [row[0] for row in await cursor.fetchall()]


async def _write_contents(
    connection: Connection, target: Target, files: list[PreparedFile], counts: StoreCounts
) -> None:
    # Sorted, because two transactions that insert the same keys in different orders would lock each other out.
    blobs = sorted({file.sha256: file for file in files if not file.reuses}.items())
    texts = sorted({chunk[0]: chunk[1] for file in files for chunk in file.chunks}.items())
    if blobs:
        await connection.execute(
            queries["insert_blobs"],
            target.bound(
                sha256s=[sha256 for sha256, _ in blobs],
                sizes=[file.size_bytes for _, file in blobs],
                deflateds=[file.deflated for _, file in blobs],
            ),
        )
    if texts:
        cursor = await connection.execute(
            queries["insert_chunks"],
            target.bound(sha256s=[sha256 for sha256, _ in texts], texts=[text for _, text in texts]),
        )
        counts.chunks_new += cursor.rowcount


async def _write_documents(
    connection: Connection, target: Target, batch: _Batch, version_ids: list[int]
) -> dict[str, int]:
    if batch.touched:
        await connection.execute(
            queries["touch_documents"],
            target.bound(
                document_ids=[known.document_id for known, _ in batch.touched],
                **_stat_columns([file for _, file in batch.touched]),
            ),
        )
    if batch.retimed:
        modified = target.bound(version_ids=list(batch.retimed), modified=list(batch.retimed.values()))
        await connection.execute(queries["retime_versions"], modified)
    if not batch.new:
        return {}
    cursor = await connection.execute(
        queries["upsert_documents"],
        target.bound(paths=[file.path for file in batch.new], version_ids=version_ids, **_stat_columns(batch.new)),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


def _stat_columns(files: list[PreparedFile]) -> dict[str, list[int]]:
    return {
        "sizes": [file.stat.size for file in files],
        "mtimes": [file.stat.mtime_ns for file in files],
        "ctimes": [file.stat.ctime_ns for file in files],
        "inodes": [file.stat.inode for file in files],
        "observed": [file.observed_ns for file in files],
    }


async def _write_versions(
    connection: Connection,
    target: Target,
    files: list[PreparedFile],
    version_ids: list[int],
    document_ids: dict[str, int],
    donors: Donors,
) -> None:
    await connection.execute(
        queries["insert_versions"],
        target.bound(
            version_ids=version_ids,
            document_ids=[document_ids[file.path] for file in files],
            sha256s=[file.sha256 for file in files],
            languages=[file.language for file in files],
            kinds=[file.kind for file in files],
            chunks=[donors[file.sha256, file.language].chunks if file.reuses else len(file.chunks) for file in files],
            modified=[modified_second(file.stat.mtime_ns) for file in files],
        ),
    )


async def _write_placements(
    connection: Connection, target: Target, files: list[PreparedFile], version_ids: list[int], counts: StoreCounts
) -> None:
    pairs = list(zip(version_ids, files, strict=True))
    placements = [
        (version_id, ordinal, sha256, start, end, heading, symbol, embedded)
        for version_id, file in pairs
        for ordinal, (sha256, _, start, end, heading, symbol, embedded) in enumerate(file.chunks)
    ]
    counts.chunks_placed += len(placements)
    columns = ("version_ids", "ordinals", "sha256s", "start_lines", "end_lines", "headings", "symbols", "input_sha256s")
    await _insert(connection, target, "insert_placements", columns, placements)
    symbols = [
        (version_id, ordinal, *symbol, symbol_family(file.mentions.family))
        for version_id, file in pairs
        for ordinal, symbol in enumerate(file.symbols)
    ]
    await _insert(connection, target, "insert_symbols", _SYMBOL_COLUMNS, symbols)


async def _write_mentions(
    connection: Connection, target: Target, files: list[PreparedFile], version_ids: list[int], donors: Donors
) -> None:
    rows = [
        (version_id, donors[file.sha256, file.language].version_id if file.reuses else None, *joined(file.mentions))
        for version_id, file in zip(version_ids, files, strict=True)
        if file.mentions.family
    ]
    columns = ("version_ids", "donor_ids", "families", "reaches", "modules", "subjects", "imports", "names")
    await _insert(connection, target, "insert_mentions", columns, rows, separator=SEPARATOR)


async def _clone(
    connection: Connection,
    target: Target,
    files: list[PreparedFile],
    version_ids: list[int],
    donors: Donors,
    counts: StoreCounts,
) -> None:
    clones = [
        (version_id, donors[file.sha256, file.language].version_id, symbol_family(file.mentions.family))
        for version_id, file in zip(version_ids, files, strict=True)
        if file.reuses
    ]
    if not clones:
        return
    bound = target.bound(version_ids=[new for new, *_ in clones], donor_ids=[donor for _, donor, _ in clones])
    cursor = await connection.execute(queries["clone_placements"], bound)
    counts.chunks_placed += cursor.rowcount
    await connection.execute(queries["clone_symbols"], bound | {"families": [family for *_, family in clones]})


async def _insert(
    connection: Connection,
    target: Target,
    name: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    **more: object,
) -> None:
    """Run a statement that takes rows as one array for each column, and ``more``."""
    if rows:
        arrays = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        await connection.execute(queries[name], target.bound(**arrays, **more))
