"""Gives a kept answer: it waits for no provider."""

from __future__ import annotations

import time
from urllib.parse import quote

from skep.gateway.answering_here import Here, Source
from skep.gateway.caching.entries import Entry, Question
from skep.gateway.caching.wordings import Likeness
from skep.gateway.streaming import cost_comment
from skep.spend import Step

_KIND = "cache"
_SHOWN_CHARACTERS = 300
"""Of the question that was answered, in a header."""


async def give_kept(entry: Entry, here: Here, model: str, question: Question | None = None) -> None:
    """Answer with what is kept; ``question`` says whether that is in other words. Raises the errors of spending."""
    likeness = None if question is None else question.likeness
    source = Source(_KIND, entry.provider, entry.model_used, entry.cost_nusd or 0)
    said = [(b"x-skep-cache", b"hit")]
    if likeness is not None:
        source.steps = (_step(entry, likeness),)
        said = _told(likeness)
    headers = [
        (b"content-type", entry.content_type),
        (b"age", b"%d" % max(0, int(time.time() - entry.stored_at))),
        *said,
        *await here.settle(model, source),
    ]
    if not entry.is_stream:
        await here.answer(headers, entry.body)
        return
    await here.send({"type": "http.response.start", "status": 200, "headers": headers})
    await here.send({"type": "http.response.body", "body": entry.body, "more_body": True})
    await here.send({"type": "http.response.body", "body": cost_comment(here.known.face, 0) + entry.last})


def _told(likeness: Likeness) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-skep-cache", b"semantic"),
        (b"x-skep-cache-similarity", b"%.4f" % likeness.similarity),
        (b"x-skep-cache-call", likeness.call_id.encode()),
        (b"x-skep-cache-question", quote(likeness.text[:_SHOWN_CHARACTERS], safe=" ").encode()),
    ]


def _step(entry: Entry, likeness: Likeness) -> Step:
    """What the ledger is told: which call was answered, and nothing of what was said in it."""
    reason = (
        f"an answer of {entry.provider}/{entry.model_used} to the question of call {likeness.call_id},"
        f" of similarity {likeness.similarity:.4f}"
    )
    return Step("cache", "semantic", reason)
