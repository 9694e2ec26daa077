"""PHP, with the HTML around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, dotted, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node


def _constants(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    for element in node.children:
        if element.type == "const_element":
            yield Found(name_of(element.named_child(0), data), "constant", node)


def _define(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``define('NAME', value)``."""
    arguments = node.child_by_field_name("arguments")
    if scope == "module" and arguments is not None and name_of(node.child_by_field_name("function"), data) == "define":
        name = name_of(arguments.named_child(0), data).strip("'\"").lstrip("\\")
        if name.isidentifier():
            yield Found(name, "constant", node)


LANGUAGE = Language(
    name="php",
    kind="code",
    extensions=(".php", ".phtml"),
    shebangs=("php",),
    grammar=Grammar(
        module="tree_sitter_php",
        function="language_php",
        definitions={
            "class_declaration": named("class"),
            "enum_declaration": named("enum"),
            "function_definition": named("function"),
            "interface_declaration": named("interface"),
            "method_declaration": named("method"),
            "namespace_definition": dotted("module", separator="\\", needs_body=True),
            "trait_declaration": named("trait"),
        },
        values={"const_declaration": _constants, "function_call_expression": _define},
        containers=frozenset(
            {
                "compound_statement",
                "declaration_list",
                "else_clause",
                "enum_declaration_list",
                "expression_statement",
                "if_statement",
                "ERROR",
            }
        ),
    ),
)
