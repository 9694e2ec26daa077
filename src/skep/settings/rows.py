"""The rows of the table in ``models.py``, and how what was written becomes a row's value."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from skep.settings.models import Settings
from skep.settings.vocabulary import FACTS, Facts, Secret

Kind = Literal["text", "path", "secret", "integer", "boolean", "list", "choice"]

UNITS = ("bytes", "seconds", "minutes", "days")
"""A name that ends with one of these has it as its unit."""

NULLS = ("", "null", "none", "~")
"""Words for None, where a row may be None."""

TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")

# Python refuses to read very long numbers; none of ours has more than ten digits.
_INTEGER = re.compile(r"[+-]?[0-9][0-9_]{0,17}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN_CHARACTERS = 40


class RejectedError(Exception):
    """A value does not suit its row; inside this package only."""

    def __init__(self, reason: str, nearest: str = "") -> None:
        self.reason = reason
        self.nearest = nearest
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: what ``models.py`` says about it, in one flat object."""

    section: str
    """Empty for a setting at the top level."""
    field: str
    kind: Kind
    optional: bool
    """Whether it may be None."""
    default: object
    """None as well when the default depends on the machine; then ``facts.default_words`` says it."""
    choices: tuple[str, ...]
    facts: Facts

    @property
    def name(self) -> str:
        """With its section, as in ``server.port``."""
        return f"{self.section}.{self.field}" if self.section else self.field

    @property
    def variable(self) -> str:
        """The environment variable that every setting has."""
        return "SKEP_" + self.name.replace(".", "_").upper()

    @property
    def variables(self) -> tuple[str, ...]:
        """All its environment variables, the one to recommend first."""
        return (self.facts.variable, self.variable) if self.facts.variable else (self.variable,)

    @property
    def unit(self) -> str:
        """Empty for numbers without a unit, and for what is no number."""
        return next((unit for unit in UNITS if self.field.endswith(f"_{unit}")), "")

    @property
    def expected(self) -> str:
        """What may stand there, in words: ``a whole number of seconds from 0 to 60``."""
        if self.kind == "integer":
            unit = f" of {self.unit}" if self.unit else ""
            return f"a whole number{unit} from {self.facts.minimum} to {self.facts.maximum}"
        words = {"path": "a path", "boolean": "true or false", "list": 'a list such as ["a", "b"]'}
        return (
            ", ".join(self.choices[:-1]) + f" or {self.choices[-1]}"
            if self.kind == "choice"
            else words.get(self.kind, "text")
        )

    @property
    def default_text(self) -> str:
        """The default as it stands in a settings file, or in words."""
        return self.facts.default_words or shown(self.default)

    @property
    def meanings(self) -> str:
        """What 0 and null mean, or an empty string when they mean nothing of their own."""
        parts = (
            f"0: {self.facts.zero}" if self.facts.zero else "",
            f"null: {self.facts.none}" if self.optional else "",
        )
        return "; ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What relative paths in a value start from."""

    folder: Path
    home: Path | None
    """For ``~``; None when this user has no home folder."""


@cache
def all_rows() -> tuple[Row, ...]:
    """Every setting, in the order of the table."""
    rows: list[Row] = []
    for name, section in sections().items():
        hints = get_type_hints(section)
        for each in fields(section):
            if FACTS in each.metadata:
                default = None if each.default is MISSING else each.default
                rows.append(_row(name, each.name, hints[each.name], default, each.metadata[FACTS]))
    return tuple(rows)


@cache
def sections() -> dict[str, type[Any]]:
    """The dataclass of each section by name; the top level is the section without a name."""
    hints = get_type_hints(Settings)
    nested = {each.name: hints[each.name] for each in fields(Settings) if is_dataclass(hints[each.name])}
    return {"": Settings, **nested}


@cache
def rows_by_name() -> dict[str, Row]:
    """Every setting by its dotted name."""
    return {row.name: row for row in all_rows()}


def _row(section: str, name: str, hint: object, default: object, facts: Facts) -> Row:
    optional = get_origin(hint) is UnionType
    if optional:
        hint = next(part for part in get_args(hint) if part is not type(None))
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kinds: dict[object, Kind] = {str: "text", Path: "path", Secret: "secret", int: "integer", bool: "boolean"}
    kind: Kind = "choice" if choices else "list" if get_origin(hint) is tuple else kinds[hint]
    return Row(section, name, kind, optional, default, choices, facts)


