"""Path patterns as people write them, translated to the regular expressions the index matches whole paths with."""

from __future__ import annotations

import re

from skep.knowledge.lexical.interfaces import PathGlobError

MAX_GLOB_CHARS = 1_000
"""Longer patterns are refused: the automaton made of them would be too large."""

_SPECIAL = frozenset("\\.+*?()|[]{}^$#&-~")
_RANGE = re.compile(r"(?<=[^-\\])\\-(?=[^-\\])")
_ANYTHING = "[^/]*(/[^/]*)*"


def _literal(character: str) -> str:
    return "\\" + character if character in _SPECIAL else character


def _character_set(glob: str, start: int) -> tuple[str, int]:
    """``[abc]``, ``[a-z]`` or ``[!a]`` at ``start``, and where it ends; an unclosed bracket is an ordinary character."""
    end = glob.find("]", start + 2)
    if end < 0:
        return _literal("["), start + 1
    inside = glob[start + 1 : end]
    negated = inside[0] in "!^"
    members = inside[1:] if negated else inside
    # A dash is a range only between two other characters; two dashes would be an operator of the regular expression.
    escaped = _RANGE.sub("-", "".join(map(_literal, members)))
    return (f"[^/{escaped}]" if negated else f"[{escaped}]"), end + 1


def _stars(glob: str, start: int) -> tuple[str, int]:
    """One or more stars at ``start``: one star stays within a folder; ``**/`` is any folders, including none."""
    end = start
    while end < len(glob) and glob[end] == "*":
        end += 1
    if end - start == 1:
        return "[^/]*", end
    if end < len(glob) and glob[end] == "/":
        return "([^/]*/)*", end + 1
    return _ANYTHING, end


def _translate(glob: str) -> str:
    pieces: list[str] = []
    at = open_braces = 0
    while at < len(glob):
        character = glob[at]
        if character == "*":
            piece, at = _stars(glob, at)
            pieces.append(piece)
            continue
        if character == "[":
            piece, at = _character_set(glob, at)
            pieces.append(piece)
            continue
        at += 1
        if character == "?":
            pieces.append("[^/]")
        elif character == "{" and "}" in glob[at:]:
            open_braces += 1
            pieces.append("(")
        elif character == "}" and open_braces:
            open_braces -= 1
            pieces.append(")")
        elif character == "," and open_braces:
            pieces.append("|")
        else:
            pieces.append(_literal(character))
    if open_braces:
        raise PathGlobError(glob=glob, reason="a brace is opened but not closed")
    return "".join(pieces)


def glob_to_regex(glob: str) -> str:
    """The regular expression, to be matched against a whole path, for a pattern.

    ``*`` and ``?`` do not cross ``/``, ``**`` does, ``{a,b}`` is either, ``[a-z]`` a set. A pattern without ``/`` (but at
    its end) matches at any depth; a leading ``/`` or ``./`` ties it to the top. What matches a folder matches all in it.

    Raises :class:`PathGlobError` for an empty or too long pattern and for an unclosed brace.
    """
    if len(glob) > MAX_GLOB_CHARS:
        raise PathGlobError(glob=glob[:40] + "...", reason=f"it is longer than {MAX_GLOB_CHARS} characters")
    tied = glob.startswith(("/", "./"))
    pattern = glob.removeprefix(".").lstrip("/") if tied else glob
    bare = pattern.rstrip("/")
    if not bare:
        raise PathGlobError(glob=glob, reason="it names nothing")
    anywhere = "" if tied or "/" in bare else "([^/]*/)*"
    below = "/" + _ANYTHING if pattern.endswith("/") else f"(/{_ANYTHING})?"
    return f"{anywhere}{_translate(bare)}{below}"
