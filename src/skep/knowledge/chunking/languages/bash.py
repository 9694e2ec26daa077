"""Bash and the other shells that read like it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node


def _variable(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``NAME=value`` outside functions; names in lower case are working variables."""
    name = name_of(node.child_by_field_name("name"), data)
    if scope == "module" and name.isidentifier() and name.isupper():
        yield Found(name, "constant", node)


LANGUAGE = Language(
    name="bash",
    kind="code",
    extensions=(".sh", ".bash", ".zsh", ".ksh", ".bats"),
    file_names=(".bashrc", ".bash_profile", ".profile", ".zshrc"),
    shebangs=("sh", "bash", "zsh", "ksh", "dash", "bats"),
    grammar=Grammar(
        module="tree_sitter_bash",
        definitions={"function_definition": named("function")},
        values={"variable_assignment": _variable},
        containers=frozenset(
            {
                "case_item",
                "case_statement",
                "compound_statement",
                "declaration_command",
                "elif_clause",
                "else_clause",
                "if_statement",
                "list",
                "subshell",
                "ERROR",
            }
        ),
        # A pipeline ends in one step, quadratic in its length: tree-sitter-bash 0.25.1, 5,000 bars 0.5 s, 20,000 of them 8 s.
        dense_mark=(b"|", 1_000),
        # Its scanner asks isdigit() about any character after a brace, which is only defined up to 255: tree-sitter-bash 0.25.1
        # reads outside the table, and dies of some characters.
        is_ascii_only=True,
    ),
)
