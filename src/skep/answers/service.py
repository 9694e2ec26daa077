"""A first answer, without any provider: what documents say, quoted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from skep.access import Principal
from skep.answers.choosing import Candidate, Chosen, Similarities, choose
from skep.answers.models import Answer, AskRequest, Quote
from skep.knowledge import Embedder, Knowledge, SearchRequest, SearchResponse

_PROSE = 16
_ANY = 10
"""So many passages are looked at: of documents alone, and of everything."""


class Answers:
    """See the module. ``embedder`` tells what sentences mean; None: words alone decide."""

    def __init__(self, knowledge: Knowledge, embedder: Embedder | None) -> None:
        self._knowledge = knowledge
        self._embedder = embedder

    async def ask(self, principal: Principal, request: AskRequest) -> Answer:
        """The best quotes for a question. Raises what `Knowledge.search` raises."""
        started = time.perf_counter()
        wanted = SearchRequest(query=request.question, top_k=_ANY, collections=request.collections)
        prose, anything = await asyncio.gather(
            self._knowledge.search(principal, replace(wanted, kinds=("docs",), top_k=_PROSE)),
            self._knowledge.search(principal, wanted),
        )
        candidates = _together(prose, anything)
        similarities = None if self._embedder is None else _similarities(self._embedder, request.question)
        chosen = await asyncio.to_thread(choose, request.question, candidates, similarities, request.most_quotes)
        return Answer(
            question=request.question,
            kind="extractive",
            is_answered=bool(chosen),
            quotes=tuple(_quote(number, each) for number, each in enumerate(chosen, 1)),
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            behind=anything.behind,
            embedded_fraction=anything.embedded_fraction,
        )


def _together(*found: SearchResponse) -> list[Candidate]:
    """The passages of several searches, each once, by its best place."""
    best: dict[tuple[str, str, int, int], Candidate] = {}
    for response in found:
        for place, result in enumerate(response.results):
            key = (result.collection, result.path, result.start_line, result.end_line)
            if key not in best or place < best[key].place:
                best[key] = Candidate(result, place)
    return list(best.values())


def _similarities(embedder: Embedder, question: str) -> Similarities:
    [asked] = embedder.embed([question])

    def of(texts: Sequence[str]) -> Sequence[float]:
        return [float(value) for value in embedder.embed(texts) @ asked] if texts else []

    return of


def _quote(number: int, chosen: Chosen) -> Quote:
    result, unit = chosen.result, chosen.unit
    return Quote(
        number=number,
        text=unit.text,
        collection=result.collection,
        path=result.path,
        version=result.version,
        start_line=result.start_line + unit.first_line,
        end_line=result.start_line + unit.last_line,
        heading=result.heading,
        relevance=round(min(1.0, chosen.relevance), 3),
    )
