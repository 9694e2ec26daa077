"""What a provider with Gemini's API puts on the wire (https://ai.google.dev/api/generate-content). Pure.

The address says which model is asked, and for what; here that is put among the fields of the body, where other requests have it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from skep.fakes.models import Request, ToolCall, Usage
from skep.fakes.wire import Said, event

PREFIX = "/v1beta/"
KEY_HEADER = "x-goog-api-key"
THOUGHT = "Let me think."
"""What a model says of its thoughts, where it is asked for them."""

_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
_ADDRESS = re.compile(rf"/v1beta/models/([^/:]+):({'|'.join(_METHODS)})")
_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def addressed(request: Request) -> Request:
    """A request with what its address says among its fields; any other as it came."""
    found = _ADDRESS.fullmatch(request.path)
    if found is None or request.json is None:
        return request
    config = config_of(request.json)
    told = {
        "model": found[1],
        "stream": found[2] == "streamGenerateContent",
        "max_tokens": config.get("maxOutputTokens"),
        "n": config.get("candidateCount"),
    }
    return replace(request, json={**request.json, **told})


def method_of(path: str) -> str | None:
    """What is asked of a model at an address; None: nothing that is known."""
    found = _ADDRESS.fullmatch(path)
    return None if found is None else found[2]


def config_of(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the generation."""
    config = asked.get("generationConfig")
    return config if isinstance(config, dict) else {}


def schema_of(asked: Mapping[str, Any]) -> object:
    """What the answer must fit, as a JSON schema; None: anything."""
    config = config_of(asked)
    if config.get("responseMimeType") != "application/json":
        return None
    return config.get("responseJsonSchema") or _lowered(config.get("responseSchema")) or {"type": "object"}


def _lowered(schema: object) -> object:
    """Gemini's own kind of schema writes types in capitals."""
    if isinstance(schema, dict):
        return {
            name: value.lower() if name == "type" and isinstance(value, str) else _lowered(value)
            for name, value in schema.items()
        }
    return [_lowered(each) for each in schema] if isinstance(schema, list) else schema


def generation_body(said: Said, *, thinks: bool) -> dict[str, Any]:
    """A whole answer. ``thinks``: the client wants to see that."""
    parts = [*_thoughts(thinks=thinks), *_texts(said, [said.text or said.refusal or ""]), *map(_call, _numbered(said))]
    candidates = [_candidate(index, parts, _reason(said)) for index in range(said.choices)]
    return _answer(said, candidates, said.usage)


def generation_events(said: Said, *, thinks: bool) -> Iterator[bytes]:
    """A stream; it ends with the event that says why."""
    entry = None if said.usage is None else replace(said.usage, output_tokens=0, reasoning_tokens=0)
    pieces = [said.refusal] if said.text is None and said.refusal else said.pieces
    parts = [*_thoughts(thinks=thinks), *_texts(said, pieces), *map(_call, _numbered(said))]
    for index in range(said.choices):
        for part in parts:
            yield event(_answer(said, [_candidate(index, [part], None)], entry))
    last = [_candidate(index, [{"text": ""}], _reason(said)) for index in range(said.choices)]
    yield event(_answer(said, last, said.usage))


def generation_error(status: int, message: str, name: str | None = None) -> dict[str, Any]:
    """An error; ``name`` None: that of its status. A key that is wrong is a wrong argument there."""
    if status == 401 and name is None:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        told = "API key not valid. Please pass a valid API key."
        return {"error": {"code": 400, "message": told, "status": "INVALID_ARGUMENT", "details": [reason]}}
    usual = "INVALID_ARGUMENT" if status < 500 else "INTERNAL"
    return {"error": {"code": status, "message": message, "status": name or _STATUSES.get(status, usual)}}


def generation_error_event(message: str) -> bytes:
    """An error in a stream."""
    return event(generation_error(503, message))


def models_body(names: Sequence[str]) -> dict[str, Any]:
    """An answer of /v1beta/models."""
    return {"models": [model_object(name) for name in names]}


def model_object(name: str) -> dict[str, Any]:
    """One model."""
    return {"name": f"models/{name}", "version": "1", "displayName": name, "supportedGenerationMethods": [*_METHODS]}


def _numbered(said: Said) -> list[tuple[int, ToolCall]]:
    return list(enumerate(said.tool_calls))


def _thoughts(*, thinks: bool) -> list[dict[str, Any]]:
    return [{"text": THOUGHT, "thought": True}] if thinks else []


def _texts(said: Said, pieces: Sequence[str]) -> list[dict[str, Any]]:
    is_silent = said.text is None and said.refusal is None
    return [] if is_silent else [{"text": piece} for piece in pieces]


def _call(numbered: tuple[int, ToolCall]) -> dict[str, Any]:
    number, call = numbered
    part: dict[str, Any] = {
        "functionCall": {"id": call.id, "name": call.name, "args": orjson.Fragment(call.arguments or "{}")}
    }
    # Of calls that are made together the first is signed.
    signature = base64.b64encode(f"??{call.id}>>".encode()).decode()
    return part if number else {**part, "thoughtSignature": signature}


def _candidate(index: int, parts: Sequence[Mapping[str, Any]], reason: str | None) -> dict[str, Any]:
    told = {} if reason is None else {"finishReason": reason}
    return {"content": {"parts": list(parts), "role": "model"}, **told, "index": index}


def _reason(said: Said) -> str:
    return "SAFETY" if said.refusal is not None else _REASONS.get(said.finish_reason, said.finish_reason)


def _answer(said: Said, candidates: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
    told = {} if usage is None else {"usageMetadata": _usage(usage)}
    return {"candidates": candidates, **told, "modelVersion": said.model, "responseId": said.id}


def _usage(usage: Usage) -> dict[str, Any]:
    """A count of 0 is not told there."""
    modalities = (
        ("TEXT", usage.input_tokens - usage.audio_input_tokens),
        ("AUDIO", usage.audio_input_tokens),
    )
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
        "cachedContentTokenCount": usage.cached_input_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "promptTokensDetails": [{"modality": name, "tokenCount": count} for name, count in modalities if count],
    }
    return {name: count for name, count in counts.items() if count}
