"""Errors of the tools. An agent reads them as the answer of its call.

NotFoundError
└── ToolNotFoundError       no such tool
UsageError
└── ToolArgumentsError      not what the tool takes
UnavailableError
└── StillOpeningError       the database takes long to start
SkepError
└── ToolFailedError         a fault of ours
"""

from __future__ import annotations

from skep.errors import NotFoundError, SkepError, UnavailableError, UsageError


class ToolNotFoundError(NotFoundError):
    """There is no tool named {name}."""

    fix = "Call one of: {known}."


class ToolArgumentsError(UsageError):
    """The arguments are not what {tool} takes: {reason}"""

    fix = "See the input schema of {tool} and call it again."


class StillOpeningError(UnavailableError):
    """The index is still being opened after {seconds} s."""

    fix = "Call again in a moment; `skep doctor` says what keeps it."


class ToolFailedError(SkepError):
    """The tool {tool} failed for a reason that was not foreseen."""

    fix = "Look for the cause in the log of Skep, on standard error."
