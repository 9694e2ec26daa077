"""From a question to passages: checks, freshness, candidates, ranking, texts."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from skep.access import Principal
from skep.knowledge.following import CollectionRow, LexicalFollower, names_starting_in
from skep.knowledge.interfaces import (
    CollectionGoneError,
    CollectionNotFoundError,
    DocumentNotFoundError,
    LexicalBusyError,
    LocationInvalidError,
    NothingIndexedError,
    QueryEmptyError,
    QueryTooLongError,
    TopKOutOfRangeError,
    UnknownFilterError,
)
from skep.knowledge.lexical import (
    Hit,
    LexicalDamagedError,
    LexicalFilters,
    LexicalHits,
    LexicalIndex,
    LexicalIndexError,
)
from skep.knowledge.models import KINDS, CollectionFreshness, Kind, SearchRequest, SearchResponse, SearchResult
from skep.knowledge.ranking import Passage, PassageKey, Question, Ranked, analyze, rank
from skep.knowledge.sources import can_be_stored
from skep.knowledge.storing import queries
from skep.store import Database

_CACHED_PASSAGES = 300_000
"""Descriptions of passages kept in memory between searches, about 250 bytes each; versions never change."""

_BUSY_PAUSE_SECONDS = 0.25
"""After another process was found writing an index, how long we answer from what is there before asking again."""

_SIMILAR_CHARS = 8_000
"""Of the passage in `similar`, the part that is searched for; passages are cut at about a tenth of this."""

_LOCATION = re.compile(r"(?P<path>.+):(?P<line>[1-9]\d{0,8})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """A line of a document."""

    path: str
    line: int


def parse_location(text: str) -> Location:
    """``PATH:LINE``, the line counting from 1. Raises LocationInvalidError."""
    match = _LOCATION.fullmatch(text)
    if match is None:
        raise LocationInvalidError(location=text)
    return Location(match["path"], int(match["line"]))


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """What a search may ask for."""

    max_top_k: int
    max_query_bytes: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A version's passages, as ranking needs them."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class _View:
    """A collection's index as this search sees it."""

    collection: CollectionRow
    index: LexicalIndex
    applied_seq: int


