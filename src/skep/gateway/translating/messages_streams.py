"""Streams of Anthropic's messages (https://platform.claude.com/docs/en/build-with-claude/streaming). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import orjson

from skep.gateway.translating.interfaces import AnswerStrangeError, Values, Wanted
from skep.gateway.translating.messages import REASONS, stop_of, write_error, write_usage
from skep.gateway.translating.models import (
    Began,
    Delta,
    Failed,
    Ping,
    Said,
    Stop,
    Stopped,
    ToolBegan,
    ToolSaid,
    Used,
)
from skep.gateway.usage import MessagesUsage
from skep.spend import Usage


class MessagesReader:
    """See `StreamReader`."""

    def __init__(self) -> None:
        self._usage = MessagesUsage()
        self._calls: dict[int, int] = {}
        """Our number of each call, by its block's."""

    def read(self, event: str, values: Mapping[str, Any]) -> Iterator[Delta]:
        """See `StreamReader`."""
        kind = values.get("type") or event
        if kind == "message_start":
            message = values.get("message") or {}
            self._usage.add(message.get("usage"))
            yield Began(str(message.get("id") or ""), str(message.get("model") or ""), self._usage.whole())
        elif kind == "content_block_start":
            yield from self._block(values.get("index", 0), values.get("content_block") or {})
        elif kind == "content_block_delta":
            yield from self._said(values.get("index", 0), values.get("delta") or {})
        elif kind == "message_delta":
            self._usage.add(values.get("usage"))
            delta = values.get("delta") or {}
            if delta.get("stop_reason"):
                yield Stopped(stop_of(delta["stop_reason"]), delta.get("stop_sequence"))
            usage = self._usage.whole()
            if usage is not None:
                yield Used(usage)
        elif kind == "ping":
            yield Ping()
        elif kind == "error":
            error = values.get("error") or {}
            yield Failed(str(error.get("message") or "the provider failed"), str(error.get("type") or ""))

    def _block(self, number: int, block: Mapping[str, Any]) -> Iterator[Delta]:
        kind = block.get("type")
        if kind == "tool_use":
            index = self._calls[number] = len(self._calls)
            yield ToolBegan(index, str(block.get("id") or ""), str(block.get("name") or ""))
            if block.get("input"):
                yield ToolSaid(index, orjson.dumps(block["input"]).decode())
        elif kind == "redacted_thinking":
            yield Said(str(block.get("data") or ""), "redacted")
        elif kind == "text" and block.get("text"):
            yield Said(block["text"])

    def _said(self, number: int, delta: Mapping[str, Any]) -> Iterator[Delta]:
        kind = delta.get("type")
        if kind == "text_delta":
            yield Said(delta.get("text") or "")
        elif kind == "thinking_delta":
            yield Said(delta.get("thinking") or "", "thinking")
        elif kind == "signature_delta":
            yield Said(delta.get("signature") or "", "signature")
        elif kind == "input_json_delta" and number in self._calls and delta.get("partial_json"):
            yield ToolSaid(self._calls[number], delta["partial_json"])


class MessagesWriter:
    """See `StreamWriter`. Blocks follow each other; one is closed when the next begins."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._open = ""
        """What the block under way is; empty: there is none."""
        self._blocks = 0
        self._calls: dict[int, int] = {}
        """The block of each call."""
        self._usage: Usage | None = None
        self._stop: Stop = "end"
        self._stop_sequence: str | None = None
        self._has_refused = False
        self._has_begun = False

    def write(self, delta: Delta) -> bytes:
        """See `StreamWriter`."""
        if isinstance(delta, Began):
            return self._begin(delta)
        if isinstance(delta, Said):
            return self._said(delta)
        if isinstance(delta, ToolBegan):
            self._calls[delta.index] = self._blocks
            return self._block("tool", {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}})
        if isinstance(delta, ToolSaid):
            block = self._calls[delta.index]
            if block != self._blocks - 1 or not self._open:
                # Blocks of this format follow each other.
                raise AnswerStrangeError("its stream goes on with a call of a tool after another one has begun")
            return self._delta(block, {"type": "input_json_delta", "partial_json": delta.arguments})
        if isinstance(delta, Stopped):
            self._stop, self._stop_sequence = delta.stop, delta.stop_sequence
        elif isinstance(delta, Used):
            self._usage = _joined(self._usage, delta.usage)
        elif isinstance(delta, Failed):
            return _event(write_error(500, delta.message, delta.kind))
        elif isinstance(delta, Ping):
            return _event({"type": "ping"})
        return b""

    def end(self) -> tuple[bytes, bytes]:
        """See `StreamWriter`."""
        begun = b"" if self._has_begun else self._begin(Began("", ""))
        stop = "refusal" if self._has_refused else self._stop
        told = {"stop_reason": REASONS[stop], "stop_sequence": self._stop_sequence}
        last = {"type": "message_delta", "delta": told, "usage": write_usage(self._usage)}
        return begun + self._close() + _event(last), _event({"type": "message_stop"})

    def _begin(self, began: Began) -> bytes:
        self._has_begun = True
        self._usage = began.usage
        message: Values = {"id": began.id, "type": "message", "role": "assistant", "model": began.model, "content": []}
        # Where the provider tells it only at the end, the last event has the count.
        message |= {"stop_reason": None, "stop_sequence": None, "usage": write_usage(began.usage)}
        return _event({"type": "message_start", "message": message})

    def _said(self, delta: Said) -> bytes:
        if delta.kind in ("thinking", "signature", "redacted"):
            return self._thought(delta) if self._wanted.thinking else b""
        self._has_refused |= delta.kind == "refusal"
        begun = b"" if self._open == "text" else self._block("text", {"type": "text", "text": ""})
        return begun + self._delta(self._blocks - 1, {"type": "text_delta", "text": delta.text})

    def _thought(self, delta: Said) -> bytes:
        if delta.kind == "redacted":
            return self._block("redacted", {"type": "redacted_thinking", "data": delta.text})
        begun = b""
        if self._open != "thinking":
            begun = self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        said = {"type": f"{delta.kind}_delta", delta.kind: delta.text}
        return begun + self._delta(self._blocks - 1, said)

    def _block(self, kind: str, block: Values) -> bytes:
        closed = self._close()
        self._open = kind
        self._blocks += 1
        return closed + _event({"type": "content_block_start", "index": self._blocks - 1, "content_block": block})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event({"type": "content_block_stop", "index": self._blocks - 1})

    def _delta(self, block: int, delta: Values) -> bytes:
        return _event({"type": "content_block_delta", "index": block, "delta": delta})


def _joined(first: Usage | None, then: Usage) -> Usage:
    """What was told last, and what was told before where nothing was told last."""
    if first is None:
        return then
    told = {each.name: getattr(then, each.name) for each in fields(then)}
    return replace(first, **{name: count for name, count in told.items() if count is not None})


def _event(values: Values) -> bytes:
    return b"event: " + str(values["type"]).encode() + b"\ndata: " + orjson.dumps(values) + b"\n\n"
