"""JavaScript with JSX; TypeScript starts from the tables here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Rule, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function", "function"})
"""Values that are functions; ``function`` is how older code for ``function_expression`` still parses."""


_EXPORTS = frozenset({"exports", "module.exports"})
_OUTER = re.compile(r"^(?:(?:module\.)?exports|this|self|window|globalThis|global)\.")
"""Owners that say nothing about the name."""


def _value_kind(value: Node) -> str:
    """What a name becomes by getting this value, as in ``Symbol.kind``."""
    if value.type in FUNCTIONS:
        return "function"
    return "class" if value.type == "class" else "constant"


def _declarator(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``const name = value``: functions and classes anywhere, other values outside functions; imports never."""
    target, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if target is None or value is None or target.type != "identifier":
        return
    kind = _value_kind(value)
    is_import = data.startswith(b"require(", value.start_byte)
    if kind != "constant" or (scope != "function" and not is_import):
        yield Found(name_of(target, data), kind, node, inside=value)


def _member(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``key: function () {}`` in an object, ``key = () => {}`` in a class."""
    value = node.child_by_field_name("value")
    if value is not None and value.type in FUNCTIONS:
        key = (
            node.child_by_field_name("key") or node.child_by_field_name("property") or node.child_by_field_name("name")
        )
        yield Found(name_of(key, data).strip("'\""), "method", node, inside=value)


def _assigned(target: str, kind: str, scope: Scope) -> tuple[str, str, str] | None:
    """(kind, owner, name) of what an assignment to ``target`` defines; None when it only changes something."""
    owner, _, name = target.rpartition(".")
    if not name.replace("$", "_").isidentifier():
        return None  # computed: app[method]
    if owner in _EXPORTS:
        return (kind, "", name) if kind != "constant" or scope == "module" else None
    if kind == "constant" or name == "exports":
        return None
    owner = _OUTER.sub("", owner + ".").removesuffix(".").removesuffix(".prototype")
    return ("method" if owner and kind == "function" else kind, owner, name)


def _assignment(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``exports.name = value``, ``app.use = function``, ``Foo.prototype.bar = function``, and chains of them."""
    targets: list[str] = []
    value: Node | None = node
    while value is not None and value.type == "assignment_expression":
        targets.append("".join(name_of(value.child_by_field_name("left"), data).split()))
        value = value.child_by_field_name("right")
    if value is None:
        return
    kind = _value_kind(value)
    found = [assigned for target in targets if (assigned := _assigned(target, kind, scope))]
    own_name = name_of(value.child_by_field_name("name"), data) if kind != "constant" else ""
    if not found and own_name and not _EXPORTS.isdisjoint(targets):
        found = [(kind, "", own_name)]  # module.exports = function name() {}
    for found_kind, owner, name in found:
        yield Found(name, found_kind, node, owner, inside=value)


DEFINITIONS: Mapping[str, Rule] = {
    "function_declaration": named("function"),
    "generator_function_declaration": named("function"),
    "class_declaration": named("class"),
    "method_definition": named("method"),
    "variable_declarator": _declarator,
    "field_definition": _member,
    "pair": _member,
    "assignment_expression": _assignment,
    "function_expression": named("function"),
}

CONTAINERS = frozenset(
    {
        "arguments",
        "array",
        "arrow_function",
        "call_expression",
        "catch_clause",
        "class",
        "class_body",
        "class_static_block",
        "else_clause",
        "ERROR",
        "export_statement",
        "expression_statement",
        "finally_clause",
        "for_in_statement",
        "for_statement",
        "if_statement",
        "lexical_declaration",
        "new_expression",
        "object",
        "parenthesized_expression",
        "return_statement",
        "statement_block",
        "try_statement",
        "unary_expression",
        "variable_declaration",
    }
)

LANGUAGE = Language(
    name="javascript",
    kind="code",
    extensions=(".js", ".jsx", ".mjs", ".cjs", ".es6"),
    file_names=("jakefile",),
    shebangs=("node", "nodejs", "bun"),
    grammar=Grammar(
        module="tree_sitter_javascript",
        definitions=DEFINITIONS,
        containers=CONTAINERS,
        leads=frozenset({"comment", "decorator"}),
    ),
)
