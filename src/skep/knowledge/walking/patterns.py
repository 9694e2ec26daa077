"""One line of an ignore file, understood exactly as git does.

The rules are those of ``gitignore(5)`` and, where it is silent, of git's own ``dir.c`` and ``wildmatch.c`` (read for
facts): bytes are matched, not characters; case counts; ``[...]`` knows ranges and ``[:classes:]``; a literal beginning
is cut off before wildcards are looked at, which makes ``foo**/bar`` cross folders.

A pattern with a ``/`` becomes a list of segments, one per folder level, so that a walk matches one name at a time and a
pattern with many ``**`` costs no more than its length.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Final

DEEP: Final = None
"""The segment ``**``: any number of folders, or everything below when it comes last."""

_SLASH = 0x2F
_SPECIAL = frozenset(b"*?[\\")
_CLASSES: dict[bytes, frozenset[int]] = {
    b"alnum": frozenset((string.ascii_letters + string.digits).encode()),
    b"alpha": frozenset(string.ascii_letters.encode()),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset({*range(0x01, 0x20), 0x7F}),
    b"digit": frozenset(string.digits.encode()),
    b"graph": frozenset(range(0x21, 0x7F)),
    b"lower": frozenset(string.ascii_lowercase.encode()),
    b"print": frozenset(range(0x20, 0x7F)),
    b"punct": frozenset(string.punctuation.encode()),
    b"space": frozenset(b" \t\n\r"),
    b"upper": frozenset(string.ascii_uppercase.encode()),
    b"xdigit": frozenset(string.hexdigits.encode()),
}
"""ASCII only, and ``space`` without \\v and \\f: git brings its own character tables."""


class _NeverMatchesError(ValueError):
    """The pattern is broken in a way that git answers by never matching: an open bracket, a backslash at the end."""


@dataclass(frozen=True, slots=True)
class Star:
    """One or more ``*``."""

    deep: bool = False
    """May cross folders."""
    may_be_nothing: bool = True
    """Of a deep star before a slash: both may vanish. Not so before an escaped slash."""


Token = int | frozenset[int] | Star
"""A literal byte (``/`` separates), a set of bytes for ``?`` and ``[...]``, or a star."""

Name = tuple[Token, ...]
"""A pattern for one file name: no ``/``, no deep star."""

Segments = tuple[Name | None, ...]
"""One `Name` or `DEEP` per folder level, from the ignore file's folder down."""

EVERY_NAME: Final[Name] = (Star(),)

