"""Haskell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node


def _name(node: Node, data: bytes) -> str:
    """The defined name: ``f`` of ``f x = ...``, the operator of ``a <+> b = ...`` and of ``(<+>) a b = ...``."""
    target = node.child_by_field_name("name")
    if target is None:
        infix = next((child for child in node.children if child.type == "infix"), None)
        target = infix.child_by_field_name("operator") if infix is not None else None
    return name_of(target, data).strip("()` ")


def _function(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """Each equation of a function defines it."""
    name = _name(node, data)
    if name:
        yield Found(name, "method" if scope == "class" else "function", node)


def _bind(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    name = _name(node, data)
    if name:
        yield Found(name, "method" if scope == "class" else "constant", node)


def _signature(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """Among the members of a class it is the only thing every method has; elsewhere it announces what follows."""
    name = _name(node, data)
    if name and scope == "class":
        yield Found(name, "method", node)


def _instance(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``instance Show a => Show (Tree a)`` only lends the name ``Tree`` to what is inside."""
    words = name_of(node.child_by_field_name("patterns"), data).replace("(", " ").replace(")", " ").split()
    if words and words[0].isidentifier():
        yield Found(words[0], "", node)


LANGUAGE = Language(
    name="haskell",
    kind="code",
    extensions=(".hs", ".lhs"),
    shebangs=("runhaskell", "runghc"),
    grammar=Grammar(
        module="tree_sitter_haskell",
        definitions={
            "class": named("class"),
            "data_family": named("type"),
            "data_type": named("type"),
            "function": _function,
            "instance": _instance,
            "newtype": named("type"),
            "type_family": named("type"),
            "type_synomym": named("type"),
            "type_synonym": named("type"),
        },
        values={"bind": _bind, "signature": _signature},
        containers=frozenset({"class_declarations", "declarations", "instance_declarations", "local_binds", "ERROR"}),
        leads=frozenset({"comment", "haddock", "pragma", "signature"}),
    ),
)
