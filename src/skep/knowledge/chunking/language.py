"""What a language is to the chunker: one frozen row, and the vocabulary its file is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from re import Pattern
from typing import TYPE_CHECKING, Literal, NamedTuple

from skep.knowledge.models import Kind

if TYPE_CHECKING:  # the parser is loaded with the first file that needs it, never by an import
    from tree_sitter import Node

Scope = Literal["module", "class", "function"]
"""Where the walk over a tree is: at file level, among the members of something, or inside a body that runs."""


class Found(NamedTuple):
    """A definition as a rule saw it in one node."""

    name: str
    kind: str
    """As in ``Symbol.kind``; empty for a node that only names a scope, such as a Rust ``impl``."""
    node: Node
    """The node whose lines are the lines of the symbol."""
    owner: str = ""
    """Names the node itself puts in front, joined by ``.``: ``Foo`` for C++ ``void Foo::bar()``."""
    inside: Node | None = None
    """The node among whose children to look for members; None: ``node``."""


Rule = Callable[["Node", Scope, bytes], Iterable[Found]]
"""Reads a node of its type: (node, scope around it, the file's bytes) -> what it defines. What lies inside the node is
then qualified by the first definition found."""


class Definition(NamedTuple):
    """A definition found without a tree. Offsets in bytes; ``owner`` as in ``Found``."""

    name: str
    kind: str
    start: int
    end: int
    owner: str = ""


class Cell(NamedTuple):
    """One cell of a notebook, without what running it put out."""

    text: str
    lines: list[int]
    """For each line of ``text`` the line of the file that holds it, from 1."""
    language: str
    """Name from the registry; empty for a cell that is neither prose nor code."""


class Outline(NamedTuple):
    """What is known of a file without a tree."""

    starts: list[int]
    """Offsets at which the parts of the file start that should stay whole, rising."""
    definitions: list[Definition]
    """Outer before inner, in file order."""


class Heading(NamedTuple):
    """A heading in prose. ``line`` is the index (from 0) of the line its section starts with; level 1 is the top."""

    line: int
    level: int
    title: str


@dataclass(frozen=True, eq=False)
class Grammar:
    """A tree-sitter grammar and the node types that matter in it. Names of node types are the grammar's own."""

    module: str
    """Import name of the wheel."""
    definitions: Mapping[str, Rule]
    """Node types that may define something wherever they stand."""
    values: Mapping[str, Rule] = field(default_factory=dict)
    """Node types that define something unless they stand in a function: local variables are no symbols."""
    containers: frozenset[str] = frozenset()
    """Node types to look through for definitions."""
    leads: frozenset[str] = frozenset({"comment"})
    """Node types that belong to the sibling after them: comments, attributes."""
    function: str = "language"
    """The function of ``module`` that gives the grammar."""
    dense_mark: tuple[bytes, int] | None = None
    """(character, most of them between two of ``;{}`` that are still parsed): for a mark in whose number the grammar is
    quadratic. None: there is none known."""
    is_ascii_only: bool = False
    """Whether the grammar's scanner must not see other characters; it is shown letters in their place."""
    visited: Mapping[Scope, frozenset[str]] = field(init=False)
    """Derived: the node types worth a visit in each scope."""

    def __post_init__(self) -> None:
        inside = self.containers | self.definitions.keys()
        outside = inside | self.values.keys()
        object.__setattr__(self, "visited", {"module": outside, "class": outside, "function": inside})


@dataclass(frozen=True, eq=False)
class Language:
    """One row of the registry. Extensions, file names and shebang words are in lower case, extensions with their dot."""

    name: str
    kind: Kind
    extensions: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()
    shebangs: tuple[str, ...] = ()
    """Interpreters without path and version: ``python`` for ``#!/usr/bin/env python3.11``."""
    grammar: Grammar | None = None
    """None: no syntax tree; cut by headings or by lines."""
    headings: Callable[[list[str]], list[Heading]] | None = None
    """Finds the headings among the lines of a file: titles in prose, keys in configuration. They give the heading paths,
    and the cuts where there is no grammar. None: not divided by headings."""
    outline: Callable[[bytes], Outline] | None = None
    """Finds parts and definitions where there is no grammar. None: none but lines."""
    cells: Callable[[bytes, str], list[Cell] | None] | None = None
    """For notebooks: the cells of a file, None when it has none. Only they are cut, one after the other."""
    rival: tuple[Pattern[str], str] | None = None
    """(pattern, name of another language): a text in which the pattern occurs is written in that one. For extensions
    that two languages share."""


def name_of(node: Node | None, data: bytes) -> str:
    """The source text of a node, for a name; empty when there is no node."""
    return "" if node is None else data[node.start_byte : node.end_byte].decode("utf-8", "surrogatepass")


def named(kind: str, *, member: str = "", field_name: str = "name") -> Rule:
    """The common rule: the node's name is one of its fields.

    ``member`` is the kind when the node stands among the members of something; empty when it is the same.
    """

    def rule(node: Node, scope: Scope, data: bytes) -> Iterable[Found]:
        name = name_of(node.child_by_field_name(field_name), data)
        return (Found(name, member if member and scope == "class" else kind, node),) if name else ()

    return rule


def dotted(kind: str, *, separator: str = ".", needs_body: bool = False) -> Rule:
    """The rule for names that may be paths: ``namespace A.B { }`` is ``B``, owned by ``A``.

    With ``needs_body`` a node without one, which stands for the whole rest of the file, is no definition.
    """

    def rule(node: Node, _scope: Scope, data: bytes) -> Iterable[Found]:
        if needs_body and node.child_by_field_name("body") is None:
            return ()
        text = "".join(name_of(node.child_by_field_name("name"), data).split())
        owner, _, name = text.rpartition(separator)
        return (Found(name, kind, node, owner.strip(separator).replace(separator, ".")),) if name else ()

    return rule