_ANY: Final = frozenset(range(1, 256)) - {_SLASH}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A line of an ignore file. Exactly one of `name` and `paths` is used."""

    negated: bool
    """Starts with ``!``: re-includes."""
    folders_only: bool
    """Ends with ``/``."""
    name: Name | None
    """For a line without ``/``: matches a name at any level."""
    paths: tuple[Segments, ...]
    """For a line with ``/``: matches where one of these does."""


def parse_lines(data: bytes) -> list[Pattern]:
    """The patterns of an ignore file in order; lines that can never match are left out."""
    patterns = (_parse_line(line) for line in _lines(data))
    return [pattern for pattern in patterns if pattern is not None]


def _lines(data: bytes) -> list[bytes]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [line.removesuffix(b"\r").split(b"\0", 1)[0] for line in lines if line and not line.startswith(b"#")]


def _parse_line(line: bytes) -> Pattern | None:
    text = _without_trailing_spaces(line)
    negated = text.startswith(b"!")
    text = text[1:] if negated else text
    folders_only = text.endswith(b"/")
    text = text[:-1] if folders_only else text
    if not text:
        return None
    try:
        if b"/" not in text:
            return Pattern(negated, folders_only, _shallow(_tokens(text, in_path=False)), ())
        return Pattern(negated, folders_only, None, _paths(text.removeprefix(b"/")))
    except _NeverMatchesError:
        return None


def _without_trailing_spaces(line: bytes) -> bytes:
    """Spaces at the end go, unless a backslash stands before them; tabs stay."""
    kept = position = 0
    while position < len(line):
        if line[position] == 0x5C:
            position += 2
            kept = min(position, len(line))
            continue
        position += 1
        if line[position - 1] != 0x20:
            kept = position
    # A backslash at the very end stops git before it strips anything; `kept` covers it by construction.
    return line[:kept]


def _tokens(text: bytes, *, in_path: bool) -> list[Token]:
    """The pattern in pieces. ``in_path``: ``**`` alone between slashes is deep, otherwise all stars are the same."""
    tokens: list[Token] = []
    position = next((at for at, byte in enumerate(text) if byte in _SPECIAL), len(text))
    tokens.extend(text[:position])
    boundary = position  # the literal beginning is cut off first: what follows counts as the start of the pattern
    while position < len(text):
        byte = text[position]
        if byte == 0x2A:
            end = position
            while end < len(text) and text[end] == 0x2A:
                end += 1
            after_ok = end == len(text) or text[end] == _SLASH or text[end : end + 2] == b"\\/"
            before_ok = position == boundary or text[position - 1] == _SLASH
            deep = in_path and end - position > 1 and before_ok and after_ok
            tokens.append(Star(deep, may_be_nothing=text[end : end + 1] != b"\\"))
            position = end
        elif byte == 0x3F:
            tokens.append(_ANY)
            position += 1
        elif byte == 0x5B:
            members, position = _bracket(text, position)
            tokens.append(members)
        else:
            position += byte == 0x5C
            if position == len(text):
                raise _NeverMatchesError
            tokens.append(text[position])
            position += 1
    return tokens


def _bracket(text: bytes, start: int) -> tuple[frozenset[int], int]:
    """The bytes a ``[...]`` at ``start`` stands for, never with ``/``, and the position after it."""
    position = start + 1
    negated = text[position : position + 1] in (b"!", b"^")
    position += negated
    members: set[int] = set()
    previous = 0
    first = True
    while first or text[position : position + 1] != b"]":
        first = False
        if position >= len(text):
            raise _NeverMatchesError
        previous, position = _bracket_item(text, position, previous, members)
    return frozenset((_ANY - members) if negated else (members - {_SLASH})), position + 1


def _bracket_item(text: bytes, position: int, previous: int, members: set[int]) -> tuple[int, int]:
    """Add one item of a bracket; the byte a range may start from next (0: none) and the position after the item."""
    byte = text[position]
    if byte == 0x5C:
        member = _at(text, position + 1)
        members.add(member)
        return member, position + 2
    if byte == 0x2D and previous and text[position + 1 : position + 2] not in (b"", b"]"):
        position += 1
        if text[position] == 0x5C:
            position += 1
        members.update(range(previous, _at(text, position) + 1))
        return 0, position + 1
    if byte == 0x5B and text[position + 1 : position + 2] == b":":
        end = text.find(b"]", position + 2)
        if end < 0:
            raise _NeverMatchesError
        if end > position + 2 and text[end - 1] == 0x3A:
            named = _CLASSES.get(text[position + 2 : end - 1])
            if named is None:
                raise _NeverMatchesError
            members.update(named)
            return 0, end + 1
    members.add(byte)
    return byte, position + 1


def _at(text: bytes, position: int) -> int:
    if position >= len(text):
        raise _NeverMatchesError
    return text[position]


def _shallow(tokens: list[Token]) -> Name:
    return tuple(Star() if isinstance(token, Star) else token for token in tokens)


def _paths(text: bytes) -> tuple[Segments, ...]:
    """The segment lists of a pattern with a slash: one, or two where a deep star follows a cut-off literal."""
    tokens = _collapsed(_tokens(text, in_path=True))
    for at, token in enumerate(tokens):
        if isinstance(token, Star) and token.deep and at > 0 and tokens[at - 1] != _SLASH:
            head, tail = tokens[:at], tokens[at + 1 :]
            crossing = _segments([*head, Star(), _SLASH, Star(deep=True), *tail])
            if not tail:
                return (_segments([*head, Star()]), crossing)
            return (_segments(head + tail[1:]), crossing) if token.may_be_nothing else (crossing,)
    return (_segments(tokens),)


def _collapsed(tokens: list[Token]) -> list[Token]:
    """``**/**`` means no more than ``**``; keeping one makes what follows cheap and its cases few."""
    kept: list[Token] = []
    for token in tokens:
        if isinstance(token, Star) and token.deep and len(kept) > 1 and kept[-1] == _SLASH:
            before = kept[-2]
            if isinstance(before, Star) and before.deep and before.may_be_nothing:
                del kept[-2:]
        kept.append(token)
    return kept


def _segments(tokens: list[Token]) -> Segments:
    segments: list[Name | None] = []
    current: list[Token] = []
    rest = iter(tokens)
    for token in rest:
        if token == _SLASH:
            segments.append(tuple(current))
            current = []
        elif isinstance(token, Star) and token.deep:
            if next(rest, None) is None:  # otherwise this took the slash that always follows
                return (*segments, DEEP)
            segments.extend([DEEP] if token.may_be_nothing else [(Star(),), DEEP])
        else:
            current.append(token)
    return (*segments, tuple(current))


def name_regex(name: Name) -> bytes:
    """A regular expression for `re.DOTALL` that matches the whole of a name, without anchors at its ends.

    All characters between two stars are matched at their first occurrence and never reconsidered (atomic groups): for
    globs the first is always good enough, and no pattern can make matching take exponential time.
    """
    pieces: list[bytes] = [b""]
    for token in name:
        if isinstance(token, Star):
            pieces.append(b"")
        else:
            pieces[-1] += _byte_regex(token)
    if len(pieces) == 1:
        return pieces[0]
    middle = b"".join(b"(?>.*?" + piece + b")" for piece in pieces[1:-1] if piece)
    return pieces[0] + middle + b".*" + pieces[-1]


def _byte_regex(token: int | frozenset[int]) -> bytes:
    if isinstance(token, int):
        return re.escape(bytes((token,)))
    if token == _ANY:
        return b"."
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(token)) + b"]" if token else b"(?!)"


def literal(name: Name) -> bytes | None:
    """The only name it matches; None when there are wildcards in it."""
    return bytes(token for token in name if isinstance(token, int)) if all(isinstance(t, int) for t in name) else None


def literal_suffix(name: Name) -> bytes | None:
    """For ``*something``, what every match ends with; None for other patterns."""
    return literal(name[1:]) if name and isinstance(name[0], Star) else None
