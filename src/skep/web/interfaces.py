"""Errors of a request's form.

UsageError
├── BodyInvalidError     the body is no JSON, or not what the route takes
├── QueryInvalidError    the same for the part of the address after `?`
└── BodyTooLargeError    more than the limit (413)
"""

from __future__ import annotations

from skep.errors import UsageError


class BodyInvalidError(UsageError):
    """The body of the request is not what this route takes: {reason}"""

    fix = "See the route in /api/docs; every wrong field is named in `problems`."


class QueryInvalidError(UsageError):
    """The parameters in the address are not what this route takes: {reason}"""

    fix = "See the route in /api/docs; every wrong parameter is named in `problems`."


class BodyTooLargeError(UsageError):
    """The body of the request is larger than {limit_bytes} bytes."""

    http_status = 413
    fix = "Send less at a time."
