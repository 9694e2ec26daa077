"""C++: C with classes, namespaces and templates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of, named
from skep.knowledge.chunking.languages.c import CONTAINERS, DEFINITIONS, VALUES, declared, with_body

if TYPE_CHECKING:
    from tree_sitter import Node


def _namespace(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``namespace a::b { }`` is ``a.b``; one without a name adds nothing."""
    owner, _, name = "".join(name_of(node.child_by_field_name("name"), data).split()).rpartition("::")
    if name:
        yield Found(name, "module", node, owner.replace("::", "."))


def _member(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """A method declared in its class, the only place an abstract one is ever named."""
    target, is_function = declared(node)
    if scope == "class" and target is not None and is_function:
        yield Found(name_of(target, data), "method", node)


def _declaration(node: Node, scope: Scope, data: bytes) -> Iterable[Found]:
    """Among members it is a constructor or destructor without a body, elsewhere a variable."""
    return _member(node, scope, data) if scope == "class" else VALUES["declaration"](node, scope, data)


LANGUAGE = Language(
    name="cpp",
    kind="code",
    extensions=(
        ".cpp",
        ".cc",
        ".cxx",
        ".c++",
        ".hpp",
        ".hh",
        ".hxx",
        ".h++",
        ".ipp",
        ".tpp",
        ".inl",
        ".cu",
        ".cuh",
        ".ino",
    ),
    grammar=Grammar(
        module="tree_sitter_cpp",
        definitions={
            **DEFINITIONS,
            "alias_declaration": named("type"),
            "class_specifier": with_body("class"),
            "concept_definition": named("type"),
            "namespace_definition": _namespace,
        },
        values={"declaration": _declaration, "field_declaration": _member},
        containers=CONTAINERS | {"field_declaration_list", "template_declaration"},
        # As in Java; tree-sitter-cpp 0.23.4: 5,000 open ones 0.6 s, 10,000 of them 3.7 s.
        dense_mark=(b"<", 1_000),
    ),
)
