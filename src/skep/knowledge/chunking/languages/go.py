"""Go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_TYPE_KINDS = {"struct_type": "struct", "interface_type": "interface"}


def _method(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``func (s *Server[T]) Close()`` is ``Server.Close``."""
    receiver = name_of(node.child_by_field_name("receiver"), data).strip("()").partition("[")[0]
    words = receiver.replace("*", " ").split()
    name = name_of(node.child_by_field_name("name"), data)
    if name:
        yield Found(name, "method", node, words[-1] if words else "")


def _type(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    definition = node.child_by_field_name("type")
    kind = _TYPE_KINDS.get(definition.type if definition is not None else "", "type")
    name = name_of(node.child_by_field_name("name"), data)
    if name:
        yield Found(name, kind, node)


def _values(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    if scope == "module":
        for target in node.children_by_field_name("name"):
            if target.type == "identifier" and (name := name_of(target, data)) != "_":
                yield Found(name, "constant", node)


LANGUAGE = Language(
    name="go",
    kind="code",
    extensions=(".go",),
    grammar=Grammar(
        module="tree_sitter_go",
        definitions={
            "function_declaration": named("function"),
            "method_declaration": _method,
            "method_elem": named("method"),
            "type_alias": named("type"),
            "type_spec": _type,
        },
        values={"const_spec": _values, "var_spec": _values},
        containers=frozenset(
            {
                "const_declaration",
                "interface_type",
                "type_declaration",
                "var_declaration",
                "var_spec_list",
                "ERROR",
            }
        ),
    ),
)
