"""Cutting by lines: for languages without a grammar, leaves that are too long, and whatever no tree can be made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from skep.knowledge.chunking.sizes import FRAGMENT_BYTES, HARD_MAX_BYTES, TARGET_BYTES, WHOLE_BYTES

_BLANKS = b" \t\r\f\v"


def cut_lines(data: bytes, start: int, end: int) -> list[int]:
    """Offsets at which ``data[start:end]`` is cut, without ``start`` and ``end``; rising.

    A cut is made before a line after a blank one if possible, before the least indented line otherwise, inside a line only
    when the line is longer than HARD_MAX_BYTES, and never inside a character. Linear in ``end - start``.
    """
    cuts: list[int] = []
    position = start
    while end - position > WHOLE_BYTES:
        position = _next_cut(data, position, end)
        if position >= end:
            break
        cuts.append(position)
    return cuts


def cut_parts(data: bytes, starts: Sequence[int]) -> list[int]:
    """Offsets at which a file is cut whose parts start at ``starts`` (rising); rising, without its start and end.

    Parts share a passage up to TARGET_BYTES; one that is longer than WHOLE_BYTES is cut by lines.
    """
    cuts: list[int] = []
    opened = 0
    for start, end in pairwise([0, *starts, len(data)]):
        if end - opened <= TARGET_BYTES:
            continue
        if start - opened >= FRAGMENT_BYTES:
            cuts.append(start)
            opened = start
        for position in cut_lines(data, opened, end):
            cuts.append(position)
            opened = position
    return cuts


def _next_cut(data: bytes, position: int, end: int) -> int:
    """The best place to end the passage that starts at ``position``; more than WHOLE_BYTES remain."""
    lowest, highest = position + TARGET_BYTES // 2, position + TARGET_BYTES
    best = _best_line(data, lowest, highest)
    if best is None:
        newline = data.rfind(b"\n", position, lowest)
        # Nothing but blanks before it would make an empty passage.
        if newline >= 0 and data[position:newline].strip():
            best = newline + 1
        else:
            newline = data.find(b"\n", highest, min(end, position + HARD_MAX_BYTES))
            best = newline + 1 if newline >= 0 else _inside_line(data, lowest, highest)
    return best


def _best_line(data: bytes, lowest: int, highest: int) -> int | None:
    """The line start in the window that separates best: after a blank line, else least indented, else the last."""
    best: int | None = None
    best_rank = (False, 0)
    newline = data.find(b"\n", lowest, highest)
    while newline >= 0:
        line_start = newline + 1
        following = data.find(b"\n", line_start, highest)
        line = data[line_start : following if following >= 0 else highest]
        stripped = line.lstrip(_BLANKS)
        if stripped or following < 0:
            is_after_blank = not data[max(lowest, data.rfind(b"\n", lowest, newline) + 1) : newline].strip(_BLANKS)
            rank = (is_after_blank, len(stripped) - len(line))
            if best is None or rank >= best_rank:
                best, best_rank = line_start, rank
        newline = following
    return best


def _inside_line(data: bytes, lowest: int, highest: int) -> int:
    """A place inside one long line: after a blank if there is one, else between two characters."""
    blank = data.rfind(b" ", lowest, highest)
    if blank >= 0:
        return blank + 1
    while data[highest] & 0xC0 == 0x80:  # a continuation byte of UTF-8: at most three of them
        highest -= 1
    return highest
