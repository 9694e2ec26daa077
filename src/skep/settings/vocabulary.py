"""The words in which the table of settings is written: rows with their facts, secrets, and sections that others check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from typing_extensions import override

from skep.settings.interfaces import Origin

T = TypeVar("T")

FACTS: Final = "facts"
"""Key of a row's ``Facts`` in the metadata of its dataclass field."""


class Secret:
    """Text that does not print: ``str``, ``repr`` and ``format`` give stars. ``reveal()`` gives the text."""

    __slots__ = ("_text",)
    STARS: Final = "**********"

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    @override
    def __str__(self) -> str:
        return self.STARS

    @override
    def __repr__(self) -> str:
        return f"Secret({self.STARS!r})"

    @override
    def __eq__(self, other: object) -> bool:
        # Takes equally long wherever the two differ. Plain text never equals a secret, so that nobody compares by accident.
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest  # Costs 3 ms, and most commands never compare keys.

        return compare_digest(self._bytes(), other._bytes())

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def _bytes(self) -> bytes:
        return self._text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a row says beyond its name, type and default."""

    sentence: str
    zero: str = ""
    """What 0 means, when it is more than a number."""
    none: str = ""
    """What None (``null`` in the file) means."""
    minimum: int | None = None
    maximum: int | None = None
    variable: str = ""
    """A short environment variable besides the derived one."""
    borrowed_variables: tuple[str, ...] = ()
    """Variables of other programs, the first that is set counts; only where the setting is said nowhere."""
    default_words: str = ""
    """The default in words, when it depends on the machine."""
    example: str = ""
    """What a settings file may say, when the default is only known in words."""


def setting(
    default: T,
    sentence: str,
    *,
    zero: str = "",
    none: str = "",
    minimum: int | None = None,
    maximum: int | None = None,
    borrowed: tuple[str, ...] = (),
) -> T:
    """A row of the table. Bounds include both ends; None means unbounded. ``borrowed``: see `Facts.borrowed_variables`."""
    facts = Facts(sentence, zero=zero, none=none, minimum=minimum, maximum=maximum, borrowed_variables=borrowed)
    return field(default=default, metadata={FACTS: facts})


class OpenSection:
    """A section that another capability checks: its content as plain values, ``${VAR}`` filled in, with its places.

    The content may hold secrets, so it does not print.
    """

    __slots__ = ("name", "places", "value")

    def __init__(self, name: str, value: object, places: Mapping[tuple[str | int, ...], Origin]) -> None:
        self.name = name
        self.value = value
        """None, bool, int, float, str, or lists and dicts (with text keys) of them."""
        self.places = places
        """Where each value was said, by its path inside the section; the section itself is at ``()``."""

    @override
    def __repr__(self) -> str:
        return f"OpenSection({self.name!r})"

    def place(self, path: tuple[str | int, ...]) -> Origin:
        """Where the value at ``path`` was said, or the nearest thing around it that is there."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]
