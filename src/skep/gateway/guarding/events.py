"""Changes the texts of a stream on its way: what belongs together over many events is one text, of which a little may be held back. Pure.

An event whose texts change is written anew; any other passes as it came. What is held back when its text ends leaves in an event of its own,
before the one that ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from skep.gateway.events import DONE, EventScanner, data_of
from skep.gateway.guarding.json_texts import changed_arguments
from skep.gateway.guarding.plans import BlockedError

_MOST_EVENT_BYTES = 16_777_216
_MOST_ARGUMENTS = 4_194_304
"""Characters of arguments of tools that are held until they are whole."""

_ALONE = frozenset({"id", "name", "call_id"})
"""Not cut into pieces by anybody."""

_LEFT_ALONE = frozenset(
    [
        "type",
        "role",
        "object",
        "model",
        "signature",
        "thoughtSignature",
        "finishReason",
        "modelVersion",
        "responseId",
        "data",
        "encrypted_content",
        "finish_reason",
        "native_finish_reason",
        "index",
        "obfuscation",
        "b64_json",
    ]
)
_JSON_KEYS = frozenset({"arguments", "partial_json"})
_ENDING = frozenset({"content_block_stop", "message_delta", "message_stop"})
_NAMED = frozenset({"messages", "responses"})
"""Their events have names."""

_DELTAS: Mapping[str, str] = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}

Step = str | tuple[str, int]
"""A name, or a name and the index of an element of the list there."""

Path = tuple[Step, ...]


class Piecewise(Protocol):
    """A text that comes in pieces."""

    def feed(self, piece: str) -> str:
        """What can leave now."""

    def finish(self) -> str:
        """The rest: no more follows."""


class Texts(Protocol):
    """What is done with the texts of a stream. What it raises passes."""

    drops_unread: bool
    """Whether what cannot be read must not pass."""
    only_looks: bool
    """Whether texts leave as they come: then nothing is held back."""

    def begin(self) -> Piecewise:
        """A text that will come in pieces."""

    def whole(self, text: str) -> str:
        """A text that is whole."""


@dataclass(slots=True)
class Arguments:
    """Arguments of a tool: of no use before they are whole, and only then the JSON that they are."""

    texts: Texts
    parts: list[str] = field(default_factory=list)
    size: int = 0
    inner: Piecewise | None = None
    """Takes what is too long to be held."""

    def feed(self, piece: str) -> str:
        """Nothing, unless there is too much."""
        if self.inner is not None:
            return self.inner.feed(piece)
        self.parts.append(piece)
        self.size += len(piece)
        if self.size <= _MOST_ARGUMENTS:
            return ""
        self.inner = self.texts.begin()
        return self.inner.feed("".join(self.parts))

    def finish(self) -> str:
        """All that was held."""
        if self.inner is not None:
            return self.inner.finish()
        return changed_arguments("".join(self.parts), lambda text, _: self.texts.whole(text))


class EventRewriter:
    """Takes whole events, in order."""

    def __init__(self, face: str, texts: Texts) -> None:
        self._face = face
        self._texts = texts
        self._readers: Mapping[str, Callable[[dict[str, Any]], list[bytes]]] = {
            "messages": self._message,
            "responses": self._response,
            "generate_content": self._generation,
            # Their events have the same form.
            "audio.transcriptions": self._response,
        }
        self._scanner = EventScanner(_MOST_EVENT_BYTES)
        self._open: dict[tuple[int, Path], Piecewise] = {}
        self._last: dict[str, Any] = {}
        self._deltas: dict[tuple[int, Path], dict[str, Any]] = {}
        self._is_changed = False
        """Whether the event that is looked at is another now."""

    def feed(self, data: bytes) -> bytes:
        """The events that leave for these. A BlockedError has with it those that may leave before it."""
        passed: list[bytes] = []
        try:
            # One after the other: what was made of those before stays when one is blocked.
            passed.extend(map(self._event, self._scanner.feed(data)))
        except BlockedError as blocked:
            blocked.passed = b"".join(passed)
            raise
        return b"".join(passed)

    def end(self) -> bytes:
        """What is still held back; after it the stream may end well."""
        return b"".join(self._flushed(list(self._open)))

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        if data is None:
            return event
        if data.strip() == DONE:
            return self.end() + event
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            values = None
        if not isinstance(values, dict):
            return b"" if self._texts.drops_unread else event
        self._is_changed = False
        before = self._readers.get(self._face, self._chunk)(values)
        return b"".join((*before, self._written(values) if self._is_changed else event))

    def _put(self, values: dict[str, Any] | list[Any], name: str | int, old: str, new: str) -> None:
        if new != old:
            values[name] = new  # type: ignore[index]  # a name for an object, a number for a list
            self._is_changed = True

    def _written(self, values: Mapping[str, Any]) -> bytes:
        name = b"event: %b\n" % str(values.get("type", "")).encode() if self._face in _NAMED else b""
        return b"%bdata: %b\n\n" % (name, orjson.dumps(values))

    def _chunk(self, values: dict[str, Any]) -> list[bytes]:
        """Change an event of OpenAI's; the events to send before it."""
        choices = values.get("choices")
        before: list[bytes] = []
        if not isinstance(choices, list):
            self._change_all(values)
            return before
        self._last = {name: value for name, value in values.items() if name not in ("choices", "usage")}
        for choice in choices:
            if isinstance(choice, dict):
                before += self._choice(choice)
        return before

    def _choice(self, choice: dict[str, Any]) -> list[bytes]:
        index = choice.get("index")
        number = index if isinstance(index, int) else 0
        if self._texts.drops_unread and choice.get("logprobs") is not None:
            # They say the same once more, in pieces that are too small to find anything in.
            choice["logprobs"] = None
            self._is_changed = True
        self._pieces(choice, number, ())
        if choice.get("finish_reason") is None:
            return []
        return self._flushed([key for key in self._open if key[0] == number])

    def _message(self, values: dict[str, Any]) -> list[bytes]:
        """The same for one of Anthropic's."""
        kind, number = values.get("type"), values.get("index")
        index = number if isinstance(number, int) else -1
        if kind == "content_block_delta" and isinstance(values.get("delta"), dict):
            delta = values["delta"]
            if delta.get("type") == "citations_delta":
                self._change_all(delta)
            else:
                self._pieces(delta, index, ())
        elif kind == "content_block_start" and isinstance(values.get("content_block"), dict):
            block = values["content_block"]
            (self._pieces(block, index, ()) if block.get("type") in ("text", "thinking") else self._change_all(block))
        elif kind in _ENDING:
            mine = [key for key in self._open if kind != "content_block_stop" or key[0] == index]
            return self._flushed(mine)
        elif kind == "error":
            self._change_all(values)
        return []

    def _response(self, values: dict[str, Any]) -> list[bytes]:
        """The same for one of OpenAI's responses: a delta names its place, and whatever is no delta says texts as wholes."""
        kind, number, delta = str(values.get("type", "")), values.get("output_index"), values.get("delta")
        index = number if isinstance(number, int) else -1
        if not kind.endswith(".delta") or not isinstance(delta, str):
            ended = [key for key in self._open if index in (-1, key[0])]
            self._change_all(values)
            return self._flushed(ended)
        if self._texts.drops_unread and values.get("logprobs"):
            values["logprobs"] = []
            self._is_changed = True
        part = next(
            (values[name] for name in ("content_index", "summary_index") if isinstance(values.get(name), int)), 0
        )
        name = "arguments" if "arguments" in kind else "delta"
        path: Path = ((kind, part), name)
        self._deltas[index, path] = values
        self._put(values, "delta", delta, self._piece(index, path, delta))
        return []

    def _generation(self, values: dict[str, Any]) -> list[bytes]:
        """The same for one of Gemini's: a text goes on where the last one of its kind ended, and calls are whole."""
        candidates = values.get("candidates")
        if not isinstance(candidates, list):
            self._change_all(values)
            return []
        self._last = {name: value for name, value in values.items() if name not in ("candidates", "usageMetadata")}
        for candidate in candidates:
            if isinstance(candidate, dict):
                self._candidate(candidate)
        return []

    def _candidate(self, candidate: dict[str, Any]) -> None:
        index = candidate.get("index")
        number = index if isinstance(index, int) else 0
        if self._texts.drops_unread and candidate.pop("logprobsResult", None) is not None:
            self._is_changed = True
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        if isinstance(parts, list):
            parts[:] = [each for part in parts for each in (*self._before(part, number), self._part(part, number))]
        if candidate.get("finishReason") is not None:
            rest = self._held(number)
            if rest:
                content = candidate.setdefault("content", {"role": "model"})
                content.setdefault("parts", []).extend(rest)

    def _part(self, part: object, number: int) -> object:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(text, str):
            self._put(part, "text", text, self._piece(number, (_kind_of(part),), text))
        elif isinstance(part, dict):
            self._change_all(part)
        return part

    def _before(self, part: object, number: int) -> list[dict[str, Any]]:
        """What was held back of texts that end where this part begins: of another kind, or before a call."""
        goes_on = isinstance(part, dict) and isinstance(part.get("text"), str)
        return self._held(number, besides=_kind_of(part) if goes_on and isinstance(part, dict) else "")

    def _held(self, number: int, besides: str = "") -> list[dict[str, Any]]:
        """End the texts of a candidate but one kind; parts with what was held back of them, which mostly stand where the last words do."""
        parts = []
        for key in [key for key in self._open if key[0] == number and key[1] != (besides,)]:
            rest = self._open.pop(key).finish()
            if rest:
                self._is_changed = True
                parts.append(_part_of(key[1], rest))
        return parts

    def _pieces(self, values: dict[str, Any], number: int, path: Path) -> None:
        """Change the texts of a delta, each of which goes on where the same place of an earlier one ended."""
        for name, value in values.items():
            if name in _LEFT_ALONE:
                continue
            if isinstance(value, str):
                new = self._texts.whole(value) if name in _ALONE else self._piece(number, (*path, name), value)
                self._put(values, name, value, new)
            elif isinstance(value, dict):
                self._pieces(value, number, (*path, name))
            elif isinstance(value, list):
                self._elements(value, number, path, name)

    def _elements(self, values: list[Any], number: int, path: Path, name: str) -> None:
        for place, value in enumerate(values):
            if isinstance(value, dict):
                index = value.get("index")
                self._pieces(value, number, (*path, (name, index if isinstance(index, int) else place)))
            elif isinstance(value, str):
                self._put(values, place, value, self._texts.whole(value))

    def _piece(self, number: int, path: Path, piece: str) -> str:
        text = self._open.get((number, path))
        if text is None:
            is_json = path[-1] in _JSON_KEYS and not self._texts.only_looks
            text = Arguments(self._texts) if is_json else self._texts.begin()
            self._open[number, path] = text
        return text.feed(piece)

    def _change_all(self, value: dict[str, Any] | list[Any]) -> None:
        """Change texts that are whole, wherever they stand."""
        entries: list[tuple[str | int, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
        for name, inner in entries:
            if name in _LEFT_ALONE:
                continue
            if isinstance(inner, str):
                new = changed_arguments(inner, self._alone) if name in _JSON_KEYS else self._texts.whole(inner)
                self._put(value, name, inner, new)
            elif isinstance(inner, dict | list):
                self._change_all(inner)

    def _alone(self, text: str, _place: object) -> str:
        return self._texts.whole(text)

    def _flushed(self, keys: Iterable[tuple[int, Path]]) -> list[bytes]:
        """End these texts; the events with what was held back of them."""
        events = []
        for number, path in keys:
            rest = self._open.pop((number, path)).finish()
            if rest:
                events.append(self._written(self._rest(number, path, rest)))
        return events

    def _rest(self, number: int, path: Path, rest: str) -> dict[str, Any]:
        if self._face == "messages":
            name = str(path[-1])
            delta = {"type": _DELTAS.get(name, "text_delta"), name: rest}
            return {"type": "content_block_delta", "index": number, "delta": delta}
        if self._face in ("responses", "audio.transcriptions"):
            return {**self._deltas.pop((number, path)), "delta": rest}
        if self._face == "generate_content":
            candidate = {"content": {"parts": [_part_of(path, rest)], "role": "model"}, "index": number}
            return {**self._last, "candidates": [candidate]}
        choice = {"index": number, **_nested(path, rest), "finish_reason": None}
        return {**self._last, "choices": [choice]}


def _kind_of(part: Mapping[str, Any]) -> str:
    return "thought" if part.get("thought") else "text"


def _part_of(path: Path, text: str) -> dict[str, Any]:
    return {"text": text, "thought": True} if path == ("thought",) else {"text": text}


def _nested(path: Path, text: str) -> dict[str, Any]:
    """An object in which a text stands at a path."""
    value: Any = text
    for step in reversed(path):
        if isinstance(step, str):
            value = {step: value}
        else:
            name, index = step
            value = {name: [{"index": index, **value}]}
    found: dict[str, Any] = value
    return found
