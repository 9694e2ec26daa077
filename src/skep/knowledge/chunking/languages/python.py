"""Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node


def _assignment(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``NAME = value`` at module level; attributes of classes are no symbols, an annotation alone defines nothing."""
    assignment = node.child(0) if scope == "module" and node.child_count else None
    while assignment is not None and assignment.type == "assignment":
        target, value = assignment.child_by_field_name("left"), assignment.child_by_field_name("right")
        if target is not None and value is not None and target.type == "identifier":
            yield Found(name_of(target, data), "constant", node)
        assignment = value


LANGUAGE = Language(
    name="python",
    kind="code",
    extensions=(".py", ".pyi", ".pyw"),
    file_names=("sconstruct", "sconscript"),
    shebangs=("python", "pypy"),
    grammar=Grammar(
        module="tree_sitter_python",
        definitions={
            "class_definition": named("class"),
            "function_definition": named("function", member="method"),
            "type_alias_statement": named("type", field_name="left"),
        },
        values={"expression_statement": _assignment},
        containers=frozenset(
            {
                "block",
                "decorated_definition",
                "if_statement",
                "elif_clause",
                "else_clause",
                "try_statement",
                "except_clause",
                "finally_clause",
                "with_statement",
                "for_statement",
                "while_statement",
                "ERROR",
            }
        ),
    ),
)
