"""Cutting along the siblings of a syntax tree.

The result is a list of offsets. Whatever lies between two of them is one passage, so nothing can get lost or doubled, and
a tree full of errors only makes worse cuts. Nodes are visited with explicit stacks, never by recursion, and only nodes
larger than a passage are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from skep.knowledge.chunking.lines import cut_lines
from skep.knowledge.chunking.sizes import FRAGMENT_BYTES, HARD_MAX_BYTES, TAIL_BYTES, TARGET_BYTES, WHOLE_BYTES

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_DEPTH = 500
"""Nodes opened inside each other; a deeper one is cut by lines. Real code stays below 60; bounds the memory of the walk."""

_NEWLINE = 0x0A
_MAX_LEAD_BYTES = TARGET_BYTES
"""Longer comments are passages of their own."""

_CLOSERS = frozenset({")", "]", "}", ",", ";", ">", "done", "end", "end_tag", "esac", "fi"})
"""Tokens that end what stands before them: no passage starts with one."""

_BODIES = ("block", "body", "_list", "compound_statement")
"""Endings of the node types that continue what stands before them, a signature or a condition, whatever the line."""


class _Unit(NamedTuple):
    """A node with the comments and attributes that lead to it. Offsets in bytes."""

    start: int
    end: int
    node: Node | None
    """None for comments without a node after them, and for text that is in a node but in none of its children."""
    is_glued: bool
    """Belongs to what stands before it: closers, bodies, comments after code on the same line."""


class TreeCutter:
    """Cuts one file. ``open_start`` is where the passage that still grows begins; ``cuts`` are the finished ones' starts."""

    def __init__(self, data: bytes, leads: frozenset[str]) -> None:
        self._data = data
        self._leads = leads
        self._cuts: list[int] = []
        self._open_start = 0
        self._rest_is_closed = False

    def cut(self, root: Node) -> list[int]:
        """Offsets at which the file is cut, rising, without its start and end."""
        end = len(self._data)
        pending = [(self._units(root, 0, end), 0, end)]
        while pending:
            units, start, end = pending[-1]
            unit = next(units, None)
            if unit is None:
                pending.pop()
                self._leave(start, end)
                continue
            opened = self._place(unit, len(pending) < _MAX_DEPTH)
            if opened is not None:
                start, end = opened.byte_range
                pending.append((self._units(opened, start, end), start, end))
        self._shorten(len(self._data))
        return self._cuts

    def _place(self, unit: _Unit, may_open: bool) -> Node | None:
        """Take the unit into the open passage or start a new one with it. Returns its node when that must be opened."""
        start, end, node, is_glued = unit
        merged, held, size = end - self._open_start, start - self._open_start, end - start
        if merged <= TARGET_BYTES and not self._rest_is_closed:
            return None
        if is_glued or not self._starts_line(start):
            if merged <= (WHOLE_BYTES if size > TARGET_BYTES // 2 else HARD_MAX_BYTES):
                return None
        else:
            if held >= FRAGMENT_BYTES or self._rest_is_closed:
                self._cut_at(start)
                merged = size
            if merged <= WHOLE_BYTES or (size <= WHOLE_BYTES and merged <= WHOLE_BYTES + FRAGMENT_BYTES):
                return None
        if node is not None and may_open and node.child_count:
            return node
        self._place_leaf(start, end)
        return None

    def _place_leaf(self, start: int, end: int) -> None:
        """Take a unit without parts that did not fit."""
        if end - start <= TARGET_BYTES:
            self._cut_at(start)
            return
        for position in cut_lines(self._data, self._open_start, end):
            self._cut_at(position)

    def _leave(self, start: int, end: int) -> None:
        """After the last unit of an opened node: give a fragment back to the passage before, close a rest worth its own."""
        size = end - self._open_start
        if self._open_start <= start or size > HARD_MAX_BYTES:
            return
        before = self._cuts[-2] if len(self._cuts) > 1 else 0
        if size < FRAGMENT_BYTES and end - before <= HARD_MAX_BYTES and self._cuts:
            self._cuts.pop()
            self._open_start = before
            self._rest_is_closed = True
        else:
            self._rest_is_closed = size >= TAIL_BYTES

    def _cut_at(self, position: int) -> None:
        self._rest_is_closed = False
        if position > self._open_start:
            self._shorten(position)
            self._cuts.append(position)
            self._open_start = position

    def _shorten(self, end: int) -> None:
        """Cut what is open by lines if it would be too long, as when a comment after a screen of blanks was led by it."""
        if end - self._open_start > HARD_MAX_BYTES and len(self._data[self._open_start : end].strip()) > HARD_MAX_BYTES:
            self._cuts += cut_lines(self._data, self._open_start, end)

    def _starts_line(self, position: int) -> bool:
        """Whether only blanks stand before it on its line. Looks back to the open passage's start at most."""
        lowest = max(self._open_start, position - HARD_MAX_BYTES)
        line_start = self._data.rfind(b"\n", lowest, position) + 1
        if line_start == 0 and lowest > 0:
            return False
        return not self._data[line_start:position].strip()

    def _units(self, node: Node, node_start: int, node_end: int) -> Iterator[_Unit]:
        """The children of a node, each with the comments and attributes before it; and the text between them.

        One blank line may part the last of the comments from the node, as after a JSDoc block, but not two comments.
        """
        data, leads = self._data, self._leads
        lead_start, lead_end = -1, -1
        last_end = node_start
        for child in node.children:
            start, end = child.byte_range
            if start == end:
                continue
            child_type = child.type
            gap = data[last_end:start]
            newlines = gap.count(b"\n")
            has_text = bool(gap.strip())
            is_lead = child_type in leads
            is_apart = newlines > (1 if is_lead else 2)
            if lead_start >= 0 and (is_apart or has_text or lead_end - lead_start > _MAX_LEAD_BYTES):
                yield _Unit(lead_start, lead_end, None, False)
                lead_start = -1
            if has_text:
                yield _Unit(last_end, start, None, False)
            is_same_line = last_end > node_start and newlines == 0 and data[last_end - 1] != _NEWLINE
            last_end = end
            if is_lead and end - start <= _MAX_LEAD_BYTES and not is_same_line:
                lead_start, lead_end = (lead_start if lead_start >= 0 else start), end
                continue
            is_comment_after = is_lead and is_same_line
            is_glued = lead_start < 0 and (is_comment_after or child_type in _CLOSERS or child_type.endswith(_BODIES))
            yield _Unit(lead_start if lead_start >= 0 else start, end, child, is_glued)
            lead_start = -1
        if lead_start >= 0:
            yield _Unit(lead_start, lead_end, None, False)
        if data[last_end:node_end].strip():
            yield _Unit(last_end, node_end, None, False)
