"""Lua."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of

if TYPE_CHECKING:
    from tree_sitter import Node


def _split(text: str) -> tuple[str, str]:
    """``M.sub:name`` as (``M.sub``, ``name``); ("", "") when a part is computed."""
    parts = "".join(text.split()).replace(":", ".").split(".")
    return (".".join(parts[:-1]), parts[-1]) if all(part.isidentifier() for part in parts) else ("", "")


def _function(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    owner, name = _split(name_of(node.child_by_field_name("name"), data))
    if name:
        yield Found(name, "method" if owner else "function", node, owner)


def _assignment(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``name = function() end`` anywhere, other values in the file itself; what comes from ``require`` is an import."""
    if node.named_child_count < 2:
        return
    targets, values = node.named_children[0].named_children, node.named_children[1].named_children
    for target, value in zip(targets, values, strict=False):
        owner, name = _split(name_of(target, data))
        is_import = value.type == "function_call" and data.startswith(b"require", value.start_byte)
        if name and value.type == "function_definition":
            yield Found(name, "method" if owner else "function", node, owner, inside=value)
        elif name and scope == "module" and not is_import:
            yield Found(name, "constant", node, owner, inside=value)


def _field(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``{ key = function() end }``."""
    value, key = node.child_by_field_name("value"), node.child_by_field_name("name")
    name = name_of(key, data).strip("'\"")
    if value is not None and value.type == "function_definition" and name.isidentifier():
        yield Found(name, "method", node, inside=value)


LANGUAGE = Language(
    name="lua",
    kind="code",
    extensions=(".lua", ".luau"),
    shebangs=("lua", "luajit"),
    grammar=Grammar(
        module="tree_sitter_lua",
        definitions={"assignment_statement": _assignment, "field": _field, "function_declaration": _function},
        containers=frozenset(
            {
                "arguments",
                "block",
                "do_statement",
                "else_statement",
                "elseif_statement",
                "expression_list",
                "function_call",
                "function_definition",
                "if_statement",
                "return_statement",
                "table_constructor",
                "variable_declaration",
                "ERROR",
            }
        ),
    ),
)
