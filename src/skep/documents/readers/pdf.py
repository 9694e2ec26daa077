"""PDF: the text of each page, below the bookmarks that lead to it."""

from __future__ import annotations

import re
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError, FileLockedError
from skep.documents.models import Document

_END = b"%%EOF"
_END_WITHIN = 4096
"""Some bytes may follow the end; without any end near, it was cut off, however much of it a lenient reader can mend."""

_BROKEN_WORD = re.compile("[\x02\ufffe]\r?\n?")
"""PDFium marks the hyphen that only the end of a line put into a word."""

_METADATA = {
    "Title": "title",
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "Creator": "creator",
    "Producer": "producer",
    "CreationDate": "created",
    "ModDate": "modified",
}
_MAX_OBJECTS_SEEN = 200
"""Of a page without text, so many objects are looked at for a picture."""

_MAX_BOOKMARKS = 20_000
_MAX_PAGES_TOLD = 20


def read(source: Source) -> Document:
    """Raises FileDamagedError and FileLockedError."""
    if source.data.rfind(_END, max(0, len(source.data.rstrip(b"\0\r\n\t ")) - _END_WITHIN)) < 0:
        raise FileDamagedError(reason="its end is missing")
    try:
        pdf = pypdfium2.PdfDocument(source.data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise FileLockedError(reason="it opens with a password only") from error
        raise FileDamagedError(reason="it is no well-formed PDF") from error
    draft = Draft("pdf", "page", page_count=len(pdf))
    if not draft.page_count:
        raise FileDamagedError(reason="it has no pages")
    for name, value in pdf.get_metadata_dict(skip_empty=True).items():
        if name in _METADATA:
            draft.describe(_METADATA[name], value)
    _read_pages(pdf, draft)
    return draft.finished()


def _read_pages(pdf: Any, draft: Draft) -> None:  # noqa: ANN401 -- the library has no types
    bookmarks = _bookmarks(pdf)
    unread = 0
    for number in range(len(pdf)):
        draft.page = number + 1
        for level, title in bookmarks.get(number, ()):
            draft.enter(level, title)
        try:
            page = pdf[number]
            text_page = page.get_textpage()
        except pypdfium2.PdfiumError:
            unread += 1
            continue
        text = text_page.get_text_range() if text_page.count_chars() else ""
        if text and not text.isspace():
            draft.add(_BROKEN_WORD.sub("", text))
        elif _shows_a_picture(page):
            draft.picture_pages.append(draft.page)
        text_page.close()
        page.close()
    if unread == len(pdf):
        raise FileDamagedError(reason="none of its pages can be read")
    if unread:
        draft.notes.append(f"{unread} of {len(pdf)} pages are damaged and were left out.")
    _tell_of_pictures(draft)


def _tell_of_pictures(draft: Draft) -> None:
    pages = draft.picture_pages
    if pages and not draft.blocks:
        draft.notes.append("It is scanned: its pages are pictures without text.")
    elif pages:
        told = ", ".join(map(str, pages[:_MAX_PAGES_TOLD])) + (" and more" if len(pages) > _MAX_PAGES_TOLD else "")
        draft.notes.append(f"Pages that are pictures without text: {told}.")
    elif not draft.blocks:
        draft.notes.append("Its pages have neither text nor pictures.")


def _shows_a_picture(page: Any) -> bool:  # noqa: ANN401
    kinds = (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_SHADING)
    found = page.get_objects(filter=kinds, max_depth=3)
    return any(True for _ in zip(range(_MAX_OBJECTS_SEEN), found, strict=False))


def _bookmarks(pdf: Any) -> dict[int, list[tuple[int, str]]]:  # noqa: ANN401
    """Level and title of the bookmarks that lead to each page, by its index."""
    found: dict[int, list[tuple[int, str]]] = {}
    try:
        for _, bookmark in zip(range(_MAX_BOOKMARKS), pdf.get_toc(max_depth=6), strict=False):
            destination = bookmark.get_dest()
            index = None if destination is None else destination.get_index()
            if index is not None:
                found.setdefault(index, []).append((bookmark.level, bookmark.get_title()))
    except pypdfium2.PdfiumError:
        # The text is worth more than the way to it.
        return found
    return found
