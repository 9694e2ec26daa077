"""What ranking takes and gives. Frozen, without behaviour beyond derived values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from skep.knowledge.lexical import LexicalFilters, LexicalQuery
from skep.knowledge.models import Kind, ScoreStep

PassageKey = tuple[int, int]
"""Version id and ordinal."""

PathRole = Literal["test", "example", "benchmark", "compat", "reexport", "declaration", "changelog", "prose", "config"]
"""What a file is besides ordinary code; each has a penalty that a question can switch off by asking for it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What the rules need to know of a candidate. Never changes for a version, so callers may keep it."""

    path: str
    language: str
    kind: Kind
    symbol: str
    """Qualified name of the symbol that starts in the passage first, else of the one around it; empty when none."""
    defines: tuple[str, ...]
    """Qualified names of the symbols that start in the passage."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query, understood."""

    text: str
    terms: Mapping[str, float]
    """Index term -> weight; stop words are left out unless there is nothing else."""
    symbol: str | None
    """The name asked for when the whole query is one; as written, perhaps qualified: ``Session.get``."""
    mentions: tuple[str, ...]
    """Identifiers inside a sentence: ``how does applyMiddleware wrap dispatch``."""
    path_words: frozenset[str]
    """Stems that may name the wanted file or folder; empty when the query is a symbol."""
    asks_for: frozenset[PathRole]
    """Roles whose penalty is off, because the question is about them."""

    def lexical_query(self, top_k: int, filters: LexicalFilters | None = None) -> LexicalQuery:
        """What to look for in the index so that the best ``top_k`` can be ranked."""
        names = (self.symbol,) if self.symbol else self.mentions
        return LexicalQuery(
            terms=self.terms,
            names=names,
            filters=filters or LexicalFilters(),
            limit=max(MIN_CANDIDATES, CANDIDATES_PER_RESULT * top_k),
        )


CANDIDATES_PER_RESULT = 5
"""Source: semble 0.7.0."""

MIN_CANDIDATES = 100
"""File coherence needs to see how much of each file answers: 50 candidates gave 0.002 less NDCG@10, 200 no more."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage in its place, best first, able to tell how it came there."""

    version_id: int
    ordinal: int
    score: float
    """Relative to the best passage by words alone, which has 1.0."""
    steps: tuple[ScoreStep, ...] = field(default=(), repr=False)
