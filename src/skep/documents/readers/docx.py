"""DOCX: paragraphs, headings, lists, tables and notes, in the order of the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from skep.documents.archives import Archive, Element, main_part, open_archive
from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError
from skep.documents.models import Document
from skep.documents.office import attribute, child, children, describe, local, property_number
from skep.documents.texts import row_text

_HEADING_STYLE = re.compile(r"heading\s*([1-9])", re.IGNORECASE)
_TITLE_STYLE = "title"
_LEFT_OUT = frozenset({"Fallback", "del", "moveFrom", "instrText", "delText", "pPr", "rPr"})
"""A second form of the same, and what was deleted or is no text."""


def read(source: Source) -> Document:
    """Raises FileDamagedError, FileLockedError and FileUnfoldsError."""
    archive = open_archive(source.data)
    part = main_part(archive, "word/document.xml")
    body = child(archive.xml(part), "body")
    if body is None:
        raise FileDamagedError(reason="it has no body")
    draft = Draft("docx", "page", page_count=property_number(archive, "Pages"))
    describe(draft, archive)
    related = {kind: name for kind, name in archive.relations(part).values() if name in archive}
    reader = _Reader(draft, _heading_levels(archive, related.get("styles")))
    reader.read(body)
    draft.enter(0)
    draft.page = None
    for kind in ("footnotes", "endnotes"):
        if kind in related:
            _read_notes(archive.xml(related[kind]), draft)
    return draft.finished()


def _read_notes(notes: Element, draft: Draft) -> None:
    for note in notes:
        # The others are the lines that part notes from the text.
        if attribute(note, "type") is None:
            draft.add("\n".join(text for text in map(_text, children(note, "p")) if text), "note")


def _heading_levels(archive: Archive, part: str | None) -> dict[str, int]:
    """Level by the id of a style: the names of styles are the same in every language, ids are not."""
    levels = {}
    for style in () if part is None else children(archive.xml(part), "style"):
        name = child(style, "name")
        said = "" if name is None else attribute(name, "val") or ""
        outline = child(style, "pPr", "outlineLvl")
        level = "" if outline is None else attribute(outline, "val") or ""
        if match := _HEADING_STYLE.fullmatch(said):
            levels[attribute(style, "styleId") or ""] = int(match[1])
        elif said.lower() == _TITLE_STYLE:
            levels[attribute(style, "styleId") or ""] = 0
        elif level.isascii() and level.isdigit() and int(level) < 9:
            levels[attribute(style, "styleId") or ""] = int(level) + 1
    return levels


@dataclass(slots=True)
class _Reader:
    draft: Draft
    levels: dict[str, int]
    breaks: int = 0
    """Pages that ended so far."""
    has_breaks: bool = False
    items: list[str] = field(default_factory=list)
    """Of the list that is being read."""

    def read(self, body: Element) -> None:
        self.has_breaks = any(local(element) == "lastRenderedPageBreak" for element in body.iter())
        for element in _unwrapped(body):
            self.draft.page = self.breaks + 1 if self.has_breaks else None
            name = local(element)
            if name == "p":
                self._paragraph(element)
            else:
                self._end_list()
                self.draft.add("\n".join(_rows(element)), "table")
            if self.has_breaks:
                self.breaks += sum(1 for one in element.iter() if local(one) == "lastRenderedPageBreak")
        self._end_list()

    def _paragraph(self, element: Element) -> None:
        text = _text(element)
        style = child(element, "pPr", "pStyle")
        level = None if style is None else self.levels.get(attribute(style, "val") or "")
        if level is None and child(element, "pPr", "numPr") is not None:
            self.items.append(f"- {text.strip()}")
            return
        self._end_list()
        if level is None:
            self.draft.add(text)
        elif level == 0:
            self.draft.title = self.draft.title or text
            self.draft.add(text, "heading")
        else:
            self.draft.add_heading(text, level)

    def _end_list(self) -> None:
        self.draft.add("\n".join(item for item in self.items if item != "- "), "list")
        self.items.clear()


def _unwrapped(body: Element) -> Iterator[Element]:
    """The paragraphs and tables, also those inside content controls and tracked changes."""
    waiting = [iter(body)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
        elif local(element) in ("p", "tbl"):
            yield element
        elif local(element) in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"):
            waiting.append(iter(element))


def _rows(table: Element) -> Iterator[str]:
    for row in (one for one in table.iter() if local(one) == "tr"):
        if text := row_text([_text(cell) for cell in row if local(cell) in ("tc", "sdt")]):
            yield text


_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "p": "\n"}


def _text(element: Element) -> str:
    """All text below an element; a paragraph inside it begins a new line."""
    parts: list[str] = []
    if local(element) not in ("p", "tc", "sdt"):
        return ""
    waiting = [iter(element)]
    while waiting:
        one = next(waiting[-1], None)
        if one is None:
            waiting.pop()
            continue
        name = local(one)
        if name == "t":
            parts.append(one.text or "")
        elif name not in _LEFT_OUT:
            parts.append(_BREAKS.get(name, ""))
            waiting.append(iter(one))
    return "".join(parts).strip("\n")
