"""The lexical index: an on-disk follower of the change log that finds passages by their words."""

from __future__ import annotations

from skep.knowledge.lexical.compare import compare
from skep.knowledge.lexical.folder import is_locked
from skep.knowledge.lexical.globs import glob_to_regex
from skep.knowledge.lexical.index import IndexedPassage, LexicalIndex
from skep.knowledge.lexical.interfaces import (
    LexicalDamagedError,
    LexicalIndexError,
    LexicalLockedError,
    LexicalMissingError,
    LexicalOutdatedError,
    LexicalWriteError,
    PathGlobError,
)
from skep.knowledge.lexical.models import (
    Difference,
    Hit,
    LexicalDocument,
    LexicalFilters,
    LexicalHits,
    LexicalQuery,
)
from skep.knowledge.lexical.schema import definition_term
from skep.knowledge.lexical.tokens import stem, terms_of, words_of
from skep.knowledge.lexical.writer import LexicalWriter

__all__ = [
    "Difference",
    "Hit",
    "IndexedPassage",
    "LexicalDamagedError",
    "LexicalDocument",
    "LexicalFilters",
    "LexicalHits",
    "LexicalIndex",
    "LexicalIndexError",
    "LexicalLockedError",
    "LexicalMissingError",
    "LexicalOutdatedError",
    "LexicalQuery",
    "LexicalWriteError",
    "LexicalWriter",
    "PathGlobError",
    "compare",
    "definition_term",
    "glob_to_regex",
    "is_locked",
    "stem",
    "terms_of",
    "words_of",
]
