from __future__ import annotations

import pytest

from skep.access import KeyInvalidError, KeyMissingError
from skep.server.credentials import bearer_key, key_header, sent_key


@pytest.mark.parametrize("header", ["Bearer skep_a_b", "bearer skep_a_b", "BEARER   skep_a_b", "Bearer skep_a_b  "])
def test_the_key_of_a_header(header: str) -> None:
    assert bearer_key(header) == "skep_a_b"


@pytest.mark.parametrize("header", [None, "", "   "])
def test_no_header_is_no_key(header: str | None) -> None:
    with pytest.raises(KeyMissingError, match="none was sent"):
        bearer_key(header)


@pytest.mark.parametrize(
    "header",
    [
        "skep_a_b",
        "Bearer",
        "Bearer ",
        "Bearerskep_a_b",
        "Basic dXNlcjpwYXNz",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a\nb",
    ],
)
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(KeyInvalidError, match="Bearer <key>"):
        bearer_key(header)


@pytest.mark.parametrize(
    ("path", "headers", "header"),
    [
        ("/v1beta/models/m:generateContent", {b"x-goog-api-key"}, b"x-goog-api-key"),
        ("/v1beta/models/m:generateContent", {b"x-api-key"}, b"x-api-key"),
        ("/v1/messages", {b"x-api-key", b"x-goog-api-key"}, b"x-api-key"),
    ],
)
def test_keys_that_differ_are_refused_by_the_headers_they_came_in(
    path: str, headers: set[bytes], header: bytes
) -> None:
    assert key_header(path, headers) == header
    with pytest.raises(KeyInvalidError, match=f"Authorization and {header.decode()} name different keys") as raised:
        sent_key("Bearer a", "b", header)
    assert "x-goog-api-key" in raised.value.fix_text
    assert sent_key("Bearer a", "a", header) == "a"
