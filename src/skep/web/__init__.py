"""The vocabulary in which a room says what it offers over HTTP. Serving it is the server's work."""

from __future__ import annotations

from skep.web.anthropic_errors import (
    ANTHROPIC_ERROR_SCHEMA,
    ANTHROPIC_PREFIX,
    anthropic_error_bytes,
    anthropic_type,
)
from skep.web.gemini_errors import GEMINI_ERROR_SCHEMA, gemini_error_bytes, gemini_status, is_geminis
from skep.web.interfaces import BodyInvalidError, BodyTooLargeError, QueryInvalidError
from skep.web.models import (
    BREAK,
    WHOLE_ANSWER,
    WHOLE_BODY,
    Call,
    Caller,
    Endpoint,
    Notes,
    Refusal,
    break_connection,
    json_answer,
)
from skep.web.openai_errors import (
    OPENAI_ERROR_SCHEMA,
    OPENAI_PREFIX,
    openai_error_bytes,
    openai_error_headers,
    openai_status,
    response_error_bytes,
    span_text,
)

__all__ = [
    "ANTHROPIC_ERROR_SCHEMA",
    "ANTHROPIC_PREFIX",
    "BREAK",
    "GEMINI_ERROR_SCHEMA",
    "OPENAI_ERROR_SCHEMA",
    "OPENAI_PREFIX",
    "WHOLE_ANSWER",
    "WHOLE_BODY",
    "BodyInvalidError",
    "BodyTooLargeError",
    "Call",
    "Caller",
    "Endpoint",
    "Notes",
    "QueryInvalidError",
    "Refusal",
    "anthropic_error_bytes",
    "anthropic_type",
    "break_connection",
    "gemini_error_bytes",
    "gemini_status",
    "is_geminis",
    "json_answer",
    "openai_error_bytes",
    "openai_error_headers",
    "openai_status",
    "response_error_bytes",
    "span_text",
]
