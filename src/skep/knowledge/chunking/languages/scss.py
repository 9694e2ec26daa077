"""SCSS and Less, by lines: parts start at the left margin, definitions are what other files can use."""

from __future__ import annotations

import re

from skep.knowledge.chunking.language import Definition, Language, Outline

_PART = re.compile(
    rb"""
    ^(?:
      [ ]?(?P<comment> //[^\n]*+ | /\*.*?(?:\*/|\Z) )
    | @mixin\s{1,9}(?P<mixin>[\w-]{1,200})
    | @function\s{1,9}(?P<function>[\w-]{1,200})
    | (?P<placeholder>%[\w-]{1,200})
    | (?P<variable>[$@][\w-]{1,200})[ \t]{0,9}:(?!:)
    | (?P<rule>[^\s})\]{;/])
    )""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_KINDS = {"mixin": "macro", "function": "function", "placeholder": "type", "variable": "constant"}


def outline(data: bytes) -> Outline:
    """Every part at the left margin, with the comments before it, and every mixin, function, placeholder and variable."""
    starts: list[int] = []
    found: list[tuple[str, str, int]] = []
    comment = -1
    for match in _PART.finditer(data):
        if match.lastgroup == "comment":
            comment = match.start() if comment < 0 else comment
            continue
        start = comment if comment >= 0 else match.start()
        comment = -1
        starts.append(start)
        if match.lastgroup in _KINDS:
            found.append((match[match.lastgroup].decode("utf-8", "replace"), _KINDS[match.lastgroup], start))
    ends = dict(zip(starts, [*starts[1:], len(data)], strict=False))
    return Outline(starts, [Definition(name, kind, start, ends[start]) for name, kind, start in found])


LANGUAGES = (
    Language(name="scss", kind="code", extensions=(".scss",), outline=outline),
    Language(name="less", kind="code", extensions=(".less",), outline=outline),
)
