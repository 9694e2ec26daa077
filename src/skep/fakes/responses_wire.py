"""What a provider with OpenAI's responses puts on the wire (https://platform.openai.com/docs/api-reference/responses). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from skep.fakes.models import ToolCall, Usage
from skep.fakes.wire import Said

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is not complete, by the word that chats have for it."""

_ECHOED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what stands there if the request does not say it."""


def response_body(said: Said, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer."""
    return _response(said, asked, _status(said), list(_items(said)))


def response_events(said: Said, asked: Mapping[str, Any]) -> Iterator[bytes]:
    """A stream; its last event is the whole answer."""
    for number, values in enumerate(_events(said, asked)):
        yield _event({"type": values["type"], "sequence_number": number, **values})


def response_error_event(message: str) -> bytes:
    """An error in a stream."""
    error = {"type": "server_error", "code": "server_error", "message": message, "param": None}
    return _event({"type": "error", "sequence_number": 1_000_000, "error": error})


def _events(said: Said, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("created", "in_progress"):
        yield {"type": f"response.{name}", "response": _response(said, asked, "in_progress", [])}
    for index, item in enumerate(_items(said)):
        begun = {**item, "status": "in_progress"}
        if item["type"] == "message":
            yield {"type": "response.output_item.added", "output_index": index, "item": {**begun, "content": []}}
            yield from _text_events(said, index, item)
        elif item["type"] == "function_call":
            yield {"type": "response.output_item.added", "output_index": index, "item": {**begun, "arguments": ""}}
            yield from _call_events(index, item)
        else:
            yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    status = _status(said)
    yield {"type": f"response.{status}", "response": response_body(said, asked)}


def _text_events(said: Said, index: int, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    part = item["content"][0]
    name = "text" if part["type"] == "output_text" else "refusal"
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    kind = f"response.{'output_text' if name == 'text' else 'refusal'}"
    more: dict[str, Any] = {"logprobs": []} if name == "text" else {}
    yield {"type": "response.content_part.added", **place, "part": {**part, name: ""}}
    for piece in said.pieces if name == "text" else (part[name],):
        yield {"type": f"{kind}.delta", **place, "delta": piece, **more}
    yield {"type": f"{kind}.done", **place, name: part[name], **more}
    yield {"type": "response.content_part.done", **place, "part": part}


def _call_events(index: int, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index}
    arguments = item["arguments"]
    half = len(arguments) // 2
    for piece in (arguments[:half], arguments[half:]):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {
        "type": "response.function_call_arguments.done",
        **place,
        "name": item["name"],
        "arguments": arguments,
    }


def _items(said: Said) -> Iterator[dict[str, Any]]:
    if said.usage is not None and said.usage.reasoning_tokens:
        yield {"id": f"rs_{said.id}", "type": "reasoning", "summary": [], "encrypted_content": None}
    status = "incomplete" if _status(said) == "incomplete" else "completed"
    part: dict[str, Any] | None = None
    if said.refusal is not None:
        part = {"type": "refusal", "refusal": said.refusal}
    elif said.text is not None:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": said.text}
    if part is not None:
        yield {"id": f"msg_{said.id}", "type": "message", "role": "assistant", "status": status, "content": [part]}
    yield from (_call(said, call, number) for number, call in enumerate(said.tool_calls))


def _call(said: Said, call: ToolCall, number: int) -> dict[str, Any]:
    return {
        "id": f"fc_{said.id}{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _status(said: Said) -> str:
    return "incomplete" if said.finish_reason in _REASONS else "completed"


def _response(said: Said, asked: Mapping[str, Any], status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    is_over = status != "in_progress"
    reason = _REASONS.get(said.finish_reason) if is_over else None
    return {
        "id": f"resp_{said.id}",
        "object": "response",
        "created_at": said.created,
        "completed_at": said.created if status == "completed" else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": said.model,
        "output": output,
        "service_tier": said.service_tier if is_over else asked.get("service_tier") or "auto",
        **{name: asked.get(name, usual) for name, usual in _ECHOED.items()},
        "usage": _usage(said.usage) if is_over and said.usage is not None else None,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _event(values: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (values["type"].encode(), orjson.dumps(values))