def shown(value: object) -> str:
    """A value as it stands in a settings file. A secret is stars."""
    if isinstance(value, tuple):
        return json.dumps(list(value), ensure_ascii=False)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return str(value)


def from_object(row: Row, value: object, anchor: Anchor) -> object:
    """The row's value from a Python object, as the command line hands it over. Raises RejectedError."""
    if isinstance(value, str | Path):
        return from_text(row, str(value), anchor)
    if row.kind == "integer" and isinstance(value, int) and not isinstance(value, bool):
        return _within_bounds(row, value)
    if row.kind == "boolean" and isinstance(value, bool):
        return value
    if row.kind == "list" and isinstance(value, Sequence):
        return from_items(row, value)
    raise RejectedError(f"expected {row.expected}, got {type(value).__name__}")


def from_text(row: Row, text: str, anchor: Anchor, *, said: str = "") -> object:
    """The row's value from text that has no type of its own: a variable, an option, an unquoted word. Raises RejectedError.

    ``said`` replaces the text itself in the reason.
    """
    if row.optional and text.strip().lower() in NULLS:
        return None
    said = said or _quoted(text)
    if row.kind == "integer":
        return _integer(row, text.strip(), said)
    if row.kind == "boolean":
        return _boolean(row, text.strip().lower(), said)
    if row.kind == "list":
        return from_items(row, _split(row, text.strip()))
    return from_written_text(row, text, anchor, said=said)


def from_written_text(row: Row, text: str, anchor: Anchor, *, said: str = "") -> object:
    """The row's value from something that can only be meant as text, such as a quoted word. Raises RejectedError."""
    said = said or _quoted(text)
    if row.kind in ("integer", "boolean", "list"):
        raise RejectedError(f"expected {row.expected}, got the text {said}; remove the quotes")
    if not text:
        raise RejectedError(f"expected {row.expected}, got nothing")
    if _CONTROL.search(text):
        raise RejectedError("must not contain line breaks or other control characters")
    if row.kind == "choice" and text not in row.choices:
        raise RejectedError(f"expected {row.expected}, got {said}", nearest_word(text, row.choices))
    if row.kind == "path":
        return _path(text, anchor)
    return Secret(text) if row.kind == "secret" else text


def from_items(row: Row, items: Sequence[object]) -> tuple[str, ...]:
    """The value of a list row. Raises RejectedError."""
    if row.kind != "list":
        raise RejectedError(f"expected {row.expected}, got a list")
    texts = tuple(item for item in items if isinstance(item, str) and item)
    if len(texts) < len(items):
        raise RejectedError(f"expected {row.expected}, got an entry that is not text")
    if any(_CONTROL.search(text) for text in texts):
        raise RejectedError("entries must not contain line breaks or other control characters")
    return texts


def nearest_word(word: str, candidates: Sequence[str]) -> str:
    """The candidate that looks most like the word, or an empty string when none does."""
    from difflib import get_close_matches  # Only people who mistyped pay for it.

    plain = {candidate.lower(): candidate for candidate in candidates}
    matches = get_close_matches(word.lower().replace("-", "_"), list(plain), n=1, cutoff=0.6)
    return plain[matches[0]] if matches else ""


def _integer(row: Row, text: str, said: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise RejectedError(f"expected {row.expected}, got {said}")
    return _within_bounds(row, int(text.rstrip("_").replace("_", "")), said)


def _within_bounds(row: Row, number: int, said: str = "") -> int:
    low, high = row.facts.minimum, row.facts.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise RejectedError(f"expected {row.expected}, got {said or number}")
    return number


def _boolean(row: Row, text: str, said: str) -> bool:
    if text not in TRUE_WORDS + FALSE_WORDS:
        raise RejectedError(f"expected {row.expected}, got {said}", nearest_word(text, ("true", "false")))
    return text in TRUE_WORDS


def _split(row: Row, text: str) -> Sequence[object]:
    """A list written in one text: a JSON array, or parts with commas between them."""
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise RejectedError(f"expected {row.expected}, got something like a list that is not JSON") from None
    return items if isinstance(items, list) else [items]


def _path(text: str, anchor: Anchor) -> Path:
    if not text.startswith("~"):
        return anchor.folder / text
    head, _, rest = text.partition("/")
    if head != "~":
        raise RejectedError("only ~/ for your own home folder is understood, not the homes of others")
    if anchor.home is None:
        raise RejectedError("this user has no home folder that ~ could stand for")
    return anchor.home / rest


def _quoted(text: str) -> str:
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 3] + "..."
    return repr(text)
