"""The one reader of credentials. Pure."""

from __future__ import annotations

import re

from skep.access import KeyInvalidError, KeyMissingError

_BEARER = re.compile(r"bearer +(?P<token>[A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
"""RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1)."""

KEY_PLACE = "admin.key in the server's data folder"


def sent_key(authorization: str | None, api_key: str | None) -> str:
    """The key of a request, from ``Authorization: Bearer`` or ``x-api-key``; sent both ways it must be the same.

    Raises KeyMissingError when there is none, KeyInvalidError when it is not clear which one it is.
    """
    if api_key is None or not api_key.strip():
        return bearer_key(authorization)
    key = api_key.strip()
    if authorization is not None and authorization.strip() and bearer_key(authorization) != key:
        raise KeyInvalidError(reason="the headers Authorization and x-api-key name different keys")
    return key


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
