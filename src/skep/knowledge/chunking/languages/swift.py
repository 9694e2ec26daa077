"""Swift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_KINDS = {"class": "class", "actor": "class", "struct": "struct", "enum": "enum", "extension": ""}
"""What the grammar calls a class declaration, by its keyword. An extension only lends its name to what is inside."""


def _type(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    kind = next((_KINDS[child.type] for child in node.children if child.type in _KINDS), "class")
    text = name_of(node.child_by_field_name("name"), data).partition("<")[0]
    owner, _, name = "".join(text.split()).rpartition(".")
    if name:
        yield Found(name, kind, node, owner)


def _initializer(node: Node, _scope: Scope, _data: bytes) -> Iterator[Found]:
    yield Found("init", "method", node)


def _property(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """Values of a file, static ones of a type, and what is computed; stored properties are state, no definitions."""
    name = name_of(node.child_by_field_name("name"), data)
    if not name.isidentifier():
        return
    is_computed = node.child_by_field_name("computed_value") is not None
    modifiers = next((child for child in node.children if child.type == "modifiers"), None)
    words = name_of(modifiers, data).split()
    if scope == "class" and is_computed:
        yield Found(name, "method", node)
    elif scope == "module" or "static" in words:
        yield Found(name, "constant", node)


LANGUAGE = Language(
    name="swift",
    kind="code",
    extensions=(".swift",),
    shebangs=("swift",),
    grammar=Grammar(
        module="tree_sitter_swift",
        definitions={
            "associatedtype_declaration": named("type"),
            "class_declaration": _type,
            "function_declaration": named("function", member="method"),
            "init_declaration": _initializer,
            "protocol_declaration": named("interface"),
            "protocol_function_declaration": named("method"),
            "typealias_declaration": named("type"),
        },
        values={"property_declaration": _property},
        containers=frozenset(
            {"class_body", "enum_class_body", "function_body", "protocol_body", "statements", "ERROR"}
        ),
        leads=frozenset({"comment", "multiline_comment"}),
        dense_mark=(b"<", 1_000),
    ),
)
