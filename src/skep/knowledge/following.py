"""The driver of the lexical follower: reads the change log, writes this machine's Tantivy folder, and tells how far it came."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from skep.knowledge.interfaces import CollectionGoneError, LexicalBusyError, ReportNotice
from skep.knowledge.lexical import (
    LexicalDocument,
    LexicalIndex,
    LexicalIndexError,
    LexicalLockedError,
    LexicalMissingError,
    LexicalWriter,
)
from skep.knowledge.models import Kind
from skep.knowledge.storing import queries
from skep.store import Database

FOLLOWER_KIND = "lexical"

_PAGE_VERSIONS = 200
"""Versions read from the database at a time, if they are small."""

_PAGE_PASSAGES = 4_000
"""Passages read from the database at a time, unless a single version has more: a few MB, with the lists around it 20."""

_COMMIT_PASSAGES = 20_000
"""Passages between two commits of a long run: a commit makes a segment, and many small ones cost time to merge."""

REBUILD_DELETED_SHARE = 0.2
"""Deleted passages stay in BM25's statistics until merged away; from this share on the index is built anew."""

_REBUILD_MINIMUM = 1_000
"""Passages below which the share of deleted ones is not worth a rebuild."""

_LEFT_BEHIND = "it was left behind: the change log no longer reaches back to it"


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A collection as its followers need it."""

    collection_id: int
    uid: str
    name: str
    last_seq: int
    pruned_seq: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A findable version and the file it belongs to."""

    version_id: int
    path: str
    language: str
    kind: Kind
    modified_at: int
    chunks: int


@dataclass(frozen=True, slots=True)
class _ChangeRow:
    seq: int
    change: str
    version_id: int
    path: str | None
    language: str | None
    kind: Kind | None
    modified_at: int | None
    chunks: int | None


class LexicalFollower:
    """Keeps the lexical indexes of one machine (``node``), one folder per collection below ``folder``."""

    def __init__(self, database: Database, folder: Path, node: str, notice: ReportNotice) -> None:
        self._database = database
        self._folder = folder
        self._node = node
        self._notice = notice

    def folder_of(self, collection: CollectionRow) -> Path:
        """Where a collection's index is. Named by the uid, so that another database never meets this one's folders."""
        return self._folder / collection.uid

    async def fetch(self, project_id: int, collection_id: int) -> CollectionRow:
        """The collection's present state. Raises CollectionGoneError when it was purged."""
        row = await self._database.fetch_one(
            CollectionRow, queries["fetch_collection"], {"project_id": project_id, "collection_id": collection_id}
        )
        if row is None:
            raise CollectionGoneError(collection_id=collection_id)
        return row

    async def catch_up(self, project_id: int, collection_id: int, *, timeout_seconds: float) -> int:
        """Apply everything that is committed; the number of the last change applied.

        A missing, damaged, outdated or left-behind index is built anew from the placements, and that is noticed aloud.
        Raises LexicalBusyError when another process holds the writer's lock for longer than ``timeout_seconds``.
        """
        async with self.following(project_id, collection_id, timeout_seconds=timeout_seconds) as advance:
            return await advance(True)

    async def ensure_current(self, project_id: int, collection_id: int, *, timeout_seconds: float) -> None:
        """`catch_up`, but without asking for the writer when there is nothing to apply."""
        collection = await self.fetch(project_id, collection_id)
        if not await asyncio.to_thread(_is_current, self.folder_of(collection), collection):
            await self.catch_up(project_id, collection_id, timeout_seconds=timeout_seconds)

    async def mend(self, collection: CollectionRow, project_id: int, damage: str) -> None:
        """Build an index anew that opened well and turned out to be damaged when it was read. Raises LexicalBusyError."""
        async with self.following(project_id, collection.collection_id, timeout_seconds=0, rebuild=damage) as advance:
            await advance(True)

    @asynccontextmanager
    async def following(
        self, project_id: int, collection_id: int, *, timeout_seconds: float, rebuild: str | None = None
    ) -> AsyncIterator[Callable[[bool], Awaitable[int]]]:
        """Hold the writer for a while. The function lent applies what is new; with True it also makes it visible.

        With ``rebuild`` (why, or an empty text) the index is built anew in any case.
        """
        collection = await self.fetch(project_id, collection_id)
        session = _Session(self._database, self.folder_of(collection), project_id, collection_id, timeout_seconds)

        async def advance(settle: bool) -> int:
            now = await self.fetch(project_id, collection_id)
            try:
                applied = await session.advance(now.last_seq, settle=settle)
            except _LeftBehind:
                # The log was shortened, here or on another machine, before it knew that we still need it.
                now = await self.fetch(project_id, collection_id)
                await session.build_anew(now, self._notice, reason=_LEFT_BEHIND)
                applied = now.last_seq
            if settle:
                bound = {"project_id": project_id, "collection_id": collection_id, "node": self._node}
                applied_now = {"kind": FOLLOWER_KIND, "applied_seq": applied}
                await self._database.execute(queries["upsert_follower"], bound | applied_now)
            return applied

        try:
            await session.acquire(collection.name)
            # Only the holder of the lock sees an index that nobody changes; what the database says must be younger still.
            await session.start(await self.fetch(project_id, collection_id), self._notice, reason=rebuild)
            yield advance
        finally:
            await session.close()


