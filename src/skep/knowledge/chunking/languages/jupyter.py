"""Jupyter notebooks (nbformat 4) by their cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Cell, Grammar, Language, name_of
from skep.knowledge.chunking.trees import parse_tree

if TYPE_CHECKING:
    from tree_sitter import Node

_GRAMMAR = Grammar(module="tree_sitter_json", definitions={})
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What JSON can say with an escape, but UTF-8 or PostgreSQL cannot hold."""


def _string(node: Node | None, data: bytes) -> str:
    """The value of a string node; empty for any other and for a broken one."""
    if node is None or node.type != "string":
        return ""
    try:
        value = json.loads(name_of(node, data), strict=False)
    except ValueError:
        return ""
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else ""


def _members(node: Node | None, data: bytes) -> dict[str, Node]:
    """The values of an object by key; empty for anything else."""
    pairs = [child for child in node.named_children if child.type == "pair"] if node is not None else []
    return {
        _string(pair.child_by_field_name("key"), data): value
        for pair in pairs
        if (value := pair.child_by_field_name("value")) is not None
    }


def _source(node: Node | None, data: bytes) -> Iterator[tuple[str, int]]:
    """The pieces of a cell's text with the line each stands on: usually one string per line, or one for all."""
    for child in node.named_children if node is not None and node.type == "array" else [node]:
        if child is not None:
            yield _string(child, data), child.start_point[0] + 1


def _cell(node: Node, data: bytes, language: str) -> Cell:
    members = _members(node, data)
    text = ""
    lines: list[int] = []
    for piece, line in _source(members.get("source"), data):
        if piece:
            touched = piece.count("\n") + (not piece.endswith("\n"))
            goes_on = bool(text) and not text.endswith("\n")
            lines.extend([line] * (touched - goes_on))
            text += piece
    languages = {"code": language, "markdown": "markdown"}
    return Cell(text.removesuffix("\n"), lines, languages.get(_string(members.get("cell_type"), data), ""))


def cells(data: bytes, default: str) -> list[Cell] | None:
    """The cells in order; None when the file is not a notebook. ``default`` is the language of the code when the file
    names none.
    """
    tree = parse_tree(data, _GRAMMAR)
    if tree is None or not tree.root_node.named_child_count:
        return None
    notebook = _members(tree.root_node.named_child(0), data)
    found = notebook.get("cells")
    if found is None or found.type != "array":
        return None
    about = _members(notebook.get("metadata"), data)
    kernel, language_info = _members(about.get("kernelspec"), data), _members(about.get("language_info"), data)
    language = _string(language_info.get("name"), data) or _string(kernel.get("language"), data) or default
    return [_cell(node, data, language.lower()) for node in found.named_children if node.type == "object"]


LANGUAGE = Language(name="jupyter", kind="code", extensions=(".ipynb",), cells=cells)
