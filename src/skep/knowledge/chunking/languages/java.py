"""Java."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node


def _field(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``static final`` fields, and every field of an interface; other fields are state, no definitions."""
    if node.type == "field_declaration":
        modifiers = next((child for child in node.children if child.type == "modifiers"), None)
        words = name_of(modifiers, data).split()
        if "static" not in words or "final" not in words:
            return
    for declarator in node.children_by_field_name("declarator"):
        yield Found(name_of(declarator.child_by_field_name("name"), data), "constant", node)


LANGUAGE = Language(
    name="java",
    kind="code",
    extensions=(".java",),
    grammar=Grammar(
        module="tree_sitter_java",
        definitions={
            "annotation_type_declaration": named("interface"),
            "annotation_type_element_declaration": named("method"),
            "class_declaration": named("class"),
            "compact_constructor_declaration": named("method"),
            "constructor_declaration": named("method"),
            "enum_declaration": named("enum"),
            "interface_declaration": named("interface"),
            "method_declaration": named("method"),
            "record_declaration": named("class"),
        },
        values={"constant_declaration": _field, "field_declaration": _field},
        containers=frozenset(
            {
                "annotation_type_body",
                "class_body",
                "enum_body",
                "enum_body_declarations",
                "interface_body",
                "ERROR",
            }
        ),
        leads=frozenset({"line_comment", "block_comment"}),
        # Each `<` that might open type arguments doubles as "less than" and keeps both readings alive: measured with
        # tree-sitter-java 0.23.5, 1,000 open ones 0.02 s, 10,000 of them 3 s and 0.9 GB, quadratic.
        dense_mark=(b"<", 1_000),
    ),
)
