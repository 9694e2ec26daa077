"""From bytes to a syntax tree, with limits. The one place that talks to the tree-sitter wheels."""

from __future__ import annotations

import functools
import importlib
import re
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Grammar
from skep.knowledge.chunking.sizes import MAX_TREE_BYTES

if TYPE_CHECKING:
    import tree_sitter

_READ_BYTES = 1 << 16

_CALLS_PER_BYTE = 0.15
"""tree-sitter reports its progress every 100 steps. Measured in reports per byte: 1,900 real files at most 0.023, the densest
correct text (``a<b>(c);`` in C++) 0.1, texts on which its error recovery turns quadratic (``->`` repeated in JavaScript) any
number. Counting steps instead of seconds keeps the result the same on every machine."""

_CALLS_ALWAYS = 2_000
"""Reports that even the smallest file may cause: about 20 ms."""

_STATEMENT_ENDS = re.compile(rb"[;{}]")


@functools.cache
def _load(module: str, function: str) -> tree_sitter.Language:
    """The grammar of a wheel, imported when the first file needs it and kept for the process."""
    library = importlib.import_module("tree_sitter")
    pointer = getattr(importlib.import_module(module), function)()
    language: tree_sitter.Language = library.Language(pointer)
    return language


@functools.cache
def _parser_class() -> type[tree_sitter.Parser]:
    parser: type[tree_sitter.Parser] = importlib.import_module("tree_sitter").Parser
    return parser


def parse_tree(data: bytes, grammar: Grammar) -> tree_sitter.Tree | None:
    """The syntax tree of well-formed UTF-8. None when the text is too long or too hard to parse; errors in it are nodes
    of the tree.
    """
    if len(data) > MAX_TREE_BYTES or _has_open_angles(data, grammar.max_open_angles):
        return None
    calls_left = int(len(data) * _CALLS_PER_BYTE) + _CALLS_ALWAYS

    def read(offset: int, _point: object) -> bytes:
        return data[offset : offset + _READ_BYTES]

    def is_too_hard(_offset: int, _has_error: bool) -> bool:
        nonlocal calls_left
        calls_left -= 1
        return calls_left < 0

    parser = _parser_class()(_load(grammar.module, grammar.function))
    try:
        return parser.parse(read, progress_callback=is_too_hard)
    except ValueError:  # how the binding says that the progress callback stopped it
        return None


def _has_open_angles(data: bytes, limit: int | None) -> bool:
    """Whether some statement has more ``<`` than the grammar can bear."""
    if limit is None or data.count(b"<") <= limit:
        return False
    return any(statement.count(b"<") > limit for statement in _STATEMENT_ENDS.split(data))
