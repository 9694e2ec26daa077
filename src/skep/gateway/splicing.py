"""Changes the values of a few top-level keys of a JSON object, and leaves every other byte as it came. Pure.

What is valid JSON was settled before (orjson reads the whole body, in C); here only places are found. Mostly a key's name stands
once in the body, and then that is the place. Otherwise the standard library's scanner, in C too, goes from key to key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # the stubs do not know it
from typing import Any

from skep.gateway.naming import Names

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_ESCAPED_LETTER = re.compile(rb"\\u00[4567]", re.IGNORECASE)
"""A key can also be written ``mod\\u0065l``; all our keys are ASCII letters and underscores."""


class DuplicateKeyError(ValueError):
    """The object says a key twice; which of the two counts differs from reader to reader."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


class NestedTooDeepError(ValueError):
    """The object is nested deeper than can be read."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands: from the first of its bytes to the one after its last."""

    start: int
    end: int


Keys = Mapping[str, bytes]
"""Names of keys, and each as it mostly stands in a body."""


def quoted(keys: Iterable[str]) -> Keys:
    """See `Keys`."""
    return {key: b'"%b"' % key.encode() for key in keys}


def check_keys(body: bytes, values: Mapping[str, object], keys: Keys, names: Names) -> Mapping[str, Span] | None:
    """Where the values of the keys stand, if that had to be found out; None when a key's name stands in one place only.

    ``values`` is what the whole body was read as. Raises DuplicateKeyError when one of the keys is said twice at the top level,
    NestedTooDeepError.
    """
    if not _has_escaped_letters(body):
        count = names.count
        for key in values:
            if key in keys and count(keys[key]) > 1:
                break
        else:
            return None
    return top_level_spans(body, keys)


def _has_escaped_letters(body: bytes) -> bool:
    # One byte is found in a fiftieth of the time of several (memchr), and those in a fraction of the pattern's.
    at = body.find(b"\\")
    return at >= 0 and body.find(b"\\u00", at) >= 0 and _ESCAPED_LETTER.search(body, at) is not None


def value_span(body: bytes, key: str) -> Span:
    """Where the value of a top-level key stands, whose value is a string.

    Raises KeyError when the key is not there, DuplicateKeyError, NestedTooDeepError.
    """
    name = b'"%b"' % key.encode()
    place = body.find(name)
    if place >= 0 and body.find(name, place + 1) < 0 and not _has_escaped_letters(body):
        # The only place: the caller knows that the object has this key, so this is it, and not a value or a deeper key.
        start = body.find(b'"', body.find(b":", place + len(name)))
        match = _STRING.match(body, start)
        if match is not None:
            return Span(start, match.end())
    return top_level_spans(body, (key,))[key]


def top_level_spans(body: bytes, keys: Collection[str]) -> dict[str, Span]:
    """Where the values of those keys stand that the object has at its top level, whatever is nested in it.

    Raises DuplicateKeyError for one of the keys, NestedTooDeepError.
    """
    text = body.decode()
    found: dict[str, tuple[int, int]] = {}
    at = _SPACE.match(text, _SPACE.match(text).end() + 1).end()  # type: ignore[union-attr]  # it matches anywhere
    try:
        while text[at] != "}":
            if text[at] == ",":
                at = _skip(text, at + 1)
            key, at = scanstring(text, at + 1)
            start = _skip(text, _skip(text, at) + 1)
            _, end = _DECODER.raw_decode(text, start)
            if key in keys and found.setdefault(key, (start, end)) != (start, end):
                raise DuplicateKeyError(key)
            at = _skip(text, end)
    except RecursionError as error:
        raise NestedTooDeepError from error
    return _in_bytes(text, found)


def splice(
    body: bytes,
    changes: Mapping[str, bytes],
    values: Mapping[str, object],
    spans: Mapping[str, Span] | None = None,
) -> bytes:
    """The object with the values of top-level keys replaced, and keys that it lacks put in front.

    ``values`` is what the whole body was read as, ``spans`` what `check_keys` found. Raises DuplicateKeyError,
    NestedTooDeepError.
    """
    present = [key for key in changes if key in values]
    if spans is None:
        if len(present) == 1 and isinstance(values[present[0]], str):
            spans = {present[0]: value_span(body, present[0])}
        else:
            spans = top_level_spans(body, present) if present else {}
    replaced: list[tuple[Span, bytes]] = [(spans[key], changes[key]) for key in present]
    added = [b'"%b":%b' % (key.encode(), value) for key, value in changes.items() if key not in values]
    if added:
        brace = body.index(b"{") + 1
        replaced.append((Span(brace, brace), b",".join(added) + (b"," if values else b"")))
    return _replaced(body, replaced)


def _replaced(body: bytes, changes: Sequence[tuple[Span, bytes]]) -> bytes:
    parts: list[bytes] = []
    at = 0
    for span, value in sorted(changes, key=lambda change: change[0].start):
        parts += (body[at : span.start], value)
        at = span.end
    parts.append(body[at:])
    return b"".join(parts)


def _skip(text: str, at: int) -> int:
    match: Any = _SPACE.match(text, at)
    end: int = match.end()
    return end


def _in_bytes(text: str, spans: Mapping[str, tuple[int, int]]) -> dict[str, Span]:
    """Places in the text as places in its UTF-8."""
    if text.isascii():
        return {key: Span(*span) for key, span in spans.items()}
    found = {}
    for key, (start, end) in spans.items():
        first = len(text[:start].encode())
        found[key] = Span(first, first + len(text[start:end].encode()))
    return found
