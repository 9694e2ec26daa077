"""Server-sent events, as they come: cut into whole events, whatever the borders of the pieces. Pure, bounded.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream: lines end with LF, CRLF or CR; an empty
line ends an event.
"""

from __future__ import annotations

import re

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")

_CLEAN_END = b"\n\n"
DONE = b"[DONE]"


class EventTooLargeError(ValueError):
    """One event is larger than the bound."""


class EventScanner:
    """Cuts a stream into events. What it holds is at most one event, of ``max_bytes`` at most."""

    __slots__ = ("_has_cr", "_max_bytes", "_parts", "_searched", "_size")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # Joined only when a line ends: an event of many pieces would be copied again with each of them.
        self._parts: list[bytes] = []
        self._size = 0
        self._searched = 0
        self._has_cr = False

    @property
    def rest(self) -> bytes:
        """The beginning of an event whose end has not come."""
        return b"".join(self._parts)

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes, each with the empty line at its end, as they came.

        Raises EventTooLargeError.
        """
        has_cr = b"\r" in piece
        if not has_cr and b"\n" not in piece and not self._has_cr:
            self._keep(piece)
            return []
        data = b"".join((*self._parts, piece)) if self._parts else piece
        if has_cr or self._has_cr:
            self._has_cr = True
            events, at = self._cut(data)
        else:
            *texts, last = data.split(_CLEAN_END)
            events = [text + _CLEAN_END for text in texts]
            at = len(data) - len(last)
        self._parts.clear()
        self._size = 0
        self._keep(data[at:])
        # What has no end in it need not be looked at again, but for its last bytes, which may be half of one.
        self._searched = max(0, self._size - 3)
        if len(data) > self._max_bytes and any(len(event) > self._max_bytes for event in events):
            raise EventTooLargeError
        return events

    def _keep(self, rest: bytes) -> None:
        self._size += len(rest)
        if self._size > self._max_bytes:
            raise EventTooLargeError
        if rest:
            self._parts.append(rest)

    def _cut(self, data: bytes) -> tuple[list[bytes], int]:
        events = []
        at = 0
        search = self._searched
        while (match := _END.search(data, search)) is not None:
            if match.end() == len(data) and data.endswith(b"\r"):
                # An LF that belongs to it may follow.
                break
            events.append(data[at : match.end()])
            at = search = match.end()
        return events, at


def data_of(event: bytes) -> bytes | None:
    """The data of an event; None when it has none (a comment, to keep the connection alive)."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        # One line of data, the form that every provider uses.
        return event[6:-2]
    if event.startswith(b"event: ") and b"\r" not in event:
        at = event.find(b"\n")
        if event.startswith(b"data: ", at + 1) and event.find(b"\n", at + 1) == len(event) - 2:
            # A name before it, as Anthropic does.
            return event[at + 7 : -2]
    found = []
    for line in re.split(rb"\r\n|\n|\r", event):
        name, colon, value = line.partition(b":")
        if name == b"data":
            found.append(value[1:] if colon and value.startswith(b" ") else value)
    return b"\n".join(found) if found else None


def name_of(event: bytes) -> str:
    """The name of an event; empty when it has none."""
    for line in re.split(rb"\r\n|\n|\r", event):
        if line.startswith(b"event:"):
            return line[6:].strip().decode("utf-8", "replace")
    return ""
