"""Errors of the command line itself.

UsageError
└── CommandUsageError   the words after `skep` make no command
"""

from __future__ import annotations

from skep.errors import UsageError


class CommandUsageError(UsageError):
    """The command cannot be understood: {reason}"""

    fix = "See `{command} --help`."
