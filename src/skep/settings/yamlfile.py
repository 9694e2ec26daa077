"""A YAML text as a small tree in which every value knows its line.

Built from the parser's events instead of its objects, because those forget lines, keep the last of two equal keys, follow
aliases (a short file can grow without bound) and turn ``no`` into False. Nothing is converted here except by ``plain_value``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

MAX_DEPTH = 32
"""Deepest nesting; a real file has about five levels."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word or text. Lines and columns count from 1, here and below."""

    text: str
    plain: bool
    """Written without quotes."""
    line: int
    column: int

    @property
    def is_null(self) -> bool:
        """Nothing at all, or the word for it."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list, in brackets or with dashes."""

    items: tuple[Node, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class MapNode:
    """Names with values; no name comes twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that was already reported; whoever meets it passes by."""

    line: int
    column: int


Node = Scalar | ListNode | MapNode | Broken


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the text, and where. ``field`` is the dotted path there, empty at the top."""

    field: str
    reason: str
    line: int
    column: int


def read_yaml(text: str) -> tuple[Node | None, list[Fault]]:
    """The tree (None when the text is empty or not YAML) and everything that is wrong with it as YAML."""
    import yaml  # Costs 30 ms, and without a settings file nobody needs it.

    faults: list[Fault] = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = cast("Iterator[_Event]", yaml.parse(text, Loader=loader))
        return _Builder(events, faults).document(), faults
    except _HopelessError:
        return None, faults
    except yaml.YAMLError as exc:
        return None, [*faults, _syntax_fault(text, exc)]


def plain_value(scalar: Scalar) -> bool | int | float | str | None:
    """What a word means by itself (the core schema of YAML 1.2.2, chapter 10.3.2): ``no`` and ``1:30`` are text."""
    text = scalar.text
    if not scalar.plain:
        return text
    if scalar.is_null:
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]{1,300}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return text


class _HopelessError(Exception):
    """The rest of the text cannot be read; the reason is already among the faults."""


class _Mark(Protocol):
    line: int
    """From 0."""
    column: int


class _Event(Protocol):
    """An event of the parser, as far as it is looked at here; which fields there are depends on its class."""

    start_mark: _Mark
    anchor: str | None
    tag: str | None
    value: str
    style: str | None
    """The quote or block mark of a scalar; empty or None without one."""


class _Builder:
    """Turns parser events into nodes. ``faults`` grows. Events are told apart by name because yaml is imported late."""

    def __init__(self, events: Iterator[_Event], faults: list[Fault]) -> None:
        self._events = events
        self._faults = faults

    def document(self) -> Node | None:
        """The only document of the stream, or None when there is none."""
        root: Node | None = None
        count = 0
        for event in self._events:
            if type(event).__name__ == "DocumentStartEvent":
                count += 1
                if count > 1:
                    self._fault(event, "", "a second document starts here (---); a settings file is one document")
                    raise _HopelessError
                root = self._node(next(self._events), (), 0)
        return root

    def _node(self, event: _Event, path: tuple[str, ...], depth: int) -> Node:
        line, column = _place(event)
        kind = type(event).__name__
        field = ".".join(path)
        if depth > MAX_DEPTH:
            self._fault(event, "", f"nested more than {MAX_DEPTH} levels deep")
            raise _HopelessError
        if kind == "AliasEvent":
            self._fault(event, field, f"aliases (*{event.anchor}) are not allowed; write the value out")
            return Broken(line, column)
        if event.tag is not None:
            self._fault(event, field, "YAML tags (words that start with !) have no meaning here; remove it")
        if kind == "SequenceStartEvent":
            return ListNode(tuple(self._items(path, depth)), line, column)
        if kind == "MappingStartEvent":
            return MapNode(tuple(self._entries(path, depth)), line, column)
        return Scalar(event.value, not event.style, line, column)

    def _items(self, path: tuple[str, ...], depth: int) -> Iterator[Node]:
        for event in self._events:
            if type(event).__name__ == "SequenceEndEvent":
                return
            yield self._node(event, path, depth + 1)

    def _entries(self, path: tuple[str, ...], depth: int) -> Iterator[tuple[Scalar, Node]]:
        first_lines: dict[str, int] = {}
        for event in self._events:
            if type(event).__name__ == "MappingEndEvent":
                return
            key = self._node(event, path, depth + 1)
            if not isinstance(key, Scalar):
                self._fault(event, ".".join(path), "a name must be a single word here")
                self._node(next(self._events), path, depth + 1)
                continue
            value = self._node(next(self._events), (*path, key.text), depth + 1)
            if key.text in first_lines:
                reason = f"said twice; it already stands on line {first_lines[key.text]}"
                self._fault(event, ".".join((*path, key.text)), reason)
            else:
                first_lines[key.text] = key.line
                yield key, value

    def _fault(self, event: _Event, field: str, reason: str) -> None:
        self._faults.append(Fault(field, reason, *_place(event)))


def _place(event: _Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


_EXPLANATIONS = {
    "mapping values are not allowed in this context": "a second ': ' on this line, or a line that is indented too far; "
    "put text that contains ': ' in quotes",
    "found character that cannot start any token": "a value cannot start with this character; put it in quotes",
    "could not find expected ':'": "a name without a ': ' after it",
    "did not find expected key": "this line does not fit the ones above; look at its indentation and at open brackets or quotes",
    "found unexpected end of stream": "a quote that is opened is never closed",
}
"""What the parser says, in words that name the usual cause."""


def _syntax_fault(text: str, exc: Exception) -> Fault:
    """The parser's error as a fault. The line itself is not repeated: it may hold a password."""
    mark = getattr(exc, "context_mark", None)
    problem = str(getattr(exc, "problem", None) or getattr(exc, "reason", exc))
    if "end of stream" not in problem or mark is None:
        # An open quote is found at the end of the file; where it was opened is what helps. Else it is the other way round.
        mark = getattr(exc, "problem_mark", None) or mark
    if mark is None:
        # An unreadable character; its position counts bytes.
        before = text.encode()[: getattr(exc, "position", 0)].decode(errors="ignore")
        return Fault("", f"not valid YAML: {problem}", before.count("\n") + 1, len(before) - before.rfind("\n"))
    lines = text.split("\n")
    source = lines[mark.line] if mark.line < len(lines) else ""
    indentation = source[: len(source) - len(source.lstrip())]
    if "\t" in indentation:
        return Fault("", "indented with a tab; YAML allows only spaces", mark.line + 1, indentation.index("\t") + 1)
    return Fault("", f"not valid YAML: {_EXPLANATIONS.get(problem, problem)}", mark.line + 1, mark.column + 1)
