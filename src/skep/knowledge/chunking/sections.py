"""Cutting prose by its headings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from skep.knowledge.chunking.language import Heading
from skep.knowledge.chunking.lines import cut_lines
from skep.knowledge.chunking.sizes import FRAGMENT_BYTES, TARGET_BYTES

_MAX_TITLE_CHARS = 200
_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]")
"""A line without any is an underline or a rule, no text."""

_MAX_LEVELS = 10
"""RST knows any number of levels; the path of more would be longer than the passage."""


class _Section(NamedTuple):
    start: int
    end: int
    path: tuple[str, ...]
    has_body: bool
    """False when nothing but headings stands in it."""


def cut_sections(
    data: bytes, headings: Sequence[Heading], cut: Callable[[bytes, int, int], list[int]] = cut_lines
) -> tuple[list[int], list[str]]:
    """Offsets at which the file is cut (without its start and end), and the heading path of each passage between them.

    ``cut`` gives the offsets at which a section of ``data[start:end]`` is cut, when it is long.

    A section never shares a passage with another unless one of them is a fragment, or a heading without text of its own
    right above a deeper one.
    """
    cuts: list[int] = []
    paths: list[str] = []
    for section in _joined(_sections(data, headings)):
        starts = [section.start, *cut(data, section.start, section.end)]
        cuts.extend(starts)
        paths.extend([" > ".join(section.path)] * len(starts))
    return cuts[1:], paths


def paths_of_spans(data: bytes, headings: Sequence[Heading], bounds: Sequence[int]) -> list[str]:
    """For passages that were cut by other things, the heading path in force in the middle of each: one more offset in
    ``bounds`` (rising) than passages. Before all headings the first one that starts in the passage counts.
    """
    sections = list(_sections(data, headings))
    paths: list[str] = []
    number = 0
    for start, end in pairwise(bounds):
        while number + 1 < len(sections) and sections[number + 1].start <= (start + end) // 2:
            number += 1
        path = sections[number].path
        if not path and number + 1 < len(sections) and sections[number + 1].start < end:
            path = sections[number + 1].path
        paths.append(" > ".join(path))
    return paths


def _sections(data: bytes, headings: Sequence[Heading]) -> Iterator[_Section]:
    """The file divided before each heading, with the path of headings in force."""
    lines = data.split(b"\n")
    offsets = [0, *accumulate(len(line) + 1 for line in lines)]
    path: list[tuple[int, str]] = []
    bounds = [heading.line for heading in headings] + [len(lines)]
    if bounds[0] > 0:
        end = min(offsets[bounds[0]], len(data))
        yield _Section(0, end, (), _WORD.search(data, 0, end) is not None)
    for heading, following in zip(headings, bounds[1:], strict=True):
        path = [entry for entry in path if entry[0] < heading.level][: _MAX_LEVELS - 1]
        path.append((heading.level, heading.title[:_MAX_TITLE_CHARS]))
        end = min(offsets[following], len(data))
        body = [line for line in lines[heading.line : following] if _WORD.search(line)]
        yield _Section(offsets[heading.line], end, tuple(title for _, title in path if title), len(body) > 1)


def _joined(sections: Iterator[_Section]) -> Iterator[_Section]:
    """Sections too small to stand alone, put together with the one after them."""
    held: _Section | None = None
    for section in sections:
        if held is None:
            held = section
            continue
        joined = _join(held, section)
        if joined is None:
            yield held
        held = joined or section
    if held is not None:
        yield held


def _join(first: _Section, second: _Section) -> _Section | None:
    """Both as one section, or None when they stand better alone."""
    is_below = second.path[: len(first.path)] == first.path
    if not first.has_body and is_below and first.end - first.start <= TARGET_BYTES:
        return _Section(first.start, second.end, second.path, second.has_body)
    # A heading without text waits for what comes below it.
    is_fragment = first.end - first.start < FRAGMENT_BYTES or (
        second.has_body and second.end - second.start < FRAGMENT_BYTES
    )
    if not is_fragment or second.end - first.start > TARGET_BYTES:
        return None
    common = tuple(a for a, b in zip(first.path, second.path, strict=False) if a == b)
    longer, shorter = sorted((first, second), key=lambda section: section.start - section.end)
    return _Section(first.start, second.end, common or longer.path or shorter.path, True)
