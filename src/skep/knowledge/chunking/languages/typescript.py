"""TypeScript: JavaScript with types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named
from skep.knowledge.chunking.languages.javascript import CONTAINERS, DEFINITIONS

if TYPE_CHECKING:
    from tree_sitter import Node


def _module(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``namespace A.B {}``, ``declare module 'name' {}``."""
    name = name_of(node.child_by_field_name("name"), data).strip("'\"")
    if name:
        yield Found(name, "module", node)


def grammar(function: str) -> Grammar:
    """The tables of TypeScript over one of the two grammars in its wheel."""
    return Grammar(
        module="tree_sitter_typescript",
        function=function,
        definitions={
            **DEFINITIONS,
            "abstract_class_declaration": named("class"),
            "abstract_method_signature": named("method"),
            "enum_declaration": named("enum"),
            "function_signature": named("function"),
            "interface_declaration": named("interface"),
            "internal_module": _module,
            "method_signature": named("method"),
            "module": _module,
            "public_field_definition": DEFINITIONS["field_definition"],
            "type_alias_declaration": named("type"),
        },
        containers=CONTAINERS | {"ambient_declaration", "interface_body", "as_expression", "satisfies_expression"},
        leads=frozenset({"comment", "decorator"}),
    )


LANGUAGE = Language(
    name="typescript",
    kind="code",
    extensions=(".ts", ".mts", ".cts"),
    shebangs=("ts-node", "tsx", "deno"),
    grammar=grammar("language_typescript"),
)
