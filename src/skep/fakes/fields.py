"""Reading a script: tables of names, each with its reader, over a tree whose values know their lines.

The same tables make the reference page, so that it cannot say anything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from skep.settings import Broken, ListNode, MapNode, Node, Origin, Problem, Scalar, nearest_word, plain_value

T = TypeVar("T")


class WrongValueError(Exception):
    """A value does not suit its name; inside this package only."""

    def __init__(self, reason: str, nearest: str = "", node: Node | None = None) -> None:
        self.reason = reason
        self.nearest = nearest
        self.node = node
        super().__init__(reason)


@dataclass(slots=True)
class Reading:
    """The problems found so far in one file."""

    path: Path
    problems: list[Problem] = field(default_factory=list)

    def problem(self, node: Node, name: str, reason: str, nearest: str = "") -> None:
        """Note a problem at a node."""
        self.problems.append(Problem(Origin("file", self.path, node.line, node.column), name, reason, nearest))


Reader = Callable[[Reading, Node, str], Any]
"""Takes a node and the dotted name of its place; returns the value. Raises WrongValueError."""


@dataclass(frozen=True, slots=True)
class Field:
    """A name that may stand in a mapping."""

    name: str
    kind: str
    """What may stand there, in words."""
    default: str
    """What it is when it is left out, in words."""
    about: str
    read: Reader


def read_fields(reading: Reading, node: Node, place: str, fields: Sequence[Field]) -> dict[str, Any]:
    """The values of the names that are there; each wrong one is noted and left out. Raises WrongValueError: no mapping."""
    if isinstance(node, Scalar) and node.is_null:
        return {}
    if not isinstance(node, MapNode):
        raise WrongValueError("expected names with values")
    table = {row.name: row for row in fields}
    values: dict[str, Any] = {}
    for key, value in node.entries:
        name = f"{place}.{key.text}" if place else key.text
        row = table.get(key.text)
        if row is None:
            reading.problem(key, name, "there is no such word here", nearest_word(key.text, list(table)))
        elif not isinstance(value, Broken):
            values.update((row.name, found) for found in take(reading, value, name, row.read))
    return values


def take(reading: Reading, node: Node, name: str, read: Reader) -> tuple[Any, ...]:
    """The value, alone; or nothing, when it is wrong, which is noted."""
    try:
        return (read(reading, node, name),)
    except WrongValueError as error:
        reading.problem(error.node or node, name, error.reason, error.nearest)
        return ()


def read_list(read: Reader) -> Reader:
    """A list of values; a single one stands for itself."""

    def read_items(reading: Reading, node: Node, name: str) -> tuple[Any, ...]:
        if not isinstance(node, ListNode):
            return (read(reading, node, name),)
        found: list[Any] = []
        for index, item in enumerate(node.items):
            found += take(reading, item, f"{name}.{index + 1}", read)
        return tuple(found)

    return read_items


def read_mapping(read: Reader) -> Reader:
    """Any names, with values of one kind."""

    def read_entries(reading: Reading, node: Node, name: str) -> dict[str, Any]:
        if not isinstance(node, MapNode):
            raise WrongValueError("expected names with values")
        found: dict[str, Any] = {}
        for key, value in node.entries:
            found.update((key.text, one) for one in take(reading, value, f"{name}.{key.text}", read))
        return found

    return read_entries


def read_text(_: Reading, node: Node, __: str) -> str:
    """A text; numbers and words such as `true` are taken as they are written."""
    if not isinstance(node, Scalar) or node.is_null:
        raise WrongValueError("expected a text")
    return node.text


def read_flag(_: Reading, node: Node, __: str) -> bool:
    """`true` or `false`."""
    value = _plain(node)
    if not isinstance(value, bool):
        raise WrongValueError("expected true or false", nearest_word(_said(node), ("true", "false")))
    return value


def read_whole(low: int, high: int) -> Reader:
    """A whole number within bounds."""

    def read(_: Reading, node: Node, __: str) -> int:
        value = _plain(node)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise WrongValueError(f"expected a whole number from {low} to {high}")
        return value

    return read


def read_number(low: float, high: float) -> Reader:
    """A number within bounds."""

    def read(_: Reading, node: Node, __: str) -> float:
        value = _plain(node)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise WrongValueError(f"expected a number from {low:g} to {high:g}")
        return float(value)

    return read


def read_choice(choices: Iterable[str]) -> Reader:
    """One of some words."""
    known = tuple(choices)

    def read(_: Reading, node: Node, __: str) -> str:
        text = _said(node)
        if text not in known:
            raise WrongValueError(f"expected one of {', '.join(known)}", nearest_word(text, known))
        return text

    return read


_RANGE = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*-\s*(\d{1,9}(?:\.\d{1,6})?)\s*")


def read_pair(_: Reading, node: Node, __: str) -> tuple[float, float]:
    """A number, or two with a dash between: `20-80`."""
    value = _plain(node)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value):
        return float(value), float(value)
    match = _RANGE.fullmatch(_said(node))
    if match is None or float(match[1]) > float(match[2]):
        raise WrongValueError("expected a number or a range, such as 20-80")
    return float(match[1]), float(match[2])


_CALLS = re.compile(r"(\d{1,9})(-(\d{1,9})?)?")


def read_calls(_: Reading, node: Node, __: str) -> tuple[int, int | None]:
    """`3`, `2-5` or `4-`: numbers of calls, from 1."""
    match = _CALLS.fullmatch(_said(node).replace(" ", ""))
    if match is not None:
        first = int(match[1])
        last = first if match[2] is None else int(match[3]) if match[3] else None
        if first >= 1 and (last is None or last >= first):
            return first, last
    raise WrongValueError("expected numbers of calls, such as 3, 2-5 or 4-")


def read_any(_: Reading, node: Node, __: str) -> object:
    """Whatever stands there, as JSON has it."""
    return as_json(node)


def as_json(node: Node) -> object:
    """The node as plain values."""
    if isinstance(node, MapNode):
        return {key.text: as_json(value) for key, value in node.entries}
    if isinstance(node, ListNode):
        return [as_json(item) for item in node.items]
    return plain_value(node) if isinstance(node, Scalar) else None


def read_table(fields: Sequence[Field], build: Callable[[Mapping[str, Any]], T]) -> Callable[[Reading, Node, str], T]:
    """A mapping with the names of a table, made into an object."""

    def read(reading: Reading, node: Node, name: str) -> T:
        return build(read_fields(reading, node, name, fields))

    return read


def _plain(node: Node) -> object:
    return plain_value(node) if isinstance(node, Scalar) else None


def _said(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""
