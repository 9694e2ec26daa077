"""How an error looks on the wire: problem details (RFC 9457). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from skep.errors import SkepError

MEDIA_TYPE = "application/problem+json"

PROBLEM_SCHEMA: dict[str, object] = {
    "type": "object",
    "description": "Problem details as in RFC 9457, with a stable code and what to do.",
    "required": ["type", "title", "status", "detail", "code", "fix"],
    "properties": {
        "type": {"type": "string", "description": "urn:skep:error: and the code"},
        "title": {"type": "string", "description": "The kind of problem, always the same for a code"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened this time, in one sentence"},
        "code": {"type": "string", "description": "For programs; does not change"},
        "fix": {"type": "string", "description": "What to do about it; empty when there is nothing"},
        "trace_id": {"type": "string", "description": "Finds the request in the log"},
        "problems": {
            "type": "array",
            "description": "Each wrong field, when the request was not understood",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}


def problem(error: SkepError, trace_id: str) -> dict[str, object]:
    """The error as an object. Its fields stay inside, but for the list of wrong ones."""
    found: dict[str, object] = {
        "type": f"urn:skep:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.http_status,
        "detail": str(error),
        "code": error.code,
        "fix": error.fix_text,
        "trace_id": trace_id,
    }
    problems = error.fields.get("problems")
    if isinstance(problems, list | tuple) and all(isinstance(entry, dict) for entry in problems):
        found["problems"] = problems
    return found


def problem_headers(error: SkepError) -> Mapping[str, str]:
    """The headers that belong to a status."""
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750, section 3: no error code when no credentials were sent at all.
        sent = "" if error.code == "key_missing" else ', error="invalid_token"'
        return {"www-authenticate": f'Bearer realm="skep"{sent}'}
    if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"retry-after": "1"}
    if error.http_status == HTTPStatus.METHOD_NOT_ALLOWED:
        return {"allow": str(error.fields.get("allowed", ""))}
    return {}


def problem_bytes(error: SkepError, trace_id: str) -> bytes:
    """The body of the answer. Names of files with bytes that are no UTF-8 are shown with those escaped."""
    shown = {key: _encodable(value) for key, value in problem(error, trace_id).items()}
    return orjson.dumps(shown, default=str)


def _encodable(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
