"""Long tables as pieces that can be read alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from skep.documents.drafting import Draft
from skep.documents.texts import row_text

_ROWS = 50
_CHARACTERS = 4000
"""A piece ends with whichever comes first."""

_MAX_HEAD_CHARACTERS = 500


@dataclass(slots=True)
class TableWriter:
    """Takes rows and gives blocks, each with the first row above it."""

    draft: Draft
    _head: str = ""
    _lines: list[str] = field(default_factory=list)
    _characters: int = 0
    _first: int = 0
    _last: int = 0

    def add(self, cells: list[str], number: int, last: int | None = None) -> None:
        """One row: its cells, and the lines of the file it stands in (None: one line)."""
        text = row_text(cells)
        if not text:
            return
        if not self._lines:
            self._first = number
        self._lines.append(text)
        self._characters += len(text)
        self._last = number if last is None else last
        if len(self._lines) >= _ROWS or self._characters >= _CHARACTERS:
            self._write()

    def end(self) -> None:
        """No row follows."""
        self._write()
        self._head = ""

    def _write(self) -> None:
        if self._lines:
            lines = [self._head, *self._lines] if self._head else self._lines
            self.draft.add("\n".join(lines), "table", first_line=self._first, last_line=self._last)
            self._head = self._head or self._lines[0][:_MAX_HEAD_CHARACTERS]
        self._lines, self._characters = [], 0
