"""Takes values out of an open section's tables; what is wrong is noted with its place, and reading goes on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from skep.settings import OpenSection, Problem, nearest_word

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A section, and the problems found in it so far."""

    section: OpenSection
    problems: list[Problem]


class Table:
    """Names with values at one place. A name that nobody asked for is a problem: `finish` says so.

    What is wrong is noted, and its default (or None) returned.
    """

    def __init__(self, told: Told, path: Path, values: dict[str, object]) -> None:
        self._told = told
        self._path = path
        self._values = values
        self._known: list[str] = []

    def has(self, name: str) -> bool:
        """Whether something stands there, right or wrong."""
        return self._values.get(name) is not None

    def names(self) -> list[str]:
        """What stands there."""
        return list(self._values)

    def text(self, name: str, *, required: bool = False, has_lines: bool = False) -> str | None:
        """A text that is not empty; only with ``has_lines`` it may have several."""
        value = self._take(name)
        if value is None:
            if required and not self.has(name):
                self.problem(name, "is missing")
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            # A model may be called 4.1; what was written is not known here any more, so it must be in quotes.
            self.problem(name, "expected text, got a number; put it in quotes")
            return None
        if not isinstance(value, str) or not _is_text(value, has_lines=has_lines):
            self.problem(name, "expected text")
            return None
        return value

    def choice(self, name: str, choices: Sequence[str], *, default: str | None = None) -> str | None:
        """One of some words; None and a problem when it is none of them, or absent without a default."""
        value = self._take(name)
        if value is None:
            if default is None:
                self.problem(name, f"is missing; expected {_listed(choices)}")
            return default
        if value in choices:
            return str(value)
        nearest = nearest_word(value, choices) if isinstance(value, str) else ""
        said = repr(value[:40]) if isinstance(value, str) else "something else"
        if choices:
            self.problem(name, f"expected {_listed(choices)}, got {said}", nearest)
        else:
            self.problem(name, f"{said} is not in the settings, nor is any other; add it there")
        return None

    def words(self, name: str, choices: Sequence[str], *, default: Sequence[str]) -> tuple[str, ...]:
        """A list of some of the words; an empty list is one."""
        value = self._take(name)
        if value is None:
            return tuple(default)
        if not isinstance(value, list):
            self.problem(name, f"expected a list of {_listed(choices)}")
            return tuple(default)
        for index, word in enumerate(value):
            if word not in choices:
                nearest = nearest_word(word, choices) if isinstance(word, str) else ""
                self._note((*self._path, name, index), f"expected {_listed(choices)}", nearest)
        return tuple(word for word in value if word in choices)

    def texts(self, name: str, *, longest: int, most: int) -> tuple[str, ...]:
        """A list of texts, each on one line; an empty list is one."""
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            self.problem(name, f"expected a list of at most {most} texts")
            return ()
        for index, text in enumerate(value):
            if not isinstance(text, str) or not text.strip() or len(text) > longest or not text.isprintable():
                self._note(
                    (*self._path, name, index), f"expected text of 1 to {longest} characters; put numbers in quotes"
                )
        return tuple(text for text in value if isinstance(text, str))

    def seconds(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number of seconds, whole or not."""
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.problem(name, f"expected a number of seconds from {least:g} to {most:g}")
            return default
        return float(value)

    def flag(self, name: str) -> bool | None:
        """True or false; None when nothing is said."""
        value = self._take(name)
        if value is None or isinstance(value, bool):
            return value
        self.problem(name, "expected true or false")
        return None

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number, whole or not."""
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.problem(name, f"expected a number from {least:g} to {most:g}")
            return default
        return float(value)

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """A whole number."""
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.problem(name, f"expected a whole number from {least} to {most}")
            return default
        return value

    def money(self, name: str, *, required: bool = False) -> int | None:
        """US dollars as written, in nano-dollars. At most a million dollars."""
        value = self._take(name)
        if value is None:
            if required and not self.has(name):
                self.problem(name, "is missing")
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1_000_000:
            self.problem(name, "expected an amount in US dollars such as 0.15, from 0 to 1000000")
            return None
        # By way of its text: 0.15 is meant exactly, and the nearest binary fraction is not.
        nano = Decimal(repr(value)) * 1_000_000_000
        if nano != int(nano):
            self.problem(name, "has more than nine digits after the point")
            return None
        return int(nano)

    def factor(self, name: str) -> Decimal | None:
        """A multiple such as 0.5 or 2, from 0 to 100."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            self.problem(name, "expected a multiple such as 0.5 or 2, from 0 to 100")
            return None
        return Decimal(repr(value))

    def table(self, name: str, *, such_as: str = "") -> Table | None:
        """Names with values inside this one. ``such_as``: how it may be written, for whoever wrote something else."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.problem(name, f"expected names with values{such_as and f', such as {such_as}'}")
            return None
        return Table(self._told, (*self._path, name), value)

    def tables(self, name: str) -> list[Table]:
        """A list of at least one table."""
        value = self._take(name)
        if not isinstance(value, list) or not value:
            self.problem(name, "expected a list with at least one entry, such as [{provider: openai, model: gpt-x}]")
            return []
        found = []
        for index, entry in enumerate(value):
            if isinstance(entry, dict):
                found.append(Table(self._told, (*self._path, name, index), entry))
            else:
                self._note(
                    (*self._path, name, index), "expected names with values, such as {provider: openai, model: gpt-x}"
                )
        return found

    def finish(self) -> None:
        """Everything was asked for; what is left over has no meaning."""
        for name in self._values:
            if name not in self._known:
                self.problem(name, "there is no such setting", nearest_word(name, self._known))

    def problem(self, name: str, reason: str, nearest: str = "") -> None:
        """Something is wrong with the value of a name; with an empty one, with the table."""
        self._note((*self._path, name) if name else self._path, reason, nearest)

    def _take(self, name: str) -> object:
        self._known.append(name)
        return self._values.get(name)

    def _note(self, path: Path, reason: str, nearest: str = "") -> None:
        section = self._told.section
        field = ".".join((section.name, *map(str, path)))
        self._told.problems.append(Problem(section.place(path), field, reason, nearest))


def _is_text(value: str, *, has_lines: bool) -> bool:
    lines = value.splitlines() if has_lines else [value]
    return bool(value.strip() if has_lines else value) and all(line.isprintable() for line in lines)


def _listed(choices: Sequence[str]) -> str:
    if not choices:
        return "a name, but there is none"
    return ", ".join(choices[:-1]) + (" or " if len(choices) > 1 else "") + choices[-1]
