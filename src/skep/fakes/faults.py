"""The ways to go wrong: a table of what each does and which numbers it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a fault takes."""

    default: int
    low: int
    high: int
    about: str


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table."""

    about: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


_AFTER_BYTES = {"after_bytes": Number(20, 0, 2**31, "so many bytes of the body are sent before")}
_AFTER_EVENTS = {"after_events": Number(2, 0, 1_000_000, "so many events of the stream are sent before")}

FAULTS: Mapping[str, FaultKind] = {
    "hang": FaultKind("takes the request and never answers"),
    "hang_in_body": FaultKind("stops in the body and keeps the connection open", _AFTER_BYTES),
    "hang_in_stream": FaultKind("stops between two events and keeps the connection open", _AFTER_EVENTS),
    "close": FaultKind("closes the connection instead of answering"),
    "close_in_body": FaultKind("closes the connection in the body", _AFTER_BYTES),
    "close_in_stream": FaultKind("closes the connection between two events", _AFTER_EVENTS),
    "reset": FaultKind("resets the connection (TCP RST) instead of answering"),
    "reset_in_body": FaultKind("resets the connection in the body", _AFTER_BYTES),
    "reset_in_stream": FaultKind("resets the connection between two events", _AFTER_EVENTS),
    "no_done": FaultKind("ends the stream properly, but without `[DONE]`"),
    "error_in_stream": FaultKind("sends an error as an event and ends the stream without `[DONE]`", _AFTER_EVENTS),
    "malformed_event": FaultKind("sends an event whose data is no JSON, then goes on", _AFTER_EVENTS),
    "wrong_length": FaultKind(
        "`Content-Length` is wrong; the connection is closed after the body",
        {"by_bytes": Number(10, -1_000_000, 2**31, "so much more is announced than sent; below 0: less")},
    ),
    "truncated_json": FaultKind("half of the JSON, with a `Content-Length` that fits"),
    "wrong_content_type": FaultKind("a page of HTML with status 200, as a broken proxy sends it"),
    "not_http": FaultKind("sends bytes that are no HTTP, and closes"),
    "header_flood": FaultKind(
        "adds headers to the answer",
        {
            "count": Number(10_000, 1, 1_000_000, "so many headers"),
            "bytes": Number(100, 1, MEBIBYTE, "so long is each value"),
        },
    ),
    "huge_body": FaultKind(
        "the JSON is padded with spaces", {"bytes": Number(100 * MEBIBYTE, 1, 2**36, "so large is the body about")}
    ),
    "gzip_bomb": FaultKind(
        "the JSON is padded with spaces and compressed with gzip",
        {"bytes": Number(256 * MEBIBYTE, 1, 2**36, "so large is the body about when it is unpacked")},
    ),
}
"""Faults *in a stream* leave an answer that is no stream as it is, those *in a body* count the bytes of a stream's events."""
