"""From bytes to a syntax tree, with limits. The one place that talks to the tree-sitter wheels."""

from __future__ import annotations

import functools
import importlib
import re
import time
from typing import TYPE_CHECKING

from skep.knowledge.chunking.language import Grammar
from skep.knowledge.chunking.sizes import MAX_TREE_BYTES

if TYPE_CHECKING:
    import tree_sitter

_READ_BYTES = 1 << 12

_READS_PER_BLOCK = 100
_READS_ALWAYS = 1_000
"""How often a block of _READ_BYTES may be asked for on average, and reads that even the smallest file may cause: about 20 ms.
Scanners written in C may run from every token to the end of the file in search of what closes a comment or a string, and
tell no progress; but they have to read. Measured on 2,800 real files: at most 3 reads a block, in Kotlin 19."""

_CALLS_PER_BYTE = 0.15
"""tree-sitter reports its progress every 100 steps. Measured in reports per byte: 1,900 real files at most 0.023, the densest
correct text (``a<b>(c);`` in C++) 0.1, texts on which its error recovery turns quadratic (``->`` repeated in JavaScript) any
number. Counting steps instead of seconds keeps the result the same on every machine."""

_CALLS_ALWAYS = 2_000
"""Reports that even the smallest file may cause: about 20 ms."""

_SECONDS_PER_BYTE = 4e-6
_SECONDS_ALWAYS = 0.5
"""The last net, in seconds of this thread's processor time, for texts on which single steps get slow (a thousand lines of
``<a`` in Ruby). Far above real files, which took a twentieth of it on the machine where this was measured; so a result may
depend on the machine for hostile ones only."""

_CALLS_BETWEEN_CLOCKS = 16

_ASCII_LETTERS = bytes(range(0x80)) + b"x" * 0x80
"""Turns every byte of a character beyond ASCII into a letter, so that all offsets hold."""

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


class _Effort:
    """Hands a text to the parser and counts what the parser makes of it; a text that costs too much ends early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._max_calls = len(data) * _CALLS_PER_BYTE + _CALLS_ALWAYS
        self._reads_left = len(data) // _READ_BYTES * _READS_PER_BLOCK + _READS_ALWAYS
        self._calls = 0
        self._ends_at = time.thread_time() + len(data) * _SECONDS_PER_BYTE + _SECONDS_ALWAYS

    def read(self, offset: int, _point: object) -> bytes:
        """The text from ``offset`` on, as much as one read gives; nothing when reading cost too much.

        Never ends inside a character: tree-sitter 0.26.1 would read on for the rest of it and take the address of what it
        gets unseen, which for nothing is none.
        """
        self._reads_left -= 1
        if self._reads_left <= 0:
            return b""
        data, end = self._data, offset + _READ_BYTES
        while end < len(data) and data[end] & 0xC0 == 0x80:  # a continuation byte of UTF-8: at most three of them
            end -= 1
        return data[offset:end]

    def is_too_much(self, _offset: int, _has_error: bool) -> bool:
        """Called on progress: whether to give up."""
        self._calls += 1
        if self._calls % _CALLS_BETWEEN_CLOCKS == 0 and time.thread_time() > self._ends_at:
            return True
        return self._calls > self._max_calls or self._reads_left <= 0

    @property
    def was_cut_short(self) -> bool:
        """Whether the parser saw less than the whole text."""
        return self._reads_left <= 0


def parse_tree(data: bytes, grammar: Grammar) -> tree_sitter.Tree | None:
    """The syntax tree of well-formed UTF-8. None when the text is too long or too hard to parse; errors in it are nodes
    of the tree.
    """
    if len(data) > MAX_TREE_BYTES or _is_too_dense(data, grammar.dense_mark):
        return None
    effort = _Effort(data.translate(_ASCII_LETTERS) if grammar.is_ascii_only else data)
    parser = _parser_class()(_load(grammar.module, grammar.function))
    try:
        tree = parser.parse(effort.read, progress_callback=effort.is_too_much)
    except ValueError:  # how the binding says that the progress callback stopped it
        return None
    return None if effort.was_cut_short else tree


def _is_too_dense(data: bytes, dense_mark: tuple[bytes, int] | None) -> bool:
    """Whether some statement has more of a mark than the grammar can bear."""
    if dense_mark is None:
        return False
    mark, limit = dense_mark
    return data.count(mark) > limit and any(part.count(mark) > limit for part in _STATEMENT_ENDS.split(data))
