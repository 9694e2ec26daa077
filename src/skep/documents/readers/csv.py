"""CSV: rows as a table, with the lines they stand in."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from skep.documents.drafting import Draft, Source
from skep.documents.models import Document
from skep.documents.readers.text import text_lines
from skep.documents.tables import TableWriter

_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT_LINES = 20
_MAX_FIELD_CHARACTERS = 1_000_000


def read(source: Source) -> Document:
    """Raises FormatUnknownError when it is no text."""
    draft = Draft("csv")
    lines = text_lines(draft, source.data)
    separator = _separator(lines)
    try:
        rows = [*_rows(lines, separator)]
    except csv.Error:
        draft.notes.append("Its quotation marks do not pair; it was read line by line.")
        rows = [(line.split(separator), number, number) for number, line in enumerate(lines, 1)]
    table = TableWriter(draft)
    for row in rows:
        table.add(*row)
    table.end()
    return draft.finished()


def _rows(lines: list[str], separator: str) -> Iterator[tuple[list[str], int, int]]:
    """Cells, first and last line of each row. Raises csv.Error."""
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    rows = csv.reader(StringIO("\n".join(lines)), delimiter=separator, strict=True)
    before = 0
    for row in rows:
        yield row, before + 1, rows.line_num
        before = rows.line_num


def _separator(lines: list[str]) -> str:
    """What parts the first lines into the same number of cells, the more the better."""
    seen = [line for line in lines[:_LOOKED_AT_LINES] if line.strip()]

    def fitness(separator: str) -> tuple[int, int]:
        counts = [line.count(separator) for line in seen]
        usual = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(usual) if usual else 0, usual)

    return max(_SEPARATORS, key=fitness)
