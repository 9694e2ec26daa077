"""Errors of the command line itself.

UsageError
├── CommandUsageError   the words after `skep` make no command
└── ModelUnknownError    a command names a model that the settings do not
UnavailableError
├── ServerMissingError   a command asks the running server, and none runs
└── ServerAnswerError    the server does not answer, or not as it should
"""

from __future__ import annotations

from skep.errors import UnavailableError, UsageError


class CommandUsageError(UsageError):
    """The command cannot be understood: {reason}"""

    fix = "See `{command} --help`."


class ModelUnknownError(UsageError):
    """There is no model named {name} in the server's settings."""

    fix = "Name one of: {known}."


class ServerMissingError(UnavailableError):
    """No server of the data folder {folder} runs."""

    fix = "Start one with `skep up`."


class ServerAnswerError(UnavailableError):
    """The server at {url} does not answer this: {reason}"""

    fix = "See its log, or try `skep doctor`."
