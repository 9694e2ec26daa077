"""The formats that can be read, and how a file's content tells which one it is in.

Content decides; the extension only chooses among the kinds of text, which look alike, and is noted where it was wrong.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from skep.documents.interfaces import FileLockedError, FormatOldError, FormatUnknownError
from skep.documents.texts import decode


@dataclass(frozen=True, slots=True)
class Format:
    """A format and where its reader is."""

    name: str
    title: str
    """As people call it, with its article where it stands in a sentence."""
    media_type: str
    extensions: tuple[str, ...]
    """In lower case, without the dot; the first is the usual one."""
    reader: str
    """Module below `skep.documents.readers` with a function ``read(source) -> Document``."""
    is_plain: bool = False
    """Whether no library has to take it apart, so that it is read without a sandbox, too."""


_WORD = "application/vnd.openxmlformats-officedocument."

FORMATS: tuple[Format, ...] = (
    Format("pdf", "PDF", "application/pdf", ("pdf",), "pdf"),
    Format("docx", "DOCX", f"{_WORD}wordprocessingml.document", ("docx", "docm", "dotx"), "docx"),
    Format("pptx", "PPTX", f"{_WORD}presentationml.presentation", ("pptx", "pptm", "ppsx", "potx"), "pptx"),
    Format("xlsx", "XLSX", f"{_WORD}spreadsheetml.sheet", ("xlsx", "xlsm", "xltx"), "xlsx"),
    Format("epub", "EPUB", "application/epub+zip", ("epub",), "epub"),
    Format("html", "HTML", "text/html", ("html", "htm", "xhtml"), "html"),
    Format("email", "e-mail", "message/rfc822", ("eml",), "email"),
    Format(
        "image", "a picture", "image/*", ("png", "jpg", "jpeg", "gif", "webp", "tif", "tiff", "bmp", "heic"), "image"
    ),
    Format("markdown", "Markdown", "text/markdown", ("md", "markdown", "mdx"), "markdown", is_plain=True),
    Format("rst", "RST", "text/x-rst", ("rst",), "rst", is_plain=True),
    Format("csv", "CSV", "text/csv", ("csv", "tsv"), "csv", is_plain=True),
    Format("json", "JSON", "application/json", ("json", "jsonl", "ndjson"), "json", is_plain=True),
    Format("notebook", "a notebook", "application/x-ipynb+json", ("ipynb",), "notebook", is_plain=True),
    Format("text", "text", "text/plain", ("txt", "text", "log"), "text", is_plain=True),
)

BY_NAME = {one.name: one for one in FORMATS}

_BY_EXTENSION = {extension: one for one in FORMATS for extension in one.extensions}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"BM", "image"),
)

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x7fELF", "it is a program"),
    (b"MZ", "it is a program"),
    (b"{\\rtf", "it is RTF"),
    (b"\x1f\x8b", "it is a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
    (b"Rar!", "it is a RAR archive"),
    (b"BZh", "it is a bzip2 archive"),
    (b"\xfd7zXZ", "it is an xz archive"),
    (b"ID3", "it is sound"),
    (b"OggS", "it is sound"),
    (b"\x1aE\xdf\xa3", "it is a film"),
    (b"SQLite format 3", "it is a database"),
)

_PDF_WITHIN = 1024
"""A PDF may begin with other bytes; readers look for its mark in so many."""

_MAIL_HEADERS = re.compile(
    r"^(from|to|cc|subject|date|message-id|received|return-path|mime-version|content-type|delivered-to|reply-to)\s*:",
    re.IGNORECASE,
)
_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_HEADING = re.compile(r"^#{1,6} \S", re.MULTILINE)
_LOOKED_AT_CHARACTERS = 8192


def family_of(data: bytes) -> str:
    """``zip``, or the format as its first bytes tell it; ``text`` when they look like text. Takes nothing apart.

    Raises FormatUnknownError, FormatOldError and FileLockedError.
    """
    if data.find(b"%PDF-", 0, _PDF_WITHIN) >= 0 and not data.startswith(b"PK"):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        # Word, Excel and PowerPoint put an encrypted DOCX, XLSX or PPTX into the container of their old formats.
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise FileLockedError(reason="it is encrypted with a password")
        raise FormatOldError(reason="it is a DOC, XLS, PPT or MSG file")
    for magic, name in _MAGIC:
        if data.startswith(magic) and (len(magic) > 2 or b"\0" in data[:64]):
            return name
    if (data[:4] == b"RIFF" and data[8:12] == b"WEBP") or data[4:12] in (
        b"ftypheic",
        b"ftypheix",
        b"ftypavif",
        b"ftypmif1",
    ):
        return "image"
    for magic, reason in _OTHERS:
        if data.startswith(magic) and (len(magic) > 3 or b"\0" in data[:1024]):
            raise FormatUnknownError(reason=reason)
    return "text"


def text_format(data: bytes, name: str) -> Format:
    """Which kind of text it is. Raises FormatUnknownError when it is none."""
    start = decode(data[: _LOOKED_AT_CHARACTERS * 4], is_start=True).text[:_LOOKED_AT_CHARACTERS]
    hinted = _BY_EXTENSION.get(extension_of(name))
    lines = start.lstrip("\ufeff").splitlines()
    headers = sum(1 for line in lines[:40] if _MAIL_HEADERS.match(line))
    if lines and headers >= (1 if hinted is BY_NAME["email"] else 3) and re.match(r"[A-Za-z][\w-]*:|From ", lines[0]):
        return BY_NAME["email"]
    if hinted in (BY_NAME["markdown"], BY_NAME["rst"]):
        return hinted  # HTML may stand in these
    if hinted is BY_NAME["html"] or _HTML.match(start):
        return BY_NAME["html"]
    if hinted is not None and hinted.is_plain:
        return hinted
    if start.lstrip()[:1] in ("{", "["):
        return _json_kind(data)
    return BY_NAME["markdown" if _HEADING.search(start) and not extension_of(name) else "text"]


def _json_kind(data: bytes) -> Format:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return BY_NAME["text"]
    if isinstance(found, dict) and "cells" in found and "nbformat" in found:
        return BY_NAME["notebook"]
    return BY_NAME["json"]


def note_on_name(found: Format, name: str) -> str:
    """A sentence if the name's extension belongs to another format; else empty."""
    extension = extension_of(name)
    hinted = _BY_EXTENSION.get(extension)
    if hinted is None or hinted is found:
        return ""
    return f"The name ends with .{extension}, but the content is {found.title}."


def extension_of(name: str) -> str:
    """In lower case, without the dot; empty when there is none."""
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem else ""