class Searcher:
    """Answers searches from the lexical indexes of this machine."""

    def __init__(self, database: Database, follower: LexicalFollower, limits: SearchLimits) -> None:
        self._database = database
        self._follower = follower
        self._limits = limits
        self._indexes: dict[str, LexicalIndex] = {}
        self._catching_up: dict[str, asyncio.Lock] = {}
        self._busy_until: dict[str, float] = {}
        self._cache: OrderedDict[int, _Found] = OrderedDict()
        self._cached_passages = 0

    def close(self) -> None:
        """Let go of the indexes."""
        for index in self._indexes.values():
            index.close()
        self._indexes.clear()

    async def search(self, principal: Principal, request: SearchRequest) -> SearchResponse:
        """The best passages for a question.

        Raises QueryEmptyError, QueryTooLongError, TopKOutOfRangeError, UnknownFilterError, PathGlobError,
        NothingIndexedError, CollectionNotFoundError, and the store's errors.
        """
        started = time.perf_counter()
        question = self._understood(request)
        views = await self._views(principal, request.collections)
        await self._check_languages(principal, views, request.languages)
        return await self._answer_mending(principal, question, request, views, started)

    async def similar(self, principal: Principal, location: Location, request: SearchRequest) -> SearchResponse:
        """Passages like the one at a place, without that passage itself.

        Raises DocumentNotFoundError, and what `search` raises.
        """
        started = time.perf_counter()
        views = await self._views(principal, request.collections)
        bound = {
            "project_id": principal.project_id,
            "collection_ids": [view.collection.collection_id for view in views],
            "path": location.path,
            "line": location.line,
        }
        is_possible = can_be_stored(location.path)
        rows = await self._database.fetch_tuples(queries["fetch_passage_at"], bound) if is_possible else []
        if not rows:
            names = ", ".join(view.collection.name for view in views)
            raise DocumentNotFoundError(what="document", name=location.path, collection=names, path=location.path)
        version_id, ordinal, text = rows[0]
        request = replace(request, query=text[:_SIMILAR_CHARS])
        self._check_top_k(request.top_k)
        question = analyze(request.query)
        return await self._answer_mending(principal, question, request, views, started, without=(version_id, ordinal))

    def _understood(self, request: SearchRequest) -> Question:
        size = len(request.query.encode("utf-8", "replace"))
        if size > self._limits.max_query_bytes:
            raise QueryTooLongError(size_bytes=size, limit_bytes=self._limits.max_query_bytes)
        self._check_top_k(request.top_k)
        for kind in request.kinds:
            if kind not in KINDS:
                raise UnknownFilterError(filter="kind", value=kind, known=", ".join(KINDS))
        question = analyze(request.query)
        if not question.terms:
            raise QueryEmptyError
        return question

    def _check_top_k(self, top_k: int) -> None:
        if not 1 <= top_k <= self._limits.max_top_k:
            raise TopKOutOfRangeError(top_k=top_k, limit=self._limits.max_top_k)

    async def _views(self, principal: Principal, names: Sequence[str]) -> list[_View]:
        collections = await self._database.fetch_all(
            CollectionRow, queries["fetch_collections"], {"project_id": principal.project_id}
        )
        chosen = choose(collections, names, project=principal.project_name)
        views = [await self._view(principal, collection) for collection in chosen]
        return [view for view in views if view is not None]

    async def _view(self, principal: Principal, collection: CollectionRow) -> _View | None:
        """The index, caught up with the change log unless another process is busy writing it right now.

        None when the collection was purged a moment ago.
        """
        index = self._indexes.setdefault(collection.uid, LexicalIndex(self._follower.folder_of(collection)))
        applied = _refreshed(index)
        if applied != collection.last_seq and time.monotonic() >= self._busy_until.get(collection.uid, 0.0):
            async with self._catching_up.setdefault(collection.uid, asyncio.Lock()):
                # Whoever waited here finds the work done.
                applied = _refreshed(index)
                if applied is None or applied != collection.last_seq:
                    try:
                        # It may be ahead of us since we asked, or, for good, of a database restored from a backup.
                        collection = await self._follower.fetch(principal.project_id, collection.collection_id)
                    except CollectionGoneError:
                        return None
                    if applied != collection.last_seq:
                        await self._catch_up(principal, collection)
                        applied = _refreshed(index)
        return _View(collection, index, -1 if applied is None else applied)

    async def _catch_up(self, principal: Principal, collection: CollectionRow) -> None:
        try:
            await self._follower.catch_up(principal.project_id, collection.collection_id, timeout_seconds=0)
        except CollectionGoneError:
            return
        except LexicalBusyError:
            self._busy_until[collection.uid] = time.monotonic() + _BUSY_PAUSE_SECONDS

    async def _check_languages(self, principal: Principal, views: Sequence[_View], languages: Sequence[str]) -> None:
        if not languages:
            return
        bound = {
            "project_id": principal.project_id,
            "collection_ids": [view.collection.collection_id for view in views],
        }
        known = [row[0] for row in await self._database.fetch_tuples(queries["fetch_filter_values"], bound)]
        for language in languages:
            if language not in known:
                raise UnknownFilterError(filter="language", value=language, known=", ".join(known) or "none")

    async def _answer_mending(
        self,
        principal: Principal,
        question: Question,
        request: SearchRequest,
        views: Sequence[_View],
        started: float,
        *,
        without: PassageKey | None = None,
    ) -> SearchResponse:
        """`_answer`; an index that opened well but cannot be read is built anew first."""
        try:
            return await self._answer(principal, question, request, views, started, without=without)
        except LexicalDamagedError as error:
            damaged = [view for view in views if self._follower.folder_of(view.collection) == error.fields["folder"]]
            for view in damaged:
                await self._follower.mend(view.collection, principal.project_id, str(error))
                _refreshed(view.index)
            if not damaged:
                raise
        return await self._answer(principal, question, request, views, started, without=without)

    async def _answer(
        self,
        principal: Principal,
        question: Question,
        request: SearchRequest,
        views: Sequence[_View],
        started: float,
        *,
        without: PassageKey | None = None,
    ) -> SearchResponse:
        hits, origin = self._candidates(question, request, views)
        keys = {(hit.version_id, hit.ordinal) for hit in (*hits.passages, *hits.definitions)} - {without}
        passages = await self._describe(principal, {version_id for version_id, _ in keys})
        known = {key: passages[key[0]].passages[key[1]] for key in keys if _is_described(passages, key)}
        ranked = rank(question, hits, known, request.top_k)
        results = await self._results(principal, ranked, known, origin, explain=request.explain)
        return SearchResponse(
            results=tuple(results),
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            behind=tuple(
                CollectionFreshness(view.collection.name, view.collection.last_seq, max(0, view.applied_seq))
                for view in views
                if view.applied_seq < view.collection.last_seq
            ),
        )

    def _candidates(
        self, question: Question, request: SearchRequest, views: Sequence[_View]
    ) -> tuple[LexicalHits, dict[int, str]]:
        """What each index finds, put together, and the collection of each version."""
        filters = LexicalFilters(
            languages=request.languages,
            kinds=request.kinds,
            path_glob=request.path_glob,
            modified_since=request.modified_since,
            modified_until=request.modified_until,
        )
        query = question.lexical_query(request.top_k, filters)
        passages: list[Hit] = []
        definitions: list[Hit] = []
        origin: dict[int, str] = {}
        for view in views:
            if view.applied_seq < 0:
                continue
            found = view.index.search(query)
            passages += found.passages
            definitions += found.definitions
            for hit in (*found.passages, *found.definitions):
                origin[hit.version_id] = view.collection.name
        passages.sort(key=lambda hit: -hit.score)
        return LexicalHits(passages=tuple(passages), definitions=tuple(definitions)), origin

    async def _describe(self, principal: Principal, version_ids: Iterable[int]) -> dict[int, _Found]:
        """What ranking needs of some versions, from memory or the database."""
        found: dict[int, _Found] = {}
        missing: list[int] = []
        for version_id in version_ids:
            cached = self._cache.get(version_id)
            if cached is None:
                missing.append(version_id)
            else:
                self._cache.move_to_end(version_id)
                found[version_id] = cached
        if missing:
            for version_id, described in (await self._fetch_descriptions(principal, missing)).items():
                found[version_id] = self._cache[version_id] = described
                self._cached_passages += len(described.passages)
            while self._cached_passages > _CACHED_PASSAGES and len(self._cache) > len(found):
                _, dropped = self._cache.popitem(last=False)
                self._cached_passages -= len(dropped.passages)
        return found

    async def _fetch_descriptions(self, principal: Principal, version_ids: list[int]) -> dict[int, _Found]:
        bound = {"project_id": principal.project_id, "version_ids": version_ids}
        async with self._database.connection() as connection:
            async with connection.pipeline():
                files_cursor = await connection.execute(queries["fetch_version_files"], bound)
                spans_cursor = await connection.execute(queries["fetch_spans"], bound)
                symbols_cursor = await connection.execute(queries["fetch_symbols"], bound)
            files = await files_cursor.fetchall()
            spans = await spans_cursor.fetchall()
            symbols = await symbols_cursor.fetchall()
        starts: dict[int, list[tuple[int, str]]] = {}
        for version_id, name, line in symbols:
            starts.setdefault(version_id, []).append((line, name))
        described: dict[int, list[Passage]] = {version_id: [] for version_id, *_ in files}
        facts: dict[int, tuple[str, str, Kind]] = {row[0]: (row[1], row[2], row[3]) for row in files}
        for version_id, start_line, end_line, symbol in spans:
            path, language, kind = facts[version_id]
            defines = names_starting_in(starts.get(version_id, ()), start_line, end_line)
            described[version_id].append(Passage(path, language, kind, symbol, defines))
        return {version_id: _Found(tuple(passages)) for version_id, passages in described.items()}

    async def _results(
        self,
        principal: Principal,
        ranked: Sequence[Ranked],
        known: dict[PassageKey, Passage],
        origin: dict[int, str],
        *,
        explain: bool,
    ) -> list[SearchResult]:
        bound = {
            "project_id": principal.project_id,
            "version_ids": [row.version_id for row in ranked],
            "ordinals": [row.ordinal for row in ranked],
        }
        rows = await self._database.fetch_tuples(queries["fetch_hits"], bound)
        texts = {(row[0], row[1]): row[2:] for row in rows}
        results = []
        for row in ranked:
            key = (row.version_id, row.ordinal)
            if key not in texts:
                continue  # removed since the index was asked
            start_line, end_line, heading, symbol, text = texts[key]
            passage = known[key]
            results.append(
                SearchResult(
                    collection=origin[row.version_id],
                    path=passage.path,
                    start_line=start_line,
                    end_line=end_line,
                    symbol=symbol or None,
                    heading=heading or None,
                    language=passage.language,
                    kind=passage.kind,
                    score=round(row.score, 6),
                    text=text,
                    explanation=row.steps if explain else (),
                )
            )
        return results


def choose(collections: Sequence[CollectionRow], names: Sequence[str], *, project: str) -> list[CollectionRow]:
    """The collections of these names, or all of them for no name.

    Raises CollectionNotFoundError for an unknown name, NothingIndexedError when there is none at all.
    """
    if not collections:
        raise NothingIndexedError(what="collection", name="", project=project)
    if not names:
        return list(collections)
    by_name = {collection.name: collection for collection in collections}
    for name in names:
        if name not in by_name:
            raise CollectionNotFoundError(what="collection", name=name, known=", ".join(sorted(by_name)))
    return [by_name[name] for name in dict.fromkeys(names)]


def _refreshed(index: LexicalIndex) -> int | None:
    try:
        return index.refresh()
    except LexicalIndexError:
        return None


def _is_described(passages: dict[int, _Found], key: PassageKey) -> bool:
    return key[0] in passages and key[1] < len(passages[key[0]].passages)
