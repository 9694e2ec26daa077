"""TOML by its tables (TOML 1.0); the path of keys is the heading."""

from __future__ import annotations

import re

from skep.knowledge.chunking.language import Heading, Language

_TABLE = re.compile(
    r"[ \t]*(\[\[?)[ \t]*((?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'|[\w\-. \t]){1,50})(\]\]?)[ \t]*(?:#.*)?$"
)
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[\w-]+")
_QUOTES = ('"""', "'''")


def headings(lines: list[str]) -> list[Heading]:
    """Every ``[table]`` and ``[[array of tables]]``, with its whole path, all on one level."""
    found: list[Heading] = []
    quote = ""
    for number, raw in enumerate(lines):
        line = raw.rstrip()
        if not quote and (table := _TABLE.match(line)) and len(table[1]) == len(table[3]):
            path = " > ".join(part.strip("\"'") for part in _PART.findall(table[2]))
            found.append(Heading(number, 1, path))
            continue
        for mark in (quote,) if quote else _QUOTES:
            if line.count(mark) % 2:
                quote = "" if quote else mark
                break
    return found


LANGUAGE = Language(
    name="toml",
    kind="config",
    extensions=(".toml",),
    file_names=("pipfile", "poetry.lock", "cargo.lock", "uv.lock", "pdm.lock"),
    headings=headings,
)
