"""Ends streams before the model does, once all that was wanted is there. Pure.

Everything happens in the provider's own format: what is read are its events, and the end that is written is one that it could have sent, so
that whatever comes after (counting, translating, keeping) knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

import orjson

from skep.gateway.events import data_of
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.models import StopWhen
from skep.gateway.profiles import Face
from skep.gateway.requests import Known
from skep.gateway.response_ends import TEXT_DELTA, ResponseSoFar
from skep.gateway.usage import counted, delta_bytes, output_bytes
from skep.spend import Usage

TAIL_CHARACTERS = 1000
"""A pattern finds what is no longer than this."""

_LONGEST_PATTERN = 500
_MOST_PATTERN_BYTES = 1 << 18
_MOST_STEPS = 300
"""How large a pattern's program may be, and what its automaton may take: the text's end is looked through anew with each event, and
nobody's pattern may hold up the others. Usual ones have under a hundred."""

_MOST_USD = 1_000_000
_HEADER = b"x-skep-stop-when"
STOPPABLE: tuple[Face, ...] = ("chat.completions", "messages", "responses", "generate_content")
"""Faces whose streams can be ended."""


def pattern_problem(pattern: str) -> str:
    """Why a pattern cannot be used; empty when it can."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"it has more than {_LONGEST_PATTERN} characters"
    try:
        compiled = _compiled(pattern)
    except ValueError as error:
        return str(error)
    if compiled.programsize > _MOST_STEPS:
        return (
            f"it says more than can be looked for with each word: {compiled.programsize} steps, at most {_MOST_STEPS}"
        )
    return "it is found in an empty text, and would end every stream" if compiled.search("") else ""


def asked_to_stop(headers: Iterable[tuple[bytes, bytes]], known: Known, usual: StopWhen | None) -> StopWhen | None:
    """When to end a call's stream: as its ``x-skep-stop-when`` says (``json``, or a JSON object with the names of the settings), else as is usual.

    None: when the model does. Raises RequestInvalidError.
    """
    for name, value in headers:
        if name == _HEADER:
            if not known.stream or known.choices != 1 or known.face not in STOPPABLE:
                raise _invalid("is for streams of chats, messages, responses and Gemini's contents, with one choice")
            return _read(value.decode("latin-1").strip())
    return usual if known.stream and known.choices == 1 and known.face in STOPPABLE else None


def _read(text: str) -> StopWhen:
    if text == "json":
        return StopWhen(json=True)
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _invalid('must be json, or a JSON object such as {"json": true}') from error
    if not isinstance(values, dict) or not values or not values.keys() <= {"json", "pattern", "cost_usd"}:
        raise _invalid("takes json, pattern and cost_usd")
    is_json, pattern, usd = values.get("json", False), values.get("pattern"), values.get("cost_usd")
    if not isinstance(is_json, bool):
        raise _invalid("json must be true or false")
    if pattern is not None and (not isinstance(pattern, str) or (problem := pattern_problem(pattern))):
        raise _invalid(f"pattern: {problem}" if isinstance(pattern, str) else "pattern must be a text")
    if usd is not None and (isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 < usd <= _MOST_USD):
        raise _invalid("cost_usd must be an amount in US dollars such as 0.01")
    return StopWhen(is_json, pattern, None if usd is None else max(1, round(usd * 1_000_000_000)))


def _invalid(reason: str) -> RequestInvalidError:
    return RequestInvalidError(reason=f"x-skep-stop-when {reason}", param=None)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:  # noqa: ANN401 -- the library has no types
    re2: Any = import_module("re2")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_PATTERN_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from error


class JsonEnd:
    """Finds where the first JSON object or list of a text ends, however the text is cut. What stands before it is passed over."""

    __slots__ = ("_depth", "_in_string", "_is_escaped")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    def feed(self, text: str) -> int | None:
        """The place behind its last character in this piece; None: it goes on."""
        for at, character in enumerate(text):
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif character == "\\":
                    self._is_escaped = True
                elif character == '"':
                    self._in_string = False
            elif character in "{[":
                self._depth += 1
            elif self._depth == 0:
                continue
            elif character == '"':
                self._in_string = True
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return at + 1
        return None


class PatternEnd:
    """Finds where a pattern is first found in a text that comes in pieces."""

    __slots__ = ("_pattern", "_tail")

    def __init__(self, pattern: str) -> None:
        self._pattern = _compiled(pattern)
        self._tail = ""

    def feed(self, text: str) -> int | None:
        """The place behind what was found, in this piece; None: nothing was."""
        whole = self._tail + text
        found = self._pattern.search(whole)
        if found is not None:
            # What was whole before would have been found before.
            return max(0, int(found.end()) - len(self._tail))
        self._tail = whole[-TAIL_CHARACTERS:]
        return None


Costs = Callable[[int], int | None]
"""What a call costs in nano-dollars whose text has so many tokens; None when that is not known."""


class Stopper:
    """Looks on while a stream passes, and ends it. ``costs`` reckons what it has cost.

    ``tells_usage``: whether an event with a usage and nothing else is one that the client, or we, asked for.
    """

    __slots__ = (
        "_bytes",
        "_costs",
        "_enders",
        "_face",
        "_input_tokens",
        "_limit",
        "_pieces",
        "_response",
        "_tells_usage",
        "why",
    )

    def __init__(
        self, when: StopWhen, face: Face, input_tokens: int, costs: Costs, *, tells_usage: bool = True
    ) -> None:
        self._enders: dict[str, JsonEnd | PatternEnd] = {}
        if when.json:
            self._enders["json"] = JsonEnd()
        if when.pattern is not None:
            self._enders["pattern"] = PatternEnd(when.pattern)
        self._limit = when.cost_nusd
        self._face = face
        self._input_tokens = input_tokens
        self._tells_usage = tells_usage
        self._costs = costs
        self._response = ResponseSoFar()
        self._bytes = 0
        self._pieces = 0
        self.why = ""
        """Which condition ended it; empty: none."""

    @property
    def output_tokens(self) -> int:
        """About what it has put out."""
        return counted(0, self._bytes, self._pieces).output_tokens or 0

    def passing(self, events: list[bytes]) -> list[bytes]:
        """What counts of the events: all, or those until the end and an end of our own, and after that none."""
        if self.why:
            return []
        for index, event in enumerate(events):
            ending = self._after(event)
            if ending is not None:
                return [*events[:index], *ending]
        return events

    def _after(self, event: bytes) -> list[bytes] | None:
        """The event as far as it is wanted, and the end of the stream; None: it goes on."""
        data = data_of(event)
        is_response = self._face == "responses"
        size = 0 if data is None else (delta_bytes if is_response else output_bytes)(data)
        # What a response says beside its text is needed for its end.
        if data is None or not (size or is_response):
            return None
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        if is_response and isinstance(values, dict):
            self._response.note(values)
        if not size:
            return None
        self._bytes += size
        self._pieces += 1
        places = _places_of(values, self._face)
        for number, place in enumerate(places):
            text = place[_TEXT_NAMES[self._face]]
            ends = {why: end for why, ender in self._enders.items() if (end := ender.feed(text)) is not None}
            if ends:
                self.why, end = min(ends.items(), key=lambda pair: pair[1])
                place[_TEXT_NAMES[self._face]] = text[:end]
                for later in places[number + 1 :]:
                    later[_TEXT_NAMES[self._face]] = ""
                return self._ending(values, event if end == len(text) and place is places[-1] else None)
        if self._limit is not None:
            cost = self._costs(self.output_tokens)
            if cost is not None and cost >= self._limit:
                self.why = "cost"
                return self._ending(values, event)
        return None

    def _ending(self, values: dict[str, Any], event: bytes | None) -> list[bytes]:
        """``event``: the last one as it came; None: what is wanted of it stands in ``values``."""
        # What cost too much is not at its end.
        is_cut = self.why == "cost"
        if self._face == "messages":
            reason = "max_tokens" if is_cut else "end_turn"
            return _messages_ending(values, event, reason, self.output_tokens)
        usage = Usage(input_tokens=self._input_tokens, output_tokens=self.output_tokens)
        if self._face == "responses":
            return self._response.ending(values, event, usage, is_cut=is_cut)
        if self._face == "generate_content":
            return _generation_ending(values, event, "MAX_TOKENS" if is_cut else "STOP", usage)
        # A provider that tells it with each event knows better.
        told = usage if self._tells_usage and not values.get("usage") else None
        return _chat_ending(values, event, "length" if is_cut else "stop", told)


_TEXT_NAMES: Mapping[Face, str] = {
    "chat.completions": "content",
    "messages": "text",
    "responses": "delta",
    "generate_content": "text",
}


def _places_of(values: object, face: Face) -> list[dict[str, Any]]:
    """The objects of an event that have pieces of the answer's text in them."""
    if not isinstance(values, dict):
        return []
    if face == "generate_content":
        candidates = values.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        content = candidate.get("content") if isinstance(candidate, dict) else None
        parts = content.get("parts") if isinstance(content, dict) else None
        found = parts if isinstance(parts, list) else []
        return [each for each in found if isinstance(each, dict) and _is_said(each)]
    if face == "responses":
        return [values] if values.get("type") == TEXT_DELTA and isinstance(values.get("delta"), str) else []
    inner: object = values
    if face == "chat.completions":
        choices = values.get("choices")
        inner = choices[0] if isinstance(choices, list) and choices else None
    delta = inner.get("delta") if isinstance(inner, dict) else None
    return [delta] if isinstance(delta, dict) and isinstance(delta.get(_TEXT_NAMES[face]), str) else []


