"""What can go wrong between us and a provider, and what each kind means. Pure.

The rows of `FAILURES` say everything that the rest of the gateway decides by: whether another attempt on the same route may
help, whether another route may, whether the route is to blame, and what the client is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

import orjson

from skep.gateway.usage import usage_of
from skep.spend import Outcome, Usage

Kind = Literal[
    "unreachable",
    "timeout",
    "rate_limited",
    "server_error",
    "auth",
    "forbidden",
    "context_too_long",
    "content_filter",
    "malformed",
    "client_error",
    "interrupted",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of failure means."""

    outcome: Outcome
    """In the ledger."""
    is_retried: bool
    """Whether the same route may answer better a moment later."""
    falls_back: bool
    """Whether the next route is tried, unless the settings say otherwise."""
    blames_route: bool
    """Whether it counts against the route in its breaker."""
    is_hard: bool
    """Whether the breaker opens for long when it happens a few times in a row: no moment's wait mends it."""
    client_status: int
    passes_body: bool
    """Whether the client gets the provider's own words: they speak about the client's request."""
    rests_route: bool = False
    """Whether the route is left alone for a while when it says so a few times in a row: asking on would be hammering."""


FAILURES: Mapping[Kind, Rule] = {
    "unreachable": Rule("server_error", True, True, True, False, 502, False),
    "timeout": Rule("timeout", False, True, True, False, 504, False),
    "rate_limited": Rule("rate_limited", True, True, False, False, 429, True, rests_route=True),
    "server_error": Rule("server_error", True, True, True, False, 502, False),
    "auth": Rule("auth", False, True, True, True, 502, False),
    # Also said of one request alone: of what it is about, or of how much it would cost.
    "forbidden": Rule("auth", False, True, True, False, 502, False),
    "context_too_long": Rule("context_too_long", False, True, False, False, 400, True),
    "content_filter": Rule("content_filter", False, False, False, False, 400, True),
    # Not asked again: what cannot be read may have been written, and is billed each time.
    "malformed": Rule("malformed", False, True, True, False, 502, False),
    "client_error": Rule("client_error", False, False, False, False, 400, True),
    "interrupted": Rule("interrupted", False, False, True, False, 502, False),
}

_CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length", "request_too_large"})
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context[_ ](length|window)|too many (input )?tokens|prompt is too long|input is too long"
    r"|exceeds? the (available |model's )?(context|maximum number of (input )?tokens)",
    re.IGNORECASE,
)
"""Servers that give no code for it say it in words like these (vLLM, llama.cpp, Mistral, Gemini)."""

_AUTH_CODES = frozenset({"insufficient_quota", "API_KEY_INVALID"})

_STATUSES: Mapping[str, int] = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
}
"""What Anthropic and Google would have answered with, had they not begun a stream; their other types are of no use in one."""

_READ_BYTES = 65_536
"""An error of a provider that is longer than this is not looked into."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one attempt did not succeed."""

    kind: Kind
    reason: str
    """One sentence without secrets, for the log and, where the body does not pass, for the client."""
    status: int | None = None
    """The provider's; None when it did not answer."""
    retry_after_seconds: float | None = None
    body: bytes = b""
    content_type: str = ""
    has_left: bool = True
    """Whether the provider may have got the request."""
    usage: Usage | None = None
    """What the provider told that it used all the same."""

    @property
    def rule(self) -> Rule:
        """What it means."""
        return FAILURES[self.kind]

    @property
    def may_be_billed(self) -> bool:
        """Whether the provider may have worked all the same: it says so, or it got the request, and did not say that it failed."""
        if self.usage is not None:
            return True
        return self.has_left and self.kind in ("timeout", "malformed") and self.status in (None, 200)


def classify(
    status: int, body: bytes, *, content_type: str = "", retry_after: str | None = None, now: float = 0.0
) -> Failure:
    """The failure behind an answer whose status is not 200. ``now`` is the wall clock, for dates in ``retry_after``."""
    told = _told(body)
    return Failure(
        kind=_kind(status, told.code, told.message),
        reason=f"it answered {status}" + (f" ({told.code})" if told.code else ""),
        status=status,
        retry_after_seconds=retry_after_seconds(retry_after or told.pause, now),
        body=body,
        content_type=content_type,
        usage=told.usage,
    )


def classify_told(error: object) -> Failure:
    """The failure behind an error that came as an event of a stream, or in a body with status 200."""
    code, message = _words(error)
    # Some put the status they would have answered with into the code.
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else _STATUSES.get(code, 500)
    kind = _kind(status, code, message)
    return Failure(
        kind="server_error" if kind == "client_error" else kind, reason=f"it told an error ({code or 'no code'})"
    )


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """``Retry-After`` (RFC 9110, section 10.2.3) in seconds from now; None when it is absent or cannot be read."""
    if not value:
        return None
    text = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def words_of(body: bytes) -> tuple[str, str]:
    """The code and the message of a provider's error, whichever its shape."""
    told = _told(body)
    return told.code, told.message


def _kind(status: int, code: str, message: str) -> Kind:
    if code in _CONTEXT_CODES or (400 <= status < 500 and status != 429 and _CONTEXT_WORDS.search(message)):
        return "context_too_long"
    if code in _FILTER_CODES:
        return "content_filter"
    if status in (401, 407) or code in _AUTH_CODES:
        return "auth"
    if status in (402, 403):
        return "forbidden"
    if status in (429, 529):
        return "rate_limited"
    if status in (408, 504):
        return "timeout"
    if status >= 500:
        return "server_error"
    # A redirect, or an empty success: nothing we asked for.
    return "client_error" if 400 <= status < 500 else "malformed"


@dataclass(frozen=True, slots=True)
class _Told:
    """What an error says."""

    code: str = ""
    message: str = ""
    usage: Usage | None = None
    pause: str | None = None


def _told(body: bytes) -> _Told:
    """An error in OpenAI's shape, or what looks like one, and the usage beside it."""
    if len(body) > _READ_BYTES:
        return _Told()
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _Told("", body[:2000].decode("utf-8", "replace"))
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return _Told(*_words(found))
    error = found.get("error", found)
    return _Told(*_words(error), usage_of(found.get("usage")), _asked_pause(error))


def _details(error: Mapping[str, object]) -> list[Mapping[str, object]]:
    details = error.get("details")
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []


def _asked_pause(error: object) -> str | None:
    """How long Google asks to wait (``google.rpc.RetryInfo``), as the header says it elsewhere; None where nothing is said."""
    for each in _details(error) if isinstance(error, dict) else ():
        delay = each.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", delay):
            return delay.removesuffix("s")
    return None


def _words(error: object) -> tuple[str, str]:
    if not isinstance(error, dict):
        return "", str(error)[:2000]
    code = error.get("code") or error.get("type") or ""
    if isinstance(code, int) and isinstance(error.get("status"), str):
        # Google's: https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto
        reasons = (each.get("reason") for each in _details(error))
        code = next((told for told in reasons if isinstance(told, str) and told in _AUTH_CODES), error["status"])
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    if isinstance(inner_code, str) and inner_code in _FILTER_CODES:
        code = inner_code
    message = error.get("message") or error.get("detail") or ""
    return (str(code)[:100] if isinstance(code, str | int) else ""), str(message)[:2000]
