"""The one reader of credentials. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.types import Scope

from skep.access import KeyInvalidError, KeyMissingError
from skep.web import is_geminis

_BEARER = re.compile(r"bearer +(?P<token>[A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
"""RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1)."""

KEY_HEADERS = frozenset({b"x-api-key", b"x-goog-api-key"})
"""Headers that have nothing but the key in them: Anthropic's clients', and Google's."""

KEY_PLACE = "admin.key in the server's data folder"


def sent_key(authorization: str | None, api_key: str | None, header: bytes = b"x-api-key") -> str:
    """The key of a request, from ``Authorization: Bearer`` or the ``header`` that has nothing but a key; sent both ways it must be the same.

    Raises KeyMissingError when there is none, KeyInvalidError when it is not clear which one it is.
    """
    if api_key is None or not api_key.strip():
        return bearer_key(authorization)
    key = api_key.strip()
    if authorization is not None and authorization.strip() and bearer_key(authorization) != key:
        raise KeyInvalidError(reason=f"the headers Authorization and {header.decode()} name different keys")
    return key


def key_header(path: str, headers: Collection[bytes]) -> bytes:
    """The header of a request that has nothing but its key in it, if any has: Google's clients have one of their own, at their addresses."""
    return b"x-goog-api-key" if b"x-goog-api-key" in headers and is_geminis(path, has_key=True) else b"x-api-key"


def refuse_key_in_address(scope: Scope) -> None:
    """Raises KeyInvalidError where a request of Google's API has its key in the address: proxies before us write addresses into their logs."""
    if is_geminis(scope["path"]) and parse_qs(scope["query_string"].decode("latin-1")).get("key"):
        raise KeyInvalidError(reason="it stands in the address, which logs keep; send it in the header x-goog-api-key")


def bearer_key(header: str | None) -> str:
    """The key of an ``Authorization`` header.

    Raises KeyMissingError when there is none, KeyInvalidError when it is no Bearer token.
    """
    if header is None or not header.strip():
        raise KeyMissingError(path=KEY_PLACE)
    match = _BEARER.fullmatch(header)
    if match is None:
        raise KeyInvalidError(reason="the header Authorization is not written as `Bearer <key>`")
    return match["token"]
