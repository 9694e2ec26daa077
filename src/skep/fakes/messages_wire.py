"""What a provider with Anthropic's API puts on the wire (https://platform.claude.com/docs/en/api/messages). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from skep.fakes.models import Usage
from skep.fakes.wire import Said

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
"""Ends a stream."""


def message_body(said: Said) -> dict[str, Any]:
    """A whole answer."""
    content: list[dict[str, Any]] = []
    text = said.refusal if said.text is None else said.text
    if text is not None:
        content.append({"type": "text", "text": text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
        for call in said.tool_calls
    ]
    return {
        **_head(said),
        "content": content,
        "stop_reason": _reason(said),
        "stop_sequence": None,
        **({} if said.usage is None else {"usage": _usage(said.usage)}),
    }


def message_events(said: Said) -> Iterator[bytes]:
    """A stream, without `STOP`."""
    usage = None if said.usage is None else {**_usage(said.usage), "output_tokens": 1}
    began = {**_head(said), "content": [], "stop_reason": None, "stop_sequence": None}
    yield _event({"type": "message_start", "message": began if usage is None else {**began, "usage": usage}})
    yield _event({"type": "ping"})
    index = 0
    pieces = [said.refusal] if said.text is None and said.refusal else said.pieces
    if pieces:
        yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        for piece in pieces:
            yield _delta(0, {"type": "text_delta", "text": piece})
        yield _event({"type": "content_block_stop", "index": 0})
        index = 1
    for call in said.tool_calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield _event({"type": "content_block_start", "index": index, "content_block": block})
        half = len(call.arguments) // 2
        for part in ("", call.arguments[:half], call.arguments[half:]):
            yield _delta(index, {"type": "input_json_delta", "partial_json": part})
        yield _event({"type": "content_block_stop", "index": index})
        index += 1
    told = {} if said.usage is None else {"usage": {"output_tokens": said.usage.output_tokens}}
    yield _event({"type": "message_delta", "delta": {"stop_reason": _reason(said), "stop_sequence": None}, **told})


def message_error(status: int, message: str, kind: str | None = None) -> dict[str, Any]:
    """An error; ``kind`` None: that of its status."""
    usual = "invalid_request_error" if status < 500 else "api_error"
    return {"type": "error", "error": {"type": kind or _TYPES.get(status, usual), "message": message}}


def message_error_event(message: str) -> bytes:
    """An error in a stream."""
    return _event(message_error(529, message))


def _head(said: Said) -> dict[str, Any]:
    return {"id": f"msg_{said.id}", "type": "message", "role": "assistant", "model": said.model}


def _reason(said: Said) -> str:
    if said.refusal is not None:
        return "refusal"
    return _REASONS.get(said.finish_reason, said.finish_reason)


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _event(values: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (values["type"].encode(), orjson.dumps(values))
