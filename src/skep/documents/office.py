"""What DOCX, PPTX and XLSX have in common."""

from __future__ import annotations

from collections.abc import Iterator

from skep.documents.archives import Archive, Element
from skep.documents.drafting import Draft

_CORE = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "description": "description",
    "keywords": "keywords",
    "created": "created",
    "modified": "modified",
    "lastModifiedBy": "modified_by",
    "language": "language",
}


def local(element: Element) -> str:
    """The name of an element without its namespace: strict and transitional documents differ in nothing else."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element, name: str) -> str | None:
    """An attribute by its name without namespace."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


def children(element: Element, name: str) -> Iterator[Element]:
    """The children of this name."""
    return (child for child in element if local(child) == name)


def child(element: Element | None, *names: str) -> Element | None:
    """The first child of a name, and of that the next; None when there is none."""
    for name in names:
        element = None if element is None else next(children(element, name), None)
    return element


def describe(draft: Draft, archive: Archive) -> None:
    """What ``docProps`` says."""
    if "docProps/core.xml" in archive:
        for element in archive.xml("docProps/core.xml"):
            name = _CORE.get(local(element))
            if name is not None and element.text:
                draft.describe(name, element.text)


def property_number(archive: Archive, name: str) -> int | None:
    """A count that the program that saved the document put into ``docProps/app.xml``."""
    if "docProps/app.xml" not in archive:
        return None
    found = child(archive.xml("docProps/app.xml"), name)
    text = "" if found is None else (found.text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
