"""reStructuredText: what stands below each heading, with its lines. The levels of headings are the order in which their lines appear first."""

from __future__ import annotations

import re

from skep.documents.drafting import Draft, Source
from skep.documents.models import BlockKind, Document
from skep.documents.readers.text import MAX_PARAGRAPH_LINES, text_lines

_LINE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
_ITEM = re.compile(r"([-*+]|\d{1,9}[.)]|#\.)\s")


def read(source: Source) -> Document:
    """Raises FormatUnknownError when it is no text."""
    draft = Draft("rst")
    lines = text_lines(draft, source.data)
    styles: list[tuple[str, bool]] = []
    run: list[str] = []
    index = 0

    def end() -> None:
        text = "\n".join(run)
        draft.add(text, _kind_of(run), first_line=index - len(run) + 1, last_line=index)
        run.clear()

    while index < len(lines):
        found = _heading_at(lines, index)
        if found is not None:
            end()
            title, style, count = found
            if style not in styles:
                styles.append(style)
            draft.add_heading(title, styles.index(style) + 1, first_line=index + 1, last_line=index + count)
            draft.title = draft.title or title
            index += count
            continue
        if not lines[index].strip() or len(run) == MAX_PARAGRAPH_LINES:
            end()
        if lines[index].strip():
            run.append(lines[index])
        index += 1
    end()
    return draft.finished()


def _heading_at(lines: list[str], index: int) -> tuple[str, tuple[str, bool], int] | None:
    """Title, style and number of lines of the heading that begins here; None when none does."""
    here = lines[index]
    below = lines[index + 1] if index + 1 < len(lines) else ""
    third = lines[index + 2] if index + 2 < len(lines) else ""
    if _LINE.fullmatch(here) and below.strip() and here.rstrip() == third.rstrip() and not _LINE.fullmatch(below):
        return below.strip(), (here[0], True), 3
    is_free = index == 0 or not lines[index - 1].strip()
    if (
        is_free
        and here.strip()
        and not here[0].isspace()
        and not _LINE.fullmatch(here)
        and _LINE.fullmatch(below)
        and len(below.rstrip()) >= len(here.rstrip()) * 0.9
    ):
        return here.strip(), (below[0], False), 2
    return None


def _kind_of(run: list[str]) -> BlockKind:
    if not run:
        return "text"
    if run[0].startswith((" ", "\t")):
        return "code"
    return "list" if _ITEM.match(run[0]) else "text"
