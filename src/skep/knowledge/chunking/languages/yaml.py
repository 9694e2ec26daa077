"""YAML by the keys that open a block; indentation gives the path.

Lines, unlike a parser, bear templates (Helm, Jinja) and files that are not valid.
"""

from __future__ import annotations

import re

from skep.knowledge.chunking.language import Heading, Language

_KEY = re.compile(r"( *)(\"[^\"]{1,200}\"|'[^']{1,200}'|[^\s#\"'\[\]{}&*!|>%@`-][^#:]{0,200}):(?:[ \t]+(.*))?$")
_OPENS_BLOCK = re.compile(r"(?:[&!]\S+[ \t]*)*(?:[|>][-+0-9]*[ \t]*)?(?:#.*)?$")
_SCALAR = re.compile(r":[ \t]+(?:[&!]\S+[ \t]+)*[|>][-+0-9]*[ \t]*(?:#.*)?$|^[ \t]*-[ \t]+[|>][-+0-9]*[ \t]*$")
_MAX_LEVELS = 3
"""Deeper keys are no headings: their blocks are small, and a path says less the longer it is."""


def headings(lines: list[str]) -> list[Heading]:
    """Every key whose value is the block below it, down to three levels. A new document starts a new path."""
    found: list[Heading] = []
    indents: list[int] = []
    scalar = -1  # the indentation of the key whose text block we are in
    for number, raw in enumerate(lines):
        line = raw.rstrip()
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        if not body or (scalar >= 0 and indent > scalar):
            continue
        scalar = indent if _SCALAR.search(line) else -1
        if line.startswith("---"):
            indents.clear()
            found.append(Heading(number, 1, ""))
        elif (key := _KEY.match(line)) and _OPENS_BLOCK.match(key[3] or ""):
            while indents and indents[-1] >= indent:
                indents.pop()
            indents.append(indent)
            if len(indents) <= _MAX_LEVELS:
                found.append(Heading(number, len(indents), key[2].strip().strip("\"'")))
    return found


LANGUAGE = Language(
    name="yaml",
    kind="config",
    extensions=(".yaml", ".yml"),
    file_names=(".clang-format", ".clang-tidy"),
    headings=headings,
)
