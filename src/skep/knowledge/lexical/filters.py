"""Filters as clauses of the query itself, so that the best ``limit`` passages that pass them are found, never fewer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import tantivy

from skep.knowledge.lexical.globs import glob_to_regex
from skep.knowledge.lexical.interfaces import PathGlobError
from skep.knowledge.lexical.models import LexicalFilters
from skep.knowledge.lexical.schema import KIND, LANGUAGE, MODIFIED_AT, PATH, safe_path, schema

Clause = tuple[tantivy.Occur, tantivy.Query]

_GLOBS_REMEMBERED = 64
"""Compiling a pattern to its automaton takes 3 to 7 ms, more than the search with it."""


def filter_clauses(filters: LexicalFilters) -> list[Clause]:
    """What must hold besides the terms; none of it changes a score. Raises :class:`PathGlobError`."""
    queries: list[tantivy.Query] = []
    if filters.languages:
        queries.append(_any_of(LANGUAGE, filters.languages))
    if filters.kinds:
        queries.append(_any_of(KIND, filters.kinds))
    if filters.path_glob is not None:
        queries.append(_path_query(filters.path_glob))
    if filters.modified_since is not None or filters.modified_until is not None:
        queries.append(
            tantivy.Query.range_query(
                schema(),
                MODIFIED_AT,
                tantivy.FieldType.Integer,
                lower_bound=filters.modified_since,
                upper_bound=filters.modified_until,
            )
        )
    return [(tantivy.Occur.Must, tantivy.Query.const_score_query(query, 0.0)) for query in queries]


def _any_of(field: str, values: Sequence[str]) -> tantivy.Query:
    return tantivy.Query.term_set_query(schema(), field, list(values))


@lru_cache(maxsize=_GLOBS_REMEMBERED)
def _path_query(glob: str) -> tantivy.Query:
    try:
        return tantivy.Query.regex_query(schema(), PATH, glob_to_regex(safe_path(glob)))
    except ValueError as exc:
        raise PathGlobError(
            glob=glob, reason="it stands for too many different paths, or a set in it is wrong"
        ) from exc
