"""Rust."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_WORD = re.compile(r"\w+")


def _impl(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``impl Trait for path::Type<T>`` only lends the name ``Type`` to what is inside."""
    words = _WORD.findall(name_of(node.child_by_field_name("type"), data).partition("<")[0])
    if words:
        yield Found(words[-1], "", node)


def _module(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``mod name { }``; ``mod name;`` says that another file defines it."""
    if node.child_by_field_name("body") is not None:
        yield Found(name_of(node.child_by_field_name("name"), data), "module", node)


LANGUAGE = Language(
    name="rust",
    kind="code",
    extensions=(".rs",),
    shebangs=("rust-script",),
    grammar=Grammar(
        module="tree_sitter_rust",
        definitions={
            "enum_item": named("enum"),
            "function_item": named("function", member="method"),
            "function_signature_item": named("function", member="method"),
            "impl_item": _impl,
            "macro_definition": named("macro"),
            "mod_item": _module,
            "struct_item": named("struct"),
            "trait_item": named("trait"),
            "type_item": named("type"),
            "union_item": named("struct"),
        },
        values={"const_item": named("constant"), "static_item": named("constant")},
        containers=frozenset({"block", "declaration_list", "foreign_mod_item", "ERROR"}),
        leads=frozenset({"line_comment", "block_comment", "attribute_item"}),
    ),
)
