"""Reads multipart/form-data (RFC 7578) as strictly as it was ever meant, and changes fields of it, every other byte as it came. Pure.

Whoever gets the body after us must not find other fields in it than we do: what readers are known to differ about is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.splicing import Span

MOST_PARTS = 300
_MOST_HEAD_BYTES = 4_096
MOST_TEXT_BYTES = 1_048_576
"""A longer field is no text that anybody needs to read."""

_MEDIA_TYPE = re.compile(rb"multipart/form-data[ \t]*;", re.IGNORECASE)
_BOUNDARY = re.compile(
    rb";[ \t]*boundary=(?:\"([0-9A-Za-z'()+_,./:=? -]{1,70})\"|([0-9A-Za-z'+_.-]{1,70}))[ \t]*(?=;|$)", re.IGNORECASE
)
_DISPOSITION = re.compile(rb'form-data((?:;[ \t]*[a-z]+=(?:"[^"\\\r\n]*"|[^\s";\\]+)[ \t]*)+)', re.IGNORECASE)
_PARAMETER = re.compile(rb';[ \t]*([a-z]+)=(?:"([^"]*)"|([^\s";]+))', re.IGNORECASE)
_ENCODINGS = (b"7bit", b"8bit", b"binary")
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One field."""

    name: str
    span: Span
    """Of its value."""
    is_file: bool


@dataclass(frozen=True, slots=True)
class Form:
    """Every field, in order."""

    content_type: bytes
    """What the next reader is told: the same boundary, and nothing that could be read in two ways."""
    parts: Sequence[Part]

    def text(self, body: bytes, part: Part) -> str | None:
        """The value of a field; None for a file, and for what is no text."""
        span = part.span
        if part.is_file or span.end - span.start > MOST_TEXT_BYTES:
            return None
        try:
            return body[span.start : span.end].decode()
        except UnicodeDecodeError:
            return None


def is_form(content_type: bytes) -> bool:
    """Whether a body of this type is a form."""
    return _MEDIA_TYPE.match(content_type + b";") is not None


def read_form(content_type: bytes, body: bytes) -> Form:
    """Where the fields of a form stand. Raises RequestInvalidError."""
    boundary = _boundary(content_type)
    told = boundary if re.fullmatch(rb"[0-9A-Za-z'+_.-]+", boundary) else b'"%b"' % boundary
    parts = [_part(body, start, end) for start, end in _between(b"--" + boundary, body)]
    return Form(b"multipart/form-data; boundary=" + told, parts)


def with_values(body: bytes, changes: Mapping[Span, bytes]) -> bytes:
    """The form with the values at some places replaced."""
    pieces: list[bytes] = []
    at = 0
    for span, value in sorted(changes.items(), key=lambda change: change[0].start):
        pieces += (body[at : span.start], value)
        at = span.end
    return b"".join((*pieces, body[at:]))


def _boundary(content_type: bytes) -> bytes:
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1 or content_type.lower().count(b"boundary") != 1:
        raise _invalid("the header content-type must name one boundary of letters, digits and '()+_,-./:=?")
    quoted, plain = found[0]
    boundary: bytes = quoted or plain
    if boundary.endswith(b" "):
        raise _invalid("its boundary must not end with a space")
    return boundary


def _between(delimiter: bytes, body: bytes) -> Iterator[tuple[int, int]]:
    """What stands between the delimiters. Wherever their text stands it must be one: some readers take it for one behind any line's end."""
    at = body.find(delimiter)
    if at != 0:
        raise _invalid("it must begin with its boundary")
    for _ in range(MOST_PARTS + 1):
        start = at + len(delimiter)
        if body.startswith(b"--", start):
            if body[start + 2 :] not in (b"", b"\r\n"):
                raise _invalid("something stands after its end")
            return
        if not body.startswith(b"\r\n", start):
            raise _invalid("its boundary stands where no part begins")
        at = body.find(delimiter, start)
        if at < 0:
            raise _invalid("it has no end")
        if body[at - 2 : at] != b"\r\n" or at - 2 < start + 2:
            raise _invalid("its boundary stands within a part")
        yield start + 2, at - 2
    raise _invalid(f"it has more than {MOST_PARTS} parts")


def _part(body: bytes, start: int, end: int) -> Part:
    stop = body.find(_END, start, min(end, start + _MOST_HEAD_BYTES))
    if stop < 0:
        raise _invalid("a part has no end of its headers")
    name, is_file = None, False
    for line in body[start:stop].split(b"\r\n"):
        key, colon, value = line.partition(b":")
        key, value = key.lower(), value.strip(b" \t")
        if not colon or not re.fullmatch(rb"[a-z0-9-]+", key) or b"\n" in value or b"\r" in value:
            raise _invalid("a part has a header that is none")
        if key == b"content-disposition":
            if name is not None:
                raise _invalid("a part says twice what it is")
            name, is_file = _named(value)
        elif key == b"content-transfer-encoding" and value.lower() not in _ENCODINGS:
            raise _invalid("a part has a content-transfer-encoding, which nobody reads any more")
    if name is None:
        raise _invalid("a part does not say its name")
    return Part(name, Span(stop + len(_END), end), is_file)


def _named(disposition: bytes) -> tuple[str, bool]:
    """The name of a part, and whether it is a file."""
    match = _DISPOSITION.fullmatch(disposition)
    found = [] if match is None else _PARAMETER.findall(match[1])
    keys = [key.lower() for key, _, _ in found]
    if match is None or len(set(keys)) < len(keys) or not {b"name"} <= set(keys) <= {b"name", b"filename"}:
        # A file's name with other letters than ASCII may come in a second form (RFC 8187): clients of today do not send it.
        raise _invalid('a part must be form-data; name="..." or form-data; name="..."; filename="..."')
    values = dict(zip(keys, [quoted or plain for _, quoted, plain in found], strict=True))
    try:
        name = values[b"name"].decode()
    except UnicodeDecodeError:
        raise _invalid("a part has a name that is no text") from None
    if values.get(b"filename") == b"":
        # Go takes such a part for a text, others for a file.
        raise _invalid(f"the part {name!r} has a filename that is empty")
    return name, b"filename" in values


def _invalid(reason: str) -> RequestInvalidError:
    return RequestInvalidError(reason=f"the form cannot be read: {reason}", param=None)
