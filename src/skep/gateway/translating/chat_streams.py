"""Streams of OpenAI's chat completions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from skep.gateway.translating.chat import REASONS, stop_of, text_of, write_error, write_usage
from skep.gateway.translating.interfaces import Values, Wanted
from skep.gateway.translating.models import (
    Began,
    Delta,
    Failed,
    Said,
    Stopped,
    ToolBegan,
    ToolSaid,
    Used,
)
from skep.gateway.usage import usage_of
from skep.spend import Usage

_DONE = b"data: [DONE]\n\n"


class ChatReader:
    """See `StreamReader`."""

    def __init__(self) -> None:
        self._has_begun = False
        self._calls: dict[object, int] = {}
        """Our number of each call, by the provider's."""

    def read(self, _event: str, values: Mapping[str, Any]) -> Iterator[Delta]:
        """See `StreamReader`."""
        error = values.get("error")
        if error:
            message = error.get("message") if isinstance(error, dict) else error
            kind = (error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
            yield Failed(str(message or "the provider failed"), str(kind))
            return
        if not self._has_begun:
            self._has_begun = True
            yield Began(str(values.get("id") or ""), str(values.get("model") or ""))
        for choice in values.get("choices") or ():
            yield from self._said(choice.get("delta") or {})
            if choice.get("finish_reason"):
                yield Stopped(stop_of(choice["finish_reason"], calls=bool(self._calls)))
        usage = usage_of(values.get("usage"))
        if usage is not None:
            yield Used(usage)

    def _said(self, delta: Mapping[str, Any]) -> Iterator[Delta]:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            yield Said(thought, "thinking")
        if delta.get("content"):
            text = text_of(delta["content"])
            if text:
                yield Said(text)
        if delta.get("refusal"):
            yield Said(delta["refusal"], "refusal")
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _call(self, call: Mapping[str, Any]) -> Iterator[Delta]:
        function = call.get("function") or {}
        # Some (Gemini, Ollama) send whole calls without a number: then each has an id of its own.
        number = call.get("index")
        name = number if number is not None else call.get("id")
        if name not in self._calls:
            index = self._calls[name] = len(self._calls)
            yield ToolBegan(index, call.get("id") or f"call_{index}", function.get("name") or "")
        if function.get("arguments"):
            yield ToolSaid(self._calls[name], function["arguments"])


class ChatWriter:
    """See `StreamWriter`."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._head: Values = {}
        self._usage: Usage | None = None
        self._stop = "stop"

    def write(self, delta: Delta) -> bytes:
        """See `StreamWriter`."""
        if isinstance(delta, Began):
            named = {"id": delta.id, "object": "chat.completion.chunk", "created": self._wanted.created}
            self._head = {**named, "model": delta.model}
            self._usage = delta.usage
            return self._chunk({"role": "assistant", "content": ""})
        if isinstance(delta, Said):
            return self._said(delta)
        if isinstance(delta, ToolBegan):
            function = {"name": delta.name, "arguments": ""}
            return self._chunk(
                {"tool_calls": [{"index": delta.index, "id": delta.id, "type": "function", "function": function}]}
            )
        if isinstance(delta, ToolSaid):
            return self._chunk({"tool_calls": [{"index": delta.index, "function": {"arguments": delta.arguments}}]})
        if isinstance(delta, Stopped):
            self._stop = REASONS[delta.stop]
        elif isinstance(delta, Used):
            self._usage = delta.usage
        elif isinstance(delta, Failed):
            return _event(write_error(500, delta.message, delta.kind))
        return b""

    def end(self) -> tuple[bytes, bytes]:
        """See `StreamWriter`."""
        last = self._chunk({}, self._stop)
        if self._wanted.usage and self._usage is not None:
            last += _event({**self._head, "choices": [], "usage": write_usage(self._usage)})
        return last, _DONE

    def _said(self, delta: Said) -> bytes:
        names = {"text": "content", "thinking": "reasoning_content", "refusal": "refusal"}
        # Signatures are for the provider alone, and clients of this format have no place to keep them.
        return self._chunk({names[delta.kind]: delta.text}) if delta.kind in names else b""

    def _chunk(self, delta: Values, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**self._head, "choices": [choice]})


def _event(values: Values) -> bytes:
    return b"data: " + orjson.dumps(values) + b"\n\n"
