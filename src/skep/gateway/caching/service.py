"""The cache of answers: looks a question up, gives what is kept of it, and keeps what was answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from skep.gateway.caching.asking import asked_in
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
from skep.gateway.caching.similarity import Similarity
from skep.gateway.caching.stores import Store
from skep.gateway.caching.wordings import Likeness, Put, Wording
from skep.gateway.headers import to_provider
from skep.gateway.interfaces import LocalEmbedder, RequestInvalidError
from skep.gateway.metrics import CACHE_LOOKUPS
from skep.gateway.models import Model
from skep.gateway.requests import Known
from skep.jobs import end_task
from skep.observe import Metrics
from skep.store import Database

Headers = Collection[tuple[bytes, bytes]]

_MOST_NAMES = 50

"""The header of a call that takes no answer to a question in other words."""


class AnswerCache:
    """See the module."""

    def __init__(
        self, store: Store, clearings: Clearings, metrics: Metrics, similarity: Similarity | None = None
    ) -> None:
        self._store = store
        self._similarity = similarity
        self._clearings = clearings
        self._metrics = metrics

    def question(self, model: Model, seed: bytes, known: Known, project_id: int, headers: Headers) -> Question | None:
        """What to look up for a call; None when its answer is neither given from here nor kept.

        ``seed`` is the model's `seed_of`. Raises RequestInvalidError.
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
        passed = to_provider(headers)
        # Where the address says it, two bodies that are the same ask for a whole answer or for a stream.
        asked = known.face if known.named is None or not known.named.streams else f"{known.face}?stream"
        key = question_key(seed, whose, asked, passed, known.body)
        question = Question(key, project_id, model.cache_seconds, wish, epochs)
        semantic = model.semantic_cache
        if semantic is not None and self._similarity is not None and not _wants_exact(headers):
            read = partial(asked_in, seed, whose, known, passed)
            question.wording = Wording(read, semantic.similarity, semantic.wait_seconds)
        return question

    def again(self, question: Question) -> Question | None:
        """The question of a call that is asked once more; None when its answer may not be given now."""
        epochs = self._clearings.epochs(question.project_id, question.epochs)
        if epochs is None:
            return None
        wording = None if question.wording is None else question.wording.anew()
        return Question(question.key, question.project_id, question.seconds, question.wish, epochs, wording)

    async def find(self, question: Question) -> Entry | None:
        """The answer that is kept; None when there is none that may be given."""
        if not question.wish.reads:
            self._metrics.add(CACHE_LOOKUPS, ("refresh",))
            return None
        entry = await self._store.find(question.key)
        if entry is not None and not (entry.answers(question, time.time()) and self._is_current(question, entry)):
            self._take_names(question, entry)
            entry = None
        outcome = "miss" if entry is None else "hit"
        if entry is None and question.wording is not None:
            entry = await self._find_alike(question, question.wording)
            outcome = "miss" if entry is None else "semantic"
        self._metrics.add(CACHE_LOOKUPS, (outcome,))
        return entry

    async def _find_alike(self, question: Question, wording: Wording) -> Entry | None:
        """The answer to the same question in other words."""
        asked = wording.asked = wording.asked or wording.read()
        put = None if asked is None else await self._store.find_put(asked.key)
        if asked is None or put is None or put.answer_key == question.key or self._similarity is None:
            return None
        entry = await self._store.find(put.answer_key)
        if entry is None or not (entry.answers(question, time.time()) and self._is_current(question, entry)):
            return None
        similarity = await self._similarity.between(asked.text, put.text, wording.wait_seconds)
        if similarity is None or similarity < wording.least_similarity:
            return None
        wording.likeness = Likeness(similarity, put.text, put.call_id)
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
        self,
        question: Question,
        recorder: Recorder,
        *,
        provider: str,
        model_used: str,
        cost_nusd: int | None,
        call_id: str,
    ) -> None:
        """Keep what a call answered that came to a good end, unless it was cleared meanwhile."""
        entry = recorder.entry(provider=provider, model_used=model_used, cost_nusd=cost_nusd, epochs=question.epochs)
        if entry is not None and self._clearings.epochs(question.project_id, question.epochs) == question.epochs:
            wording = question.wording
            asked = None if wording is None else wording.asked or wording.read()
            if asked is not None:
                await self._store.keep_put(asked.key, Put(question.key, asked.text, call_id), question.seconds)
            await self._store.keep(question.key, entry, question.seconds)


def _wants_exact(headers: Headers) -> bool:
    """Whether a call takes no answer to the question in other words. Raises RequestInvalidError."""
    for name, value in headers:
        if name == b"x-skep-cache":
            if value.strip().lower() != b"exact":
                raise RequestInvalidError(reason="x-skep-cache must be exact", param=None)
            return True
    return False


@asynccontextmanager
async def open_cache(
    database: Database, store: Store, metrics: Metrics, embedder: LocalEmbedder | None = None
) -> AsyncIterator[tuple[AnswerCache, Callable[[], None]]]:
    """The cache, until the block ends, and what to call when something was cleared.

    Without an ``embedder`` only the same questions are answered again, to the last byte.
    """
    clearings = Clearings(database)
    similarity = None if embedder is None else Similarity(embedder)
    cache = AnswerCache(store, clearings, metrics, similarity)
    reading = asyncio.create_task(clearings.keep_reading(), name="skep-cache-clearings")
    try:
        yield cache, clearings.changed
    finally:
        await end_task(reading)
        if similarity is not None:
            similarity.close()
        await store.close()
