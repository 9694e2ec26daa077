"""The model ``local``: embeddings by the model that is part of Skep, in OpenAI's shape. Nothing leaves the machine."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from starlette.types import Send

from skep.gateway.admitting import admit
from skep.gateway.headers import exceeded_headers, limit_headers
from skep.gateway.interfaces import LocalEmbedder, RequestInvalidError
from skep.gateway.large_bodies import Unread
from skep.gateway.metrics import count_call
from skep.gateway.models import LOCAL_MODEL
from skep.gateway.pricing import FREE
from skep.gateway.requests import Known
from skep.gateway.spans import Attributes, CallSpans, masked_tags
from skep.observe import Metrics
from skep.spend import Ask, Caller, Meter, Settlement, Usage
from skep.web import Notes

THREADS = 2
"""One call fills the processors; a second lets a short one pass a long one."""

MAX_TEXTS = 2048
"""As in OpenAI's own API."""

MAX_INPUT_BYTES = 2_097_152
"""Of all texts; the model looks at about a thousand bytes of each."""

_FORMATS = ("float", "base64")


class LocalModel:
    """The embedding model with threads of its own: what else runs in threads must not wait behind it. `close` it."""

    def __init__(self, embedder: LocalEmbedder) -> None:
        self.embedder = embedder
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="skep-local-model")

    async def embed(self, texts: Sequence[str], form: str) -> tuple[bytes, int]:
        """The answer's body, and how many tokens were looked at. Waits for a thread; cancelled while it waits, nothing is done."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _embed, self.embedder, texts, form)

    def close(self) -> None:
        """Begin with nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def answer_locally(
    local: LocalModel,
    meter: Meter,
    known: Known,
    caller: Caller,
    send: Send,
    notes: Notes,
    metrics: Metrics,
    spans: CallSpans | None,
) -> None:
    """Embed and answer. It costs nothing, and limits count it like any call. ``spans``: None where it is not recorded.

    Raises RequestInvalidError, the errors of spending, UnavailableError.
    """
    began = time.monotonic()
    texts, form = _read(known, local.embedder.dimensions)
    started = time.monotonic()
    ask = Ask(caller, LOCAL_MODEL, known.input_tokens_at_most, 0, FREE, face=known.face)
    ticket = await admit(meter, ask, metrics, notes)
    meter.begin(ticket)
    settlement = Settlement(
        "server_error", None, provider=LOCAL_MODEL, model_used=LOCAL_MODEL, price=FREE, is_remote=False
    )
    try:
        embedding = time.monotonic()
        body, tokens = await local.embed(texts, form)
        embedding = time.monotonic() - embedding
        settlement = Settlement(
            "ok",
            Usage(input_tokens=tokens, output_tokens=0),
            status=200,
            provider=LOCAL_MODEL,
            model_used=LOCAL_MODEL,
            duration_ms=(time.monotonic() - started) * 1000,
            price=FREE,
            is_remote=False,
        )
    finally:
        meter.settle(ticket, settlement)
        count_call(metrics, LOCAL_MODEL, settlement.outcome, settlement.usage, 0)
        notes.log.update(call=ask.call_id, model=LOCAL_MODEL, outcome=settlement.outcome)
        if spans is not None:
            told: Attributes = {"gen_ai.request.model": LOCAL_MODEL, "skep.call.id": ask.call_id}
            if caller.tags:
                told["skep.tags"] = masked_tags(caller.tags)
            error = "" if settlement.outcome == "ok" else settlement.outcome
            spans.finish(known.face, told, settlement.usage, error)
    notes.log["input"] = tokens
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-skep-call-id", ask.call_id.encode()),
        (b"x-skep-model", LOCAL_MODEL.encode()),
        (b"x-skep-provider", LOCAL_MODEL.encode()),
        (b"x-skep-cost-usd", b"0"),
        (b"x-skep-overhead-ms", b"%.3f" % ((time.monotonic() - began - embedding) * 1000)),
        *limit_headers(meter.rooms(ticket)),
        *exceeded_headers(ticket.exceeded),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _read(known: Known, dimensions: int) -> tuple[list[str], str]:
    if known.face != "embeddings":
        raise RequestInvalidError(reason=f"the model {LOCAL_MODEL} only makes embeddings", param="model")
    entry = known.values.get("input")
    if isinstance(entry, Unread):
        if entry.span.end - entry.span.start > MAX_INPUT_BYTES or entry.values > MAX_TEXTS:
            reason = f"input is larger than this model takes: {MAX_TEXTS} texts, {MAX_INPUT_BYTES} bytes"
            raise RequestInvalidError(reason=reason, param="input")
        entry = orjson.loads(known.body[entry.span.start : entry.span.end])
    texts = [entry] if isinstance(entry, str) else entry
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise RequestInvalidError(reason="input must be a text or a list of texts, none of them empty", param="input")
    if len(texts) > MAX_TEXTS:
        raise RequestInvalidError(reason=f"input has {len(texts)} texts; at most {MAX_TEXTS} are taken", param="input")
    form = known.values.get("encoding_format", "float")
    if form not in _FORMATS:
        raise RequestInvalidError(reason="encoding_format must be float or base64", param="encoding_format")
    if known.values.get("dimensions") not in (None, dimensions):
        raise RequestInvalidError(reason=f"this model has {dimensions} dimensions", param="dimensions")
    return texts, form


def _embed(embedder: LocalEmbedder, texts: Sequence[str], form: str) -> tuple[bytes, int]:
    vectors = embedder.embed(texts)
    tokens = embedder.count_tokens(texts)
    data: list[dict[str, Any]] = []
    for index, vector in enumerate(vectors):
        numbers = [float(number) for number in vector]
        shown: object = numbers
        if form == "base64":
            # Little-endian single precision, as OpenAI's clients read it.
            shown = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": shown})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": LOCAL_MODEL, "usage": usage}), tokens
