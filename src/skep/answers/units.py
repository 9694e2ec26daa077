"""Cuts a passage into what can be quoted: sentences, items, rows of tables, pieces of code. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skep.knowledge import Kind

MOST_CHARACTERS = 480
"""Of one quote, about: five lines on a terminal."""

_MOST_CODE_LINES = 10

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]`*_]*\s+(?=[\"'(\[`*_]*[A-Z0-9])")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s|\s*(?:={3,}|-{3,}|~{3,})\s*$")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_ROW = re.compile(r"\s*\|")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is quoted at once. Lines count from 0, from the first of the passage, and include both ends."""

    text: str
    first_line: int
    last_line: int


def units_of(text: str, kind: Kind) -> list[Unit]:
    """In their order. Headings are none: they stand beside the quote."""
    lines = text.split("\n")
    return list(_prose(lines) if kind == "docs" else _code(lines))


def widened(units: Sequence[Unit], at: int) -> Unit:
    """A unit with those that come after it as far as they follow at once and there is room: an answer often ends a sentence later."""
    chosen = units[at]
    for after in units[at + 1 :]:
        text = f"{chosen.text} {after.text}" if after.first_line == chosen.last_line else f"{chosen.text}\n{after.text}"
        if after.first_line > chosen.last_line + 1 or len(text) > MOST_CHARACTERS:
            break
        chosen = Unit(text, chosen.first_line, after.last_line)
    return chosen


def _code(lines: Sequence[str]) -> Iterator[Unit]:
    for first in range(0, len(lines), _MOST_CODE_LINES):
        part = lines[first : first + _MOST_CODE_LINES]
        if any(line.strip() for line in part):
            yield Unit("\n".join(part).rstrip(), first, first + len(part) - 1)


def _prose(lines: Sequence[str]) -> Iterator[Unit]:
    block: list[tuple[int, str]] = []
    fenced: list[tuple[int, str]] | None = None
    for number, line in enumerate(lines):
        if fenced is not None:
            fenced.append((number, line))
            if _FENCE.match(line):
                yield _whole(fenced)
                fenced = None
        elif _FENCE.match(line):
            yield from _sentences(block)
            block, fenced = [], [(number, line)]
        elif not line.strip() or _HEADING.match(line):
            yield from _sentences(block)
            block = []
        elif _ROW.match(line):
            yield from _sentences(block)
            block = []
            if set(line) - set("|-: "):
                yield Unit(line.strip(), number, number)
        else:
            if _ITEM.match(line):
                yield from _sentences(block)
                block = []
            block.append((number, line))
    yield from _sentences(block)
    if fenced is not None:
        yield _whole(fenced)


def _whole(block: Sequence[tuple[int, str]]) -> Unit:
    return Unit("\n".join(line for _, line in block), block[0][0], block[-1][0])


def _sentences(block: Sequence[tuple[int, str]]) -> Iterator[Unit]:
    """The sentences of a paragraph or an item, each with the lines on which it stands."""
    if not block:
        return
    text, starts = "", list[int]()
    for _, line in block:
        starts.append(len(text))
        text += line.strip() + " "
    text = text.rstrip()
    begin = 0
    for end in [match.end() for match in _SENTENCE_END.finditer(text)] + [len(text)]:
        said = text[begin:end].strip()
        if said:
            last = max(begin, begin + len(text[begin:end].rstrip()) - 1)
            yield Unit(said, _line_at(block, starts, begin), _line_at(block, starts, last))
        begin = end


def _line_at(block: Sequence[tuple[int, str]], starts: Sequence[int], place: int) -> int:
    return max(line for (line, _), start in zip(block, starts, strict=True) if start <= place)
