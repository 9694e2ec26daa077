"""One file in, passages and symbols out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

from skep.knowledge.chunking.cutting import TreeCutter
from skep.knowledge.chunking.language import Grammar, Language
from skep.knowledge.chunking.lines import cut_lines, cut_parts
from skep.knowledge.chunking.notebooks import cut_cells
from skep.knowledge.chunking.registry import REGISTRY
from skep.knowledge.chunking.sections import cut_sections, paths_of_spans
from skep.knowledge.chunking.sizes import HARD_MAX_BYTES, MAX_TREE_BYTES
from skep.knowledge.chunking.symbols import SymbolSpan, find_symbols, spans_of, symbols_of_spans
from skep.knowledge.chunking.trees import parse_tree
from skep.knowledge.models import ChunkDraft, ParsedFile

CHUNKER_VERSION = "2"
"""Part of a chunk's identity: another number whenever the output for any input could differ."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANKS = b" \t"


def parse_file(path: str, text: str) -> ParsedFile:
    """Cut a file into passages and find its symbols.

    Pure; never raises, whatever the text; deterministic, unless the text is so hostile that parsing it runs into a limit of
    time (`trees.parse_tree`). The passages joined hold every character that is not white space exactly once and in order;
    each is at most HARD_MAX_BYTES long in UTF-8 and at least one such character. What cannot be parsed is cut by lines and
    has no symbols. Of a notebook the passages hold the text of its cells, and their lines are those of the file that hold it.
    """
    language = language_of_file(path, text)
    data = text.encode("utf-8", "surrogatepass")
    cells = language.cells(data, "python") if language.cells is not None else None
    if cells is not None:
        inner = REGISTRY.by_name.get(next((cell.language for cell in cells if cell.language not in _NO_CODE), ""))
        notebook = cut_cells(cells, inner.grammar if inner is not None else None)
        chunks = _chunks(notebook.data, notebook.bounds, notebook.symbols, notebook.paths)
        lines = notebook.lines
        return ParsedFile(
            language=language.name,
            kind=language.kind,
            chunks=tuple(
                replace(chunk, start_line=lines[chunk.start_line - 1], end_line=lines[chunk.end_line - 1])
                for chunk in chunks
            ),
            symbols=tuple(
                replace(symbol, start_line=lines[symbol.start_line - 1], end_line=lines[symbol.end_line - 1])
                for _, _, symbol in notebook.symbols
            ),
        )
    cuts, symbols, headings = _cut(data, text, language)
    return ParsedFile(
        language=language.name,
        kind=language.kind,
        chunks=tuple(_chunks(data, [0, *cuts, len(data)], symbols, headings)),
        symbols=tuple(span.symbol for span in symbols),
    )


_NO_CODE = frozenset({"", "markdown"})


def _cut(data: bytes, text: str, language: Language) -> tuple[list[int], list[SymbolSpan], list[str] | None]:
    """Cuts, symbols and, where the language has headings, the heading path of each passage."""
    if language.grammar is not None:
        tree_cuts, symbols = _cut_tree(data, text, language.grammar)
        cuts = tree_cuts if tree_cuts is not None else cut_lines(data, 0, len(data))
        if language.headings is None or len(data) > MAX_TREE_BYTES:
            return cuts, symbols, None
        return cuts, symbols, paths_of_spans(data, language.headings(text.split("\n")), [0, *cuts, len(data)])
    if len(data) <= MAX_TREE_BYTES:
        if language.headings is not None:
            cuts, headings = cut_sections(data, language.headings(text.split("\n")))
            return cuts, [], headings
        if language.outline is not None:
            outline = language.outline(data)
            return cut_parts(data, outline.starts), spans_of(outline.definitions, data), None
    return cut_lines(data, 0, len(data)), [], None


def language_of_file(path: str, text: str) -> Language:
    """The row for a file: by its name, its first line, and its text where two languages share an extension.

    Together with the text it decides everything `parse_file` gives.
    """
    first_line = text[: text.find("\n", 0, 256)] if text.startswith("#!") else ""
    language = REGISTRY.find(path, first_line)
    if language.rival is not None and language.rival[0].search(text):
        return REGISTRY.by_name[language.rival[1]]
    return language


def code_of(language: Language, text: str) -> str:
    """The part of a file that is written in its language: of a notebook the cells of code, else all of it."""
    cells = language.cells(text.encode("utf-8", "surrogatepass"), "python") if language.cells is not None else None
    return text if cells is None else "\n".join(cell.text for cell in cells if cell.language not in _NO_CODE)


def _cut_tree(data: bytes, text: str, grammar: Grammar) -> tuple[list[int] | None, list[SymbolSpan]]:
    """Cuts and symbols by syntax tree; (None, []) when there is no tree."""
    # Lone surrogates are no UTF-8. The replacement character is three bytes long like them, so the offsets hold.
    source = data if text.isascii() else _SURROGATES.sub("\ufffd", text).encode()
    tree = parse_tree(source, grammar)
    if tree is None:
        return None, []
    root = tree.root_node
    return TreeCutter(data, grammar.leads).cut(root), find_symbols(root, grammar, data)


def _chunks(
    data: bytes, bounds: Sequence[int], symbols: Sequence[SymbolSpan], headings: Sequence[str] | None
) -> list[ChunkDraft]:
    """The passages between the bounds, without the blank lines around them; all-blank ones are left out."""
    chunks: list[ChunkDraft] = []
    bounds = _at_line_starts(data, bounds)
    names = symbols_of_spans(list(itertools.pairwise(bounds)), symbols) if symbols else None
    line = 1
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        passage = data[start:end].decode("utf-8", "surrogatepass")
        body = passage.rstrip()
        inner = body.lstrip()
        if inner:
            blank = body[: len(body) - len(inner)]
            indent = blank.rpartition("\n")[2]
            size = len(indent) + len(inner.encode("utf-8", "surrogatepass"))
            body = indent + inner if size <= HARD_MAX_BYTES else inner
            start_line = line + blank.count("\n")
            heading = headings[number] if headings else ""
            symbol = names[number] if names else ""
            chunks.append(ChunkDraft(body, start_line, start_line + body.count("\n"), heading, symbol))
        line += passage.count("\n")
    return chunks


def _at_line_starts(data: bytes, bounds: Sequence[int]) -> list[int]:
    """The bounds moved back over the indentation before them, which belongs to the passage that follows."""
    moved = [bounds[0]]
    for previous, bound in itertools.pairwise(bounds[:-1]):
        before = data[previous:bound]
        stripped = before.rstrip(_BLANKS)
        moved.append(previous + len(stripped) if stripped.endswith(b"\n") else bound)
    moved.append(bounds[-1])
    return moved
