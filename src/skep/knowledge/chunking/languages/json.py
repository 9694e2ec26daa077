"""JSON and its kin, by the keys that open an object or array at the end of a line; indentation gives the path.

A file on one line has no such keys and is cut by length. Lines, unlike a parser, bear comments and trailing commas.
"""

from __future__ import annotations

import re

from skep.knowledge.chunking.language import Heading, Language

_OPENING_KEY = re.compile(r"([ \t]*)\"((?:[^\"\\]|\\.){1,200})\"[ \t]*:[ \t]*[\[{][ \t]*$")
_MAX_LEVELS = 3
"""Deeper keys are no headings: their objects are small, and a path says less the longer it is."""


def headings(lines: list[str]) -> list[Heading]:
    """Every key whose value starts on its line and goes on below, down to three levels."""
    found: list[Heading] = []
    indents: list[int] = []
    for number, line in enumerate(lines):
        key = _OPENING_KEY.match(line.rstrip())
        if key is None:
            continue
        indent = len(key[1].expandtabs(2))
        while indents and indents[-1] >= indent:
            indents.pop()
        indents.append(indent)
        if len(indents) <= _MAX_LEVELS:
            found.append(Heading(number, len(indents), key[2]))
    return found


LANGUAGE = Language(
    name="json",
    kind="config",
    extensions=(".json", ".jsonc", ".json5", ".jsonl", ".ndjson", ".geojson", ".webmanifest"),
    file_names=(".babelrc", ".eslintrc", ".prettierrc"),
    headings=headings,
)
