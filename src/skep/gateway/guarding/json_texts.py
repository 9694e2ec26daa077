"""Changes texts inside of JSON, and leaves every other byte as it came. Pure.

The JSON was read before, or is judged by whoever reads it next: here only texts are found. Outside of texts no quotation mark can stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]|(?<![\d.eE+\-])\d{9,19}(?![\d.eE])', re.DOTALL)
"""A text, a bracket, or a whole number that may be one of a card or an account."""

_QUOTE = ord('"')
_COLON = re.compile(rb"[ \t\r\n]*:")
_BASE64 = re.compile(rb'"(?:data:[\w/+.;=\-]{1,100},)?[A-Za-z0-9+/_\-]{1024,}+={0,2}"')
"""A picture or a file: no text. A shorter one is looked at like any text."""

_NOT_TEXTS = frozenset(
    {
        *("type", "role", "object", "model", "signature", "encrypted_content", "finish_reason", "stop_reason"),
        *("thoughtSignature", "thought_signature", "finishReason", "modelVersion", "responseId"),
    }
)
"""What the formats themselves choose the words of, and what is signed; the name of the model is the gateway's."""

_JSON_IN_TEXT = frozenset({"arguments", "partial_json"})
"""The value is JSON, written as a text: arguments of tools."""


@dataclass(slots=True)
class Place:
    """Where a text stands."""

    key: str = ""
    """The name of the value that it is, or of the list that it is in."""
    top: str = ""
    """The name at the top level."""
    element: int = -1
    """Which element of the list at the top level it is in; -1: there is none."""
    is_name: bool = False
    """Whether it is the name of a value itself."""


Change = Callable[[str, Place], str]
Roles = dict[tuple[str, int], str]
"""By the name at the top level and the element of its list."""


@dataclass(slots=True)
class _Walk:
    change: Change
    drops: frozenset[str]
    out: list[bytes] = field(default_factory=list)
    at: int = 0
    keys: list[str] = field(default_factory=list)
    place: Place = field(default_factory=Place)
    dropped_depth: int | None = None
    dropped_at: int = 0
    roles: Roles = field(default_factory=dict)
    numbers_from: int = 2
    """How deep numbers are looked at: at the top of a request they are settings of the call."""
    is_arguments: bool = False
    """Whether it is what a tool is called with: there no name is the format's own."""

    def bracket(self, body: bytes, start: int) -> None:
        if body[start] in b"{[":
            if len(self.keys) == 2 and self.dropped_depth is None:
                self.place.element += 1
            if self.place.key in self.drops and self.dropped_depth is None:
                self.dropped_depth, self.dropped_at = len(self.keys), start
            self.keys.append(self.place.key)
            return
        self.place.key = self.keys.pop() if self.keys else ""
        if self.dropped_depth is not None and len(self.keys) == self.dropped_depth:
            self.put(body, self.dropped_at, start + 1, b"null")
            self.dropped_depth = None

    def put(self, body: bytes, start: int, end: int, value: bytes) -> None:
        self.out += (body[self.at : start], value)
        self.at = end


def changed(body: bytes, change: Change, *, drops: frozenset[str] = frozenset(), roles: Roles | None = None) -> bytes:
    """The JSON with its texts changed, names and long numbers among them; the same bytes where nothing changes.

    Objects and lists under names of ``drops`` become null. ``roles`` takes those of the elements of lists at the top level. What
    ``change`` raises passes.
    """
    return _walked(_Walk(change, drops, roles={} if roles is None else roles), body)


def _walked(walk: _Walk, body: bytes) -> bytes:
    for token in _TOKEN.finditer(body):
        start, end = token.span()
        first = body[start]
        if first in b"{}[]":
            walk.bracket(body, start)
        elif walk.dropped_depth is None and (first == _QUOTE or len(walk.keys) >= walk.numbers_from):
            _text(walk, body, start, end)
    return b"".join((*walk.out, body[walk.at :])) if walk.out else body


def _text(walk: _Walk, body: bytes, start: int, end: int) -> None:
    raw, place = body[start:end], walk.place
    is_key = raw[:1] == b'"' and _COLON.match(body, end) is not None
    if end - start >= 1024 and _BASE64.fullmatch(raw) is not None:
        return
    text = decoded(raw)
    place.is_name = is_key
    if is_key:
        if len(walk.keys) == 1:
            place.top, place.element = text, -1
        place.key = text
        new = walk.change(text, place)
    elif place.key in _NOT_TEXTS and not walk.is_arguments:
        if place.key == "role" and len(walk.keys) == 3:
            walk.roles[place.top, place.element] = text
        return
    elif place.key in _JSON_IN_TEXT and text.lstrip()[:1] in ("{", "["):
        new = changed_arguments(text, walk.change, place)
    else:
        new = walk.change(text, place)
    if new != text:
        walk.put(body, start, end, encoded(new))


def changed_arguments(text: str, change: Change, place: Place | None = None) -> str:
    """The same for JSON that is written as a text; what is no JSON is a text like any other."""
    place = place or Place()
    try:
        body = text.encode()
        orjson.loads(body)
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        return change(text, place)

    def inner(said: str, where: Place) -> str:
        return change(said, Place(place.key, place.top, place.element, where.is_name))

    return _walked(_Walk(inner, frozenset(), numbers_from=1, is_arguments=True), body).decode()


def decoded(raw: bytes) -> str:
    """The text of a token, with its quotation marks; of a number, its digits."""
    if raw[:1] != b'"':
        return raw.decode()
    if b"\\" not in raw:
        return raw[1:-1].decode("utf-8", "replace")
    text: str = json.loads(raw, strict=False)
    return text


def encoded(text: str) -> bytes:
    """A text as JSON."""
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        # Half of a pair of surrogates: only an escape can say it.
        return json.dumps(text).encode()
