"""Errors of the lexical index on disk.

    UnavailableError
    ├── LexicalIndexError         the folder cannot be searched as it is
    │   ├── LexicalMissingError   nothing was built there yet
    │   ├── LexicalOutdatedError  built by code with another layout or tokenizer
    │   └── LexicalDamagedError   files are missing or unreadable
    ├── LexicalLockedError        another process writes it
    └── LexicalWriteError         the disk or the rights do not allow writing
    UsageError
    └── PathGlobError             the path filter cannot be understood

All of :class:`LexicalIndexError` are cured by a rebuild; nothing but time is lost.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from skep.errors import UnavailableError, UsageError

IndexState = Literal["missing", "damaged", "outdated"]


class LexicalIndexError(UnavailableError):
    """The lexical index in {folder} cannot be used: {reason}"""

    fix = "It is rebuilt by the next `skep index`."
    state: ClassVar[IndexState] = "damaged"


class LexicalMissingError(LexicalIndexError):
    """There is no lexical index in {folder} yet."""

    state = "missing"


class LexicalOutdatedError(LexicalIndexError):
    """The lexical index in {folder} was built by another version of Skep: {reason}"""

    state = "outdated"


class LexicalDamagedError(LexicalIndexError):
    """The lexical index in {folder} is damaged: {reason}"""

    state = "damaged"


class LexicalLockedError(UnavailableError):
    """Another process has been writing the lexical index in {folder} for more than {timeout_seconds} s."""

    fix = "Try again in a moment; if nothing is indexing, look for a stopped process with `skep doctor`."


class LexicalWriteError(UnavailableError):
    """The lexical index in {folder} cannot be written: {reason}"""

    fix = "Check the free space and the rights of that folder, then index again."


class PathGlobError(UsageError):
    """The path filter {glob} cannot be used: {reason}"""

    fix = "Use * within a folder, ** across folders, ? for one character: src/**/*.py"
