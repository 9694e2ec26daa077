"""How an error looks to clients of Google's APIs. Pure.

The shape is ``{"error": {"code", "message", "status", "details"}}`` (https://cloud.google.com/apis/design/errors#error_model); the code of ours
and what to do about it stand in the details, under the domain ``skep``.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from skep.errors import SkepError
from skep.web.openai_errors import openai_status

_PREFIX = "/v1beta/"
_SHARED = "/v1/models"
"""Since its version 1 Gemini's API has models at the same address as OpenAI's."""

_METHODS = (":generateContent", ":streamGenerateContent", ":countTokens")


def is_geminis(path: str, *, has_key: bool = False) -> bool:
    """Whether an address is one of Gemini's API. ``has_key``: whether the request has Google's own header for the key."""
    return path.startswith(_PREFIX) or path.endswith(_METHODS) or (has_key and path.startswith(_SHARED))


GEMINI_ERROR_SCHEMA: dict[str, object] = {
    "type": "object",
    "description": "An error in Google's shape.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        },
    },
}

_STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}


def gemini_status(status: int) -> str:
    """Google's word for a status."""
    usual = "INVALID_ARGUMENT" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "UNAVAILABLE"
    return _STATUSES.get(status, usual)


def gemini_error_bytes(error: SkepError) -> bytes:
    """The body of the answer, and the data of an event that ends a stream. Its status is `openai_status`."""
    status = openai_status(error)
    told = {"fix": _plain(error.fix_text), "param": error.fields.get("param")}
    details: list[dict[str, object]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code.upper(),
            "domain": "skep",
            "metadata": {name: value for name, value in told.items() if isinstance(value, str) and value},
        }
    ]
    wait = error.fields.get("retry_after_seconds")
    if isinstance(wait, int | float):
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{max(0, wait):.3f}s"})
    body = {"code": int(status), "message": _plain(str(error)), "status": gemini_status(status), "details": details}
    return orjson.dumps({"error": body})


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
