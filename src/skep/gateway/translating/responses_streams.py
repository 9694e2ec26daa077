"""Streams of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses-streaming). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from skep.gateway.translating.interfaces import AnswerStrangeError, Values, Wanted
from skep.gateway.translating.models import (
    Began,
    Delta,
    Failed,
    Refusal,
    Said,
    Stop,
    Stopped,
    Text,
    ToolBegan,
    ToolSaid,
    Used,
)
from skep.gateway.translating.responses_answers import Items, reason_of, response_of, stop_of, written_part
from skep.gateway.usage import usage_of
from skep.spend import Usage

_ITEMS = ("message", "reasoning", "function_call")
_SAID: Mapping[str, Said] = {
    "response.output_text.delta": Said(""),
    "response.refusal.delta": Said("", "refusal"),
    "response.reasoning_summary_text.delta": Said("", "thinking"),
    "response.reasoning_text.delta": Said("", "thinking"),
}
_ENDS = ("response.completed", "response.incomplete")


class ResponsesReader:
    """See `StreamReader`."""

    def __init__(self) -> None:
        self._calls: dict[object, int] = {}
        """Our number of each call, by the place of its item."""
        self._begun: set[object] = set()
        """The calls of whose arguments something was said."""

    def read(self, event: str, values: Mapping[str, Any]) -> Iterator[Delta]:
        """See `StreamReader`."""
        kind = values.get("type") or event
        if kind in _SAID:
            if values.get("delta"):
                yield Said(values["delta"], _SAID[kind].kind)
        elif kind == "response.created":
            response = _object(values.get("response"))
            yield Began(str(response.get("id") or ""), str(response.get("model") or ""))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            yield from self._item(values.get("output_index"), _object(values.get("item")), kind)
        elif kind == "response.function_call_arguments.delta":
            yield from self._arguments(values.get("output_index"), values.get("delta"))
        elif kind in _ENDS:
            response = _object(values.get("response"))
            yield Stopped(stop_of(response, calls=bool(self._calls)))
            usage = usage_of(response.get("usage"))
            if usage is not None:
                yield Used(usage)
        elif kind in ("response.failed", "error"):
            yield _failed(values)

    def _item(self, place: object, item: Mapping[str, Any], kind: str) -> Iterator[Delta]:
        name = item.get("type")
        if name not in _ITEMS:
            # Only tools of the provider's own give others, and those cannot be asked for through another format.
            raise AnswerStrangeError(f"it has an item of the type {name}")
        if name != "function_call":
            return
        if place not in self._calls:
            index = self._calls[place] = len(self._calls)
            yield ToolBegan(index, str(item.get("call_id") or f"call_{index}"), str(item.get("name") or ""))
        if kind == "response.output_item.done" and place not in self._begun:
            # Some say the arguments only once they are whole.
            yield from self._arguments(place, item.get("arguments"))

    def _arguments(self, place: object, arguments: object) -> Iterator[Delta]:
        if isinstance(arguments, str) and arguments:
            self._begun.add(place)
            yield ToolSaid(self._calls[place], arguments)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _failed(values: Mapping[str, Any]) -> Failed:
    """A failure: told by the response, by an object in the event, or by the event itself."""
    error = _object(values.get("response")).get("error") or values.get("error") or values
    told = _object(error)
    return Failed(str(told.get("message") or "the provider failed"), str(told.get("code") or ""))


class ResponsesWriter:
    """See `StreamWriter`. A message or a thought is whole when the next item begins; calls may go on side by side to the end."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._id = ""
        self._model = ""
        self._items = Items("")
        self._number = 0
        """Of the next event."""
        self._part = ""
        """What kind of text is under way; empty: none."""
        self._texts: list[str] = []
        """Of that part, so far."""
        self._is_open = False
        """Whether the last item is a message or a thought that is under way."""
        self._calls: dict[int, tuple[int, list[str]]] = {}
        """The place of each call among the items, and its arguments so far."""
        self._usage: Usage | None = None
        self._stop: Stop = "end"
        self._has_refused = False
        self._has_begun = False

    def write(self, delta: Delta) -> bytes:
        """See `StreamWriter`."""
        if isinstance(delta, Began):
            return self._begin(delta)
        if isinstance(delta, Said):
            return self._say(delta)
        if isinstance(delta, ToolBegan):
            closed = self._close()
            self._calls[delta.index] = len(self._items.items), []
            return closed + self._add(self._items.call(delta.id, delta.name, ""))
        if isinstance(delta, ToolSaid):
            place, said = self._calls[delta.index]
            said.append(delta.arguments)
            return self._event("function_call_arguments.delta", place, delta=delta.arguments)
        if isinstance(delta, Stopped):
            self._stop = delta.stop
        elif isinstance(delta, Used):
            self._usage = delta.usage
        elif isinstance(delta, Failed):
            told = {"code": delta.kind or None, "message": delta.message, "param": None}
            return self._written("error", {**told, "error": {"type": "server_error", **told}})
        return b""

    def end(self) -> tuple[bytes, bytes]:
        """See `StreamWriter`."""
        begun = b"" if self._has_begun else self._begin(Began("", ""))
        last = begun + self._close() + b"".join([self._end_call(*call) for call in self._calls.values()])
        reason = reason_of(self._stop, has_refused=self._has_refused)
        name = "response.completed" if reason is None else "response.incomplete"
        return last, self._written(name, {"response": self._response(reason, is_over=True)})

    def _begin(self, began: Began) -> bytes:
        self._has_begun = True
        self._id, self._model, self._usage = began.id, began.model, began.usage
        self._items = Items(began.id)
        said = {"response": self._response(None, is_over=False)}
        return self._written("response.created", said) + self._written("response.in_progress", said)

    def _response(self, reason: str | None, *, is_over: bool) -> Values:
        items, usage = self._items.items, self._usage
        return response_of(self._id, self._model, self._wanted, items, reason, usage, is_over=is_over)

    def _say(self, delta: Said) -> bytes:
        if delta.kind == "thinking":
            return self._think(delta.text) if self._wanted.thinking else b""
        if delta.kind not in ("text", "refusal"):
            # Signatures are for the provider alone, and clients of this format have no place to keep them.
            return b""
        self._has_refused |= delta.kind == "refusal"
        begun = b""
        if self._part != delta.kind:
            begun = self._close() if self._part == "thinking" else self._end_part()
            if not self._is_open:
                begun += self._add(self._items.message())
                self._is_open = True
            self._part = delta.kind
            begun += self._event("content_part.added", **self._index(), part=written_part(self._whole("")))
        self._texts.append(delta.text)
        more: Values = {"logprobs": []} if delta.kind == "text" else {}
        return begun + self._event(f"{self._name()}.delta", **self._index(), delta=delta.text, **more)

    def _think(self, text: str) -> bytes:
        begun = b""
        if self._part != "thinking":
            begun = self._close() + self._add({**self._items.reasoning(""), "summary": []})
            self._part, self._is_open = "thinking", True
            part = {"type": "summary_text", "text": ""}
            begun += self._event("reasoning_summary_part.added", summary_index=0, part=part)
        self._texts.append(text)
        return begun + self._event("reasoning_summary_text.delta", summary_index=0, delta=text)

    def _add(self, item: Values) -> bytes:
        """Another item begins."""
        self._items.add(item)
        begun = {**item, "status": "in_progress"} if "status" in item else item
        return self._written("response.output_item.added", {"output_index": len(self._items.items) - 1, "item": begun})

    def _close(self) -> bytes:
        """The message or the thought that is under way is whole."""
        ended = self._end_part()
        if not self._is_open:
            return ended
        self._is_open = False
        return ended + self._end_item(len(self._items.items) - 1)

    def _end_part(self) -> bytes:
        if not self._part:
            return b""
        text, item = "".join(self._texts), self._items.items[-1]
        kind, name, index = self._part, self._name(), self._index()
        part = written_part(self._whole(text))
        self._part, self._texts = "", []
        if kind == "thinking":
            thought = {"type": "summary_text", "text": text}
            item["summary"].append(thought)
            done = self._event("reasoning_summary_text.done", summary_index=0, text=text)
            return done + self._event("reasoning_summary_part.done", summary_index=0, part=thought)
        told: Values = {"text": text, "logprobs": []} if kind == "text" else {"refusal": text}
        done = self._event(f"{name}.done", **index, **told) + self._event("content_part.done", **index, part=part)
        item["content"].append(part)
        return done

    def _end_call(self, place: int, said: list[str]) -> bytes:
        item = self._items.items[place]
        begun = b""
        if not said:
            said.append("{}")
            begun = self._event("function_call_arguments.delta", place, delta="{}")
        item["arguments"] = "".join(said)
        told = {"name": item["name"], "arguments": item["arguments"]}
        return begun + self._event("function_call_arguments.done", place, **told) + self._end_item(place)

    def _end_item(self, place: int) -> bytes:
        said = {"output_index": place, "item": self._items.items[place]}
        return self._written("response.output_item.done", said)

    def _whole(self, text: str) -> Text | Refusal:
        return Refusal(text) if self._part == "refusal" else Text(text)

    def _name(self) -> str:
        return "refusal" if self._part == "refusal" else "output_text"

    def _index(self) -> Values:
        return {"content_index": len(self._items.items[-1].get("content", ()))}

    def _event(self, name: str, place: int | None = None, /, **more: object) -> bytes:
        """An event about an item, the last one where no place is named."""
        place = len(self._items.items) - 1 if place is None else place
        return self._written(
            f"response.{name}", {"item_id": self._items.items[place]["id"], "output_index": place, **more}
        )

    def _written(self, kind: str, values: Mapping[str, Any]) -> bytes:
        number, self._number = self._number, self._number + 1
        said = orjson.dumps({"type": kind, "sequence_number": number, **values})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), said)
