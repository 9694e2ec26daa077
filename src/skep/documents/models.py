"""What a file says, in one shape for all formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

BlockKind = Literal["heading", "text", "list", "table", "code", "note"]
"""``note``: what stands beside the text, such as a speaker's notes or a footnote."""

PageName = Literal["", "page", "slide", "sheet", "chapter", "cell"]

_KINDS = frozenset(get_args(BlockKind))


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text with its place. Never empty; lines end with a line feed, and no other control character is left but tabs."""

    text: str
    kind: BlockKind = "text"
    page: int | None = None
    """Number of the page, slide, sheet, chapter or cell, from 1 (`Document.page_name`); None where the format has none. In
    a DOCX the page is where the program that saved it broke the text last."""
    headings: tuple[str, ...] = ()
    """The headings above, outermost first; of a heading itself, without itself."""
    first_line: int | None = None
    """Line of the file, or row of the sheet, from 1; None where the format has none."""
    last_line: int | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside the file: named, not read."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Document:
    """What was understood of a file."""

    format: str
    """Name of a row of `FORMATS`."""
    blocks: tuple[Block, ...] = ()
    title: str = ""
    """As the file itself says it; empty when it does not."""
    page_count: int | None = None
    """None where the format has no pages, and where it does not say how many it has."""
    page_name: PageName = ""
    picture_pages: tuple[int, ...] = ()
    """Pages without text that show a picture: scans. A model that sees can read them; nothing here does."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the file says of itself, such as its author; names in snake case."""
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know, in sentences: a wrong extension, pages that are pictures."""

    @property
    def is_picture_only(self) -> bool:
        """Whether there is something to see and nothing to read."""
        return bool(self.picture_pages) and not self.blocks


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take."""

    file_bytes: int = 10 << 20
    memory_bytes: int = 512 << 20
    """Address space of the process that reads it."""
    seconds: int = 60
    """Of computing, and by the clock."""


def from_plain(plain: Mapping[str, Any]) -> Document:
    """The document that another process described. Whoever wrote it: raises ValueError, KeyError or TypeError unless it is one."""
    return Document(
        format=_text(plain["format"]),
        blocks=tuple(_block(**block) for block in plain["blocks"]),
        title=_text(plain["title"]),
        page_count=_number(plain["page_count"]),
        page_name=plain["page_name"] if plain["page_name"] in get_args(PageName) else "",
        picture_pages=tuple(int(page) for page in plain["picture_pages"]),
        metadata={_text(name): _text(value) for name, value in plain["metadata"].items()},
        attachments=tuple(_attachment(**one) for one in plain["attachments"]),
        notes=tuple(_text(note) for note in plain["notes"]),
    )


def _block(
    *,
    text: Any,  # noqa: ANN401 -- all of it is what another process says
    kind: Any,  # noqa: ANN401
    page: Any,  # noqa: ANN401
    headings: Any,  # noqa: ANN401
    first_line: Any,  # noqa: ANN401
    last_line: Any,  # noqa: ANN401
) -> Block:
    if kind not in _KINDS:
        raise ValueError(kind)
    names = tuple(_text(heading) for heading in headings)
    return Block(_text(text), kind, _number(page), names, _number(first_line), _number(last_line))


def _attachment(*, name: object, media_type: object, size_bytes: object) -> Attachment:
    return Attachment(_text(name), _text(media_type), _number(size_bytes) or 0)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int | None:
    if value is not None and not isinstance(value, int):
        raise TypeError
    return value
