"""CSS. Custom properties of the whole page, key frames and registered properties are definitions; selectors are not: they
name what stands elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Found, Grammar, Language, Scope, name_of

if TYPE_CHECKING:
    from tree_sitter import Node

_WHOLE_PAGE = re.compile(r"(?:^|,)\s*(?::root|:host|html|body|\*)\b")


def _rule(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``:root { --name: value }``."""
    selectors = next((child for child in node.children if child.type == "selectors"), None)
    if not _WHOLE_PAGE.search(name_of(selectors, data)):
        return
    for block in node.children:
        for declaration in block.children if block.type == "block" else ():
            name = name_of(declaration.named_child(0), data) if declaration.type == "declaration" else ""
            if name.startswith("--"):
                yield Found(name, "constant", declaration)


def _at_rule(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    """``@property --name { }``."""
    if data.startswith(b"@property", node.start_byte) and node.named_child_count > 1:
        yield Found(name_of(node.named_child(1), data), "constant", node)


def _key_frames(node: Node, _scope: Scope, data: bytes) -> Iterator[Found]:
    yield Found(name_of(node.named_child(0), data), "constant", node)


LANGUAGE = Language(
    name="css",
    kind="code",
    extensions=(".css", ".pcss"),
    grammar=Grammar(
        module="tree_sitter_css",
        definitions={"at_rule": _at_rule, "keyframes_statement": _key_frames, "rule_set": _rule},
        containers=frozenset({"block", "media_statement", "supports_statement", "ERROR"}),
    ),
)
