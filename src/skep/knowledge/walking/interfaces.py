"""What can go wrong when a folder is walked or a file of it is read.

    UsageError
    ├── RootIsFileError
    └── DocumentPathError
    NotFoundError
    └── RootMissingError
    RefusedError
    └── PathOutsideRootError
    UnavailableError
    └── RootUnreadableError

A single bad file is never an error: it is reported as `Skipped` and the rest goes on.
"""

from __future__ import annotations

from skep.errors import NotFoundError, RefusedError, UnavailableError, UsageError


class RootMissingError(NotFoundError):
    """There is no folder {path}."""

    fix = "Check the spelling, or create the folder; a path is relative to where the command runs."


class RootIsFileError(UsageError):
    """{path} is not a folder."""

    fix = "Index the folder that holds it first; then this file can be indexed by itself."


class RootUnreadableError(UnavailableError):
    """The folder {path} cannot be read: {reason}"""

    fix = "Give the user that runs Skep the right to read and enter {path}."


class DocumentPathError(UsageError):
    """{path} is not a document path: {reason}"""

    fix = "Use the path exactly as search results print it: relative to the indexed folder, with / between names."


class PathOutsideRootError(RefusedError):
    """{path} leads out of the indexed folder, so it is not read: {reason}"""

    fix = "Index the folder that really holds the file; links are never followed."