class _LeftBehind(Exception):  # noqa: N818 -- a signal between the two classes of this module, never seen outside
    """The change log no longer has what comes next."""


class _Session:
    """One stretch of writing: with a writer on the index as it is, or on one built anew, and the position in the log."""

    def __init__(
        self, database: Database, folder: Path, project_id: int, collection_id: int, timeout_seconds: float
    ) -> None:
        self._database = database
        self._folder = folder
        self._bound = {"project_id": project_id, "collection_id": collection_id}
        self._timeout_seconds = timeout_seconds
        self._writer = LexicalWriter(folder)
        self._is_new = False
        self._seq = 0
        self._pending = 0

    async def acquire(self, collection_name: str) -> None:
        """Become the one who writes. Raises LexicalBusyError."""
        self._is_new = not await asyncio.to_thread(self._folder.exists)
        self._writer = LexicalWriter(self._folder, timeout_seconds=self._timeout_seconds)
        try:
            await asyncio.to_thread(self._writer.acquire)
        except LexicalLockedError as error:
            raise LexicalBusyError(collection=collection_name, seconds=self._timeout_seconds) from error

    async def start(self, collection: CollectionRow, notice: ReportNotice, *, reason: str | None) -> None:
        """Go on with the index as it is, if it can be; else, or with a reason, build it anew."""
        if reason is None:
            reason = await asyncio.to_thread(_reason_to_rebuild, self._folder, collection, is_new=self._is_new)
        if reason is None:
            try:
                await asyncio.to_thread(self._writer.open, rebuild=False)
            except LexicalIndexError as error:
                # It could be opened for reading a moment ago.
                await self.build_anew(collection, notice, reason=str(error))
            else:
                self._seq = self._writer.applied_seq
        else:
            await self._build(collection, notice, reason)

    async def build_anew(self, collection: CollectionRow, notice: ReportNotice, *, reason: str) -> None:
        """Give up the index that was begun with, and build it from the placements. Raises LexicalBusyError."""
        await self.close()
        await self.acquire(collection.name)
        await self._build(collection, notice, reason)

    async def _build(self, collection: CollectionRow, notice: ReportNotice, reason: str) -> None:
        """Without a word when there was none to lose: then the reason is empty."""
        if reason:
            notice(f"The lexical index of {collection.name} is built anew: {reason}")
        await asyncio.to_thread(self._writer.open, rebuild=True)
        await self._rebuild(collection.last_seq)

    async def close(self) -> None:
        """Give up what is not committed, and the writer."""
        await asyncio.to_thread(self._writer.close)

    async def _rebuild(self, seq: int) -> None:
        """Build the index from the placements. ``seq`` was read before them.

        What commits meanwhile is applied again later, which changes nothing, since adding a version first removes it.
        """
        after = 0
        while True:
            rows = await self._database.fetch_all(
                VersionRow, queries["fetch_live_versions"], self._bound | {"after": after, "limit": _PAGE_VERSIONS}
            )
            if not rows:
                break
            page = rows[: _page_end([row.chunks for row in rows])]
            await self._add(page)
            after = page[-1].version_id
        self._seq = seq
        await asyncio.to_thread(self._writer.commit, seq)
        await asyncio.to_thread(self._writer.publish)
        self._pending = 0

    async def advance(self, until: int, *, settle: bool) -> int:
        """Apply the changes up to ``until``; visible when enough have come together, or at once with ``settle``.

        Raises _LeftBehind when the log no longer has them.
        """
        while self._seq < until:
            rows = await self._database.fetch_all(
                _ChangeRow,
                queries["fetch_changes"],
                self._bound | {"after": self._seq, "until": until, "limit": _PAGE_VERSIONS},
            )
            # Numbers are given without gaps, so that one that is missing was forgotten.
            if not rows or rows[0].seq != self._seq + 1:
                raise _LeftBehind
            page = rows[: _page_end([row.chunks or 0 for row in rows])]
            await self._apply(page)
            self._seq = page[-1].seq
            if self._pending >= _COMMIT_PASSAGES:
                await self._commit()
        if settle and self._seq != self._writer.applied_seq:
            await self._commit()
        return self._seq

    async def _apply(self, rows: Sequence[_ChangeRow]) -> None:
        removed = {row.version_id for row in rows if row.change == "removed"}
        added = [
            VersionRow(row.version_id, row.path, row.language, row.kind, row.modified_at or 0, row.chunks or 0)
            for row in rows
            # A version that is removed again within this page, or erased for good, need not be added first.
            if row.change == "added" and row.version_id not in removed
            if row.path is not None and row.language is not None and row.kind is not None
        ]
        if removed:
            await asyncio.to_thread(self._writer.remove, removed)
        await self._add(added)

    async def _add(self, versions: Sequence[VersionRow]) -> None:
        if not versions:
            return
        documents = await fetch_documents(self._database, self._bound["project_id"], versions)
        self._pending += await asyncio.to_thread(self._writer.add, documents)

    async def _commit(self) -> None:
        await asyncio.to_thread(self._writer.commit, self._seq)
        self._pending = 0


