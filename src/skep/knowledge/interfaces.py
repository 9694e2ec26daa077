"""Errors of knowledge.

NotFoundError
├── CollectionNotFoundError   no such collection in this project
├── DocumentNotFoundError     no such document, or it was deleted
├── LineNotFoundError         the document ends before that line
├── NothingIndexedError       this project has no collection yet
└── NothingToWatchError       this machine has no indexed folder
UsageError
├── QueryEmptyError           nothing to search for
├── QueryTooLongError         more than the limit
├── TopKOutOfRangeError       k below 1 or above the limit
├── UnknownFilterError        a filter value that nothing has
├── LocationInvalidError      not PATH:LINE
├── CollectionNameError       not a name
├── CursorInvalidError        no place in the change notices
└── FolderNotAbsoluteError    a folder of the server's machine is named in full
RefusedError
└── FolderUnknownError        only an admin may have the server read a new folder
ConflictError
├── FolderTakenError          the collection belongs to another folder
├── FolderGoneError           it belongs to one that is not there any more
├── CollectionGoneError       it was purged while something worked on it
└── NoFolderHereError         nothing of it can be indexed again on this machine
UnavailableError
├── LexicalBusyError          the lexical index is being written by another process for too long
└── ParserStartError          the system refuses the process that cuts files
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from skep.errors import ConflictError, NotFoundError, RefusedError, UnavailableError, UsageError


class CollectionNotFoundError(NotFoundError):
    """There is no collection named {name}. Known: {known}."""

    fix = "See `skep status` for the names, or make it with `skep index PATH --collection {name}`."


class DocumentNotFoundError(NotFoundError):
    """The collection {collection} has no document {path}."""

    fix = "Paths are relative to the indexed folder; `skep status` shows which folders those are."


class LineNotFoundError(NotFoundError):
    """The document {path} has nothing at line {line}: its text ends with line {last_line}."""

    fix = "Name an earlier line, or index the file again if it has grown since."


class NothingIndexedError(NotFoundError):
    """Nothing is indexed yet in the project {project}."""

    fix = "Index a folder first: skep index ."


class QueryEmptyError(UsageError):
    """The query has no word to search for."""

    fix = 'Ask with at least one letter or digit: skep search "where are retries configured"'


class QueryTooLongError(UsageError):
    """The query is {size_bytes} bytes long; the limit is {limit_bytes}."""

    fix = "Shorten it, or raise search.max_query_bytes; to find code like a passage use `skep similar PATH:LINE`."


class TopKOutOfRangeError(UsageError):
    """The number of results (k) is {top_k}; it must be between 1 and {limit}."""

    fix = "Ask for fewer results, or raise search.max_top_k."


class UnknownFilterError(UsageError):
    """Nothing searched has the {filter} {value}. Known: {known}."""

    fix = "Use one of the known values, or leave the filter out."


class LocationInvalidError(UsageError):
    """{location} is not a place in a file."""

    fix = "Write PATH:LINE with a line from 1, for example src/app.py:42"


class CursorInvalidError(UsageError):
    """{value} is no place that change notices can go on from."""

    fix = "Send the id of the last notice that was received, as it was; or none, to begin now."


class CollectionNameError(UsageError):
    """{name} cannot be the name of a collection."""

    fix = "Use 1 to 200 letters, digits, dots, dashes or underscores, starting with a letter or digit."


class NothingToWatchError(NotFoundError):
    """No folder of this machine is indexed yet."""

    fix = "Name one, then it is indexed first: skep watch ."


class FolderTakenError(ConflictError):
    """The name {collection} already belongs to the folder {root}."""

    fix = "Give this folder a name of its own: skep index PATH --collection NAME"


class FolderGoneError(ConflictError):
    """The name {collection} belongs to the folder {root}, which is not there any more."""

    fix = (
        "If that was moved here or is not wanted any more, erase it (skep purge {collection}) and index this folder again;"
        " to keep what is known of it, give this folder a name of its own: skep index PATH --collection NAME"
    )


class CollectionGoneError(ConflictError):
    """The collection was purged while it was being worked on."""

    fix = "Index the folder again if it should be searchable."


class LexicalBusyError(UnavailableError):
    """Another process has been writing the lexical index of {collection} for more than {seconds} s."""

    fix = "Try again in a moment; if nothing is indexing, look for a stopped process with `skep doctor`."


class ParserStartError(UnavailableError):
    """The process that cuts files cannot be started: {reason}"""

    fix = "Free memory, or allow more processes (ulimit -u), and run it again; --jobs 1 needs the fewest."


class ReportProgress(Protocol):
    """Called while a long operation runs."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total`` in ``phase``; total 0 means it is not known yet."""


ReportNotice = Callable[[str], None]
"""Called with a sentence that the user should see though nothing failed."""


class FolderNotAbsoluteError(UsageError):
    """{path} is not the full path of a folder on the server's machine."""

    fix = "Write it from the root: /home/me/app. Without a path the folders that are known already are indexed again."


class FolderUnknownError(RefusedError):
    """{path} is not in a folder that the collection {collection} is indexed from, and only an admin may add one."""

    fix = "Leave the path out to index the known folders again, or ask with a key that has the role admin."


class NoFolderHereError(ConflictError):
    """The collection {collection} has no folder on the server's machine to index again."""

    fix = "Name one with `path` (needs the role admin), or index it where its folders are."
