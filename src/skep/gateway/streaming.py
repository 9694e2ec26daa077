"""What passes of a stream, and what is learned from it on the way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

import orjson

from skep.gateway.events import DONE, data_of
from skep.gateway.failures import Failure, classify_told
from skep.gateway.usage import UNBILLED, billing_of, output_bytes, usage_of
from skep.spend import Usage

_USAGE = re.compile(rb'"usage"\s*:\s*\{')


class Tally:
    """Reads the events of one stream. ``hides_usage``: we asked for the event with the usage, the client did not."""

    __slots__ = ("_hides_usage", "billing", "done_event", "failure", "output_bytes", "pieces", "usage")

    def __init__(self, *, hides_usage: bool) -> None:
        self._hides_usage = hides_usage
        self.usage: Usage | None = None
        self.billing = UNBILLED
        """What an event with a usage says of it."""
        self.output_bytes = 0
        self.pieces = 0
        self.done_event: bytes | None = None
        """The event that ends the stream, once it has come; it is not among what `passing` returns."""
        self.failure: Failure | None = None
        """What the provider told in the middle of the stream; nothing passes after it."""

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
                    self.failure = _told_failure(data)
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


def _told_failure(data: bytes) -> Failure | None:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    error = values.get("error") if isinstance(values, dict) else None
    if not error:
        return None
    failure = classify_told(error)
    return Failure("interrupted", failure.reason) if failure.kind == "server_error" else failure


def error_event(body: bytes) -> bytes:
    """An event with an error in OpenAI's shape: clients raise it."""
    return b"data: " + body + b"\n\n"
