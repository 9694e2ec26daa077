"""Elixir. Its definitions are calls of macros, told apart by the macro's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of

if TYPE_CHECKING:
    from tree_sitter import Node

_MODULES = {"defmodule": "module", "defprotocol": "interface", "defimpl": "module"}
_FUNCTIONS = {
    "def": "function",
    "defp": "function",
    "defdelegate": "function",
    "defguard": "macro",
    "defguardp": "macro",
    "defmacro": "macro",
    "defmacrop": "macro",
}
_TYPES = {"type": "type", "typep": "type", "opaque": "type", "callback": "function", "macrocallback": "macro"}
_NOTES = frozenset(
    {
        "after_compile",
        "before_compile",
        "behaviour",
        "compile",
        "deprecated",
        "derive",
        "describetag",
        "dialyzer",
        "doc",
        "enforce_keys",
        "external_resource",
        "impl",
        "moduledoc",
        "moduletag",
        "on_definition",
        "on_load",
        "shortdoc",
        "since",
        "spec",
        "tag",
        "typedoc",
        "vsn",
    }
)
"""Module attributes that say something about what follows, or to the compiler; every other one is a constant."""

_MAX_WRAPPERS = 5  # ``name(args) when guard`` is two; bounds the search for the name


def _head(node: Node | None, data: bytes) -> str:
    """The name in ``name(args) when guard`` or ``name(args) :: type``; of ``a <~> b`` the operator."""
    for _ in range(_MAX_WRAPPERS):
        if node is None or node.type in {"identifier", "alias"}:
            break
        if node.type == "binary_operator":
            operator = name_of(node.child_by_field_name("operator"), data)
            if operator not in {"when", "::"}:
                return operator
            node = node.child_by_field_name("left")
        else:
            node = node.child_by_field_name("target")
    return name_of(node, data)


def _arguments(node: Node) -> list[Node]:
    return next((child.named_children for child in node.children if child.type == "arguments"), [])


def _call(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``defmodule Name do``, ``def name(args) do`` and their kin; ``defimpl P, for: T`` is ``P.T``."""
    word = name_of(node.child_by_field_name("target"), data)
    if word not in _MODULES and word not in _FUNCTIONS:
        return
    arguments = _arguments(node)
    name = _head(arguments[0] if arguments else None, data)
    if word in _FUNCTIONS:
        if name:
            yield Found(name, "method" if scope == "class" else _FUNCTIONS[word], node)
        return
    if word == "defimpl" and len(arguments) > 1:
        target = name_of(arguments[1], data).removeprefix("for:").strip()
        name = f"{name}.{target}" if target.replace(".", "").isidentifier() else name
    owner, _, name = name.rpartition(".")
    if name:
        yield Found(name, _MODULES[word], node, owner)


def _attribute(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``@type name :: ...``, ``@callback name(...) :: ...``, and ``@name value``."""
    operand = node.child_by_field_name("operand")
    if scope == "function" or operand is None or operand.type != "call" or data[node.start_byte] != ord("@"):
        return
    word = name_of(operand.child_by_field_name("target"), data)
    if word in _TYPES:
        arguments = _arguments(operand)
        name = _head(arguments[0] if arguments else None, data)
        if name:
            yield Found(name, _TYPES[word], node)
    elif word not in _NOTES:
        yield Found(word, "constant", node)


LANGUAGE = Language(
    name="elixir",
    kind="code",
    extensions=(".ex", ".exs"),
    shebangs=("elixir",),
    grammar=Grammar(
        module="tree_sitter_elixir",
        definitions={"call": _call},
        values={"unary_operator": _attribute},
        containers=frozenset({"do_block", "else_block", "ERROR"}),
        # Attributes such as @doc and @spec stand before what they are about.
        leads=frozenset({"comment", "unary_operator"}),
    ),
)
