"""Errors of the scripted provider.

UsageError
├── ScriptInvalidError      some of the script is wrong; all of it is named at once
└── ScriptUnreadableError   the script is not there or cannot be read
UnavailableError
├── FakeAddressError        nothing can listen there
├── FakeTlsError            certificate and key cannot be used
└── TruthLogError           the log of what was received cannot be written
"""

from __future__ import annotations

from collections.abc import Sequence

from skep.errors import UnavailableError, UsageError
from skep.settings import Problem

MAX_TOLD = 100
"""A file that is no script at all can have a problem in every word."""


class ScriptInvalidError(UsageError):
    """The script is not valid: {reason}"""

    fix = "Correct what is named; docs/reference/fake-provider.md lists every word a script may have."

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Fields: ``reason`` (the problem itself when there is one, else their number) and ``problems`` (the first MAX_TOLD)."""
        self.problems = tuple(problems[:MAX_TOLD])
        reason = str(self.problems[0]) if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(reason=reason, problems=self.problems)


class ScriptUnreadableError(UsageError):
    """The script {path} cannot be read: {reason}"""

    fix = "Name a file that exists and that this user may read."


class FakeAddressError(UnavailableError):
    """The scripted provider cannot listen on {host}:{port}: {reason}"""

    fix = "Choose another --port; 0 takes any free one."


class FakeTlsError(UnavailableError):
    """Certificate and key cannot be used: {reason}"""

    fix = "Name a PEM certificate and the key that belongs to it, without a password."


class TruthLogError(UnavailableError):
    """The truth log {path} cannot be written: {reason}"""

    fix = "Name a file in a folder that exists and that this user may write to."
