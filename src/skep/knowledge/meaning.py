"""Candidates by meaning: a question's vector, and the passages whose vectors are nearest."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from skep.errors import SkepError
from skep.knowledge.embedding import Embedder
from skep.knowledge.lexical import LexicalFilters
from skep.knowledge.metrics import VECTOR_SEARCH_SECONDS, WITHOUT_MEANING
from skep.knowledge.recall import RecallChecks
from skep.knowledge.vectors import Near, VectorQuery, Vectors
from skep.knowledge.views import View
from skep.observe import Metrics, event

CANDIDATES = 100
"""Nearest passages looked at for a question; more found no more right ones on the development questions."""

_REMEMBERED = 256
"""Vectors of questions kept: the same one is often asked again, with other filters, or by the page that shows it."""

_PATIENCE_SECONDS = 3.0
"""How long an answer by words waits for meanings: while a purge writes the vectors anew, they cannot be read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Meant:
    """The nearest passages, best first, and how much of what was searched has vectors (0.0 to 1.0)."""

    near: tuple[Near, ...] = ()
    embedded_fraction: float = 0.0


class MeaningSearch:
    """Finds passages by what they mean, with one embedding model. Never the reason why a search fails."""

    def __init__(self, vectors: Vectors, embedder: Embedder, metrics: Metrics, checks: RecallChecks) -> None:
        self._vectors = vectors
        self._embedder = embedder
        self._metrics = metrics
        self._checks = checks
        self._remembered: OrderedDict[str, list[float]] = OrderedDict()

    @property
    def model(self) -> str:
        """The model's name, under which vectors are kept."""
        return self._embedder.name

    async def warm_up(self) -> None:
        """Load the model, which the first question would wait for."""
        try:
            await self._vector("")
        except SkepError as error:
            event(_log, logging.WARNING, "embedding model not loaded", reason=str(error))

    async def prepare(self, text: str, likely: Sequence[View]) -> None:
        """Compute the vector that `find` needs, before it is known for sure which collections it will look in."""
        if any(view.embedded.passages for view in likely):
            with suppress(SkepError):  # `find` meets it again, and tells
                await self._vector(text)

    async def find(
        self, project_id: int, text: str, views: Sequence[View], filters: LexicalFilters, *, top_k: int
    ) -> Meant:
        """The passages nearest to a text. When the model or the database fails, none: words alone answer then."""
        embedded = [view for view in views if view.embedded.passages]
        if not embedded:
            return Meant()
        passages = sum(view.embedded.total for view in embedded)
        try:
            query = VectorQuery(
                space_id=embedded[0].embedded.space_id,
                vector=await self._vector(text),
                collection_ids=[view.collection.collection_id for view in embedded],
                passages=passages,
                filters=filters,
                limit=max(CANDIDATES, top_k),
            )
            near = await self._nearest(project_id, query)
        except (SkepError, TimeoutError) as error:
            reason = str(error) or f"the vectors did not answer within {_PATIENCE_SECONDS:g} s"
            event(_log, logging.WARNING, "searched without meanings", reason=reason)
            self._metrics.add(WITHOUT_MEANING)
            return Meant()
        return Meant(tuple(near), fraction_of(views))

    async def close(self) -> None:
        """End what goes on in the background."""
        await self._checks.close()

    async def _nearest(self, project_id: int, query: VectorQuery) -> list[Near]:
        started = perf_counter()
        self._checks.begin_search()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                nearest = await self._vectors.nearest(project_id, query)
        finally:
            self._checks.end_search()
        self._metrics.observe(VECTOR_SEARCH_SECONDS, (nearest.scan,), perf_counter() - started)
        if nearest.scan == "index":
            self._checks.consider(project_id, query)
        return nearest.near

    async def _vector(self, text: str) -> list[float]:
        known = self._remembered.get(text)
        if known is None:
            known = (await asyncio.to_thread(self._embedder.embed, [text]))[0].tolist()
            self._remembered[text] = known
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        else:
            self._remembered.move_to_end(text)
        return known


def fraction_of(views: Sequence[View]) -> float:
    """How much of some collections has vectors, by passages; 1.0 only when all of it has."""
    if all(view.embedded.is_complete(view.collection.last_seq) for view in views):
        return 1.0
    total = sum(view.embedded.total for view in views)
    passages = sum(view.embedded.passages for view in views)
    return min(passages / total, 0.999) if total else 0.0
