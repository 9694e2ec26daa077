"""How a key looks and how it is stored. Pure.

A key is ``skep_<id>_<secret><checksum>``: a public id that finds the row, 256 random bits, and a checksum that tells a
mistyped key from a foreign one without asking the database. Only an HMAC-SHA-256 of the whole key is stored; its key
is a random value per project. A slow password hash would add nothing: 256 random bits cannot be guessed.
"""

from __future__ import annotations

import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SECRET_LENGTH = 43  # 62 ** 43 > 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 > 2 ** 32
_KEY = re.compile(rf"skep_([0-9a-z]{{12}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A well-formed key: its public id and the whole text."""

    key_id: str
    text: str


def new_key(key_id: str | None = None) -> ParsedKey:
    """A new random key; or, with the id of one, another secret for it."""
    key_id = key_id or "".join(secrets.choice(_ALPHABET[:36]) for _ in range(12))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return ParsedKey(key_id, f"skep_{key_id}_{secret}{_checksum(key_id + secret)}")


def parse_key(text: str) -> ParsedKey | None:
    """The key in ``text``, or None when it cannot be one of ours."""
    match = _KEY.fullmatch(text.strip())
    if match is None or _checksum(match[1] + match[2]) != match[3]:
        return None
    return ParsedKey(match[1], match[0])


def key_hmac(key: ParsedKey, pepper: bytes) -> bytes:
    """What is stored of a key: 32 bytes over the whole text."""
    return hmac.digest(pepper, key.text.encode(), "sha256")


def _checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
