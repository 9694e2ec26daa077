"""The vocabulary in which a room says what it offers over HTTP. Serving it is the server's work."""

from __future__ import annotations

from skep.web.interfaces import BodyInvalidError, BodyTooLargeError, QueryInvalidError
from skep.web.models import Call, Caller, Endpoint, json_answer

__all__ = [
    "BodyInvalidError",
    "BodyTooLargeError",
    "Call",
    "Caller",
    "Endpoint",
    "QueryInvalidError",
    "json_answer",
]
