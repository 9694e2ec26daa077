"""Answers as text within a number of tokens. Pure.

Blocks are dropped whole from the end; only the first one, if it is too long alone, loses lines at its end. No line is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skep.knowledge import CollectionStatus, DocumentText, LineNotFoundError, SearchResponse, SearchResult
from skep.mcp.counting import estimate_tokens

_CLOSING_TOKENS = 40
"""What the last line may take, which says what was left out."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of an answer that stays whole: a heading and lines."""

    head: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Heading and lines."""
        return "\n".join((self.head, *self.lines))


def fit(notes: Sequence[str], blocks: Sequence[Block], max_tokens: int, *, what: str) -> str:
    """Notes and as many blocks as fit; ``what`` they are called, in the plural, when some do not."""
    parts = list(notes)
    left = max_tokens - _CLOSING_TOKENS - sum(estimate_tokens(note) + 1 for note in notes)
    shown = 0
    for block in blocks:
        cost = estimate_tokens(block.text) + 2
        if cost > left:
            break
        left -= cost
        parts.append(block.text)
        shown += 1
    if blocks and not shown:
        parts.append(_shortened(blocks[0], left))
        shown = 1
    if shown < len(blocks):
        parts.append(f"({len(blocks) - shown} of {len(blocks)} {what} left out: max_tokens is {max_tokens})")
    return "\n\n".join(parts)


def search_text(response: SearchResponse, notes: Sequence[str], max_tokens: int) -> str:
    """The results, best first."""
    notes = [*notes]
    notes += [
        f"note: {one.collection} is being indexed; {one.applied_seq} of {one.last_seq} changes are searchable"
        for one in response.behind
    ]
    if not response.results:
        return "\n\n".join([*notes, "nothing found"])
    several = len({result.collection for result in response.results}) > 1
    blocks = [_result_block(result, several=several) for result in response.results]
    return fit(notes, blocks, max_tokens, what="results")


def _result_block(result: SearchResult, *, several: bool) -> Block:
    where = f"{one_line(result.path)}:{result.start_line}-{result.end_line}"
    name = one_line(result.symbol or result.heading or "")
    head = f"## {where}" + (f" {name}" if name else "") + (f" [{result.collection}]" if several else "")
    return Block(head, tuple(line.removesuffix("\r") for line in result.text.rstrip().split("\n")))


def document_text(document: DocumentText, start_line: int, end_line: int | None, max_tokens: int) -> str:
    """Lines of a document with their numbers. Raises LineNotFoundError."""
    lines = document.text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if start_line > max(1, len(lines)):
        raise LineNotFoundError(path=document.path, line=start_line, last_line=len(lines))
    wanted = lines[start_line - 1 : end_line]
    parts = [f"{one_line(document.path)} [{document.collection}], {len(lines)} lines", *_document_notes(document)]
    left = max_tokens - _CLOSING_TOKENS - sum(estimate_tokens(part) + 1 for part in parts)
    shown = 0
    for number, line in enumerate(wanted, start_line):
        text = f"{number}\t{line.removesuffix(chr(13))}"
        left -= estimate_tokens(text) + 1
        if left < 0:
            break
        parts.append(text)
        shown += 1
    if shown < len(wanted):
        first = start_line + shown
        parts.append(
            f"(lines {first}-{start_line + len(wanted) - 1} left out: max_tokens is {max_tokens}; go on with start_line {first})"
            if shown
            else f"(line {first} alone is longer than max_tokens, {max_tokens}; {len(wanted)} lines left out)"
        )
    return "\n".join(parts)


def _document_notes(document: DocumentText) -> list[str]:
    notes = []
    if document.disk == "changed":
        notes.append(
            f"note: the file on disk has changed since this was indexed ({document.indexed_at});"
            " `skep index` brings the index up to date"
        )
    elif document.disk == "gone":
        notes.append(f"note: the file is no longer on disk; this was indexed {document.indexed_at}")
    if document.others:
        notes.append(f"note: also in {', '.join(document.others)}; choose with collection")
    return notes


def status_text(collections: Sequence[CollectionStatus], here: str | None, max_tokens: int) -> str:
    """Each collection with its folders; ``here`` is the one that searches take by default."""
    if not collections:
        return "nothing is indexed yet\nfix: run `skep index .` in the project"
    ordered = sorted(collections, key=lambda one: one.collection != here)
    blocks = [_status_block(one, is_here=one.collection == here) for one in ordered]
    return fit([], blocks, max_tokens, what="collections")


def _status_block(status: CollectionStatus, *, is_here: bool) -> Block:
    head = f"{status.collection}: {status.files} files, {status.chunks} passages, index {status.lexical_state}"
    if status.lexical_state == "behind":
        head += f" ({status.lexical_seq} of {status.last_seq} changes)"
    lines = [
        f"  {one_line(source.root)}, indexed {source.scanned_at or 'never to the end'}" for source in status.sources
    ]
    languages = ", ".join(f"{name} {count}" for name, count in status.languages.items())
    return Block(
        head + (" (searched by default)" if is_here else ""), (*lines, *([f"  {languages}"] if languages else []))
    )


def one_line(text: str) -> str:
    """A name as it can stand in a heading: what would end the line or steer a terminal is replaced."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _shortened(block: Block, max_tokens: int) -> str:
    left = max_tokens - estimate_tokens(block.head) - _CLOSING_TOKENS
    shown: list[str] = []
    for line in block.lines:
        left -= estimate_tokens(line) + 1
        if left < 0:
            break
        shown.append(line)
    return "\n".join((block.head, *shown, f"({len(block.lines) - len(shown)} more lines of it left out)"))
