"""What goes into the lexical index and what comes out. Frozen, without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from skep.knowledge.models import Kind


@dataclass(frozen=True, slots=True)
class LexicalDocument:
    """One passage of a version. All passages of a version come and go together."""

    version_id: int
    ordinal: int
    """Place of the passage in its version, from 0."""
    path: str
    """Relative to the indexed folder, with ``/``."""
    language: str
    kind: Kind
    modified_at: int
    """Unix seconds of the file."""
    text: str
    heading: str
    """In prose the headings above the passage; empty in code."""
    defines: tuple[str, ...]
    """Qualified names of the symbols that start in this passage."""
    symbol: str = ""
    """Qualified name of the symbol around the passage; it names the passage only when that defines nothing itself."""


@dataclass(frozen=True, slots=True)
class LexicalFilters:
    """What a passage must be to be found. An empty tuple and None let everything through."""

    languages: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    path_glob: str | None = None
    """``*`` stays within a folder, ``**`` crosses folders, a name without ``/`` matches at any depth, a folder means all in it."""
    modified_since: int | None = None
    """Unix seconds, included."""
    modified_until: int | None = None
    """Unix seconds, included."""


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A question in the index's own words: :func:`skep.knowledge.lexical.terms_of` makes the terms."""

    terms: Mapping[str, float]
    """Term -> weight; the more of them a passage has, and the rarer they are, the higher it scores (BM25)."""
    names: tuple[str, ...] = ()
    """Symbols whose defining passages are wanted besides: ``Session`` or ``Session.get``, any case."""
    filters: LexicalFilters = field(default_factory=LexicalFilters)
    limit: int = 50
    """Most passages to return for the terms, and again for each name."""


class Hit(NamedTuple):
    """A passage that was found. Every search makes a hundred: a tuple is made in a third of a dataclass's time."""

    version_id: int
    ordinal: int
    score: float
    """BM25 over the fields of the index; 0.0 for a passage that only defines a wanted name."""


@dataclass(frozen=True, slots=True)
class LexicalHits:
    """What a query found, best first."""

    passages: tuple[Hit, ...]
    """By the terms."""
    definitions: tuple[Hit, ...]
    """By the names; a passage may be in both."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which an index is not what it should be."""

    what: Literal["missing", "extra", "different", "term"]
    """A passage that is not there, that should not be there, that has other content, or a term's wrong count."""
    subject: str
    """``version 12 passage 3`` or ``body:redirect``."""
    expected: str
    found: str
