"""What the knowledge room does, for every face alike."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from skep.access import Principal, require_role
from skep.errors import ConflictError, SkepError, UnavailableError
from skep.knowledge.chunking import CHUNKER_VERSION
from skep.knowledge.documents import read_document
from skep.knowledge.embedding import Embedder, EmbeddingDisabledError
from skep.knowledge.embedding_passages import PassageEmbedder
from skep.knowledge.embedding_work import EmbeddingWork
from skep.knowledge.following import CollectionRow, LexicalFollower
from skep.knowledge.indexing import IndexTask, run_index
from skep.knowledge.interfaces import (
    CollectionGoneError,
    DocumentNotFoundError,
    LexicalBusyError,
    ReportNotice,
    ReportProgress,
)
from skep.knowledge.lexical import LexicalIndex, LexicalIndexError, LexicalWriteError
from skep.knowledge.meaning import MeaningSearch
from skep.knowledge.models import (
    CollectionStatus,
    DocumentText,
    IndexReport,
    RemovalReport,
    SearchRequest,
    SearchResponse,
    SourceStatus,
    VerifyReport,
)
from skep.knowledge.parsing import default_workers
from skep.knowledge.recall import RecallChecks
from skep.knowledge.retention import (
    expire,
    expire_everywhere,
    expire_project,
    forget_documents,
    purge_collection,
    purge_documents,
)
from skep.knowledge.scrubbing import ATTEMPTS, scrub
from skep.knowledge.searching import Searcher, SearchLimits, parse_location
from skep.knowledge.sources import Place, SourceRow, below, can_be_stored, check_name, find_place, innermost
from skep.knowledge.storing import Target, queries
from skep.knowledge.sweeping import remove_index, sweep
from skep.knowledge.vectors import EmbeddingRow, Vectors, embedding_status
from skep.knowledge.verifying import verify_collection
from skep.knowledge.views import choose
from skep.knowledge.walking import RootIsFileError, RootMissingError, WalkOptions, decode_path, encode_path
from skep.knowledge.watch_status import fetch_watches
from skep.observe import NO_METRICS, Metrics
from skep.store import Database

_WRITER_WAIT_SECONDS = 60.0
"""How long an index run waits for another process to let go of the lexical index."""

_REMOVAL_WAIT_SECONDS = 10.0
"""How long forgetting and purging do: they are done, and whoever holds the index will hear of it."""


@dataclass(frozen=True, slots=True)
class KnowledgeOptions:
    """How this process indexes and searches."""

    data_folder: Path
    node: str
    max_file_bytes: int
    include_secrets: bool
    include_generated: bool
    ignore: tuple[str, ...]
    jobs: int
    """Parsers at work; 0 means as many as there are cores."""
    retention: timedelta
    """How long replaced and deleted versions are kept."""
    max_top_k: int
    max_query_bytes: int
    recall_checks_per_thousand: int = 0
    """Of searches through the vector index; 0 for none."""


def walk_options(options: KnowledgeOptions) -> WalkOptions:
    """What the options say about walking and reading."""
    return WalkOptions(
        max_file_bytes=options.max_file_bytes,
        include_secrets=options.include_secrets,
        include_generated=options.include_generated,
        include_minified=options.include_generated,
        extra_patterns=options.ignore,
        data_folder=options.data_folder,
    )


@dataclass(frozen=True, slots=True)
class _CountsRow:
    collection_id: int
    files: int
    chunks: int


@dataclass(frozen=True, slots=True)
class _LanguageRow:
    collection_id: int
    language: str
    files: int


class Knowledge:
    """Collections of files: indexing, searching, verifying, taking away. Every call is bound to its principal's project."""

    def __init__(
        self,
        database: Database,
        options: KnowledgeOptions,
        *,
        notice: ReportNotice,
        embedder: Embedder | None = None,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        """``embedder``: makes the vectors by which passages are found too; None searches words alone."""
        self._database = database
        self._options = options
        self._notice = notice
        self._has_swept = False
        self._follower = LexicalFollower(database, self._lexical_folder, options.node, notice)
        self._vectors = Vectors(database)
        self._embedder = None if embedder is None else PassageEmbedder(embedder)
        self.embedding_model = "" if self._embedder is None else self._embedder.name
        """The name under which vectors are kept; empty when there are none."""
        limits = SearchLimits(max_top_k=options.max_top_k, max_query_bytes=options.max_query_bytes)
        # What nobody is told need not be found out.
        checks = RecallChecks(
            self._vectors, metrics, 0 if metrics is NO_METRICS else options.recall_checks_per_thousand
        )
        meaning = None if self._embedder is None else MeaningSearch(self._vectors, self._embedder, metrics, checks)
        self._searcher = Searcher(database, self._follower, limits, meaning, metrics)

    async def close(self) -> None:
        """Let go of the indexes that were opened for searching."""
        await self._searcher.close()

    async def warm_up(self) -> None:
        """Load what the first search would wait for: for processes that answer many."""
        await self._searcher.warm_up()

    async def index(
        self,
        principal: Principal,
        path: Path,
        *,
        collection: str | None = None,
        jobs: int | None = None,
        report: ReportProgress,
    ) -> IndexReport:
        """Make a collection equal to a folder, or to the part of it that ``path`` names.

        Raises RoleTooLowError, CollectionNameError, FolderTakenError, RootMissingError, RootIsFileError, and the errors
        of the store. Interrupted at any moment it loses nothing; the next run does the rest.
        """
        require_role(principal, "member")
        await self._sweep_once()
        place = await self.place_of(principal, path, collection=collection)
        target = await self._target(principal, place)
        workers = jobs or self._options.jobs or default_workers()
        task = IndexTask(
            collection=place.collection,
            target=target,
            root=decode_path(place.root),
            root_text=place.root,
            subpath=place.subpath,
            options=walk_options(self._options),
            workers=workers,
        )
        bound = {"project_id": principal.project_id, "collection_id": target.collection_id}
        open_follow = partial(self._follower.following, principal.project_id, target.collection_id, timeout_seconds=0)
        result = await run_index(self._database, task, open_follow, report)
        # Also when nothing had changed: the lexical index may be damaged, or another machine may have stored something.
        await self._follower.ensure_current(**bound, timeout_seconds=_WRITER_WAIT_SECONDS)
        await expire(self._database, **bound, keep=self._options.retention)
        await expire_project(self._database, project_id=principal.project_id, keep=self._options.retention)
        await self._scrub_later(attempts=1)
        return result

    async def place_of(self, principal: Principal, path: Path, *, collection: str | None) -> Place:
        """Which collection, root and part of it a path means; see `find_place` for the rules.

        Raises RootMissingError for a path that neither exists nor was indexed, RootIsFileError for a single file that
        is in no indexed folder, and what `find_place` does.
        """
        sources = await self._sources(principal)
        absolute = await asyncio.to_thread(_absolute, path)
        find = partial(find_place, is_there=lambda root: os.path.exists(decode_path(root)))
        place = await asyncio.to_thread(find, absolute, sources, node=self._options.node, collection=collection)
        if not place.subpath:
            await asyncio.to_thread(_check_root, path)
        return place

    async def collection_around(self, principal: Principal, folder: Path) -> str | None:
        """The collection of the innermost indexed folder on this machine that contains ``folder``; None if none does."""
        absolute = await asyncio.to_thread(_absolute, folder)
        source = innermost(await self._sources(principal), absolute, node=self._options.node)
        return None if source is None else source.collection

    async def search(self, principal: Principal, request: SearchRequest) -> SearchResponse:
        """The best passages for a question. See `Searcher.search` for the errors."""
        require_role(principal, "reader")
        await self._sweep_once()
        return await self._searcher.search(principal, request)

    async def similar(
        self, principal: Principal, location: str, request: SearchRequest, *, folder: Path | None = None
    ) -> SearchResponse:
        """Passages like the one at ``PATH:LINE``; the request's query is ignored. See `Searcher.similar`.

        The path is a document path. With ``folder`` it may also be a path of this machine, relative to that folder.
        """
        require_role(principal, "reader")
        place = parse_location(location)
        if folder is not None and can_be_stored(place.path):
            absolute = await asyncio.to_thread(_absolute, folder / place.path)
            source = innermost(await self._sources(principal), absolute, node=self._options.node)
            if source is not None:
                place = replace(place, path=below(absolute, source.root))
                request = replace(request, collections=(source.collection,))
        return await self._searcher.similar(principal, place, request)

    async def read(
        self, principal: Principal, path: str, *, collections: Sequence[str] = (), folder: Path | None = None
    ) -> DocumentText:
        """A document as the index has it, from its stored original: what cannot be searched cannot be read either.

        The path is a document path. With ``folder`` it may also be a path of this machine, relative to that folder;
        links in it are followed. Raises CollectionNotFoundError, NothingIndexedError, DocumentNotFoundError.
        """
        require_role(principal, "reader")
        node = self._options.node
        chosen = await self._chosen(principal, collections)
        try:
            return await read_document(self._database, principal, chosen, path, node=node)
        except DocumentNotFoundError:
            if folder is None or not can_be_stored(path):
                raise
            absolute = await asyncio.to_thread(_absolute, folder / path)
            source = innermost(await self._sources(principal), absolute, node=node)
            if source is None:
                raise
            chosen = await self._chosen(principal, (source.collection,))
            return await read_document(self._database, principal, chosen, below(absolute, source.root), node=node)

    async def create_collection(self, principal: Principal, name: str) -> None:
        """Make an empty collection; nothing happens when it exists. Raises CollectionNameError, RoleTooLowError."""
        require_role(principal, "member")
        bound = {"project_id": principal.project_id, "name": check_name(name)}
        await self._database.fetch_tuples(queries["upsert_collection"], bound)

    async def status(self, principal: Principal) -> tuple[CollectionStatus, ...]:
        """What every collection holds and how fresh this machine's index of it is."""
        require_role(principal, "reader")
        bound = {"project_id": principal.project_id}
        collections = await self._collections(principal)
        sources = await self._sources(principal)
        counts = await self._database.fetch_all(_CountsRow, queries["count_contents"], bound)
        languages = await self._database.fetch_all(_LanguageRow, queries["count_languages"], bound)
        progress = await self._database.fetch_all(EmbeddingRow, queries["fetch_embedding_progress"], bound)
        counted = {row.collection_id: row for row in counts}
        watches = await fetch_watches(self._database, principal.project_id)
        result = []
        for collection in collections:
            count = counted.get(collection.collection_id, _CountsRow(collection.collection_id, 0, 0))
            seq, state = await asyncio.to_thread(self._lexical_state, collection)
            result.append(
                CollectionStatus(
                    collection=collection.name,
                    sources=tuple(
                        SourceStatus(source.root, source.node, source.scanned_at, watches.get(source.source_id))
                        for source in sources
                        if source.collection_id == collection.collection_id
                    ),
                    files=count.files,
                    chunks=count.chunks,
                    languages={
                        row.language: row.files for row in languages if row.collection_id == collection.collection_id
                    },
                    last_seq=collection.last_seq,
                    lexical_seq=seq,
                    lexical_state=state,
                    embeddings=tuple(
                        embedding_status(row) for row in progress if row.collection_id == collection.collection_id
                    ),
                )
            )
        return tuple(result)

    async def verify(
        self, principal: Principal, collection: str | None, *, report: ReportProgress
    ) -> tuple[VerifyReport, ...]:
        """Compare one collection, or all, with one rebuilt in memory from the stored originals.

        Raises CollectionNotFoundError.
        """
        require_role(principal, "reader")
        await self._sweep_once()
        return tuple(
            [
                await verify_collection(
                    self._database, self._follower, principal.project_id, row, report, embedder=self._embedder
                )
                for row in await self._chosen(principal, () if collection is None else (collection,))
            ]
        )

    async def forget(self, principal: Principal, collection: str, path: str | None) -> RemovalReport:
        """Make a document, a folder of them, or a whole collection unfindable; kept for the retention time.

        Raises CollectionNotFoundError, DocumentNotFoundError.
        """
        require_role(principal, "member")
        (row,) = await self._chosen(principal, (collection,))
        removed = await forget_documents(
            self._database,
            project_id=principal.project_id,
            collection_id=row.collection_id,
            collection=collection,
            path=path,
        )
        bound = {"project_id": principal.project_id, "collection_id": row.collection_id}
        # Whoever holds the index applies it; until then no search shows what has a tombstone.
        with suppress(LexicalBusyError):
            await self._follower.catch_up(**bound, timeout_seconds=_REMOVAL_WAIT_SECONDS)
        await self._vectors.recount(**bound)
        await expire_project(self._database, project_id=principal.project_id, keep=self._options.retention)
        return removed

    async def purge(self, principal: Principal, collection: str, path: str | None) -> RemovalReport:
        """Erase a document, a folder of them, or a whole collection for good, with all versions.

        Raises CollectionNotFoundError, DocumentNotFoundError.
        """
        require_role(principal, "admin")
        (row,) = await self._chosen(principal, (collection,))
        bound = {"project_id": principal.project_id, "collection_id": row.collection_id}
        if path is None:
            removed = await purge_collection(self._database, collection=collection, **bound)
        else:
            removed = await purge_documents(self._database, collection=collection, path=path, **bound)
        # From here on it is erased, and nothing that goes wrong may say otherwise: what is left is done later.
        with suppress(UnavailableError):
            await self._vectors.recount(**bound)
        notices = (await self._purge_index(principal, row, whole=path is None), await self._scrub_later())
        return replace(removed, notices=tuple(notice for notice in notices if notice))

    async def embed(self, ending: asyncio.Event, *, until_done: bool = False) -> None:
        """Give passages of every project their vectors, until told to end, or until none is left without.

        Raises nothing that the database or the model does, unless ``until_done``; it tries again.
        """
        if self._embedder is not None:
            await EmbeddingWork(self._database, self._vectors, self._embedder).run(ending, until_done=until_done)

    async def require_embedder(self) -> None:
        """Raises EmbeddingDisabledError, or why the embedding model cannot be loaded."""
        if self._embedder is None:
            raise EmbeddingDisabledError
        await asyncio.to_thread(self._embedder.embed, [""])

    async def has_embedding_work(self) -> bool:
        """Whether passages of any project wait for their vectors."""
        if self._embedder is None:
            return False
        return bool(await self._database.fetch_tuples(queries["fetch_embedding_work"], {"model": self._embedder.name}))

    async def pause_embedding(self, principal: Principal, collections: Sequence[str], *, is_paused: bool) -> None:
        """Leave collections (all for none) without new vectors for now, or go on. Raises CollectionNotFoundError."""
        require_role(principal, "member")
        rows = await self._chosen(principal, collections)
        bound = {"project_id": principal.project_id, "is_paused": is_paused}
        collection_ids = [row.collection_id for row in rows]
        await self._database.execute(queries["pause_embedding"], bound | {"collection_ids": collection_ids})

    async def tidy(self) -> None:
        """What has to be done now and then for every project: expire what was kept long enough, and finish purges.

        Raises LexicalWriteError when something on this machine cannot be removed, and the errors of the store.
        """
        failures: list[SkepError] = []
        for work in (
            partial(sweep, self._database, self._lexical_folder),
            partial(expire_everywhere, self._database, keep=self._options.retention),
            partial(scrub, self._database, attempts=1),
        ):
            try:
                await work()
            except SkepError as error:  # the others are done all the same
                failures.append(error)
        if failures:
            raise failures[0]

    async def _purge_index(self, principal: Principal, collection: CollectionRow, *, whole: bool) -> str:
        """Take what was purged out of this machine's lexical index; in words what is left to do, or nothing."""
        try:
            if whole:
                folder = self._follower.folder_of(collection)
                await asyncio.to_thread(remove_index, folder, timeout_seconds=_REMOVAL_WAIT_SECONDS)
            else:
                async with self._follower.following(
                    principal.project_id, collection.collection_id, timeout_seconds=_REMOVAL_WAIT_SECONDS, rebuild=""
                ) as advance:
                    await advance(True)
        except (ConflictError, UnavailableError) as error:
            return self._tell(
                f"Erased, and no search shows it any more; but its terms stay in the lexical index of {collection.name} on "
                f"this machine until that can be written: {error}"
            )
        self._has_swept = False
        await self._sweep_once()
        return ""

    async def _scrub_later(self, *, attempts: int = ATTEMPTS) -> str:
        """Clean the files of the database after purges; in words why that has to wait, or nothing."""
        try:
            if await scrub(self._database, attempts=attempts):
                return ""
            reason = "somebody reads all the time."
        except UnavailableError as error:
            reason = str(error)
        return self._tell(
            f"What was purged is erased, but its bytes stay in the database's files until the next index run or hour of "
            f"`skep up` cleans them: {reason}"
        )

    async def _sweep_once(self) -> None:
        """Sweep, when something is done for the first time: what other machines purged since is found here then."""
        if self._has_swept:
            return
        self._has_swept = True
        try:
            await sweep(self._database, self._lexical_folder)
        except LexicalWriteError as error:
            self._tell(f"The index of a purged collection is still there: {error}")

    def _tell(self, sentence: str) -> str:
        self._notice(sentence)
        return sentence

    @property
    def _lexical_folder(self) -> Path:
        return self._options.data_folder / "lexical"

    async def _target(self, principal: Principal, place: Place) -> Target:
        bound: dict[str, object] = {"project_id": principal.project_id, "name": place.collection}
        ((collection_id,),) = await self._database.fetch_tuples(queries["upsert_collection"], bound)
        bound |= {"collection_id": collection_id, "node": self._options.node, "root": place.root}
        rows = await self._database.fetch_tuples(queries["upsert_source"], bound)
        if not rows:
            raise CollectionGoneError(collection_id=collection_id)
        return Target(principal.project_id, collection_id, rows[0][0], CHUNKER_VERSION)

    async def _sources(self, principal: Principal) -> list[SourceRow]:
        bound = {"project_id": principal.project_id}
        return await self._database.fetch_all(SourceRow, queries["fetch_sources"], bound)

    async def _collections(self, principal: Principal) -> list[CollectionRow]:
        bound = {"project_id": principal.project_id}
        return await self._database.fetch_all(CollectionRow, queries["fetch_collections"], bound)

    async def _chosen(self, principal: Principal, names: Sequence[str]) -> list[CollectionRow]:
        return choose(await self._collections(principal), names, project=principal.project_name)

    def _lexical_state(self, collection: CollectionRow) -> tuple[int | None, str]:
        index = LexicalIndex(self._follower.folder_of(collection))
        try:
            index.open()
        except LexicalIndexError as error:
            return None, error.state
        try:
            return index.applied_seq, "current" if index.applied_seq == collection.last_seq else "behind"
        finally:
            index.close()


def _absolute(path: Path) -> str:
    """The real path as document paths are written."""
    return encode_path(os.fsencode(os.path.realpath(path)))


def _check_root(path: Path) -> None:
    if not path.exists():
        raise RootMissingError(path=path)
    if not path.is_dir():
        raise RootIsFileError(path=path)
