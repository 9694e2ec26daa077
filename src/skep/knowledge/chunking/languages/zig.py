"""Zig."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_KINDS = {
    "enum_declaration": "enum",
    "error_set_declaration": "enum",
    "opaque_declaration": "struct",
    "struct_declaration": "struct",
    "union_declaration": "struct",
}


def _variable(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``const Name = struct {}``, and other values outside functions; what comes from ``@import`` defines nothing."""
    children = node.children
    if not any(child.type in {"const", "var"} for child in children):
        return  # an assignment: the grammar has one node type for both
    target = next((child for child in children if child.type == "identifier"), None)
    value = node.named_children[-1]
    kind = _KINDS.get(value.type, "constant")
    is_import = data.startswith(b"@import", value.start_byte)
    if target is not None and value != target and not is_import and (kind != "constant" or scope != "function"):
        yield Found(name_of(target, data), kind, node)


LANGUAGE = Language(
    name="zig",
    kind="code",
    extensions=(".zig", ".zon"),
    shebangs=("zig",),
    grammar=Grammar(
        module="tree_sitter_zig",
        definitions={
            "function_declaration": named("function", member="method"),
            "variable_declaration": _variable,
        },
        containers=frozenset(
            {
                "block",
                "comptime_declaration",
                "enum_declaration",
                "expression_statement",
                "opaque_declaration",
                "return_expression",
                "struct_declaration",
                "union_declaration",
                "ERROR",
            }
        ),
    ),
)
