"""The trace id that everything done for one request or one job shares."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""

_current: ContextVar[str] = ContextVar("skep_trace_id", default="")


def new_trace_id() -> str:
    """A random trace id: 32 hexadecimal digits, as the W3C writes it."""
    return secrets.token_hex(16)


def trace_id_of(traceparent: str | None) -> str:
    """The trace id that a caller sent along, or a new one when it sent none that is valid."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None or match["trace"] == "0" * 32:
        return new_trace_id()
    return match["trace"]


def current_trace_id() -> str:
    """The trace id of the request or job at work; empty outside of any."""
    return _current.get()


@contextmanager
def tracing(trace_id: str) -> Iterator[str]:
    """Everything logged in the block carries this trace id."""
    token = _current.set(trace_id)
    try:
        yield trace_id
    finally:
        _current.reset(token)
