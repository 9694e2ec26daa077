"""What a client is told, where the settings say so, instead of an error when every route of a model has failed."""

from __future__ import annotations

import time
from http import HTTPStatus

import orjson

from skep.gateway.calls import ModelCall
from skep.gateway.failures import Failure
from skep.gateway.translated import format_of
from skep.gateway.translating import Wanted, say
from skep.observe import current_trace_id
from skep.web import WHOLE_ANSWER

TRACE_ID = "{trace_id}"
"""Stands in the text for what finds the call in the log."""


def owes_apology(call: ModelCall, failure: Failure | None) -> bool:
    """Whether a failed call is answered so. ``failure`` None: no route could be tried.

    What a provider says of the request itself, the client must hear: it would send the same again.
    """
    has_words = call.known.face == "completions" or format_of(call.known.face) is not None
    blames_request = failure is not None and failure.rule.client_status == HTTPStatus.BAD_REQUEST
    return call.model.apology is not None and has_words and not blames_request


async def apologize(call: ModelCall) -> None:
    """Answer a call that was settled as failed."""
    known, text = call.known, (call.model.apology or "").replace(TRACE_ID, current_trace_id())
    call.notes.log["apology"] = True
    answer_id, model, now = call.ticket.ask.call_id, call.model.name, int(time.time())
    name = format_of(known.face)
    if name is None:
        body = completion(text, answer_id, model, now, streams=known.stream, tells_usage=known.wants_usage)
    else:
        wanted = Wanted(usage=known.wants_usage, created=now)
        body = say(name, text, wanted, answer_id=answer_id, model=model, streams=known.stream)
    headers = [*call.headers(), (b"x-skep-apology", b"true")]
    call.has_begun = True
    if not known.stream:
        headers.append((b"content-type", b"application/json"))
        await call.send({"type": WHOLE_ANSWER, "status": HTTPStatus.OK, "headers": headers, "body": body})
        return
    headers.append((b"content-type", b"text/event-stream; charset=utf-8"))
    await call.send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
    await call.send({"type": "http.response.body", "body": body})


def completion(text: str, answer_id: str, model: str, created: int, *, streams: bool, tells_usage: bool) -> bytes:
    """The same in OpenAI's format of completions, which is translated into no other."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    head = {"id": answer_id, "object": "text_completion", "created": created, "model": model}
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    whole = {**head, "choices": [choice]}
    if not streams:
        return orjson.dumps({**whole, "usage": usage})
    events = [whole, {**head, "choices": [], "usage": usage}] if tells_usage else [whole]
    return b"".join([b"data: " + orjson.dumps(each) + b"\n\n" for each in events]) + b"data: [DONE]\n\n"
