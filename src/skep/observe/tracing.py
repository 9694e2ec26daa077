"""The trace id that everything done for one request or one job shares."""

from __future__ import annotations

import os
import random
import re
from contextvars import ContextVar, Token

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""

_random = random.Random()  # noqa: S311 -- a name, not a secret: it must only be no other's, and is needed for every request
os.register_at_fork(after_in_child=_random.seed)

_current: ContextVar[str] = ContextVar("skep_trace_id", default="")


def new_trace_id() -> str:
    """A random trace id: 32 hexadecimal digits, as the W3C writes it."""
    return f"{_random.getrandbits(128):032x}"


def trace_id_of(traceparent: str | None) -> str:
    """The trace id that a caller sent along, or a new one when it sent none that is valid."""
    match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if match is None or match["trace"] == "0" * 32:
        return new_trace_id()
    return match["trace"]


def current_trace_id() -> str:
    """The trace id of the request or job at work; empty outside of any."""
    return _current.get()


class tracing:  # noqa: N801 -- used as a function; a generator would take five times as long, for every request
    """Everything logged in the block carries this trace id."""

    __slots__ = ("_token", "_trace_id")

    def __init__(self, trace_id: str) -> None:
        self._trace_id = trace_id
        self._token: Token[str] | None = None

    def __enter__(self) -> str:
        self._token = _current.set(self._trace_id)
        return self._trace_id

    def __exit__(self, *_exception: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
