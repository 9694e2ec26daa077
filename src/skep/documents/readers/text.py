"""Text: its paragraphs with their lines."""

from __future__ import annotations

from collections.abc import Iterator

from skep.documents.drafting import Draft, Source
from skep.documents.models import Document
from skep.documents.texts import clean, decode

MAX_PARAGRAPH_LINES = 60
"""What has no blank lines, such as a log, is parted after so many."""


def read(source: Source) -> Document:
    """Raises FormatUnknownError when it is no text."""
    draft = Draft("text")
    for first, lines in paragraphs(text_lines(draft, source.data)):
        draft.add("\n".join(lines), first_line=first, last_line=first + len(lines) - 1)
    return draft.finished()


def text_lines(draft: Draft, data: bytes) -> list[str]:
    """The lines of a file; a guess at the encoding is noted."""
    decoded = decode(data)
    if decoded.is_guessed:
        draft.notes.append("Its encoding is not said; it was read as Windows-1252.")
    return clean(decoded.text).split("\n")


def paragraphs(lines: list[str], start: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines that are not blank, with the number of their first."""
    run: list[str] = []
    for number, line in enumerate(lines, start):
        if line.strip():
            run.append(line)
        if run and (not line.strip() or len(run) == MAX_PARAGRAPH_LINES):
            yield number - len(run) + bool(line.strip()), run
            run = []
    if run:
        yield start + len(lines) - len(run), run
