"""From the bytes of a file to a document: what it is, and then the reader for that."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from skep.documents.archives import kind_of_archive, open_archive
from skep.documents.drafting import Source
from skep.documents.formats import BY_NAME, FORMATS, Format, family_of, note_on_name, text_format
from skep.documents.interfaces import FileEmptyError, FormatUnknownError, SandboxMissingError
from skep.documents.models import Document


def understand(source: Source, plain_only: str = "") -> Document:
    """Read a file. With ``plain_only``, the reason why there is no sandbox, formats that must be taken apart are refused.

    Raises DocumentError and SandboxMissingError.
    """
    if not source.data.strip(b"\0\t\n\r "):
        raise FileEmptyError
    found = _format_of(source, plain_only)
    document = reader_of(found)(source)
    note = note_on_name(found, source.name)
    return replace(document, notes=(note, *document.notes)) if note else document


def reader_of(found: Format) -> Callable[[Source], Document]:
    """The function that reads a format."""
    read: Callable[[Source], Document] = importlib.import_module(f"skep.documents.readers.{found.reader}").read
    return read


def load_readers() -> None:
    """Import all of them, for processes that are forked from this one."""
    for one in FORMATS:
        reader_of(one)


def _format_of(source: Source, plain_only: str) -> Format:
    family = family_of(source.data)
    if family == "zip":
        if plain_only:
            raise SandboxMissingError(format="a ZIP archive", reason=plain_only)
        kind = kind_of_archive(open_archive(source.data))
        if kind is None:
            raise FormatUnknownError(reason="it is a ZIP archive, and no document")
        return BY_NAME[kind]
    found = text_format(source.data, source.name) if family == "text" else BY_NAME[family]
    if plain_only and not found.is_plain:
        raise SandboxMissingError(format=found.title, reason=plain_only)
    return found
