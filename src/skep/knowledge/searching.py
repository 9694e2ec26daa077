"""From a question to passages: checks, freshness, candidates, ranking, texts."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

from skep.access import Principal
from skep.knowledge.describing import Described, Describer
from skep.knowledge.following import LexicalFollower
from skep.knowledge.interfaces import (
    DocumentNotFoundError,
    LineNotFoundError,
    LocationInvalidError,
    QueryEmptyError,
    QueryTooLongError,
    TopKOutOfRangeError,
    UnknownFilterError,
)
from skep.knowledge.lexical import Hit, LexicalDamagedError, LexicalFilters, LexicalHits
from skep.knowledge.meaning import MeaningSearch, Meant
from skep.knowledge.metrics import measured_search
from skep.knowledge.models import KINDS, CollectionFreshness, SearchRequest, SearchResponse, SearchResult
from skep.knowledge.ranking import Passage, PassageKey, Question, Ranked, analyze, rank
from skep.knowledge.rounds import Rounds
from skep.knowledge.sources import can_be_stored
from skep.knowledge.storing import queries
from skep.knowledge.views import View, Views
from skep.observe import NO_METRICS, Metrics
from skep.store import Database

_SIMILAR_CHARS = 8_000
"""Of the passage in `similar`, the part that is searched for; passages are cut at about a tenth of this."""

_QUICK_TOP_K = 50
"""Up to so many results ranking takes a millisecond or two. More, or a pattern for the path that must be compiled (3 to
300 ms), are worked on in a thread, so that nobody else waits."""

_Shown = dict[PassageKey, tuple[Any, ...]]
"""Of a passage: first and last line, heading, symbol, text, and its document's hash."""

