"""Markdown: what stands below each heading, with its lines. Marks stay in the text, as people write them."""

from __future__ import annotations

import re

from skep.documents.drafting import Draft, Source
from skep.documents.models import BlockKind, Document
from skep.documents.readers.text import text_lines

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s{0,3}([-*+]|\d{1,9}[.)])\s")
_FRONT_MATTER = re.compile(r"(title|author|date|description)\s*:\s*[\"']?(.+?)[\"']?\s*", re.IGNORECASE)
_MAX_RUN_LINES = 60


def read(source: Source) -> Document:
    """Raises FormatUnknownError when it is no text."""
    draft = Draft("markdown")
    lines = text_lines(draft, source.data)
    start = _front_matter(draft, lines)
    read_lines(draft, lines, start)
    return draft.finished()


def _front_matter(draft: Draft, lines: list[str]) -> int:
    """Take what stands between ``---`` at the top; the number of lines it has."""
    if lines[0].rstrip() != "---":
        return 0
    end = next((index for index, line in enumerate(lines[1:200], 1) if line.rstrip() in ("---", "...")), 0)
    for line in lines[1:end]:
        if match := _FRONT_MATTER.fullmatch(line):
            draft.describe({"date": "created"}.get(match[1].lower(), match[1].lower()), match[2])
    return end + 1 if end else 0


def read_lines(draft: Draft, lines: list[str], start: int = 0, *, has_lines: bool = True) -> None:
    """Add the text from line ``start`` (from 0) on. ``has_lines``: whether the lines are those of the file."""
    reader = _Reader(draft, has_lines=has_lines)
    fence = ""
    for number, line in enumerate(lines[start:], start + 1):
        if fence:
            reader.take(line, number)
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                reader.end("code")
        elif match := _FENCE.match(line):
            reader.end()
            fence = match[1]
            reader.take(line, number)
        else:
            reader.read_line(line, number)
    reader.end("code" if fence else "")
    if not draft.title and "title" not in draft.metadata:
        draft.title = reader.first_title


class _Reader:
    """Gathers lines until a block ends."""

    def __init__(self, draft: Draft, *, has_lines: bool) -> None:
        self._draft = draft
        self._has_lines = has_lines
        self._run: list[str] = []
        self._last = 0
        self.first_title = ""

    def read_line(self, line: str, number: int) -> None:
        match = _ATX.fullmatch(line)
        if match:
            self.end()
            self._heading(match[2] or "", len(match[1]), number, number)
        elif len(self._run) == 1 and _SETEXT.fullmatch(line) and not _ITEM.match(self._run[0]):
            title = self._run[0]
            self._run.clear()
            self._heading(title, 1 if "=" in line else 2, number - 1, number)
        elif not line.strip():
            self.end()
        else:
            self.take(line, number)
            if len(self._run) >= _MAX_RUN_LINES:
                self.end()

    def take(self, line: str, number: int) -> None:
        self._run.append(line)
        self._last = number

    def end(self, kind: str = "") -> None:
        """The block is complete; ``kind`` as its first line tells when empty."""
        if self._run:
            known: BlockKind = "code" if kind else _kind_of(self._run[0])
            first, last = self._place(self._last - len(self._run) + 1, self._last)
            self._draft.add("\n".join(self._run), known, first_line=first, last_line=last)
            self._run.clear()

    def _heading(self, title: str, level: int, first: int, last: int) -> None:
        if level == 1 and not self.first_title:
            self.first_title = title
        placed = self._place(first, last)
        self._draft.add_heading(title, level, first_line=placed[0], last_line=placed[1])

    def _place(self, first: int, last: int) -> tuple[int | None, int | None]:
        return (first, last) if self._has_lines else (None, None)


def _kind_of(line: str) -> BlockKind:
    if _ITEM.match(line):
        return "list"
    return "table" if line.lstrip().startswith("|") else "text"
