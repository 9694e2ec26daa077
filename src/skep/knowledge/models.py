"""What the knowledge rooms hand to each other. Frozen, without behaviour beyond derived values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["code", "docs", "config"]
"""What a file is for; the ranking rules of ``docs`` differ from those of ``code``."""

KINDS: tuple[Kind, ...] = ("code", "docs", "config")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition found in a file by its syntax tree. Lines count from 1 and include both ends."""

    name: str
    qualified_name: str
    """Enclosing names joined by ``.`` whatever the language: ``Session.get``."""
    kind: str
    """``class``, ``function``, ``method``, ``interface``, ``struct``, ``enum``, ``trait``, ``type``, ``constant``, ``module``, ``macro``."""
    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class ChunkDraft:
    """A passage of a file as the chunker cut it, before it has an identity. Lines count from 1 and include both ends."""

    text: str
    start_line: int
    end_line: int
    heading: str = ""
    """In prose and configuration the path of headings or keys above, joined by `` > ``; empty in code."""
    symbol: str = ""
    """Qualified name of the definition that starts in this passage first, else of the one around it; empty when none."""


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """One file cut into passages, with the symbols it defines, both in file order."""

    language: str
    """Name from the language registry: ``python``, ``markdown``; ``text`` when nothing knows the file."""
    kind: Kind
    chunks: tuple[ChunkDraft, ...]
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that was not indexed, or not wholly, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexSeconds:
    """Where the time of an index run went, in seconds. The phases overlap, so their sum may exceed ``total``."""

    walk: float = 0.0
    parse: float = 0.0
    store: float = 0.0
    lexical: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an index run saw and did."""

    collection: str
    root: str
    files_seen: int
    files_added: int
    files_changed: int
    files_removed: int
    files_unchanged: int
    files_failed: tuple[FailedFile, ...]
    files_skipped: dict[str, int]
    """How many files were left out, by reason; those a person should know about are in ``notices`` by name."""
    notices: tuple[FailedFile, ...]
    chunks_total: int
    chunks_new: int
    chunks_reused: int
    seconds: IndexSeconds


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A question with its filters. Empty filters let everything through."""

    query: str
    top_k: int = 10
    collections: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    path_glob: str | None = None
    kinds: tuple[Kind, ...] = ()
    modified_since: int | None = None
    """Unix seconds; None means no bound."""
    modified_until: int | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class ScoreStep:
    """One rule's part in a score: what it is called, what it did, and the score after it."""

    rule: str
    effect: str
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A passage that answers. Lines count from 1 and include both ends."""

    collection: str
    path: str
    start_line: int
    end_line: int
    symbol: str | None
    heading: str | None
    language: str
    kind: Kind
    score: float
    text: str
    version: str = ""
    """SHA-256 of the document's bytes, as hexadecimal digits."""
    explanation: tuple[ScoreStep, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionFreshness:
    """How far a collection's lexical index had come when it was asked."""

    collection: str
    last_seq: int
    applied_seq: int


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The best passages, best first, and how true they are."""

    results: tuple[SearchResult, ...]
    took_ms: float
    behind: tuple[CollectionFreshness, ...] = ()
    """Collections whose newest changes were not yet searchable; empty is the rule."""
    embedded_fraction: float | None = None
    """How much of what was searched could be found by its meaning, 0.0 to 1.0; None when only words are searched."""


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """How a folder is kept fresh."""

    method: str
    """``events``, ``polling``, or ``waiting`` when it cannot be looked at now."""
    notice: str
    """Why it is not watched by events, and what to do; empty when it is."""
    lag_ms: float | None
    """How long the last change took from its first sign until it was searchable; None before the first."""
    looks: int
    """How many times something was found to have changed, in all."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A folder that a collection was indexed from."""

    root: str
    node: str
    scanned_at: str | None
    """ISO 8601, UTC; None when no run has finished yet."""
    watch: WatchStatus | None = None
    """None when nobody watches it."""


@dataclass(frozen=True, slots=True)
class EmbeddingStatus:
    """How far an embedding model is with a collection, as was last counted."""

    model: str
    embedded: int
    """Passages that can be found by their meaning."""
    total: int
    embedded_fraction: float
    """1.0 only when nothing was stored since that it does not have."""
    state: str
    """``complete``, ``embedding`` or ``paused``."""


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """What a collection holds, read from the change log and not from memory."""

    collection: str
    sources: tuple[SourceStatus, ...]
    files: int
    chunks: int
    languages: dict[str, int]
    last_seq: int
    lexical_seq: int | None
    """What this machine's lexical index has applied; None when it has none yet."""
    lexical_state: str
    """``current``, ``behind``, ``missing`` or ``damaged``."""
    embeddings: tuple[EmbeddingStatus, ...] = ()
    """How far each model is that ever began with it."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Whether a collection equals one built from scratch."""

    collection: str
    documents_checked: int
    chunks_checked: int
    differences: tuple[str, ...]
    differences_total: int

    @property
    def is_equal(self) -> bool:
        """True when nothing differed."""
        return self.differences_total == 0


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """What `forget` or `purge` took away."""

    collection: str
    documents: int
    versions: int
    chunks: int
    blobs: int
    notices: tuple[str, ...] = ()
    """What is left to do, and will be done by itself; empty is the rule."""


DiskState = Literal["same", "changed", "gone", "elsewhere"]
"""How a document's file compares to what is stored of it; ``elsewhere``: it is on another machine."""


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A document as the index has it."""

    collection: str
    path: str
    language: str
    text: str
    """Line ends as they are in the file; without a byte order mark."""
    indexed_at: str
    """ISO 8601, UTC: when this state of it was stored."""
    disk: DiskState
    others: tuple[str, ...] = ()
    """Other collections searched that have a document of this path; those of one collection count too."""