_LOCATION = re.compile(r"(?P<path>.+):(?P<line>[1-9]\d{0,8})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Inquiry:
    """A question on its way to an answer."""

    principal: Principal
    question: Question
    request: SearchRequest
    started: float
    """By `time.perf_counter`."""
    without: PassageKey | None = None
    """A passage that is no answer."""

    @property
    def is_slow(self) -> bool:
        """Whether it would keep everybody waiting if it were not worked on in a thread of its own."""
        return self.request.path_glob is not None or self.request.top_k > _QUICK_TOP_K


_States = list[tuple[str, int]]
"""Of indexes, the uid of the collection and the last change that was known."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the indexes found."""

    hits: LexicalHits
    origin: dict[int, str]
    """The collection of each version."""
    states: _States
    """Of the indexes when they were asked."""


_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


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


class Searcher:
    """Answers searches from the lexical indexes of this machine."""

    def __init__(
        self,
        database: Database,
        follower: LexicalFollower,
        limits: SearchLimits,
        meaning: MeaningSearch | None,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        """``meaning``: finds by vectors too; None leaves it at words."""
        self._database = database
        self._follower = follower
        self._limits = limits
        self._meaning = meaning
        self._metrics = metrics
        self._views = Views(database, follower, model=meaning.model if meaning else "")
        self._describer = Describer(database)
        self._texts: dict[int, Rounds[PassageKey, _Shown]] = {}

    async def close(self) -> None:
        """Let go of the indexes, and end what goes on in the background."""
        self._views.close()
        if self._meaning is not None:
            await self._meaning.close()

    async def warm_up(self) -> None:
        """Load what the first search would wait for."""
        if self._meaning is not None:
            await self._meaning.warm_up()

    async def search(self, principal: Principal, request: SearchRequest) -> SearchResponse:
        """The best passages for a question.

        Raises QueryEmptyError, QueryTooLongError, TopKOutOfRangeError, UnknownFilterError, PathGlobError,
        NothingIndexedError, CollectionNotFoundError, and the store's errors.
        """
        started = time.perf_counter()
        with measured_search(self._metrics, "search") as measured:
            inquiry = _Inquiry(principal, self._understood(request), request, started)
            return measured.answered(await self._search(inquiry))

    async def _search(self, inquiry: _Inquiry) -> SearchResponse:
        principal, request = inquiry.principal, inquiry.request
        likely = self._views.guess(principal, request.collections)
        try:
            async with self._opening(inquiry) as opening, self._asking_for_meaning(inquiry, opening, likely) as asked:
                # The database is on its way to say how fresh the indexes are; mostly nothing changed since it said so last.
                guessed = self._guess(inquiry, likely)
                views = await opening
                await self._check_languages(principal, views, request.languages)
                return await self._answer_mending(inquiry, views, asked, guessed)
        finally:
            # Whoever keeps an error keeps this frame too, and must not keep the files of an index that was purged.
            likely.clear()

    async def similar(self, principal: Principal, location: Location, request: SearchRequest) -> SearchResponse:
        """Passages like the one at a place, without that passage itself.

        Raises DocumentNotFoundError, LineNotFoundError, and what `search` raises.
        """
        with measured_search(self._metrics, "similar") as measured:
            return measured.answered(await self._similar(principal, location, request))

    async def _similar(self, principal: Principal, location: Location, request: SearchRequest) -> SearchResponse:
        started = time.perf_counter()
        views = await self._views.open(principal, request.collections)
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
        version_id, ordinal, text, last_line = rows[0]
        if location.line > last_line:
            raise LineNotFoundError(path=location.path, line=location.line, last_line=last_line)
        request = replace(request, query=text[:_SIMILAR_CHARS])
        self._check_top_k(request.top_k)
        inquiry = _Inquiry(principal, analyze(request.query), request, started, without=(version_id, ordinal))
        async with self._opening(inquiry) as opening, self._asking_for_meaning(inquiry, opening, views) as asked:
            return await self._answer_mending(inquiry, views, asked)

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

    async def _check_languages(self, principal: Principal, views: Sequence[View], languages: Sequence[str]) -> None:
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
        self, inquiry: _Inquiry, views: Sequence[View], asked: asyncio.Task[Meant], guessed: _Found | None = None
    ) -> SearchResponse:
        """`_answer`; an index that opened well but cannot be read is built anew first."""
        try:
            return await self._answer(inquiry, views, asked, guessed)
        except LexicalDamagedError as error:
            damaged = [view for view in views if self._follower.folder_of(view.collection) == error.fields["folder"]]
            for view in damaged:
                await self._follower.mend(view.collection, inquiry.principal.project_id, str(error))
                self._views.refresh(view)
            if not damaged:
                raise
        return await self._answer(inquiry, views, asked)

    async def _answer(
        self, inquiry: _Inquiry, views: Sequence[View], asked: asyncio.Task[Meant], guessed: _Found | None = None
    ) -> SearchResponse:
        principal, question, request = inquiry.principal, inquiry.question, inquiry.request
        if guessed is None or guessed.states != _states(views):
            guessed = await _call(inquiry.is_slow, self._candidates, question, request, views)
        hits, origin = guessed.hits, guessed.origin
        meant = await asked
        names = {view.collection.collection_id: view.collection.name for view in views}
        origin |= {near.version_id: names[near.collection_id] for near in meant.near}
        near = {(one.version_id, one.ordinal): one.similarity for one in meant.near}
        keys = {*((hit.version_id, hit.ordinal) for hit in (*hits.passages, *hits.definitions)), *near} - {
            inquiry.without
        }
        described = await self._describer.describe(principal, {version_id for version_id, _ in keys})
        known = {key: described[key[0]][key[1]] for key in keys if _is_described(described, key)}
        ranking = partial(rank, explain=request.explain)
        ranked = await _call(inquiry.is_slow, ranking, question, hits, known, request.top_k, near)
        results = await self._results(principal, ranked, known, origin)
        return SearchResponse(
            results=tuple(results),
            took_ms=round((time.perf_counter() - inquiry.started) * 1000, 3),
            behind=tuple(
                CollectionFreshness(view.collection.name, view.collection.last_seq, max(0, view.applied_seq))
                for view in views
                if view.is_behind
            ),
            embedded_fraction=meant.embedded_fraction if self._meaning else None,
        )

    @asynccontextmanager
    async def _opening(self, inquiry: _Inquiry) -> AsyncIterator[asyncio.Task[list[View]]]:
        """Open the collections while somebody does something else."""
        work = self._views.open(inquiry.principal, inquiry.request.collections)
        opening = asyncio.create_task(work, name="skep-views")
        try:
            await asyncio.sleep(0)  # so that the question to the database is on its way before this thread is busy
            yield opening
        finally:
            opening.cancel()

    @asynccontextmanager
    async def _asking_for_meaning(
        self, inquiry: _Inquiry, opening: asyncio.Task[list[View]], likely: Sequence[View]
    ) -> AsyncIterator[asyncio.Task[Meant]]:
        """Look for the nearest passages while somebody does something else; nobody waits for it who left."""
        asked = asyncio.create_task(self._meant(inquiry, opening, likely), name="skep-meaning")
        asked.add_done_callback(_seen)
        try:
            if self._meaning is not None:
                await asyncio.sleep(0)  # so that it is on its way before this thread is busy
            yield asked
        finally:
            asked.cancel()

    async def _meant(self, inquiry: _Inquiry, opening: asyncio.Task[list[View]], likely: Sequence[View]) -> Meant:
        if self._meaning is None:
            return Meant()
        request = inquiry.request
        await self._meaning.prepare(request.query, likely)
        views, filters = await opening, _filters_of(request)
        return await self._meaning.find(
            inquiry.principal.project_id, request.query, views, filters, top_k=request.top_k
        )

    def _guess(self, inquiry: _Inquiry, likely: Sequence[View]) -> _Found | None:
        """What is found if nothing has changed; None when that must be asked first, or takes long."""
        if not likely or inquiry.is_slow:
            return None
        try:
            return self._candidates(inquiry.question, inquiry.request, likely)
        except LexicalDamagedError:
            return None  # it is found out again, and mended, by who knows the collections

    def _candidates(self, question: Question, request: SearchRequest, views: Sequence[View]) -> _Found:
        """What each index finds, put together."""
        query = question.lexical_query(request.top_k, _filters_of(request))
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
        return _Found(LexicalHits(tuple(passages), tuple(definitions)), origin, _states(views))

    def _texts_of(self, project_id: int) -> Rounds[PassageKey, _Shown]:
        if project_id not in self._texts:
            self._texts[project_id] = Rounds(partial(self._fetch_texts, project_id))
        return self._texts[project_id]

    async def _fetch_texts(self, project_id: int, keys: frozenset[PassageKey]) -> _Shown:
        version_ids, ordinals = zip(*keys, strict=True) if keys else ((), ())
        bound = {"project_id": project_id, "version_ids": list(version_ids), "ordinals": list(ordinals)}
        rows = await self._database.fetch_tuples(queries["fetch_hits"], bound)
        return {(row[0], row[1]): row[2:] for row in rows}

    async def _results(
        self,
        principal: Principal,
        ranked: Sequence[Ranked],
        known: dict[PassageKey, Passage],
        origin: dict[int, str],
    ) -> list[SearchResult]:
        texts = await self._texts_of(principal.project_id).ask((row.version_id, row.ordinal) for row in ranked)
        results = []
        for row in ranked:
            key = (row.version_id, row.ordinal)
            if key not in texts:
                continue  # removed since the index was asked
            start_line, end_line, heading, symbol, text, version = texts[key]
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
                    version=version,
                    explanation=row.steps,
                )
            )
        return results


def _filters_of(request: SearchRequest) -> LexicalFilters:
    return LexicalFilters(
        languages=request.languages,
        kinds=request.kinds,
        path_glob=request.path_glob,
        modified_since=request.modified_since,
        modified_until=request.modified_until,
    )


def _states(views: Sequence[View]) -> _States:
    return [(view.collection.uid, view.applied_seq) for view in views]


def _seen(task: asyncio.Task[Meant]) -> None:
    """Whoever waited for it knows how it ended; if nobody did, nobody needs to."""
    if not task.cancelled():
        task.exception()


async def _call(aside: bool, work: Callable[_Given, _Made], *given: _Given.args, **more: _Given.kwargs) -> _Made:
    return await asyncio.to_thread(work, *given, **more) if aside else work(*given, **more)


def _is_described(described: Described, key: PassageKey) -> bool:
    return key[0] in described and key[1] < len(described[key[0]])
