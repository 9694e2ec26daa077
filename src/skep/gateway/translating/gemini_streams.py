"""Streams of Gemini's streamGenerateContent: each event is an answer with what is new. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from skep.gateway.translating.gemini_answers import (
    CallNames,
    blocked_by,
    generation_of,
    parts_of,
    read_part,
    reason_of,
    stop_of,
    write_error,
    written_call,
)
from skep.gateway.translating.interfaces import AnswerStrangeError, Values, Wanted
from skep.gateway.translating.models import (
    Began,
    Delta,
    Failed,
    Said,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolBegan,
    ToolSaid,
    Used,
)
from skep.gateway.usage import generation_usage_of
from skep.spend import Usage


class GeminiReader:
    """See `StreamReader`."""

    def __init__(self) -> None:
        self._calls: CallNames | None = None

    def read(self, _event: str, values: Mapping[str, Any]) -> Iterator[Delta]:
        """See `StreamReader`. Raises AnswerStrangeError."""
        error = values.get("error")
        if error:
            told = error if isinstance(error, dict) else {"message": error}
            yield Failed(str(told.get("message") or "the provider failed"), str(told.get("status") or ""))
            return
        usage = generation_usage_of(values.get("usageMetadata"))
        if self._calls is None:
            answer_id = str(values.get("responseId") or "")
            self._calls = CallNames(answer_id)
            yield Began(answer_id, str(values.get("modelVersion") or ""), usage)
        if blocked_by(values) is not None:
            yield Stopped("refusal")
        for candidate in values.get("candidates") or ():
            yield from self._said(candidate, self._calls)
        if usage is not None:
            yield Used(usage)

    def _said(self, candidate: Mapping[str, Any], calls: CallNames) -> Iterator[Delta]:
        for each in parts_of(candidate):
            for part in read_part(each, calls):
                if isinstance(part, Text):
                    yield Said(part.text)
                elif isinstance(part, Thinking):
                    yield Said(part.text, "thinking")
                else:
                    index = calls.count - 1
                    yield ToolBegan(index, part.id, part.name)
                    yield ToolSaid(index, part.arguments)
        if candidate.get("finishReason"):
            yield Stopped(stop_of(candidate["finishReason"], calls=calls.count > 0))


class GeminiWriter:
    """See `StreamWriter`. Calls of functions are said when they are whole, which other formats tell at the end at the latest."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._id = ""
        self._model = ""
        self._usage: Usage | None = None
        self._stop: Stop = "end"
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        """The id, the name and the arguments so far."""

    def write(self, delta: Delta) -> bytes:
        """See `StreamWriter`."""
        if isinstance(delta, Began):
            self._id, self._model, self._usage = delta.id, delta.model, delta.usage
        elif isinstance(delta, Said):
            return self._said(delta)
        elif isinstance(delta, ToolBegan):
            self._calls[delta.index] = delta.id, delta.name, []
        elif isinstance(delta, ToolSaid):
            self._calls[delta.index][2].append(delta.arguments)
        elif isinstance(delta, Stopped):
            self._stop = "refusal" if self._stop == "refusal" else delta.stop
        elif isinstance(delta, Used):
            self._usage = delta.usage
        elif isinstance(delta, Failed):
            return _event(write_error(500, delta.message, delta.kind))
        return b""

    def end(self) -> tuple[bytes, bytes]:
        """See `StreamWriter`. Raises AnswerStrangeError for a call whose arguments are no JSON object."""
        calls = [written_call(call_id, name, _object("".join(said))) for call_id, name, said in self._calls.values()]
        last = self._event({"content": {"parts": calls, "role": "model"}, "index": 0}) if calls else b""
        candidate = {
            "content": {"parts": [{"text": ""}], "role": "model"},
            "finishReason": reason_of(self._stop),
            "index": 0,
        }
        return last, _event(generation_of([candidate], self._usage, self._model, self._id))

    def _said(self, delta: Said) -> bytes:
        if delta.kind in ("signature", "redacted") or (delta.kind == "thinking" and not self._wanted.thinking):
            # Those are for their provider alone.
            return b""
        if delta.kind == "refusal":
            self._stop = "refusal"
        part: Values = {"text": delta.text, **({"thought": True} if delta.kind == "thinking" else {})}
        return self._event({"content": {"parts": [part], "role": "model"}, "index": 0})

    def _event(self, candidate: Values) -> bytes:
        return _event(generation_of([candidate], None, self._model, self._id))


def _object(text: str) -> str:
    """Arguments, which must be whole."""
    try:
        is_object = not text or isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise AnswerStrangeError("the arguments of one of its calls are no JSON object")
    return text


def _event(values: Values) -> bytes:
    return b"data: " + orjson.dumps(values) + b"\n\n"
