"""How an error looks to clients of OpenAI's API. Pure.

The shape is ``{"error": {"message", "type", "param", "code"}}`` (https://platform.openai.com/docs/guides/error-codes); ``fix`` is ours, and
whoever does not know it passes over it.
"""

from __future__ import annotations

import math
from http import HTTPStatus

import orjson

from skep.errors import SkepError

OPENAI_PREFIX = "/v1/"
"""Addresses of OpenAI's API: its clients understand only its own shape of errors."""

OPENAI_ERROR_SCHEMA: dict[str, object] = {
    "type": "object",
    "description": "An error in OpenAI's shape.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "fix": {"type": "string", "description": "What to do about it; only in our own errors"},
            },
        },
    },
}

_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.PAYMENT_REQUIRED: "insufficient_quota",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}

_CODES = {"key_missing": "invalid_api_key", "key_invalid": "invalid_api_key"}
"""Where OpenAI has a name of its own for what we call otherwise, clients look for that."""

_USUAL_WAIT_SECONDS = 1


def openai_status(error: SkepError) -> int:
    """The status of the answer. OpenAI has no 422 for requests that are wrong as a whole."""
    return HTTPStatus.BAD_REQUEST if error.http_status == HTTPStatus.UNPROCESSABLE_ENTITY else error.http_status


def openai_error_bytes(error: SkepError) -> bytes:
    """The body of the answer, and the data of an event that ends a stream."""
    return orjson.dumps({"error": _told(error)})


def response_error_bytes(error: SkepError, number: int) -> bytes:
    """The data of the event that ends a stream of a response, the ``number``-th of its events, counted from 0.

    OpenAI's reference has it in the event itself; its own API puts it into an object, and its clients raise only that.
    """
    told = _told(error)
    event = {"type": "error", "sequence_number": number, "code": told["code"], "message": told["message"]}
    return orjson.dumps({**event, "param": told["param"], "error": told})


def _told(error: SkepError) -> dict[str, str | None]:
    status = error.http_status
    usual = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    param = error.fields.get("param")
    return {
        "message": _plain(str(error)),
        "type": _TYPES.get(HTTPStatus(status), usual),
        "param": param if isinstance(param, str) else None,
        "code": _CODES.get(error.code, error.code),
        "fix": _plain(error.fix_text),
    }


def openai_error_headers(error: SkepError) -> dict[str, str]:
    """The headers that belong to an error: how long to wait, and whether trying again makes sense at all."""
    wait = error.fields.get("retry_after_seconds")
    headers = {}
    if isinstance(wait, int | float):
        headers["retry-after"] = str(max(1, math.ceil(wait)))
    elif error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(_USUAL_WAIT_SECONDS)
    metric, amount = error.fields.get("metric"), error.fields.get("amount")
    if metric in ("requests", "tokens") and isinstance(amount, int):
        headers[f"x-ratelimit-limit-{metric}"] = str(amount)
        headers[f"x-ratelimit-remaining-{metric}"] = str(
            max(0, amount - _count(error, "used") - _count(error, "reserved"))
        )
        if isinstance(wait, int | float):
            headers[f"x-ratelimit-reset-{metric}"] = span_text(wait)
    if error.http_status == HTTPStatus.PAYMENT_REQUIRED:
        # OpenAI's clients heed it; a budget does not come back within their few seconds.
        headers["x-should-retry"] = "false"
    return headers


def span_text(seconds: float) -> str:
    """A span as OpenAI writes it in its headers: ``120ms``, ``17s``, ``6m0s``, ``1h2m3s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"


def _count(error: SkepError, name: str) -> int:
    value = error.fields.get(name)
    return value if isinstance(value, int) else 0


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
