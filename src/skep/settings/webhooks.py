"""What makes an address and a secret for webhooks (https://www.standardwebhooks.com): both are checked when settings are read. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import urlsplit

from skep.settings.vocabulary import Secret

SECRET_PREFIX = "whsec_"  # noqa: S105 -- what secrets begin with
LEAST_KEY_BYTES = 24
MOST_KEY_BYTES = 64
"""The bounds of the specification."""


def signing_keys(secret: Secret) -> tuple[bytes, ...]:
    """The keys that a secret stands for: one, or several with blanks between while receivers change from one to the other.

    Raises ValueError when it is none; its words do not contain the secret.
    """
    keys = tuple(map(_key, secret.reveal().split()))
    if not keys:
        raise ValueError("is empty")
    return keys


def _key(text: str) -> bytes:
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"must be {SECRET_PREFIX} and a key in base64") from None
    if not LEAST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise ValueError(f"must stand for {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes, not {len(key)}")
    return key


def webhook_faults(url: object, secret: object) -> Iterator[tuple[bool, str]]:
    """What is wrong with the two: whether it is the address, and the reason."""
    if url is not None and secret is None:
        yield True, "needs spend.alert_webhook_secret too"
    if secret is not None and url is None:
        yield False, "needs spend.alert_webhook_url too"
    if isinstance(url, str) and (fault := _url_fault(url)):
        yield True, fault
    if isinstance(secret, Secret):
        try:
            signing_keys(secret)
        except ValueError as error:
            yield False, str(error)


def _url_fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        has_host, _ = bool(parts.hostname), parts.port
    except ValueError:
        return "is no address of the web"
    if parts.scheme not in ("http", "https") or not has_host or not url.isascii() or " " in url:
        return "must be an address such as https://example.com/hook"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user name or a password; the signature says who sends"
    return "must not end with a fragment (#...)" if parts.fragment else ""
