"""A document while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from skep.documents.interfaces import FileUnfoldsError
from skep.documents.models import Attachment, Block, BlockKind, Document, PageName
from skep.documents.texts import clean, one_line

MAX_CHARACTERS = 20_000_000
"""All text of one document, each piece with the headings above it: 6,000 full pages. More is a bomb, or a database."""

MAX_BLOCKS = 500_000
_MAX_VALUE_CHARACTERS = 2000
_MAX_HEADING_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read."""

    data: bytes
    name: str
    """Its file name; a hint, nothing more."""


@dataclass(slots=True)
class Draft:
    """Takes text in reading order. What is added to it is cleaned, counted, and put below its headings."""

    format: str
    page_name: PageName = ""
    title: str = ""
    page_count: int | None = None
    page: int | None = None
    """Where what is added stands; see `Block.page`."""
    blocks: list[Block] = field(default_factory=list)
    picture_pages: list[int] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _headings: list[tuple[int, str]] = field(default_factory=list)
    _path: tuple[str, ...] = ()
    _path_characters: int = 0
    _characters: int = 0

    def add(
        self, text: str, kind: BlockKind = "text", *, first_line: int | None = None, last_line: int | None = None
    ) -> None:
        """A block, unless it is blank. Raises FileUnfoldsError when the whole becomes too much."""
        text = clean(text).strip("\n").rstrip()
        if not text:
            return
        self._count(len(text) + self._path_characters)
        self.blocks.append(Block(text, kind, self.page, self._path, first_line, last_line))

    def add_heading(
        self, text: str, level: int, *, first_line: int | None = None, last_line: int | None = None
    ) -> None:
        """A heading; what follows stands below it, until one of the same or a lower level."""
        text = one_line(text)
        if not text:
            return
        self.enter(level)
        self.add(text, "heading", first_line=first_line, last_line=last_line)
        self.enter(level, text)

    def enter(self, level: int, heading: str = "") -> None:
        """Put what follows below a heading that is no text of its own; without a heading, only leave those of this level or a higher one."""
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        if heading := one_line(heading)[:_MAX_HEADING_CHARACTERS]:
            self._headings.append((level, heading))
        self._path = tuple(name for _, name in self._headings)
        self._path_characters = sum(map(len, self._path))

    def describe(self, name: str, value: str) -> None:
        """What the file says of itself, unless it says nothing."""
        if value := one_line(value)[:_MAX_VALUE_CHARACTERS]:
            self._count(len(value))
            self.metadata[name] = value

    def finished(self) -> Document:
        """The document. Without a title of its own, it has that of its metadata."""
        title = one_line(self.title)[:_MAX_VALUE_CHARACTERS] or self.metadata.pop("title", "")
        self.metadata.pop("title", None)
        return Document(
            format=self.format,
            blocks=tuple(self.blocks),
            title=title,
            page_count=self.page_count,
            page_name=self.page_name,
            picture_pages=tuple(self.picture_pages),
            metadata=self.metadata,
            attachments=tuple(self.attachments),
            notes=tuple(self.notes),
        )

    def _count(self, characters: int) -> None:
        self._characters += characters
        if self._characters > MAX_CHARACTERS:
            raise FileUnfoldsError(reason=f"it has more than {MAX_CHARACTERS} characters of text")
        if len(self.blocks) >= MAX_BLOCKS:
            raise FileUnfoldsError(reason=f"it has more than {MAX_BLOCKS} pieces of text")
