"""From a file on the disk to passages that can be stored. Pure but for the reading; runs in worker processes."""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import astuple, dataclass
from typing import Any

from skep.knowledge.chunking import code_of, language_of_file, parse_file
from skep.knowledge.edges import Mentions, find_links, find_mentions
from skep.knowledge.embedding_inputs import embedding_input
from skep.knowledge.models import ChunkDraft, ParsedFile
from skep.knowledge.walking import (
    FileStat,
    RootIsFileError,
    RootMissingError,
    RootUnreadableError,
    Skipped,
    SkipReason,
    WalkEntry,
    WalkOptions,
    read_file,
)

_DEFLATE_LEVEL = 1
"""zlib level of stored originals: source text shrinks to 30 % at 90 MB/s per core; level 6 gains 5 % more at 30 MB/s."""

PreparedChunk = tuple[bytes, str, int, int, str, str, bytes]
"""SHA-256 of the text, text, first line, last line, heading path, symbol, SHA-256 of what is embedded."""

PreparedSymbol = tuple[str, str, str, int, int]
"""Name, qualified name, kind, first line, last line."""


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file ready to be stored. Consists of plain values only, so that it travels between processes as plain data."""

    path: str
    stat: FileStat
    observed_ns: int
    sha256: bytes
    size_bytes: int
    language: str
    kind: str
    note: str
    reuses: bool
    """True when the same content is stored already: then the next three, and the names among the mentions, are empty and
    the stored ones are copied."""
    deflated: bytes
    chunks: tuple[PreparedChunk, ...]
    symbols: tuple[PreparedSymbol, ...]
    mentions: Mentions


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that was not prepared: a `SkipReason` in words, or what happened to the parser."""

    path: str
    reason: str
    detail: str = ""

    @property
    def sentence(self) -> str:
        """The reason with its details."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


PARSER_CRASHED = "parser_crashed"
PARSER_TIMEOUT = "parser_timeout"
ROOT_GONE = "root_gone"
"""The folder itself vanished while its files were being read: this says nothing about the file."""

FAILURES = frozenset({str(SkipReason.UNREADABLE), str(SkipReason.CHANGING), PARSER_CRASHED, PARSER_TIMEOUT})
"""Reasons that mean "this should have been indexed"; all others are rules at work."""


StoredContent = tuple[bytes, str]
"""SHA-256 and language of content whose passages are stored."""


def prepare_file(
    root: bytes, entry: WalkEntry, options: WalkOptions, stored: frozenset[StoredContent]
) -> PreparedFile | UnreadableFile:
    """Read, decode, and cut one file. ``stored`` are contents of the same size that need no cutting.

    Never raises for anything the file contains.
    """
    observed_ns = time.time_ns()
    try:
        read = read_file(root, entry, options)
    except (RootMissingError, RootIsFileError, RootUnreadableError) as error:
        return UnreadableFile(entry.path, ROOT_GONE, str(error))
    if isinstance(read, Skipped):
        return UnreadableFile(entry.path, str(read.reason), read.detail)
    language = language_of_file(entry.path, read.text)
    if (read.sha256, language.name) in stored:
        return PreparedFile(
            path=entry.path,
            stat=read.stat,
            observed_ns=observed_ns,
            sha256=read.sha256,
            size_bytes=len(read.data),
            language=language.name,
            kind=language.kind,
            note=read.note or "",
            reuses=True,
            deflated=b"",
            chunks=(),
            symbols=(),
            mentions=find_links(language.name, entry.path, code_of(language, read.text)),
        )
    parsed = parse_file(entry.path, read.text)
    return PreparedFile(
        path=entry.path,
        stat=read.stat,
        observed_ns=observed_ns,
        sha256=read.sha256,
        size_bytes=len(read.data),
        language=parsed.language,
        kind=parsed.kind,
        note=read.note or "",
        reuses=False,
        deflated=zlib.compress(read.data, _DEFLATE_LEVEL),
        chunks=tuple(map(prepare_chunk, parsed.chunks)),
        symbols=tuple(
            (symbol.name, symbol.qualified_name, symbol.kind, symbol.start_line, symbol.end_line)
            for symbol in parsed.symbols
        ),
        mentions=mentions_of(entry.path, read.text, parsed),
    )


def prepare_chunk(chunk: ChunkDraft) -> PreparedChunk:
    """A passage as it is stored."""
    embedded = embedding_input(chunk.text, symbol=chunk.symbol, heading=chunk.heading)
    return (
        hash_text(chunk.text),
        chunk.text,
        chunk.start_line,
        chunk.end_line,
        chunk.heading,
        chunk.symbol,
        hash_text(embedded),
    )


def mentions_of(path: str, text: str, parsed: ParsedFile) -> Mentions:
    """What a file that was cut says of other files."""
    code = code_of(language_of_file(path, text), text)
    return find_mentions(parsed.language, path, code, {symbol.name for symbol in parsed.symbols})


def hash_text(text: str) -> bytes:
    """The identity of a text: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def to_plain(result: PreparedFile | UnreadableFile) -> tuple[Any, ...]:
    """The result as nested tuples of plain values, for `marshal`."""
    if isinstance(result, UnreadableFile):
        return (result.path, result.reason, result.detail)
    stat = result.stat
    return (
        result.path,
        (stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode),
        result.observed_ns,
        result.sha256,
        result.size_bytes,
        result.language,
        result.kind,
        result.note,
        result.reuses,
        result.deflated,
        result.chunks,
        result.symbols,
        astuple(result.mentions),
    )


def from_plain(plain: tuple[Any, ...]) -> PreparedFile | UnreadableFile:
    """The inverse of `to_plain`."""
    if len(plain) == 3:
        return UnreadableFile(*plain)
    return PreparedFile(plain[0], FileStat(*plain[1]), *(*plain[2:-1], Mentions(*plain[-1])))
