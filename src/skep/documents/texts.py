"""Bytes that are text, and text that is clean."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from skep.documents.interfaces import FormatUnknownError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# C0 without tab and line feed, DEL, C1, lone surrogates, and the marks that are no characters.
_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CONTROL_SHARE = 0.01
"""Text has next to none of these; a file with more is something else."""

_LOOKED_AT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and how it was encoded."""

    text: str
    encoding: str
    is_guessed: bool = False
    """Whether nothing says that this is the encoding, only that no other fits."""


def decode(data: bytes, *, declared: str = "", is_start: bool = False) -> Decoded:
    """The text, by its byte order mark, as UTF-8, as ``declared``, or as Windows-1252, in this order.

    ``is_start``: only the start of a longer text, which may end within a character. Raises FormatUnknownError when it is no text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return Decoded(data[len(bom) :].decode(encoding, "replace"), encoding)
    head = data[:_LOOKED_AT_BYTES]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) > 0.7 * len(zeros) and head.count(0) < 0.6 * len(head):
            return Decoded(data.decode(encoding, "replace"), encoding)
    if b"\0" in head or len(_CONTROLS.findall(head)) > _CONTROL_SHARE * len(head):
        raise FormatUnknownError(reason="it is neither text nor anything that is known")
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        return Decoded(decoder.decode(data, final=not is_start), "utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return Decoded(data.decode(declared or "ascii", "strict"), declared)
    except (LookupError, UnicodeError):
        return Decoded(data.decode("cp1252", "replace"), "cp1252", is_guessed=True)


def clean(text: str) -> str:
    """Lines end with a line feed, and what is no character is left out."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isprintable() else _UNCLEAN.sub("", text)


def one_line(text: str) -> str:
    """Clean, with every run of white space as one space."""
    return " ".join(clean(text).split())


def row_text(cells: list[str]) -> str:
    """One row of a table as a line."""
    return " | ".join(" ".join(cell.split()) for cell in cells).rstrip(" |")