def _is_said(part: Mapping[str, Any]) -> bool:
    """Whether a part of Gemini's is a text that is no thought."""
    return isinstance(part.get("text"), str) and not part.get("thought")


def _generation_ending(values: dict[str, Any], event: bytes | None, reason: str, usage: Usage) -> list[bytes]:
    head = {name: value for name, value in values.items() if name not in ("candidates", "usageMetadata")}
    entry, output = usage.input_tokens or 0, usage.output_tokens or 0
    # A provider that tells what went in with each event knows better.
    told = values.get("usageMetadata")
    entry = told.get("promptTokenCount", entry) if isinstance(told, dict) else entry
    counts = {"promptTokenCount": entry, "candidatesTokenCount": output, "totalTokenCount": entry + output}
    last = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": reason, "index": 0}
    return [
        _event(values) if event is None else event,
        _event({**head, "candidates": [last], "usageMetadata": counts}),
    ]


def _event(values: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(values) + b"\n\n"


def _chat_ending(values: dict[str, Any], event: bytes | None, reason: str, usage: Usage | None) -> list[bytes]:
    head = {name: value for name, value in values.items() if name not in ("choices", "usage")}
    finish = {"index": 0, "delta": {}, "finish_reason": reason}
    ending = [
        _event(values) if event is None else event,
        _event({**head, "choices": [finish]}),
    ]
    if usage is not None:
        entry, output = usage.input_tokens or 0, usage.output_tokens or 0
        told = {"prompt_tokens": entry, "completion_tokens": output, "total_tokens": entry + output}
        ending.append(_event({**head, "choices": [], "usage": told}))
    return [*ending, b"data: [DONE]\n\n"]


def _messages_ending(values: dict[str, Any], event: bytes | None, reason: str, output_tokens: int) -> list[bytes]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    last: tuple[dict[str, Any], ...] = (
        {"type": "content_block_stop", "index": values.get("index", 0)},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}},
        {"type": "message_stop"},
    )
    return [_named(values) if event is None else event, *map(_named, last)]


def _named(values: Mapping[str, Any]) -> bytes:
    return b"event: " + str(values["type"]).encode() + b"\ndata: " + orjson.dumps(values) + b"\n\n"
