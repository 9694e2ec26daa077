"""PPTX: slides in their order, each below its title, with tables and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator

from skep.documents.archives import Archive, Element, main_part, open_archive
from skep.documents.drafting import Draft, Source
from skep.documents.models import Document
from skep.documents.office import attribute, child, children, describe, local
from skep.documents.texts import row_text

_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})


def read(source: Source) -> Document:
    """Raises FileDamagedError, FileLockedError and FileUnfoldsError."""
    archive = open_archive(source.data)
    part = main_part(archive, "ppt/presentation.xml")
    relations = archive.relations(part)
    listed = child(archive.xml(part), "sldIdLst")
    slides = [relations.get(_relation_id(one), ("", ""))[1] for one in (() if listed is None else listed)]
    draft = Draft("pptx", "slide", page_count=len(slides))
    describe(draft, archive)
    for number, name in enumerate(slides, 1):
        draft.page = number
        _read_slide(archive, name, draft)
    return draft.finished()


def _relation_id(element: Element) -> str:
    """``r:id``, which has a namespace; the plain ``id`` is a number of its own."""
    return next((str(value) for key, value in element.attrib.items() if key.endswith("}id")), "")


def _read_slide(archive: Archive, name: str, draft: Draft) -> None:
    tree = child(archive.xml(name), "cSld", "spTree")
    shapes = [] if tree is None else [*_shapes(tree)]
    draft.enter(1)
    for shape in shapes:
        if _placeholder(shape) in _TITLES:
            draft.add_heading(_text(shape), 1)
    for shape in shapes:
        if local(shape) == "graphicFrame":
            rows = [
                row_text([_text(cell) for cell in children(row, "tc")]) for row in shape.iter() if local(row) == "tr"
            ]
            draft.add("\n".join(row for row in rows if row), "table")
        elif _placeholder(shape) not in _TITLES | _FURNITURE:
            draft.add(_text(shape))
    for kind, target in archive.relations(name).values():
        if kind == "notesSlide" and target in archive:
            _read_notes(child(archive.xml(target), "cSld", "spTree"), draft)


def _read_notes(tree: Element | None, draft: Draft) -> None:
    for shape in () if tree is None else _shapes(tree):
        if _placeholder(shape) == "body":
            draft.add(_text(shape), "note")


def _shapes(tree: Element) -> Iterator[Element]:
    return (one for one in tree.iter() if local(one) in ("sp", "graphicFrame"))


def _placeholder(shape: Element) -> str:
    """What the shape is for, as its layout says; empty for one that was drawn freely."""
    found = child(shape, "nvSpPr", "nvPr", "ph")
    return "" if found is None else attribute(found, "type") or "obj"


def _text(element: Element) -> str:
    lines = []
    for paragraph in (one for one in element.iter() if local(one) == "p"):
        runs = (
            (one.text or "") if local(one) == "t" else "\n" for one in paragraph.iter() if local(one) in ("t", "br")
        )
        lines.append("".join(runs))
    return "\n".join(line for line in lines if line.strip())
