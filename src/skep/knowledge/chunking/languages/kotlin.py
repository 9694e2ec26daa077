"""Kotlin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node


def _words(node: Node, data: bytes) -> list[str]:
    """The modifiers of a declaration."""
    modifiers = next((child for child in node.children if child.type == "modifiers"), None)
    return name_of(modifiers, data).split()


def _class(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    kind = "class"
    if any(child.type == "interface" for child in node.children):
        kind = "interface"
    elif "enum" in _words(node, data):
        kind = "enum"
    name = name_of(node.child_by_field_name("name"), data)
    if name:
        yield Found(name, kind, node)


def _function(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``fun <T> List<T>.second()`` is ``List.second``."""
    target = node.child_by_field_name("name")
    if target is None:
        return
    before = [child for child in node.children if child.end_byte <= target.start_byte]
    receiver = ""
    if before and before[-1].type == ".":
        receiver = name_of(before[-2], data).partition("<")[0].strip("?() ") if len(before) > 1 else ""
    yield Found(name_of(target, data), "method" if receiver or scope == "class" else "function", node, receiver)


def _property(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """Properties of a file, and ``const val`` anywhere; other properties are state, no definitions."""
    if scope == "class" and "const" not in _words(node, data):
        return
    declaration = next((child for child in node.children if child.type == "variable_declaration"), None)
    name = name_of(declaration.named_child(0), data) if declaration is not None else ""
    if name.isidentifier():
        yield Found(name, "constant", node)


LANGUAGE = Language(
    name="kotlin",
    kind="code",
    extensions=(".kt", ".kts"),
    shebangs=("kotlin",),
    grammar=Grammar(
        module="tree_sitter_kotlin",
        definitions={
            "class_declaration": _class,
            "function_declaration": _function,
            "object_declaration": named("class"),
            "type_alias": named("type", field_name="type"),
        },
        values={"property_declaration": _property},
        # Members of a companion object are called by the name of the class around it.
        containers=frozenset({"block", "class_body", "companion_object", "enum_class_body", "function_body", "ERROR"}),
        leads=frozenset({"line_comment", "block_comment"}),
        dense_mark=(b"<", 1_000),
    ),
)
