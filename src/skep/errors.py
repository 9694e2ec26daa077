"""The root of every error a person can meet, and how faces show it.

    SkepError                     1   500
    ├── UsageError                2   422   the request itself is wrong
    ├── NotFoundError             1   404   the named thing does not exist (or is not yours to see)
    ├── ConflictError             1   409   the named thing is in another state than needed
    ├── RefusedError              3   403   a rule forbids it
    └── UnavailableError          4   503   something Skep depends on does not answer

(The first number is the exit code of the command line, the second the HTTP status.)

Each capability keeps its own errors, below one of these, in its ``interfaces.py``. The class docstring is the sentence
the user reads; ``{field}`` in it is filled from the keyword arguments the error was raised with. ``fix`` says what to do
next and may use the same fields. Code looks at the class and at ``fields``, never at the sentence.
"""

from __future__ import annotations

import inspect
import re
from typing import ClassVar

_FIELD = re.compile(r"\{(\w+)\}")


def _fill(template: str, fields: dict[str, object]) -> str:
    """Put the fields into a sentence; what they contain is never read as a template."""
    return _FIELD.sub(lambda match: str(fields.get(match[1], match[0])), template)


class SkepError(Exception):
    """Skep could not do what was asked: {reason}"""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    fix: ClassVar[str] = ""

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        sentence = " ".join((inspect.getdoc(type(self)) or type(self).__name__).split())
        super().__init__(_fill(sentence, fields))

    @property
    def code(self) -> str:
        """The error's stable name for machines: the class name in snake case without ``Error``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Error")).lower()

    @property
    def fix_text(self) -> str:
        """What the user can do about it, or an empty string when there is nothing."""
        return _fill(self.fix, self.fields)


class UsageError(SkepError):
    """The request cannot be understood: {reason}"""

    exit_code = 2
    http_status = 422


class NotFoundError(SkepError):
    """There is no {what} named {name}."""

    http_status = 404


class ConflictError(SkepError):
    """{what} is in another state than this needs: {reason}"""

    http_status = 409


class RefusedError(SkepError):
    """A rule forbids this: {reason}"""

    exit_code = 3
    http_status = 403


class UnavailableError(SkepError):
    """{what} does not answer: {reason}"""

    exit_code = 4
    http_status = 503
