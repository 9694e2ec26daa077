"""Reads the top level of a large JSON object without reading what is nested in it.

Reading twenty megabytes of tiny values takes seconds and a gigabyte, and while a function in C does so, no other thread of this process
goes on. Here each step is one operation on arrays, over a piece of the body, and mostly outside of Python's lock: run it in a thread.
What texts and brackets enclose is known for certain afterwards, so that no reader can find other keys than we did. Whether what is
nested is put together as it should be is for the provider to judge.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import orjson

from skep.gateway.splicing import DuplicateKeyError, NestedTooDeepError, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUICK_BYTES = 65_536
MIDDLING_BYTES = 1_310_720
QUICK_VALUES = 20_000
"""A body of `QUICK_BYTES`, or one of `MIDDLING_BYTES` with so few values and escapes, is read whole in 30 ms at most."""

_QUICK_ESCAPES = 40_000

MOST_KEYS = 1_000
MOST_DEPTH = 1_000

_PIECE_BYTES = 262_144
_SMALL_BYTES = 65_536
"""Longer values are not read: nothing that we go by is longer."""

_SPACE = b" \t\r\n"
_QUOTE, _BACKSLASH, _COMMA, _COLON = b'"\\,:'


class BodyUnreadableError(ValueError):
    """The body is no JSON object, or one that nobody needs to read."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that was left alone."""

    span: Span
    values: int
    """How many commas and opening brackets a list has, texts left out: about as many values. 0 where that was not asked for."""
    elements: int | None
    """How many elements a list has; None for what is no list of texts or lists, and where that was not asked for."""


@dataclass(frozen=True, slots=True)
class TopLevel:
    """What is known of a large object."""

    values: dict[str, Any]
    """By key; `Unread` where they are long."""
    spans: dict[str, Span]


def is_quick(body: bytes) -> bool:
    """Whether a body may be read whole by whoever must not be kept waiting."""
    size = len(body)
    if size <= QUICK_BYTES:
        return True
    if size > MIDDLING_BYTES:
        return False
    np = _tables().np
    data = np.frombuffer(body, np.uint8)
    if np.count_nonzero(data == _BACKSLASH) > _QUICK_ESCAPES:
        return False
    # A tenth of what `bytes.count` takes for bytes that are frequent.
    return sum(int(np.count_nonzero(data == byte)) for byte in b",[{") <= QUICK_VALUES


def values_in(body: bytes) -> int:
    """How many commas and opening brackets an object has, texts left out: about as many as values.

    Raises BodyUnreadableError, NestedTooDeepError.
    """
    scan = _Scan(body, 0, len(body))
    scan.run()
    return scan.values


def prepare() -> None:
    """Load what reading needs. Takes a tenth of a second, during which nothing else goes on."""
    _tables()


def read_top_level(body: bytes, keys: Collection[str], *, count_of: Collection[str] = ()) -> TopLevel:
    """The object's values and their places. ``count_of``: the keys whose lists' elements are counted.

    Raises BodyUnreadableError, NestedTooDeepError, DuplicateKeyError when one of ``keys`` is said twice.
    """
    scan = _Scan(body, 0, len(body))
    scan.run()
    if body[scan.first : scan.first + 1] != b"{" or body[scan.last : scan.last + 1] != b"}":
        raise BodyUnreadableError("it must be an object")
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for key, span in _entries(body, scan):
        if key in keys and key in spans:
            raise DuplicateKeyError(key)
        spans[key] = span
        values[key] = _value(body, span, counts=key in count_of)
    return TopLevel(values, spans)


def _value(body: bytes, span: Span, *, counts: bool) -> object:
    if span.end - span.start <= _SMALL_BYTES:
        return _loaded(body[span.start : span.end])
    if not counts or body[span.start] != ord("["):
        return Unread(span, 0, None)
    inner = _Scan(body, span.start, span.end)
    inner.run()
    first = body[span.start + 1 : span.start + 64].lstrip(_SPACE)[:1]
    return Unread(span, inner.values, inner.top_commas + 1 if first in (b'"', b"[") else None)


