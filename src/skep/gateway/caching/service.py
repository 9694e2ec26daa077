"""The cache of answers: looks a question up, gives what is kept of it, and keeps what was answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from skep.gateway.caching.clearings import Clearings
from skep.gateway.caching.entries import (
    MOST_REQUEST_BYTES,
    Entry,
    Question,
    clearing_names,
    question_key,
    read_wish,
)
from skep.gateway.caching.recording import Recorder
from skep.gateway.caching.stores import Store
from skep.gateway.headers import to_provider
from skep.gateway.metrics import CACHE_LOOKUPS
from skep.gateway.models import Model
from skep.gateway.requests import Known
from skep.jobs import end_task
from skep.observe import Metrics
from skep.store import Database

Headers = Collection[tuple[bytes, bytes]]

_MOST_NAMES = 50


class AnswerCache:
    """See the module."""

    def __init__(self, store: Store, clearings: Clearings, metrics: Metrics) -> None:
        self._store = store
        self._clearings = clearings
        self._metrics = metrics

    def question(self, model: Model, seed: bytes, known: Known, project_id: int, headers: Headers) -> Question | None:
        """What to look up for a call; None when its answer is neither given from here nor kept.

        ``seed`` is the model's `seed_of`.
        """
        # What the provider is to store, or answers with a tool of its own, does more than to answer.
        if len(known.body) > MOST_REQUEST_BYTES or known.values.get("store") or known.searches or known.does_more:
            return None
        wish = read_wish(headers)
        if not wish.keeps:
            return None
        epochs = self._clearings.epochs(project_id, clearing_names(model.name, wish.tags))
        if epochs is None:
            return None
        whose = self._clearings.installation, project_id
        # Where the address says it, two bodies that are the same ask for a whole answer or for a stream.
        asked = known.face if known.named is None or not known.named.streams else f"{known.face}?stream"
        key = question_key(seed, whose, asked, to_provider(headers), known.body)
        return Question(key, project_id, model.cache_seconds, wish, epochs)

    async def find(self, question: Question) -> Entry | None:
        """The answer that is kept; None when there is none that may be given."""
        if not question.wish.reads:
            self._metrics.add(CACHE_LOOKUPS, ("refresh",))
            return None
        entry = await self._store.find(question.key)
        if entry is not None and not (entry.answers(question, time.time()) and self._is_current(question, entry)):
            self._take_names(question, entry)
            entry = None
        self._metrics.add(CACHE_LOOKUPS, ("miss" if entry is None else "hit",))
        return entry

    def _is_current(self, question: Question, entry: Entry) -> bool:
        """Also under the names that others gave it."""
        if len(entry.epochs) == len(question.epochs):
            return True
        return self._clearings.epochs(question.project_id, entry.epochs) == dict(entry.epochs)

    def _take_names(self, question: Question, entry: Entry) -> None:
        """What takes an entry's place can be cleared by its names, too: clients with different tags would replace it again and again."""
        names = [name for name in entry.epochs if name not in question.epochs]
        question.epochs.update(self._clearings.epochs(question.project_id, names[:_MOST_NAMES]) or {})

    async def keep(
        self, question: Question, recorder: Recorder, *, provider: str, model_used: str, cost_nusd: int | None
    ) -> None:
        """Keep what a call answered that came to a good end, unless it was cleared meanwhile."""
        entry = recorder.entry(provider=provider, model_used=model_used, cost_nusd=cost_nusd, epochs=question.epochs)
        if entry is not None and self._clearings.epochs(question.project_id, question.epochs) == question.epochs:
            await self._store.keep(question.key, entry, question.seconds)


@asynccontextmanager
async def open_cache(
    database: Database, store: Store, metrics: Metrics
) -> AsyncIterator[tuple[AnswerCache, Callable[[], None]]]:
    """The cache, until the block ends, and what to call when something was cleared."""
    clearings = Clearings(database)
    cache = AnswerCache(store, clearings, metrics)
    reading = asyncio.create_task(clearings.keep_reading(), name="skep-cache-clearings")
    try:
        yield cache, clearings.changed
    finally:
        await end_task(reading)
        await store.close()
