"""Gives a kept answer: it waits for no provider."""

from __future__ import annotations

import time

from skep.gateway.answering_here import Here, Source
from skep.gateway.caching.entries import Entry
from skep.gateway.streaming import cost_comment

_KIND = "cache"


async def give_kept(entry: Entry, here: Here, model: str) -> None:
    """Answer with what is kept. Raises the errors of spending."""
    source = Source(_KIND, entry.provider, entry.model_used, entry.cost_nusd or 0)
    headers = [
        (b"content-type", entry.content_type),
        (b"age", b"%d" % max(0, int(time.time() - entry.stored_at))),
        (b"x-skep-cache", b"hit"),
        *await here.settle(model, source),
    ]
    if not entry.is_stream:
        await here.answer(headers, entry.body)
        return
    await here.send({"type": "http.response.start", "status": 200, "headers": headers})
    await here.send({"type": "http.response.body", "body": entry.body, "more_body": True})
    await here.send({"type": "http.response.body", "body": cost_comment(here.known.face, 0) + entry.last})
