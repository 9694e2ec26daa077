"""How much the vector index misses: now and then a search is done again, with the index and without, and compared."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from skep.errors import SkepError
from skep.knowledge.metrics import RECALL_CHECKS, VECTOR_SEARCH_RECALL
from skep.knowledge.vectors import Near, VectorQuery, Vectors
from skep.observe import Metrics, event

DEPTH = 10
"""Recall at 10: what people look at."""

_SAME = 1e-6
"""Similarities that differ by less are equal: which of two equally near passages is found does not matter."""

_PATIENCE_SECONDS = 10.0
"""How long a check waits for a moment without searches, and then how long it may take."""

_LOOK_SECONDS = 0.1

_log = logging.getLogger(__name__)


def recall_at(depth: int, found: Sequence[float], exact: Sequence[float]) -> float | None:
    """The share of the ``depth`` nearest (fewer where there are no more) that was found; None where there is none.

    Both are similarities, best first. By similarity and not by identity, as ann-benchmarks does it: equally near is as good.
    """
    wanted = exact[:depth]
    if not wanted:
        return None
    near_enough = sum(similarity >= wanted[-1] - _SAME for similarity in found[:depth])
    return min(near_enough, len(wanted)) / len(wanted)


class RecallChecks:
    """Checks of sampled searches, after their answers, one at a time, and only while this process searches nothing else."""

    def __init__(
        self, vectors: Vectors, metrics: Metrics, per_thousand: int, chance: Callable[[], float] = random.random
    ) -> None:
        """``per_thousand``: how many searches of a thousand are checked; 0 for none. ``chance``: 0.0 up to 1.0."""
        self._vectors = vectors
        self._metrics = metrics
        self._share = per_thousand / 1000
        self._chance = chance
        self._checking: asyncio.Task[None] | None = None
        self._searches = 0

    def begin_search(self) -> None:
        """A search of the vectors begins."""
        self._searches += 1

    def end_search(self) -> None:
        """It has ended."""
        self._searches -= 1

    def consider(self, project_id: int, query: VectorQuery) -> None:
        """Perhaps check a search that the index answered. Costs nothing where it is not sampled."""
        if self._chance() >= self._share:
            return
        if self._checking is not None and not self._checking.done():
            self._metrics.add(RECALL_CHECKS, ("busy",))
            return
        self._checking = asyncio.create_task(self._check(project_id, query), name="skep-recall-check")

    async def close(self) -> None:
        """End the check that is under way."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    async def _check(self, project_id: int, query: VectorQuery) -> None:
        self._metrics.add(RECALL_CHECKS, (await self._outcome(project_id, query),))

    async def _outcome(self, project_id: int, query: VectorQuery) -> str:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                # First of all the search itself has to be answered.
                await asyncio.sleep(_LOOK_SECONDS)
                while self._searches:  # noqa: ASYNC110 -- hundreds of searches a second shall not each wake it
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return "busy"
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                # Once more, so that nothing is stored between the two but for a moment.
                found = (await self._vectors.nearest(project_id, query)).near
                exact = await self._vectors.nearest_exactly(project_id, replace(query, limit=DEPTH))
        except (SkepError, TimeoutError) as error:
            reason = str(error) or f"the database did not answer within {_PATIENCE_SECONDS:g} s"
            event(_log, logging.INFO, "recall not checked", reason=reason)
            return "failed"
        recall = recall_at(DEPTH, _similarities(found), _similarities(exact))
        if recall is None:
            return "empty"
        self._metrics.observe(VECTOR_SEARCH_RECALL, (), recall)
        return "checked"


def _similarities(near: Sequence[Near]) -> list[float]:
    return [one.similarity for one in near]
