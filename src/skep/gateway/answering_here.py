"""Calls that are answered from here, without a provider: they cost nothing, and limits count them like any call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Send

from skep.gateway.admitting import admit
from skep.gateway.calls import NO_USAGE, Tools
from skep.gateway.headers import exceeded_headers, limit_headers
from skep.gateway.metrics import count_call
from skep.gateway.pricing import FREE
from skep.gateway.requests import Known
from skep.gateway.spans import Attributes, CallSpans, masked_tags
from skep.spend import Ask, Caller, Settlement, Step
from skep.web import WHOLE_ANSWER, Notes


@dataclass(slots=True)
class Source:
    """Where an answer comes from."""

    kind: str
    """In metrics, and in the log."""
    provider: str
    model_used: str
    saved_nusd: int | None = None
    """See `Settlement`."""
    steps: tuple[Step, ...] = ()
    """How it came to that, where the ledger is to tell it."""


@dataclass(slots=True)
class Here:
    """A call that is answered from here. Never changed; not frozen, for its making counts in what a hit takes. ``started`` is monotonic; ``spans`` None: it is not recorded."""

    tools: Tools
    known: Known
    caller: Caller
    send: Send
    notes: Notes
    spans: CallSpans | None
    started: float
    told: Sequence[tuple[bytes, bytes]] = ()
    """Headers of the answer that say how the model was chosen."""

    async def settle(self, model: str, source: Source) -> list[tuple[bytes, bytes]]:
        """Count it; the headers that tell about it. Raises the errors of spending."""
        meter, known = self.tools.meter, self.known
        ask = Ask(self.caller, model, 0, 0, FREE, face=known.face, stream=known.stream)
        ticket = await admit(meter, ask, self.tools.metrics, self.notes)
        headers = [
            (b"x-skep-call-id", ask.call_id.encode()),
            (b"x-skep-model", model.encode("utf-8")),
            (b"x-skep-provider", source.provider.encode("utf-8")),
            (b"x-skep-cost-usd", b"0"),
            (b"x-skep-overhead-ms", b"%.3f" % ((time.monotonic() - self.started) * 1000)),
            *self.told,
            *limit_headers(meter.rooms(ticket)),
            *exceeded_headers(ticket.exceeded),
        ]
        settlement = Settlement(
            "ok",
            NO_USAGE,
            status=200,
            provider=source.provider,
            model_used=source.model_used,
            attempts=0,
            duration_ms=(time.monotonic() - self.started) * 1000,
            price=FREE,
            tried=source.steps,
            saved_nusd=source.saved_nusd,
        )
        meter.enter(ticket, settlement)
        count_call(self.tools.metrics, source.kind, "ok", NO_USAGE, 0)
        self.notes.log.update(call=ask.call_id, model=model, outcome="ok", by=source.kind, cost_nusd=0)
        if self.spans is not None:
            told: Attributes = {"gen_ai.request.model": model, "skep.call.id": ask.call_id}
            if source.saved_nusd is not None:
                told["skep.cache.hit"] = True
            if self.caller.tags:
                told["skep.tags"] = masked_tags(self.caller.tags)
            self.spans.finish(known.face, told, NO_USAGE, "")
        return headers

    async def answer(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer."""
        await self.send({"type": WHOLE_ANSWER, "status": 200, "headers": headers, "body": body})
