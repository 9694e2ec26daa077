"""What walking and reading hand out. Frozen, except the report, which fills up while a walk runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

DEFAULT_MAX_FILE_BYTES = 1_048_576
"""1 MiB: no hand-written source file in the packages we looked at is larger; data dumps and bundles are."""


class SkipReason(StrEnum):
    """Why a file (or a whole folder) is not indexed. Ignored files are counted, not listed, and have no reason here."""

    SECRET = "secret"  # noqa: S105 - a reason, not a password
    """Holds keys or credentials by its name, or by its content when read."""
    TOO_LARGE = "too_large"
    BINARY = "binary"
    """By its extension during the walk, by its content when read."""
    GENERATED = "generated"
    """Written by a program: lock files, source maps, files that say so in their first lines."""
    MINIFIED = "minified"
    SPECIAL = "special"
    """A fifo, socket or device."""
    SYMLINK = "symlink"
    """Where a file or folder was, there is a symbolic link now."""
    SYMLINK_OUTSIDE = "symlink_outside"
    SYMLINK_BROKEN = "symlink_broken"
    """Leads nowhere, or in a circle."""
    UNREADABLE = "unreadable"
    CHANGING = "changing"
    """Was written to during both attempts to read it."""
    GONE = "gone"
    """Was deleted between the walk and the read."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What hints whether a file changed. Equal stats mean "probably the same bytes", nothing more."""

    size: int
    """Bytes."""
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class WalkEntry:
    """A file worth reading."""

    path: str
    """Document path: text form of `raw`, see `encode_path`."""
    raw: bytes
    """The names as the system has them, joined by ``/``, relative to the root."""
    stat: FileStat


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, link or folder that is not indexed though no ignore file names it."""

    path: str
    reason: SkipReason
    detail: str = ""
    """One sentence with the numbers or the system's words; empty when the reason says it all."""
    folder: bool = False
    """True: everything below `path` is unknown. It must not be taken for deleted."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file's content and the state of the file that had exactly this content."""

    data: bytes
    sha256: bytes
    """Digest of `data`, 32 bytes."""
    stat: FileStat
    text: str
    """`data` as text, line ends as they were, without NUL."""
    note: str = ""
    """What had to be assumed or replaced to make text of it; empty when nothing."""


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """What to walk and read."""

    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
    """Larger files are skipped and reported; 0 lets only empty files through."""
    include_secrets: bool = False
    include_generated: bool = False
    include_minified: bool = False
    extra_patterns: tuple[str, ...] = ()
    """Lines as in a ``.gitignore`` of the root; they win over every ignore file, and a ``!`` line re-includes."""
    data_folder: Path | None = None
    """Our own data folder, never walked wherever it lies; None when there is none to protect."""


@dataclass(slots=True)
class WalkReport:
    """What a walk left out. Complete once the walk has ended."""

    skipped: list[Skipped] = field(default_factory=list)
    """In walk order."""
    files: int = 0
    """Files handed out."""
    folders: int = 0
    """Folders listed."""
    entered: list[bytes] = field(default_factory=list)
    """Those folders, as the system spells them, relative to the root; the root is empty."""
    ignored_files: int = 0
    """Named by an ignore file."""
    ignored_folders: int = 0
    """Named by an ignore file; what is inside is not counted."""
    default_folders: Counter[str] = field(default_factory=Counter)
    """Folders (and ``.git`` files) skipped by our own defaults: name → how many."""
    links: int = 0
    """Symbolic links, none of them followed; those that lead out of the root or nowhere are in `skipped` too."""
