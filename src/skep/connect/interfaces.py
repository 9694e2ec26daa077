"""Errors of connecting.

UsageError
├── ClientUnknownError       a program whose configuration we do not know
└── HttpUnsupportedError     it cannot take a key from outside its file
ConflictError
├── ConfigNotPlainError      writing would lose something of the file
├── ConfigUnusableError      it is not what the program writes itself
└── ConfigChangedError       somebody else wrote it at the same time
UnavailableError
└── ConfigUnwritableError    the file cannot be read or written
"""

from __future__ import annotations

from skep.errors import ConflictError, UnavailableError, UsageError


class ClientUnknownError(UsageError):
    """The configuration of {name} is not known."""

    fix = "Use one of: {known}. Any other program takes the command that `skep connect claude-code` prints."


class HttpUnsupportedError(UsageError):
    """{title} cannot take a key from the environment, and a key does not belong into a file of settings."""

    fix = "Leave --http out: the program then starts Skep itself, which finds its key."


class ConfigNotPlainError(ConflictError):
    """The file {path} has {feature}, which writing it would lose."""

    fix = "Run the command without --write and put what it prints into the file yourself."


class ConfigUnusableError(ConflictError):
    """The file {path} cannot be understood: {reason}"""

    fix = "Mend the file, or run the command without --write and put what it prints into it yourself."


class ConfigChangedError(ConflictError):
    """The file {path} was changed by somebody else just now; nothing was written."""

    fix = "Run it again."


class ConfigUnwritableError(UnavailableError):
    """The file {path} cannot be read or written: {reason}"""

    fix = (
        "Give yourself the right to, or run the command without --write and put what it prints into the file yourself."
    )
