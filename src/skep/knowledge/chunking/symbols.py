"""The definitions of a file, found by walking down only those nodes that can hold one.

Measured on 20 MB of Python: this walk 0.19 s, a compiled tree-sitter query for the same 0.54 s (it visits every node).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from skep.knowledge.chunking.language import Definition, Found, Grammar, Scope
from skep.knowledge.models import Symbol

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_DEPTH = 200
"""Nodes between the file and a definition; real code stays below 60. Keeps qualified names, whose length grows with it,
from filling the memory on hostile input."""

_MAX_NAME_CHARS = 200
_MAX_QUALIFIED_CHARS = 1_000

_SCOPES: dict[str, Scope] = {"function": "function", "method": "function", "module": "module"}
"""What the inside of a definition is; of every other kind, ``class``."""


class SymbolSpan(NamedTuple):
    """A symbol and the bytes it covers."""

    start: int
    end: int
    symbol: Symbol


class _Visit(NamedTuple):
    node: Node
    node_type: str
    prefix: str
    scope: Scope
    depth: int


def find_symbols(root: Node, grammar: Grammar, data: bytes) -> list[SymbolSpan]:
    """Every definition below ``root``, outer before inner, in file order."""
    found: list[SymbolSpan] = []
    pending = [_Visit(root, "", "", "module", 0)]
    while pending:
        node, node_type, prefix, scope, depth = pending.pop()
        rule = grammar.definitions.get(node_type) or grammar.values.get(node_type)
        if rule is not None:
            definitions = [definition for definition in rule(node, scope, data) if _is_sane(definition, prefix)]
            spans = [_span(definition, prefix) for definition in definitions]
            found.extend(span for span in spans if span.symbol.kind)
            if spans:
                prefix = spans[0].symbol.qualified_name + "."
                scope = _SCOPES.get(spans[0].symbol.kind, "class")
                node = definitions[0].inside or node
        if node_type in _FUNCTION_VALUES:
            scope = "function"
        if depth < _MAX_DEPTH:
            wanted = grammar.visited[scope]
            pending.extend(
                _Visit(child, child_type, prefix, scope, depth + 1)
                for child in reversed(node.children)
                if (child_type := child.type) in wanted
            )
    return found


_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function", "statement_block"})
"""Nodes whose inside runs, also when they have no name of their own."""


def _is_sane(definition: Found, prefix: str) -> bool:
    """Whether a name is one: not empty, not a whole line of broken code taken for a name."""
    length = len(definition.name)
    fits = length <= _MAX_NAME_CHARS and len(prefix) + len(definition.owner) + length <= _MAX_QUALIFIED_CHARS
    return length > 0 and fits and "\n" not in definition.name and "\n" not in definition.owner


def _span(definition: Found, prefix: str) -> SymbolSpan:
    node = definition.node
    owner = definition.owner + "." if definition.owner else ""
    last_row, last_column = node.end_point
    symbol = Symbol(
        name=definition.name,
        qualified_name=prefix + owner + definition.name,
        kind=definition.kind,
        start_line=node.start_point[0] + 1,
        # Some nodes, such as C macros, hold the end of their line: they end before the first column of the next.
        end_line=max(node.start_point[0], last_row - (last_column == 0)) + 1,
    )
    return SymbolSpan(node.start_byte, node.end_byte, symbol)


def spans_of(definitions: Sequence[Definition], data: bytes) -> list[SymbolSpan]:
    """Definitions found without a tree as symbols. ``definitions`` are in file order."""
    found: list[SymbolSpan] = []
    line, position = 1, 0
    for name, kind, start, end, owner in definitions:
        if not 0 < len(name) <= _MAX_NAME_CHARS or len(owner) > _MAX_QUALIFIED_CHARS - _MAX_NAME_CHARS:
            continue
        line += data.count(b"\n", position, start)
        position = start
        last = line + data[start:end].rstrip().count(b"\n")
        qualified = f"{owner}.{name}" if owner else name
        found.append(SymbolSpan(start, end, Symbol(name, qualified, kind, line, last)))
    return found


def symbols_of_spans(spans: Sequence[tuple[int, int]], symbols: Sequence[SymbolSpan]) -> list[str]:
    """For each stretch of bytes (rising, not overlapping) the qualified name of the definition that starts in it first,
    else of the innermost around its start, else an empty string. ``symbols`` are outer before inner, in file order.
    """
    names: list[str] = []
    around: list[SymbolSpan] = []
    following = 0
    for start, end in spans:
        first: SymbolSpan | None = None
        while around and around[-1].end <= start:
            around.pop()
        enclosing = around[-1] if around else None
        while following < len(symbols) and symbols[following].start < end:
            span = symbols[following]
            if first is None and span.start >= start:
                first = span
            while around and around[-1].end <= span.start:
                around.pop()
            around.append(span)
            following += 1
        named = first or enclosing
        names.append(named.symbol.qualified_name if named else "")
    return names
