"""What passes of a stream, and what is learned from it on the way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import orjson
from typing_extensions import override

from skep.errors import SkepError
from skep.gateway.events import DONE, data_of
from skep.gateway.failures import Failure, classify_told
from skep.gateway.headers import dollars
from skep.gateway.profiles import Face
from skep.gateway.usage import (
    UNBILLED,
    MessagesUsage,
    billing_of,
    delta_bytes,
    generation_usage_of,
    output_bytes,
    usage_of,
)
from skep.spend import Usage
from skep.web import anthropic_error_bytes, gemini_error_bytes, openai_error_bytes, response_error_bytes

_USAGE = re.compile(rb'"usage"\s*:\s*\{')


class Tally:
    """Reads the events of one stream. ``hides_usage``: we asked for the event with the usage, the client did not."""

    __slots__ = (
        "_hides_usage",
        "billing",
        "done_event",
        "failure",
        "is_counting",
        "is_said",
        "output_bytes",
        "pieces",
        "usage",
    )

    def __init__(self, *, hides_usage: bool) -> None:
        self._hides_usage = hides_usage
        self.usage: Usage | None = None
        self.is_counting = False
        """Whether the usage says nothing of the output yet."""
        self.billing = UNBILLED
        """What an event with a usage says of it."""
        self.output_bytes = 0
        self.pieces = 0
        self.done_event: bytes | None = None
        """The event that ends the stream, once it has come; it is not among what `passing` returns."""
        self.is_said = False
        """Whether all has been said, where no event ends the stream: it may end now."""
        self.failure: Failure | None = None
        """What the provider told in the middle of the stream; nothing passes after it."""

    @property
    def may_end(self) -> bool:
        """Whether the stream is whole if it ends now, without an event that says so."""
        return False

    def passing(self, events: Iterable[bytes]) -> list[bytes]:
        """Those of the events that the client gets, as they came."""
        passed = []
        for event in events:
            if self.done_event is not None or self.failure is not None:
                break
            data = data_of(event)
            if data is None:
                passed.append(event)
            elif data.strip() == DONE:
                self.done_event = event
            elif not self._is_hidden(data):
                passed.append(event)
                size = output_bytes(data)
                if size:
                    self.pieces += 1
                    self.output_bytes += size
                if b'"error"' in data:
                    self.failure = told_failure(data)
        return passed

    def _is_hidden(self, data: bytes) -> bool:
        """Notes the usage, if there is one; True for the event that only we asked for."""
        if _USAGE.search(data) is None:
            return False
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(values, dict):
            return False
        # Some tell it with every event, counting up: the last one counts.
        self.usage = usage_of(values.get("usage")) or self.usage
        billing = billing_of(values)
        self.billing = self.billing if billing is UNBILLED else billing
        return self._hides_usage and self.usage is not None and values.get("choices") == []


class MessagesTally(Tally):
    """The same for a stream in Anthropic's format, which tells its usage in parts and ends with ``message_stop``."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        super().__init__(hides_usage=False)
        self._parts = MessagesUsage()

    @override
    def passing(self, events: Iterable[bytes]) -> list[bytes]:
        passed = []
        for event in events:
            if self.done_event is not None or self.failure is not None:
                break
            data = data_of(event)
            if data is not None and not event.startswith(_MORE):
                self._note(event, data)
            if self.done_event is None:
                passed.append(event)
                size = 0 if data is None else output_bytes(data)
                if size:
                    self.pieces += 1
                    self.output_bytes += size
        return passed

    def _note(self, event: bytes, data: bytes) -> None:
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        kind = values.get("type") if isinstance(values, dict) else None
        if kind == "message_stop":
            self.done_event = event
        elif kind == "error":
            self.failure = told_failure(data)
        elif kind in ("message_start", "message_delta"):
            message = values.get("message") if kind == "message_start" else values
            self._parts.add(message.get("usage") if isinstance(message, dict) else None)
            self.usage = self._parts.whole()
            # The first event tells what went in, and a token or two of the output that is to come.
            self.is_counting = kind == "message_start"


_MORE = b"event: content_block_delta"
"""Nearly all events; nothing is learned from them but their size."""


