"""Whole answers of Gemini's generateContent (https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from skep.gateway.translating.interfaces import AnswerStrangeError, Values, Wanted
from skep.gateway.translating.models import Answer, Refusal, Stop, Text, Thinking, ToolUse
from skep.gateway.translating.signing import parted_id, signed_id
from skep.gateway.usage import generation_usage_of
from skep.spend import Usage
from skep.web import gemini_status

_STOPS: Mapping[str, Stop] = {"STOP": "end", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FAILURES = frozenset(
    [
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    ]
)
"""Of an answer that its model has not brought about: nobody should take it for one."""

_REASONS: Mapping[Stop, str] = {"length": "MAX_TOKENS", "context": "MAX_TOKENS", "refusal": "SAFETY"}


def read_answer(values: Mapping[str, Any]) -> Answer:
    """See `Format`. Only one candidate was asked for; where the prompt was blocked there is none."""
    answer_id, model = str(values.get("responseId") or ""), str(values.get("modelVersion") or "")
    usage = generation_usage_of(values.get("usageMetadata"))
    candidates = values.get("candidates") or ()
    if not candidates:
        if blocked_by(values) is None:
            raise AnswerStrangeError("it has no candidate")
        return Answer(id=answer_id, model=model, parts=(), stop="refusal", usage=usage)
    calls = CallNames(answer_id)
    try:
        parts = tuple(part for each in parts_of(candidates[0]) for part in read_part(each, calls))
    except (KeyError, TypeError, AttributeError) as error:
        raise AnswerStrangeError("it has no candidate with parts") from error
    stop = stop_of(candidates[0].get("finishReason"), calls=calls.count > 0)
    return Answer(id=answer_id, model=model, parts=parts, stop=stop, usage=usage)


def blocked_by(values: Mapping[str, Any]) -> str | None:
    """Why the prompt was not answered at all; None: it was."""
    feedback = values.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return None if reason is None else str(reason)


def parts_of(candidate: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """What a candidate says; nothing where it was stopped before it said anything."""
    content = candidate.get("content") or {}
    parts: Iterable[Mapping[str, Any]] = content.get("parts") or ()
    return parts


class CallNames:
    """Makes ids of the calls in one answer that have none."""

    def __init__(self, answer_id: str) -> None:
        self._answer_id = "".join(each for each in answer_id if each.isalnum())
        self.count = 0

    def id_of(self, call: Mapping[str, Any], signature: object) -> str:
        """The id of the next call, with its signature in it."""
        number, self.count = self.count, self.count + 1
        call_id = call.get("id") or f"call_{number}_{self._answer_id}"
        return signed_id(str(call_id), signature if isinstance(signature, str) else "")


def read_part(part: Mapping[str, Any], calls: CallNames) -> Iterator[Text | Thinking | ToolUse]:
    """What a part says; parts that only have a signature say nothing. Raises AnswerStrangeError."""
    call = part.get("functionCall")
    if call is not None:
        arguments = orjson.dumps(call.get("args") or {}).decode()
        yield ToolUse(calls.id_of(call, part.get("thoughtSignature")), str(call["name"]), arguments)
    elif "text" in part:
        text = str(part["text"] or "")
        if text:
            yield Thinking(text) if part.get("thought") is True else Text(text)
    elif set(part) - {"thought", "thoughtSignature"}:
        # Only what was asked for in Gemini's own words brings others.
        raise AnswerStrangeError(f"it has a part with {', '.join(sorted(part))[:100]}")


def stop_of(reason: object, *, calls: bool) -> Stop:
    """Why an answer ends. Whatever its provider cut off is no whole answer, whichever word it has for it. Raises AnswerStrangeError."""
    if reason in _FAILURES:
        raise AnswerStrangeError(f"it ended with {reason}")
    stop = _STOPS.get(str(reason or "STOP"), "refusal")
    return "tools" if calls and stop == "end" else stop


def write_answer(answer: Answer, wanted: Wanted) -> Values:
    """See `Format`."""
    parts = [written for part in answer.parts for written in written_parts(part, wanted)]
    refused = any(isinstance(part, Refusal) for part in answer.parts)
    candidate = {
        "content": {"parts": parts, "role": "model"},
        "finishReason": reason_of("refusal" if refused else answer.stop),
        "index": 0,
    }
    return generation_of([candidate], answer.usage, answer.model, answer.id)


def written_parts(part: Text | Thinking | ToolUse | Refusal, wanted: Wanted) -> Iterator[Values]:
    """A part of an answer, or none."""
    if isinstance(part, ToolUse):
        yield written_call(part.id, part.name, part.arguments)
    elif isinstance(part, Thinking):
        if wanted.thinking and not part.is_redacted:
            yield {"text": part.text, "thought": True}
    else:
        yield {"text": part.text}


def written_call(call_id: str, name: str, arguments: str) -> Values:
    """A call of a function."""
    plain, signature = parted_id(call_id)
    call = {"id": plain, "name": name, "args": orjson.Fragment(arguments or "{}")}
    return {"functionCall": call, **({"thoughtSignature": signature} if signature else {})}


def reason_of(stop: Stop) -> str:
    """Why an answer ends, in Gemini's words."""
    return _REASONS.get(stop, "STOP")


def generation_of(candidates: list[Values], usage: Usage | None, model: str, answer_id: str) -> Values:
    """An answer, or an event of one."""
    told = {} if usage is None else {"usageMetadata": write_usage(usage)}
    return {"candidates": candidates, **told, "modelVersion": model, "responseId": answer_id}


def write_usage(usage: Usage) -> Values:
    """Usage as Gemini tells it: what the model thought is not part of what it said."""
    entry, output = usage.input_tokens or 0, usage.output_tokens or 0
    thoughts = usage.reasoning_tokens or 0
    told = {
        "promptTokenCount": entry,
        "candidatesTokenCount": output - thoughts,
        "totalTokenCount": entry + output,
        "cachedContentTokenCount": usage.cached_input_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
    }
    return {name: count for name, count in told.items() if count is not None}


def write_error(status: int, message: str, _kind: str) -> Values:
    """See `Format`."""
    return {"error": {"code": status, "message": message, "status": gemini_status(status)}}
