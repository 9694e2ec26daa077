"""Cutting notebooks: their cells one after the other, prose by headings, code by syntax tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from skep.knowledge.chunking.cutting import TreeCutter
from skep.knowledge.chunking.language import Cell, Grammar, Heading
from skep.knowledge.chunking.languages import markdown
from skep.knowledge.chunking.lines import cut_lines
from skep.knowledge.chunking.sections import cut_sections
from skep.knowledge.chunking.sizes import WHOLE_BYTES
from skep.knowledge.chunking.symbols import SymbolSpan, find_symbols
from skep.knowledge.chunking.trees import parse_tree
from skep.knowledge.models import Symbol

_BELOW_ALL_HEADINGS = 7

_MAGIC_LINE = re.compile(rb"^[ \t]*[%!?].*$", re.MULTILINE)
"""What IPython takes for itself: ``%matplotlib inline``, ``!ls``."""

_MAGIC_CELL = re.compile(rb"\s*%%(?!time\b|timeit\b|capture\b|prun\b)")
"""What hands a whole cell to something else: ``%%bash``."""

_TEXT = re.compile(rb"[^\n]+")


class Notebook(NamedTuple):
    """The cells as one text, and where it is cut."""

    data: bytes
    bounds: list[int]
    paths: list[str]
    """The heading path of each passage; those of prose hold for the code below it."""
    symbols: list[SymbolSpan]
    """Their lines count in ``data``."""
    lines: list[int]
    """For each line of ``data`` the line of the file that holds it, from 1."""


def cut_cells(cells: Sequence[Cell], grammar: Grammar | None) -> Notebook:
    """Join the cells, a blank line between them, and cut them. ``grammar`` is that of the code; None when there is none."""
    cells = [cell for cell in cells if cell.text.strip()]
    lines: list[int] = []
    headings: list[Heading] = []
    code: list[bytes] = []
    symbols: list[SymbolSpan] = []
    offset = 0
    for cell in cells:
        data = cell.text.encode()
        headings.extend(_headings(cell, len(lines)))
        view = _view(data, cell.language)
        if grammar is not None and view.strip():
            symbols.extend(_symbols(view, data, grammar, offset, len(lines)))
        code.append(view)
        lines += [*cell.lines, cell.lines[-1]]
        offset += len(data) + 2
    view = b"\n\n".join(code)

    def cut(data: bytes, start: int, end: int) -> list[int]:
        if grammar is None or end - start <= WHOLE_BYTES:
            return cut_lines(data, start, end)
        tree = parse_tree(view[start:end], grammar)
        if tree is None:
            return cut_lines(data, start, end)
        cuts = TreeCutter(data[start:end], grammar.leads).cut(tree.root_node)
        return [start + position for position in cuts]

    data = b"\n\n".join(cell.text.encode() for cell in cells)
    cuts, paths = cut_sections(data, headings, cut) if cells else ([], [])
    return Notebook(data, [0, *cuts, len(data)], paths, symbols, lines)


def _headings(cell: Cell, first_line: int) -> list[Heading]:
    """The headings of a cell; one without a title where it starts, unless it starts with a real one."""
    found = markdown.headings(cell.text.split("\n")) if cell.language == "markdown" else []
    if not found or found[0].line > 0:
        found.insert(0, Heading(0, _BELOW_ALL_HEADINGS, ""))
    return [heading._replace(line=heading.line + first_line) for heading in found]


def _view(data: bytes, language: str) -> bytes:
    """What the parser sees of a cell: its code; blanks of the same length for everything else."""
    is_code = language not in {"", "markdown"} and not _MAGIC_CELL.match(data)
    return (_MAGIC_LINE if is_code else _TEXT).sub(lambda match: b" " * len(match[0]), data)


def _symbols(view: bytes, data: bytes, grammar: Grammar, offset: int, first_line: int) -> list[SymbolSpan]:
    """The definitions in one cell, at their places in the whole."""
    tree = parse_tree(view, grammar)
    if tree is None:
        return []
    return [
        SymbolSpan(start + offset, end + offset, _moved(symbol, first_line))
        for start, end, symbol in find_symbols(tree.root_node, grammar, data)
    ]


def _moved(symbol: Symbol, lines: int) -> Symbol:
    return replace(symbol, start_line=symbol.start_line + lines, end_line=symbol.end_line + lines)
