"""HTML, cut along its elements; what headings stand above a passage is its heading path.

An ``id`` is a mark, no definition: it would rank the page that mentions a name with the code that defines it.
"""

from __future__ import annotations

import html
import re

from skep.knowledge.chunking.language import Grammar, Heading, Language

_HEADING = re.compile(r"<h([1-6])\b[^<>]{0,300}>(.{0,300}?)</h\1\s*>", re.IGNORECASE | re.DOTALL)
"""Titles are bounded, so that unclosed ones cost no more than their length each."""

_TAG = re.compile(r"<[^<>]*>")


def headings(lines: list[str]) -> list[Heading]:
    """Every h1 to h6 with a text, in order."""
    found: list[Heading] = []
    text = "\n".join(lines)
    line = position = 0
    for match in _HEADING.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        title = " ".join(html.unescape(_TAG.sub("", match[2])).split())
        if title:
            found.append(Heading(line, int(match[1]), title))
    return found


LANGUAGE = Language(
    name="html",
    kind="code",
    extensions=(".html", ".htm", ".xhtml", ".erb"),
    grammar=Grammar(module="tree_sitter_html", definitions={}),
    headings=headings,
)
