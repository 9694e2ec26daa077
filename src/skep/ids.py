"""Public identifiers: sortable by the time they were made, safe in a URL, impossible to guess."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case: no i, l, o, u


def _base32(value: int, length: int) -> str:
    return "".join(_ALPHABET[(value >> 5 * place) & 31] for place in reversed(range(length)))


def new_id(prefix: str) -> str:
    """A new identifier ``<prefix>_<10 characters of milliseconds><16 random characters>`` (80 random bits, as a ULID)."""
    return f"{prefix}_{_base32(time.time_ns() // 1_000_000, 10)}{_base32(secrets.randbits(80), 16)}"