async def fetch_documents(database: Database, project_id: int, versions: Iterable[VersionRow]) -> list[LexicalDocument]:
    """The passages of versions as the lexical index takes them, each version's together and in order."""
    files = {version.version_id: version for version in versions}
    bound = {"project_id": project_id, "version_ids": list(files)}
    passages = await database.fetch_tuples(queries["fetch_passages"], bound)
    symbols = await database.fetch_tuples(queries["fetch_symbols"], bound)
    starts: dict[int, list[tuple[int, str]]] = {}
    for version_id, name, line in symbols:
        starts.setdefault(version_id, []).append((line, name))
    documents = []
    for version_id, ordinal, start_line, end_line, heading, symbol, text in passages:
        file = files[version_id]
        documents.append(
            LexicalDocument(
                version_id=version_id,
                ordinal=ordinal,
                path=file.path,
                language=file.language,
                kind=file.kind,
                modified_at=file.modified_at,
                text=text,
                heading=heading,
                defines=names_starting_in(starts.get(version_id, ()), start_line, end_line),
                symbol=symbol,
            )
        )
    return documents


def names_starting_in(starts: Sequence[tuple[int, str]], start_line: int, end_line: int) -> tuple[str, ...]:
    """The qualified names among ``(line, name)``, which are in order of lines, that start within the lines."""
    first = bisect_left(starts, start_line, key=_line)
    return tuple(name for _, name in starts[first : bisect_right(starts, end_line, lo=first, key=_line)])


_line = itemgetter(0)


def _page_end(passages: Sequence[int]) -> int:
    """How many of the versions with so many passages make a page: at least one."""
    total = 0
    for position, count in enumerate(passages):
        total += count
        if position and total > _PAGE_PASSAGES:
            return position
    return len(passages)


def is_behind(folder: Path, collection: CollectionRow) -> bool:
    """Whether there is an index that can be read and has not applied everything yet."""
    index = LexicalIndex(folder)
    try:
        index.open()
    except LexicalIndexError:
        return False
    try:
        return index.applied_seq < collection.last_seq
    finally:
        index.close()


def _is_current(folder: Path, collection: CollectionRow) -> bool:
    index = LexicalIndex(folder)
    try:
        index.open()
    except LexicalIndexError:
        return collection.last_seq == 0
    try:
        return index.applied_seq == collection.last_seq
    finally:
        index.close()


def _reason_to_rebuild(folder: Path, collection: CollectionRow, *, is_new: bool) -> str | None:
    """Why the index must be built anew: None when it need not, empty when there simply is none yet (``is_new``)."""
    index = LexicalIndex(folder)
    try:
        index.open()
    except LexicalMissingError:
        return "" if is_new or collection.last_seq == 0 else "its folder is empty"
    except LexicalIndexError as error:
        return str(error)
    try:
        if index.applied_seq > collection.last_seq:
            return "it is ahead of the database, which must have been restored from a backup"
        if index.applied_seq < collection.pruned_seq:
            return _LEFT_BEHIND
        if index.document_count > _REBUILD_MINIMUM and index.deleted_share >= REBUILD_DELETED_SHARE:
            return f"{index.deleted_share:.0%} of its passages were deleted"
        return None
    finally:
        index.close()
