"""Ruby."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, dotted, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_CLASS_MAKERS = frozenset({"Class", "Data", "Struct"})
_METHOD_MAKERS = frozenset({"define_method", "define_singleton_method"})


def _assignment(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """``NAME = value``; a constant that is given ``Struct.new`` or the like is a class."""
    target, value = node.child_by_field_name("left"), node.child_by_field_name("right")
    if scope == "function" or target is None or value is None or target.type != "constant":
        return
    makes_class = value.type == "call" and name_of(value.child_by_field_name("receiver"), data) in _CLASS_MAKERS
    yield Found(name_of(target, data), "class" if makes_class else "constant", node)


def _call(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``define_method(:name) { }``."""
    arguments = node.child_by_field_name("arguments")
    if arguments is None or name_of(node.child_by_field_name("method"), data) not in _METHOD_MAKERS:
        return
    for first in arguments.named_children[:1]:
        if first.type == "simple_symbol":
            yield Found(name_of(first, data).removeprefix(":"), "method", node)


LANGUAGE = Language(
    name="ruby",
    kind="code",
    extensions=(".rb", ".rake", ".gemspec", ".ru"),
    file_names=("rakefile", "gemfile", "vagrantfile", "podfile"),
    shebangs=("ruby",),
    grammar=Grammar(
        module="tree_sitter_ruby",
        definitions={
            "assignment": _assignment,
            "call": _call,
            "class": dotted("class", separator="::"),
            "method": named("function", member="method"),
            "module": dotted("module", separator="::"),
            "singleton_method": named("function", member="method"),
        },
        containers=frozenset(
            {
                "argument_list",
                "begin",
                "block",
                "block_body",
                "body_statement",
                "do_block",
                "else",
                "elsif",
                "if",
                "singleton_class",
                "then",
                "unless",
                "ERROR",
            }
        ),
    ),
)
