"""OpenAI's wire formats, as its API reference describes them (platform.openai.com/docs/api-reference). All pure."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from skep.fakes.models import ToolCall, Usage

FIRST_SECOND = 1_750_000_000
"""Where the clock of the answers starts; each request is a second later. A real clock would make two runs differ."""

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says, once for each choice."""

    model: str
    id: str
    """Without its prefix."""
    created: int
    text: str | None = None
    refusal: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    choices: int = 1
    usage: Usage | None = None
    """What the answer tells of it; None: nothing."""
    pieces: Sequence[str] = field(default=())
    """The text as a stream has it."""
    service_tier: str = "default"
    """That a chat is served by."""
    tells_unasked: bool = False
    """Whether a stream's last piece has the usage, whoever asks for it or not."""


def usage_object(usage: Usage) -> dict[str, Any]:
    """Usage of chat and completions."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_body(said: Said) -> dict[str, Any]:
    """A whole answer of /v1/chat/completions."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said.text,
        "refusal": said.refusal,
        "annotations": [],
    }
    if said.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in said.tool_calls]
    body = {
        "id": f"chatcmpl-{said.id}",
        "object": "chat.completion",
        "created": said.created,
        "model": said.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": said.finish_reason}
            for index in range(said.choices)
        ],
    }
    return _with_usage(body, said.usage) | {"service_tier": said.service_tier, "system_fingerprint": "fp_skep"}


def chat_events(said: Said, *, with_usage: bool) -> Iterator[bytes]:
    """The events of a streamed answer of /v1/chat/completions, [DONE] left out. ``with_usage``: the client asked for it."""
    head = {
        "id": f"chatcmpl-{said.id}",
        "object": "chat.completion.chunk",
        "created": said.created,
        "model": said.model,
        "service_tier": said.service_tier,
        "system_fingerprint": "fp_skep",
    }
    tail: dict[str, Any] = {"usage": None} if with_usage and said.usage is not None else {}
    for index in range(said.choices):
        for delta in _deltas(said):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield event({**head, "choices": [choice], **tail})
        last = {"index": index, "delta": {}, "logprobs": None, "finish_reason": said.finish_reason}
        is_end = said.tells_unasked and index == said.choices - 1
        told = {"usage": usage_object(said.usage)} if is_end and said.usage is not None else tail
        yield event({**head, "choices": [last], **told})
    if tail and not said.tells_unasked and said.usage is not None:
        yield event({**head, "choices": [], "usage": usage_object(said.usage)})


def _deltas(said: Said) -> Iterator[dict[str, Any]]:
    first = {"content": None} if said.tool_calls and not said.text else {"content": ""}
    yield {"role": "assistant", **first, "refusal": None}
    yield from ({"content": piece} for piece in said.pieces)
    if said.refusal is not None:
        yield {"refusal": said.refusal}
    for index, call in enumerate(said.tool_calls):
        begun = _tool_call(ToolCall(call.name, "", call.id))
        yield {"tool_calls": [{"index": index, **begun}]}
        half = len(call.arguments) // 2
        for part in (call.arguments[:half], call.arguments[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def completion_body(said: Said) -> dict[str, Any]:
    """A whole answer of /v1/completions."""
    choices = [
        {"text": said.text or "", "index": index, "logprobs": None, "finish_reason": said.finish_reason}
        for index in range(said.choices)
    ]
    return _with_usage(_completion_head(said) | {"choices": choices}, said.usage)


def completion_events(said: Said, *, with_usage: bool) -> Iterator[bytes]:
    """The events of a streamed answer of /v1/completions, [DONE] left out."""
    head = _completion_head(said)
    tail: dict[str, Any] = {"usage": None} if with_usage and said.usage is not None else {}
    for index in range(said.choices):
        for piece, reason in [*((piece, None) for piece in said.pieces), ("", said.finish_reason)]:
            choice = {"text": piece, "index": index, "logprobs": None, "finish_reason": reason}
            yield event({**head, "choices": [choice], **tail})
    if tail and said.usage is not None:
        yield event({**head, "choices": [], "usage": usage_object(said.usage)})


def _completion_head(said: Said) -> dict[str, Any]:
    return {
        "id": f"cmpl-{said.id}",
        "object": "text_completion",
        "created": said.created,
        "model": said.model,
        "system_fingerprint": "fp_skep",
    }


def embeddings_body(
    vectors: Sequence[Sequence[float]], model: str, usage: Usage | None, *, base64_: bool
) -> dict[str, Any]:
    """An answer of /v1/embeddings."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if base64_ else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    body: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return body


def model_object(name: str) -> dict[str, Any]:
    """One model."""
    return {"id": name, "object": "model", "created": FIRST_SECOND, "owned_by": "skep"}


def models_body(names: Sequence[str]) -> dict[str, Any]:
    """An answer of /v1/models."""
    return {"object": "list", "data": [model_object(name) for name in names]}


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """An error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_event(message: str) -> bytes:
    """An error in a stream."""
    return event(error_body(message, "server_error"))


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _with_usage(body: dict[str, Any], usage: Usage | None) -> dict[str, Any]:
    return body if usage is None else {**body, "usage": usage_object(usage)}
