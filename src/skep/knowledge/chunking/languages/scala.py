"""Scala 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_SINGLETONS = frozenset({"object_definition", "package_object"})


def _value(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``val`` in an object or a file; in a class or trait it is state, no definition."""
    holder = node.parent.parent if scope == "class" and node.parent is not None else None
    target = node.child_by_field_name("pattern")
    is_shared = scope == "module" or (holder is not None and holder.type in _SINGLETONS)
    if is_shared and target is not None and target.type == "identifier":
        yield Found(name_of(target, data), "constant", node)


LANGUAGE = Language(
    name="scala",
    kind="code",
    extensions=(".scala", ".sc", ".sbt"),
    shebangs=("scala",),
    grammar=Grammar(
        module="tree_sitter_scala",
        definitions={
            "class_definition": named("class"),
            "enum_definition": named("enum"),
            "function_declaration": named("function", member="method"),
            "function_definition": named("function", member="method"),
            "given_definition": named("constant"),
            "object_definition": named("class"),
            "package_object": named("module"),
            "trait_definition": named("trait"),
            "type_definition": named("type"),
        },
        values={"val_definition": _value},
        containers=frozenset(
            {
                "block",
                "enum_body",
                "extension_definition",
                "indented_block",
                "package_clause",
                "template_body",
                "with_template_body",
                "ERROR",
            }
        ),
        leads=frozenset({"comment", "block_comment"}),
    ),
)
