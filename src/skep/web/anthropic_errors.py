"""How an error looks to clients of Anthropic's API. Pure.

The shape is ``{"type": "error", "error": {"type", "message"}, "request_id"}`` (https://platform.claude.com/docs/en/api/errors);
``code`` and ``fix`` are ours, and whoever does not know them passes over them. Headers are those of OpenAI's: its clients heed them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from skep.errors import SkepError
from skep.web.openai_errors import openai_status

ANTHROPIC_PREFIX = "/v1/messages/"
"""Addresses of Anthropic's API, each with a slash at its end."""

ANTHROPIC_ERROR_SCHEMA: dict[str, object] = {
    "type": "object",
    "description": "An error in Anthropic's shape.",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "code": {"type": "string", "description": "The stable name of the error; only in our own errors"},
                "fix": {"type": "string", "description": "What to do about it; only in our own errors"},
            },
        },
        "request_id": {"type": "string"},
    },
}

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def anthropic_type(status: int) -> str:
    """The type of an error with a status."""
    usual = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
    return _TYPES.get(status, usual)


def anthropic_error_bytes(error: SkepError, request_id: str = "") -> bytes:
    """The body of the answer, and the data of an event that ends a stream. Its status is `openai_status`."""
    told = {
        "type": anthropic_type(openai_status(error)),
        "message": _plain(str(error)),
        "code": error.code,
        "fix": _plain(error.fix_text),
    }
    named = {"request_id": request_id} if request_id else {}
    return orjson.dumps({"type": "error", "error": told, **named})


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
