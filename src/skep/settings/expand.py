"""``${VAR}`` in a settings file."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|(?P<open>\{))")


class UnfillableError(Exception):
    """A text refers to a variable that is not there, or not in a way that is understood; inside this package only."""


def referred(text: str) -> tuple[str, ...]:
    """The names of the variables that the text refers to."""
    return tuple(match["name"] for match in _REFERENCE.finditer(text) if match["name"])


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with ``${VAR}`` and ``${VAR:-default}`` filled in and ``$$`` made ``$``.

    The default counts when the variable is unset or empty, as in a shell. A ``$`` before anything else is itself. What is
    filled in is not looked at again. Raises UnfillableError.
    """

    def fill(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["open"]:
            raise UnfillableError(
                "${ must go on as ${NAME} or ${NAME:-default}; write $${ for the characters themselves"
            )
        name, default = match["name"], match["default"]
        value = environ.get(name)
        if default is not None:
            return value or default[2:]
        if value is None:
            raise UnfillableError(f"the environment variable {name} is not set; set it or write ${{{name}:-default}}")
        return value

    return _REFERENCE.sub(fill, text)
