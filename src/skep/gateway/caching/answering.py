"""Gives a kept answer: it costs nothing, waits for no provider, and limits count it like any call."""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlette.types import Send

from skep.gateway.admitting import admit
from skep.gateway.caching.entries import Entry
from skep.gateway.caching.recording import COST_COMMENT
from skep.gateway.calls import Tools
from skep.gateway.headers import exceeded_headers, limit_headers
from skep.gateway.metrics import count_call
from skep.gateway.requests import Known
from skep.gateway.spans import Attributes, CallSpans, masked_tags
from skep.spend import Ask, Caller, Meter, Rates, Settlement, Ticket, Usage, make_price
from skep.web import WHOLE_ANSWER, Notes

_FREE = make_price(Rates(input_nusd_per_mtok=0, output_nusd_per_mtok=0))
_NOTHING = Usage(input_tokens=0, output_tokens=0)
_KIND = "cache"


def free_ask(caller: Caller, model: str, known: Known) -> Ask:
    """A call that is answered from here, as the rules see it."""
    return Ask(caller, model, 0, 0, _FREE, face=known.face, stream=known.stream)


async def give_kept(
    entry: Entry,
    tools: Tools,
    ask: Ask,
    known: Known,
    send: Send,
    notes: Notes,
    spans: CallSpans | None,
    started: float,
) -> None:
    """Answer with what is kept. Raises the errors of spending. ``started`` is monotonic; ``spans`` None: it is not recorded."""
    meter, tags = tools.meter, ask.caller.tags
    ticket = await admit(meter, ask, tools.metrics, notes)
    meter.begin(ticket)
    headers = [*_headers(entry, ask, started), *limit_headers(meter.rooms(ticket)), *exceeded_headers(ticket.exceeded)]
    _settle(entry, meter, ticket, started)
    count_call(tools.metrics, _KIND, "ok", _NOTHING, 0)
    notes.log.update(call=ask.call_id, model=ask.model, outcome="ok", cache="hit", cost_nusd=0)
    if spans is not None:
        told: Attributes = {"gen_ai.request.model": ask.model, "skep.call.id": ask.call_id, "skep.cache.hit": True}
        if tags:
            told["skep.tags"] = masked_tags(tags)
        spans.finish(known.face, told, _NOTHING, "")
    if not entry.is_stream:
        await send({"type": WHOLE_ANSWER, "status": 200, "headers": headers, "body": entry.body})
        return
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": entry.body, "more_body": True})
    await send({"type": "http.response.body", "body": COST_COMMENT + b"0\n\n" + entry.last})


def _headers(entry: Entry, ask: Ask, started: float) -> Iterable[tuple[bytes, bytes]]:
    yield b"content-type", entry.content_type
    yield b"age", b"%d" % max(0, int(time.time() - entry.stored_at))
    yield b"x-skep-cache", b"hit"
    yield b"x-skep-call-id", ask.call_id.encode()
    yield b"x-skep-model", ask.model.encode("utf-8")
    yield b"x-skep-provider", entry.provider.encode("utf-8")
    yield b"x-skep-cost-usd", b"0"
    yield b"x-skep-overhead-ms", b"%.3f" % ((time.monotonic() - started) * 1000)


def _settle(entry: Entry, meter: Meter, ticket: Ticket, started: float) -> None:
    settlement = Settlement(
        "ok",
        _NOTHING,
        status=200,
        provider=entry.provider,
        model_used=entry.model_used,
        attempts=0,
        duration_ms=(time.monotonic() - started) * 1000,
        price=_FREE,
        saved_nusd=entry.cost_nusd or 0,
    )
    meter.settle(ticket, settlement)
