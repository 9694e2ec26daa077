"""What a provider's answer means, as data from what providers really say."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.failures import Kind, classify, classify_told, retry_after_seconds


def body(message: str = "m", **error: object) -> bytes:
    return orjson.dumps({"error": {"message": message, **error}})


@pytest.mark.parametrize(
    ("status", "sent", "kind"),
    [
        (400, body(code="context_length_exceeded"), "context_too_long"),
        (
            400,
            body("This model's maximum context length is 8192 tokens. However, you requested 9000"),
            "context_too_long",
        ),
        (400, body("the request exceeds the available context size, try increasing it"), "context_too_long"),
        (400, b'{"object":"error","message":"Prompt is too long","type":"invalid"}', "context_too_long"),
        (413, body(code="request_too_large"), "context_too_long"),
        (400, body("the input token count exceeds the maximum number of tokens allowed"), "context_too_long"),
        (400, body(code="content_filter"), "content_filter"),
        (400, body(code="x", innererror={"code": "ResponsibleAIPolicyViolation"}), "content_filter"),
        (400, body(code="invalid_value"), "client_error"),
        (404, body(code="model_not_found"), "client_error"),
        (422, b'{"detail":[{"loc":["body"]}]}', "client_error"),
        (401, body(code="invalid_api_key"), "auth"),
        (402, b"Insufficient Balance", "forbidden"),
        (403, b"<html>", "forbidden"),
        (429, body(code="insufficient_quota"), "auth"),
        (429, body(code="rate_limit_exceeded"), "rate_limited"),
        (429, body("too many tokens per minute"), "rate_limited"),
        (429, b'{"error":{"code":429,"status":"X","details":[{"reason":{}}, 1]}}', "rate_limited"),
        (400, body(code="x", innererror={"code": []}), "client_error"),
        (529, b"overloaded", "rate_limited"),
        (408, b"", "timeout"),
        (504, b"", "timeout"),
        (500, b"", "server_error"),
        (503, b"[]", "server_error"),
        (302, b"", "malformed"),
        (204, b"", "malformed"),
    ],
)
def test_an_answer_that_is_no_success(status: int, sent: bytes, kind: Kind) -> None:
    failure = classify(status, sent)
    assert failure.kind == kind
    assert str(status) in failure.reason


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "x"}, "rate_limited"),
        ({"code": "429"}, "rate_limited"),
        ({"code": "context_length_exceeded"}, "context_too_long"),
        ({"message": "x"}, "server_error"),
        ("overloaded", "server_error"),
        ({"code": 400}, "server_error"),
    ],
)
def test_an_error_in_a_success(error: object, kind: Kind) -> None:
    assert classify_told(error).kind == kind


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        ("9" * 400, None),
        ("", None),
        (None, None),
    ],
)
def test_how_long_to_wait(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, 60.0) == seconds


@given(st.integers(200, 599), st.binary(max_size=300), st.text(max_size=40))
def test_anything_is_understood_somehow(status: int, sent: bytes, wait: str) -> None:
    failure = classify(status, sent, retry_after=wait)
    assert failure.rule.client_status >= 400
    assert failure.retry_after_seconds is None or failure.retry_after_seconds >= 0
