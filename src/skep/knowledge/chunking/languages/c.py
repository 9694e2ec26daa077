"""C; C++ starts from the tables here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Rule, Scope, name_of, named

if TYPE_CHECKING:
    from tree_sitter import Node

_NAMES = frozenset(
    {
        "destructor_name",
        "field_identifier",
        "identifier",
        "operator_cast",
        "operator_name",
        "qualified_identifier",
        "template_function",
        "type_identifier",
    }
)
_TEMPLATE_ARGUMENTS = re.compile(r"<[^<>]*>")
_MAX_DECLARATORS = 20  # pointers to arrays of functions ...; real declarations nest less than five deep


def declared(node: Node) -> tuple[Node | None, bool]:
    """The name inside a chain of declarators, and whether a function is declared: ``*(*name[3])(int)``."""
    is_function = False
    inner = node.child_by_field_name("declarator")
    for _ in range(_MAX_DECLARATORS):
        if inner is None or inner.type in _NAMES:
            return inner, is_function
        is_function = is_function or inner.type == "function_declarator"
        # Reference and parenthesized declarators have no field for what they hold: it is their last named child.
        deeper = inner.child_by_field_name("declarator")
        if deeper is None and inner.named_child_count:
            deeper = inner.named_child(inner.named_child_count - 1)
        inner = deeper
    return None, False


def split_qualified(name: str) -> tuple[str, str]:
    """``ns::Foo<T>::bar`` as (``ns.Foo``, ``bar``)."""
    name, operator, rest = name.partition("operator")
    for _ in range(_MAX_DECLARATORS):
        name, replaced = _TEMPLATE_ARGUMENTS.subn("", name)
        if not replaced:
            break
    owner, _, last = "".join(name.split()).rpartition("::")
    if not rest.startswith("()"):
        rest = rest.partition("(")[0]  # ``operator bool() const``: the grammar counts the parameters to the name
    return owner.strip(":").replace("::", "."), (last + operator + rest).rstrip()


def _function(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    target, _ = declared(node)
    owner, name = split_qualified(name_of(target, data))
    if name:
        yield Found(name, "method" if owner or scope == "class" else "function", node, owner)


def _typedef(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    target, _ = declared(node)
    if target is not None:
        definition = node.child_by_field_name("type")
        has_body = definition is not None and definition.child_by_field_name("body") is not None
        kind = "type"
        if definition is not None and has_body and definition.child_by_field_name("name") is None:
            kind = "enum" if definition.type == "enum_specifier" else "struct"
        yield Found(name_of(target, data), kind, node)


def with_body(kind: str) -> Rule:
    """A struct, class or enum where it is defined; ``struct name`` alone only mentions it."""
    rule = named(kind)
    return lambda node, scope, data: rule(node, scope, data) if node.child_by_field_name("body") is not None else ()


def _variable(node: Node, scope: Scope, data: bytes) -> Iterator[Found]:
    """A variable at file level that gets its value here; prototypes and ``extern`` define nothing."""
    for declarator in node.children_by_field_name("declarator") if scope == "module" else ():
        if declarator.type == "init_declarator":
            target, _ = declared(declarator)
            if target is not None:
                yield Found(split_qualified(name_of(target, data))[1], "constant", node)


DEFINITIONS: Mapping[str, Rule] = {
    "enum_specifier": with_body("enum"),
    "function_definition": _function,
    "preproc_def": named("macro"),
    "preproc_function_def": named("macro"),
    "struct_specifier": with_body("struct"),
    "type_definition": _typedef,
    "union_specifier": with_body("struct"),
}
VALUES: Mapping[str, Rule] = {"declaration": _variable}
CONTAINERS = frozenset(
    {
        "declaration_list",
        "linkage_specification",
        "preproc_elif",
        "preproc_else",
        "preproc_if",
        "preproc_ifdef",
        "ERROR",
    }
)

LANGUAGE = Language(
    name="c",
    kind="code",
    extensions=(".c", ".h"),
    shebangs=("tcc",),
    grammar=Grammar(
        module="tree_sitter_c",
        definitions=DEFINITIONS,
        values=VALUES,
        containers=CONTAINERS | {"field_declaration_list", "field_declaration"},
    ),
    # Headers of both languages are named .h; these words start a line in C++ only.
    rival=(
        re.compile(
            r"^[ \t]*(?:class\s+\w|namespace\b|template\s*<|(?:public|private|protected):|using\s+\w)", re.MULTILINE
        ),
        "cpp",
    ),
)