class ResponsesTally(Tally):
    """The same for a stream of OpenAI's responses, which ends with the whole response and its usage."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(hides_usage=False)

    @override
    def passing(self, events: Iterable[bytes]) -> list[bytes]:
        passed = []
        for event in events:
            if self.done_event is not None or self.failure is not None:
                break
            data = data_of(event)
            if data is not None and data.strip() == DONE:
                # Some say it after the response, which is the end. Alone it ends nothing.
                continue
            if data is not None and _PART.match(event) is None:
                self._note(event, data)
            if self.done_event is None:
                passed.append(event)
                size = 0 if data is None else delta_bytes(data)
                if size:
                    self.pieces += 1
                    self.output_bytes += size
        return passed

    def _note(self, event: bytes, data: bytes) -> None:
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        kind = values.get("type") if isinstance(values, dict) else None
        if kind == "error":
            # Some put it into the event itself, others into an object of its own.
            told = values.get("error") or {"code": values.get("code"), "message": values.get("message")}
            self.failure = _failure_of(told)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            response = values.get("response")
            response = response if isinstance(response, dict) else {}
            self.usage = usage_of(response.get("usage"))
            self.billing = billing_of(response)
            if kind == "response.failed":
                self.failure = _failure_of(response.get("error") or "it failed")
            else:
                self.done_event = event


class GenerationTally(Tally):
    """The same for a stream in Gemini's format: each event is an answer with what is new and the usage so far, and the stream just ends."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(hides_usage=False)
        self.is_counting = True

    @override
    def passing(self, events: Iterable[bytes]) -> list[bytes]:
        passed = []
        for event in events:
            if self.done_event is not None or self.failure is not None:
                break
            passed.append(event)
            data = data_of(event)
            if data is not None:
                self._note(data)
        return passed

    def _note(self, data: bytes) -> None:
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(values, dict):
            return
        size = output_bytes(data) + call_bytes(values)
        if size:
            self.pieces += 1
            self.output_bytes += size
        if values.get("error"):
            self.failure = _failure_of(values["error"])
        self.usage = generation_usage_of(values.get("usageMetadata")) or self.usage
        if ends_generation(values):
            # Of what comes before, the usage counts what was said until then, if at all.
            self.is_said, self.is_counting = True, False


def ends_generation(values: Mapping[str, Any]) -> bool:
    """Whether an answer of Gemini's, or an event of one, says why it ends."""
    feedback, candidates = values.get("promptFeedback"), values.get("candidates")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return True
    return isinstance(candidates, list) and any(
        isinstance(each, dict) and each.get("finishReason") for each in candidates
    )


def call_bytes(values: Mapping[str, Any]) -> int:
    """How many bytes of arguments of functions stand in an event of Gemini's."""
    size = 0
    candidates = values.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        content = candidate.get("content") if isinstance(candidate, dict) else None
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            call = part.get("functionCall") if isinstance(part, dict) else None
            size += len(orjson.dumps(call.get("args"))) if isinstance(call, dict) else 0
    return size


_PART = re.compile(rb"event: response\.[a-z_.]+\.(?:delta|done|added)\r?\n")
"""Nearly all events; nothing is learned from them but their size."""


def tally_of(face: Face, *, hides_usage: bool) -> Tally:
    """What reads the streams that come by a face of a provider."""
    if face == "generate_content":
        return GenerationTally()
    if face == "responses":
        return ResponsesTally()
    return MessagesTally() if face == "messages" else Tally(hides_usage=hides_usage)


def told_failure(data: bytes) -> Failure | None:
    """The error that an event tells; None where it tells none."""
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    error = values.get("error") if isinstance(values, dict) else None
    return _failure_of(error) if error else None


def _failure_of(error: object) -> Failure:
    failure = classify_told(error)
    return Failure("interrupted", failure.reason) if failure.kind == "server_error" else failure


COST_COMMENT = b": x-skep-cost-usd "
"""Begins the comment in which a stream tells its cost."""

_TAKES_COMMENTS = frozenset(get_args(Face)) - {"generate_content"}
"""Google's own client takes a comment for a piece of JSON."""


def cost_comment(face: Face, cost_nusd: int | None) -> bytes:
    """What whole answers say in a header; a comment, which readers of events pass over. Nothing where they do not, or the cost is not known."""
    if cost_nusd is None or face not in _TAKES_COMMENTS:
        return b""
    return COST_COMMENT + dollars(cost_nusd).encode() + b"\n\n"


def error_event(face: Face, error: SkepError, number: int) -> bytes:
    """An event with an error in the shape of a face: clients raise it. ``number``: that of the event, where events are counted."""
    if face == "responses":
        return b"event: error\ndata: " + response_error_bytes(error, number) + b"\n\n"
    if face == "messages":
        return b"event: error\ndata: " + anthropic_error_bytes(error) + b"\n\n"
    if face == "generate_content":
        return b"data: " + gemini_error_bytes(error) + b"\n\n"
    return b"data: " + openai_error_bytes(error) + b"\n\n"
