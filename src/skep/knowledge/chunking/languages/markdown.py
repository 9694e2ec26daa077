"""Markdown by its headings (CommonMark 0.31: ATX and setext headings, fenced code, HTML blocks; and front matter)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from skep.knowledge.chunking.language import Heading, Language

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*$|(?<=~).*$)")
_NO_PARAGRAPH = re.compile(r"\s*$| {4}|\t| {0,3}(?:[-+*>|]|\d{1,9}[.)]\s|#{1,6}\s)")
"""Lines that no setext underline can turn into a heading: blank, indented code, lists, quotes, tables, headings."""
_HTML_OPEN = re.compile(r" {0,3}<(!--|pre\b|script\b|style\b|textarea\b)", re.IGNORECASE)


def _html_end(opening: str) -> str:
    """What ends the HTML block that was opened by ``opening``."""
    return "-->" if opening == "!--" else f"</{opening.lower()}>"


def _after_front_matter(lines: list[str]) -> int:
    """The line after a YAML front matter (``---`` to ``---`` at the top); 0 when there is none."""
    if lines and lines[0].rstrip() == "---":
        for number, line in enumerate(lines[1:], start=2):
            if line.rstrip() in ("---", "..."):
                return number
    return 0


def _prose(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines that are neither front matter, fenced code nor raw HTML; each block ends with a blank stand-in."""
    fence = html_end = ""
    for number in range(_after_front_matter(lines), len(lines)):
        line = lines[number].rstrip()
        if fence:
            closing = line.strip()
            if closing.startswith(fence) and not closing.strip(fence[0]):
                fence = ""
        elif html_end:
            html_end = "" if html_end in line.lower() else html_end
        elif opening := _FENCE.match(line):
            fence = opening[1]
            yield number, ""
        elif opening := _HTML_OPEN.match(line):
            end = _html_end(opening[1])
            html_end = "" if end in line[opening.end() :].lower() else end
            yield number, ""
        else:
            yield number, line


def headings(lines: list[str]) -> list[Heading]:
    """Every heading of a Markdown file, in order."""
    found: list[Heading] = []
    previous = ""
    for number, line in _prose(lines):
        if atx := _ATX.match(line):
            title = line[atx.end() :].strip()
            bare = title.rstrip("#")  # a closing run of # counts as such only after a space
            found.append(Heading(number, len(atx[1]), bare.strip() if not bare or bare[-1] in " \t" else title))
        elif (underline := _SETEXT.match(line)) and not _NO_PARAGRAPH.match(previous):
            found.append(Heading(number - 1, 1 if underline[1][0] == "=" else 2, previous.strip()))
            previous = ""
            continue
        previous = line
    return found


LANGUAGE = Language(
    name="markdown",
    kind="docs",
    extensions=(".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"),
    headings=headings,
)
