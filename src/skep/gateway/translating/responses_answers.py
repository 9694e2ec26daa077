"""Whole answers of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses/object). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from skep.gateway.translating.interfaces import AnswerStrangeError, Values, Wanted
from skep.gateway.translating.models import Answer, Refusal, Stop, Text, Thinking, ToolUse
from skep.gateway.usage import usage_of
from skep.spend import Usage

_REASONS: Mapping[Stop, str] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "refusal": "content_filter",
}
"""Of other answers a response is whole."""

_STOPS: Mapping[str, Stop] = {"max_output_tokens": "length", "content_filter": "refusal"}

_ECHOED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what stands there if that does not say it."""


def read_answer(values: Mapping[str, Any]) -> Answer:
    """See `Format`."""
    parts: list[Text | Thinking | ToolUse | Refusal] = []
    try:
        for item in values["output"]:
            parts += _read_item(item)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnswerStrangeError("it has no output") from error
    return Answer(
        id=str(values.get("id") or ""),
        model=str(values.get("model") or ""),
        parts=tuple(parts),
        stop=stop_of(values, calls=any(isinstance(part, ToolUse) for part in parts)),
        usage=usage_of(values.get("usage")),
    )


def _read_item(item: Mapping[str, Any]) -> Iterable[Text | Thinking | ToolUse | Refusal]:
    kind = item["type"]
    if kind == "message":
        return [_read_part(part) for part in item["content"]]
    if kind == "function_call":
        return [ToolUse(item["call_id"], item["name"], _arguments(item))]
    if kind == "reasoning":
        thought = "\n\n".join(part["text"] for part in [*(item.get("summary") or ()), *(item.get("content") or ())])
        return [Thinking(thought)] if thought else []
    # Only tools of the provider's own give others, and those cannot be asked for through another format.
    raise AnswerStrangeError(f"it has an item of the type {kind}")


def _arguments(item: Mapping[str, Any]) -> str:
    text: str = item["arguments"] or "{}"
    try:
        is_object = isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise AnswerStrangeError(f"the arguments of its call of {item['name']} are no JSON object")
    return text


def _read_part(part: Mapping[str, Any]) -> Text | Refusal:
    return Refusal(part["refusal"]) if part["type"] == "refusal" else Text(part["text"])


def stop_of(response: Mapping[str, Any], *, calls: bool) -> Stop:
    """Why a response ends."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        return _STOPS.get(str(details.get("reason")) if isinstance(details, dict) else "", "length")
    return "tools" if calls else "end"


def write_answer(answer: Answer, wanted: Wanted) -> Values:
    """See `Format`."""
    items = Items(answer.id)
    for part in answer.parts:
        if isinstance(part, ToolUse):
            items.add(items.call(part.id, part.name, part.arguments))
        elif isinstance(part, Thinking):
            if wanted.thinking and not part.is_redacted:
                items.add(items.reasoning(part.text))
        else:
            items.add_part(written_part(part))
    reason = reason_of(answer.stop, has_refused=any(isinstance(part, Refusal) for part in answer.parts))
    return response_of(answer.id, answer.model, wanted, items.items, reason, answer.usage, is_over=True)


class Items:
    """Writes the items of one response, each with an id that follows from the response's."""

    def __init__(self, answer_id: str) -> None:
        self._id = answer_id
        self.items: list[Values] = []

    def add(self, item: Values) -> None:
        """Another item."""
        self.items.append(item)

    def add_part(self, part: Values) -> None:
        """Another part of what the model says: what follows each other is one message."""
        if not self.items or self.items[-1]["type"] != "message":
            self.add(self.message())
        self.items[-1]["content"].append(part)

    def message(self) -> Values:
        """A message without parts."""
        return {"id": self._name("msg"), "type": "message", "role": "assistant", "status": "completed", "content": []}

    def call(self, call_id: str, name: str, arguments: str) -> Values:
        """A call of a function."""
        told = {"status": "completed", "call_id": call_id, "name": name, "arguments": arguments}
        return {"id": self._name("fc"), "type": "function_call", **told}

    def reasoning(self, text: str) -> Values:
        """What the model thought."""
        return {"id": self._name("rs"), "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}

    def _name(self, kind: str) -> str:
        return f"{kind}_{len(self.items)}_{self._id}"


def written_part(part: Text | Refusal) -> Values:
    """A part of a message."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}


def reason_of(stop: Stop, *, has_refused: bool) -> str | None:
    """Why a response is incomplete; None: it is whole."""
    return None if has_refused else _REASONS.get(stop)


def response_of(
    answer_id: str,
    model: str,
    wanted: Wanted,
    items: list[Values],
    reason: str | None,
    usage: Usage | None,
    *,
    is_over: bool,
) -> Values:
    """The response: so far, or whole. ``reason`` None: it is not incomplete."""
    status = "in_progress" if not is_over else "completed" if reason is None else "incomplete"
    repeated = {name: wanted.asked.get(name) for name in _ECHOED}
    return {
        "id": answer_id if answer_id.startswith("resp_") else f"resp_{answer_id}",
        "object": "response",
        "created_at": wanted.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": model,
        "output": items,
        "previous_response_id": None,
        "store": False,
        **{name: _ECHOED[name] if value is None else value for name, value in repeated.items()},
        "usage": write_usage(usage) if is_over and usage is not None else None,
    }


def write_usage(usage: Usage) -> Values:
    """Usage as responses tell it: what came from a cache is part of what went in."""
    entry, output = usage.input_tokens or 0, usage.output_tokens or 0
    cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    return {
        "input_tokens": entry,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": entry + output,
    }