def _loaded(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BodyUnreadableError(str(error)) from error


def _entries(body: bytes, scan: _Scan) -> Iterator[tuple[str, Span]]:
    """The keys and the places of the values, in their order."""
    if not scan.marks and not body[scan.first + 1 : scan.last].strip(_SPACE):
        return
    before = scan.first
    for number in range(0, len(scan.marks), 2):
        colon = scan.marks[number]
        end = scan.marks[number + 1] if number + 1 < len(scan.marks) else scan.last
        is_comma = end == scan.last or body[end] == _COMMA
        name = _loaded(body[before + 1 : colon].strip(_SPACE)) if colon - before <= _SMALL_BYTES else None
        if body[colon] != _COLON or not is_comma or not isinstance(name, str):
            raise BodyUnreadableError("its keys and values do not follow each other")
        yield name, _stripped(body, colon + 1, end)
        before = end
    if before != scan.last:
        raise BodyUnreadableError("its last key has no value")


def _stripped(body: bytes, start: int, end: int) -> Span:
    while start < end and body[start] in _SPACE:
        start += 1
    while end > start and body[end - 1] in _SPACE:
        end -= 1
    if start == end:
        raise BodyUnreadableError("a key has no value")
    return Span(start, end)


@dataclass(slots=True)
class _Tables:
    """By byte: how deep it leads, and whether it can stand outside of texts."""

    np: Any
    steps: NDArray[np.int8]
    is_known: NDArray[np.bool_]


_loaded_tables: list[_Tables] = []


def _tables() -> _Tables:
    if not _loaded_tables:
        # Not at the top: commands that only look at the settings should not wait for it.
        np = import_module("numpy")
        steps = np.zeros(256, np.int8)
        steps[list(b"[{")], steps[list(b"]}")] = 1, -1
        is_known = np.zeros(256, np.bool_)
        is_known[list(b' \t\r\n[]{},:"0123456789+-.eEtrufalsn')] = True
        _loaded_tables.append(_Tables(np, steps, is_known))
    return _loaded_tables[0]


@dataclass(slots=True)
class _Scan:
    """Goes through an object or a list, piece by piece."""

    body: bytes
    start: int
    end: int
    first: int = 0
    """Where its opening bracket stands."""
    last: int = -1
    """Where its closing bracket stands."""
    marks: list[int] = field(default_factory=list)
    """Where commas and colons stand that are its own; of lists none are kept."""
    top_commas: int = 0
    values: int = 0
    _depth: int = 0
    _in_text: int = 0
    _backslashes: int = 0
    """How many of them end what was read."""

    def run(self) -> None:
        """Raises BodyUnreadableError, NestedTooDeepError."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.first = self.start
        while self.first < self.end and self.body[self.first] in _SPACE:
            self.first += 1
        if self.body[self.first : self.first + 1] not in (b"{", b"["):
            raise BodyUnreadableError("it must be an object")
        try:
            for at in range(self.first, self.end, _PIECE_BYTES):
                piece = self.body[at : min(at + _PIECE_BYTES, self.end)]
                decoder.decode(piece)
                self._feed(piece, at)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise BodyUnreadableError("it is not UTF-8") from error
        if self._depth or self._in_text or self.last < 0:
            raise BodyUnreadableError("it has no end")

    def _feed(self, piece: bytes, at: int) -> None:
        np = _tables().np
        data = np.frombuffer(piece, np.uint8)
        if self._in_text and b'"' not in piece:
            # The middle of a long text, such as a picture.
            if int(data.min()) < ord(" "):
                raise BodyUnreadableError("a text has control characters")
            trailing = len(piece) - len(piece.rstrip(b"\\"))
            self._backslashes = trailing + (self._backslashes if trailing == len(piece) else 0)
            return
        quotes = data == _QUOTE
        if self._backslashes or b"\\" in piece:
            quotes = self._unescaped(data, quotes)
        # 1 from the quote that opens a text to the byte before the one that closes it.
        inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)) ^ self._in_text
        self._in_text = int(inside[-1])
        self._look(data, inside.view(np.bool_), at)

    def _look(self, data: NDArray[np.uint8], inside: NDArray[np.bool_], at: int) -> None:
        tables = _tables()
        np = tables.np
        if (inside & (data < ord(" "))).any() or not (inside | tables.is_known[data]).all():
            raise BodyUnreadableError("it has a character where none can be")
        steps = tables.steps[data]
        steps[inside] = 0
        depths = np.cumsum(steps, dtype=np.int32)
        depths += self._depth
        if int(depths.max()) > MOST_DEPTH:
            raise NestedTooDeepError
        # Space may follow the end, and nothing else.
        ended = np.flatnonzero((depths <= 0) & (data > ord(" ")))
        if len(ended) > 1 or (len(ended) and self.last >= 0) or (self.last >= 0 and (data > ord(" ")).any()):
            raise BodyUnreadableError("something stands after its end")
        if len(ended):
            self.last = at + int(ended[0])
        self._depth = int(depths[-1])
        outside = ~inside
        commas = (data == _COMMA) & outside
        self.values += int(np.count_nonzero(commas)) + int(np.count_nonzero(steps > 0))
        is_top = depths == 1
        self.top_commas += int(np.count_nonzero(commas & is_top))
        if self.body[self.first] == ord("{"):
            found = np.flatnonzero((commas | ((data == _COLON) & outside)) & is_top)
            if len(self.marks) + len(found) > 2 * MOST_KEYS:
                raise BodyUnreadableError(f"it has more than {MOST_KEYS} keys")
            self.marks += (found + at).tolist()

    def _unescaped(self, data: NDArray[np.uint8], quotes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The quotes before which no odd number of backslashes stands."""
        np = _tables().np
        others = np.where(data != _BACKSLASH, np.arange(len(data), dtype=np.int32), -1)
        last_other = np.maximum.accumulate(others)
        places = np.flatnonzero(quotes)
        before = np.where(places > 0, last_other[places - 1], -1)
        runs = places - 1 - before
        runs[before < 0] += self._backslashes
        kept = quotes.copy()
        kept[places[runs % 2 == 1]] = False
        last = int(last_other[-1])
        self._backslashes = len(data) - 1 - last + (self._backslashes if last < 0 else 0)
        return kept
