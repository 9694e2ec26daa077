"""Text that is safe to show, and values as JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from enum import Enum
from pathlib import PurePath

from skep.settings import Secret

# C0 and C1 control characters, DEL, line and paragraph separators, marks that turn the direction of text (they can make a
# name look like another one: https://trojansource.codes), and surrogates, which no encoding can write.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNPRINTABLE_IN_LINES = re.compile(_UNPRINTABLE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str) -> str:
    """The text as one line that is safe to show; what cannot be shown is escaped as in Python."""
    return _UNPRINTABLE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines: line ends and tabs stay."""
    return _UNPRINTABLE_IN_LINES.sub(_escape, text.replace("\r\n", "\n"))


def to_json(value: object, *, lenient: bool = False) -> str:
    """One line of ASCII. Dataclasses become objects, times ISO 8601, durations seconds, bytes text as in file names.

    Raises TypeError for an object that has no such form (``lenient`` shows its words instead), ValueError for a number that
    is none (NaN) or endless.
    """
    return json.dumps(value, default=_plain_or_words if lenient else _plain, allow_nan=False)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        # A byte that was no UTF-8 (PEP 383).
        code -= 0xDC00
    common = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return common.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _plain(value: object) -> object:
    """The next simpler form of something that JSON does not know. Raises TypeError."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, PurePath | Secret):
        return str(value)
    return _plain_container(value)


def _plain_container(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value, key=repr)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _plain_or_words(value: object) -> object:
    """As ``_plain``, but takes anything: an error must reach its reader whatever its fields hold."""
    try:
        return _plain(value)
    except TypeError:
        return str(value)
