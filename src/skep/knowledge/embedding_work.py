"""Giving passages their vectors, in the background: what is missing is looked up, never remembered.

So there is nothing to lose: killed at any moment, the next embedder sees in the tables what is left. Any number of them,
on any machines, do no harm to each other; what two compute at the same time is kept once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from skep.errors import SkepError
from skep.knowledge.embedding_passages import PassageEmbedder
from skep.knowledge.storing import queries
from skep.knowledge.vectors import Vectors
from skep.observe import event
from skep.store import Database

PAGE_PASSAGES = 2_000
"""Passages looked up at a time: enough for texts of equal lengths to be computed together."""

_CALL_PASSAGES = 128
"""Passages embedded between two looks at whether to end, and kept in one transaction: 2 to 3 s with one thread."""

_IDLE_SECONDS = 1.0
_TROUBLE_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """A collection with something to embed, as it was when that was looked up."""

    project_id: int
    collection_id: int
    name: str


@dataclass(frozen=True, slots=True)
class _Unembedded:
    version_id: int
    input_sha256: bytes
    text: str
    symbol: str
    heading: str


class EmbeddingWork:
    """Embeds what one model has not embedded yet, of every project, in turns."""

    def __init__(self, database: Database, vectors: Vectors, embedder: PassageEmbedder) -> None:
        self._database = database
        self._vectors = vectors
        self._embedder = embedder
        self._after: dict[int, int] = {}
        """Of each collection the last version of the present pass that is done; a pass goes from the first to the last."""

    async def run(self, ending: asyncio.Event, *, until_done: bool = False) -> None:
        """Embed whatever turns up until told to end, or until nothing is left. What fails is logged and tried again."""
        while not ending.is_set():
            try:
                is_idle = not await self.do_turn(ending)
                pause = _IDLE_SECONDS if is_idle else 0.0
                if is_idle and until_done:
                    return
            except SkepError as error:
                event(
                    _log, logging.WARNING, "embedding interrupted", reason=str(error), again_in_seconds=_TROUBLE_SECONDS
                )
                if until_done:
                    raise
                pause = _TROUBLE_SECONDS
            await _pause(ending, pause)

    async def do_turn(self, ending: asyncio.Event) -> bool:
        """One page of every collection that has work; False when none has any."""
        bound = {"model": self._embedder.name}
        work = await self._database.fetch_all(Work, queries["fetch_embedding_work"], bound)
        for one in work:
            if ending.is_set():
                break
            await self.do_page(one, ending)
        return bool(work)

    async def do_page(self, work: Work, ending: asyncio.Event) -> None:
        """The next page of a collection. That all of it is done is never concluded from the pages: it is counted."""
        space_id = await self._vectors.open_space(work.project_id, self._embedder)
        bound = {"project_id": work.project_id, "collection_id": work.collection_id, "space_id": space_id}
        page = {"after": self._after.get(work.collection_id, 0), "limit": PAGE_PASSAGES}
        rows = await self._database.fetch_all(_Unembedded, queries["fetch_unembedded"], bound | page)
        if rows:
            await self._vectors.note_progress(bound)
        started = time.perf_counter()
        added = await self._embed(bound, rows, ending)
        if ending.is_set():
            return
        if rows:
            seconds = round(time.perf_counter() - started, 3)
            event(_log, logging.INFO, "embedded", collection=work.name, passages=added, seconds=seconds)
            # The page may have ended in the middle of a version: that is looked at once more, if it was worth it.
            last = rows[-1].version_id
            self._after[work.collection_id] = last - 1 if added else last
        if len(rows) < PAGE_PASSAGES:
            self._after.pop(work.collection_id, None)
        await self._vectors.note_progress(bound)

    async def _embed(self, bound: dict[str, int], rows: Sequence[_Unembedded], ending: asyncio.Event) -> int:
        passages = {row.input_sha256: row for row in rows}
        # Longest first, so that neighbours are of one length.
        order = sorted(passages, key=lambda sha256: -len(passages[sha256].text))
        added = 0
        for start in range(0, len(order), _CALL_PASSAGES):
            if ending.is_set():
                break
            part = order[start : start + _CALL_PASSAGES]
            vectors = await asyncio.to_thread(self._embedder.embed_passages, [passages[sha256] for sha256 in part])
            new = await self._vectors.add(bound["project_id"], bound["space_id"], dict(zip(part, vectors, strict=True)))
            # Passages that say the same share a vector, so this is a little too few until it is counted again.
            going = await self._database.fetch_tuples(queries["add_embedding_progress"], bound | {"added": new})
            added += new
            if going != [(False,)]:
                break  # paused, or purged; what is left out is missing at the next count
        return added


async def _pause(ending: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        return
