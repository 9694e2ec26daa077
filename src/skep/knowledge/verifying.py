"""Is what is stored what a build from scratch would give? Rebuilt from the original bytes, compared piece by piece."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from skep.knowledge.chunking import CHUNKER_VERSION, parse_file
from skep.knowledge.edges import joined, symbol_family
from skep.knowledge.embedding_passages import PassageEmbedder
from skep.knowledge.following import CollectionRow, LexicalFollower, VersionRow, fetch_documents, is_behind
from skep.knowledge.interfaces import LexicalBusyError, ReportProgress
from skep.knowledge.lexical import (
    Difference,
    LexicalDamagedError,
    LexicalDocument,
    LexicalIndex,
    LexicalIndexError,
    compare,
)
from skep.knowledge.models import VerifyReport
from skep.knowledge.preparing import mentions_of, prepare_chunk
from skep.knowledge.storing import modified_second, queries
from skep.knowledge.sweeping import scratch_folder
from skep.knowledge.verifying_vectors import vector_differences
from skep.knowledge.walking import SkipReason, decode_text
from skep.store import Database

MAX_DIFFERENCES = 20
"""Differences told in words; the rest is counted."""

_PAGE_VERSIONS = 100
_ATTEMPTS = 5

_WRITER_WAIT_SECONDS = 60.0
"""How long to wait for another process that is writing the lexical index."""


@dataclass(frozen=True, slots=True)
class _StoredFile:
    path: str
    version_id: int
    is_findable: bool
    mtime_ns: int
    modified_at: int | None
    language: str | None
    kind: str | None
    chunker: str | None
    chunks: int | None
    sha256: bytes | None
    size_bytes: int | None
    deflated: bytes | None


@dataclass(slots=True)
class _Findings:
    """What was compared, and what differed."""

    documents: int = 0
    chunks: int = 0
    total: int = 0
    index_is_wrong: bool = False
    """There is a lexical index, and it has other contents than it should."""
    told: list[str] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        self.total += 1
        if len(self.told) < MAX_DIFFERENCES:
            self.told.append(sentence)


async def verify_collection(
    database: Database,
    follower: LexicalFollower,
    project_id: int,
    collection: CollectionRow,
    report: ReportProgress,
    *,
    embedder: PassageEmbedder | None = None,
) -> VerifyReport:
    """Compare placements, passages and symbols with what the stored originals give, and the lexical index with those.

    Reads everything once, in pages; memory does not grow with the collection except for the terms being compared. What
    differs while somebody stores something proves nothing: then it is compared again, at most `_ATTEMPTS` times.

    A lexical index that differs, and only that, is built anew afterwards; what is reported is what was found before.
    """
    findings = _Findings()
    for _ in range(_ATTEMPTS):
        collection = await _caught_up(follower, project_id, collection)
        findings = _Findings()
        await _compare_collection(database, follower, project_id, collection, findings, report)
        if embedder is not None:
            async for difference in vector_differences(database, embedder, project_id, collection):
                findings.tell(difference)
        if not findings.total or (await follower.fetch(project_id, collection.collection_id)) == collection:
            break
    if findings.index_is_wrong:
        # Nothing else would notice: it opens, and has applied every change. Busy is no harm: the next verify tells again.
        with suppress(LexicalBusyError):
            await follower.mend(collection, project_id, "it is not what it should be")
    return VerifyReport(
        collection=collection.name,
        documents_checked=findings.documents,
        chunks_checked=findings.chunks,
        differences=tuple(findings.told),
        differences_total=findings.total,
    )


async def _caught_up(follower: LexicalFollower, project_id: int, collection: CollectionRow) -> CollectionRow:
    """The collection as it is now, after the index, if it is only behind and not damaged, has caught up with it."""
    collection = await follower.fetch(project_id, collection.collection_id)
    if await asyncio.to_thread(is_behind, follower.folder_of(collection), collection):
        await follower.catch_up(project_id, collection.collection_id, timeout_seconds=_WRITER_WAIT_SECONDS)
        collection = await follower.fetch(project_id, collection.collection_id)
    return collection


async def _compare_collection(
    database: Database,
    follower: LexicalFollower,
    project_id: int,
    collection: CollectionRow,
    findings: _Findings,
    report: ReportProgress,
) -> None:
    bound = {"project_id": project_id, "collection_id": collection.collection_id}
    after = 0
    while True:
        page = {"after": after, "limit": _PAGE_VERSIONS}
        files = await database.fetch_all(_StoredFile, queries["fetch_stored_files"], bound | page)
        if not files:
            break
        await _compare_files(database, project_id, files, findings)
        after = files[-1].version_id
        report("verify", findings.documents, 0)
    ((strays,),) = await database.fetch_tuples(queries["count_stray_targets"], bound)
    if strays:
        findings.tell(f"{strays} versions that are not findable, or of another collection, can be reached by edges")
    await _compare_index(database, follower, project_id, collection, findings)


async def _compare_files(
    database: Database, project_id: int, files: Sequence[_StoredFile], findings: _Findings
) -> None:
    bound = {"project_id": project_id, "version_ids": [file.version_id for file in files]}
    chunks: dict[int, list[tuple[Any, ...]]] = {file.version_id: [] for file in files}
    symbols: dict[int, list[tuple[Any, ...]]] = {file.version_id: [] for file in files}
    for row in await database.fetch_tuples(queries["fetch_placed_chunks"], bound):
        chunks[row[0]].append(row[1:])
    for row in await database.fetch_tuples(queries["fetch_whole_symbols"], bound):
        symbols[row[0]].append(row[1:])
    said = {row[0]: row[1:] for row in await database.fetch_tuples(queries["fetch_mentions"], bound)}
    for file in files:
        findings.documents += 1
        findings.chunks += len(chunks[file.version_id])
        for sentence in await asyncio.to_thread(
            lambda file: list(
                _differences(file, chunks[file.version_id], symbols[file.version_id], said.get(file.version_id))
            ),
            file,
        ):
            findings.tell(f"{file.path}: {sentence}")


def _differences(
    file: _StoredFile,
    stored_chunks: list[tuple[Any, ...]],
    stored_symbols: list[tuple[Any, ...]],
    stored_mentions: tuple[Any, ...] | None,
) -> Iterator[str]:
    """In words, how a stored file differs from what its original bytes give. Pure."""
    if not file.is_findable:
        yield "it is alive, but its version is missing or counts as removed"
        return
    if file.deflated is None or file.sha256 is None:
        yield "its original bytes are not stored"
        return
    if file.chunker != CHUNKER_VERSION:
        yield f"it was cut by chunker {file.chunker}; this is {CHUNKER_VERSION}: index the folder again"
        return
    try:
        data = zlib.decompress(file.deflated)
    except zlib.error:
        yield "its original bytes cannot be unpacked"
        return
    if hashlib.sha256(data).digest() != file.sha256 or len(data) != file.size_bytes:
        yield "its original bytes are not those of its hash"
        return
    text = decode_text(data)
    if isinstance(text, SkipReason):
        yield "its original bytes are no text"
        return
    parsed = parse_file(file.path, text)
    if (parsed.language, parsed.kind) != (file.language, file.kind):
        yield f"it is stored as {file.language}/{file.kind}, not {parsed.language}/{parsed.kind}"
    chunks = [prepare_chunk(chunk) for chunk in parsed.chunks]
    yield from _first_difference("passage", chunks, stored_chunks)
    if file.chunks != len(chunks):
        yield f"it is said to have {file.chunks} passages instead of {len(chunks)}"
    mentions = mentions_of(file.path, text, parsed)
    family = symbol_family(mentions.family)
    symbols: list[tuple[Any, ...]] = [
        (symbol.name, symbol.qualified_name, symbol.kind, symbol.start_line, symbol.end_line, family)
        for symbol in parsed.symbols
    ]
    yield from _first_difference("symbol", symbols, stored_symbols)
    expected = (*joined(mentions)[:3], *map(list, (mentions.subjects, mentions.imports, mentions.names)))
    if stored_mentions != (expected if mentions.family else None):
        yield "what it says of other files is stored otherwise than it is read"
    if file.modified_at != modified_second(file.mtime_ns):
        yield f"it is said to be of second {file.modified_at}, its file was of second {modified_second(file.mtime_ns)}"


def _first_difference(
    what: str, expected: Sequence[tuple[Any, ...]], found: Sequence[tuple[Any, ...]]
) -> Iterator[str]:
    if len(expected) != len(found):
        yield f"{len(found)} {what}s are stored instead of {len(expected)}"
    for ordinal, (wanted, has) in enumerate(zip(expected, found, strict=False)):
        if wanted != has:
            yield f"{what} {ordinal} is stored otherwise than it is cut"
            return


async def _compare_index(
    database: Database,
    follower: LexicalFollower,
    project_id: int,
    collection: CollectionRow,
    findings: _Findings,
) -> None:
    index_folder = follower.folder_of(collection)
    index = LexicalIndex(index_folder)
    ended = threading.Event()
    try:
        index.open()
    except LexicalIndexError as error:
        if collection.last_seq:
            findings.tell(f"lexical index: {error}")
        return
    try:
        if index.applied_seq != collection.last_seq:
            findings.tell(f"lexical index: it has applied change {index.applied_seq} of {collection.last_seq}")
        loop = asyncio.get_running_loop()

        def documents() -> Iterator[LexicalDocument]:
            # `compare` reads at its own pace, in a thread of its own; the pages come from the loop.
            after = 0
            while not ended.is_set():
                page = _fetch_page(database, project_id, collection.collection_id, after)
                after, found = asyncio.run_coroutine_threadsafe(page, loop).result()
                if not found and not after:
                    return
                yield from found

        def differences() -> list[Difference]:
            with scratch_folder(index_folder.parent) as scratch:
                return compare(index, documents(), scratch, limit=10 * MAX_DIFFERENCES)

        for difference in await asyncio.to_thread(differences):
            findings.index_is_wrong = True
            findings.tell(
                f"lexical index: {difference.what} {difference.subject}: {difference.found} instead of {difference.expected}"
            )
    except LexicalDamagedError as error:
        findings.index_is_wrong = True
        findings.tell(f"lexical index: {error}")
    finally:
        # When we are interrupted, the thread would otherwise go on to the end.
        ended.set()
        index.close()


async def _fetch_page(
    database: Database, project_id: int, collection_id: int, after: int
) -> tuple[int, list[LexicalDocument]]:
    """The next page of what the index should have, and where it ends; 0 and nothing at the end."""
    bound = {"project_id": project_id, "collection_id": collection_id, "after": after, "limit": _PAGE_VERSIONS}
    rows = await database.fetch_all(VersionRow, queries["fetch_live_versions"], bound)
    if not rows:
        return 0, []
    return rows[-1].version_id, await fetch_documents(database, project_id, rows)
