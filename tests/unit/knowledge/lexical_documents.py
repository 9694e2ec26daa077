"""Passages for the tests of the lexical index."""

from __future__ import annotations

from skep.knowledge.lexical import Hit, LexicalDocument, LexicalFilters, LexicalIndex, LexicalQuery, terms_of
from skep.knowledge.models import Kind


def passage(
    version_id: int,
    text: str,
    *,
    ordinal: int = 0,
    path: str = "",
    language: str = "python",
    kind: Kind = "code",
    defines: tuple[str, ...] = (),
) -> LexicalDocument:
    """A passage of a file named after its version, changed at second 1000 + version."""
    return LexicalDocument(
        version_id=version_id,
        ordinal=ordinal,
        path=path or f"src/file{version_id}.py",
        language=language,
        kind=kind,
        modified_at=1000 + version_id,
        text=text,
        heading="",
        defines=defines,
    )


def query(text: str, filters: LexicalFilters | None = None, limit: int = 50) -> LexicalQuery:
    """A question for its terms alone."""
    return LexicalQuery(dict.fromkeys(terms_of(text), 1.0), filters=filters or LexicalFilters(), limit=limit)


def found(index: LexicalIndex, text: str, filters: LexicalFilters | None = None) -> list[int]:
    """The versions that answer, in the order of their numbers."""
    hits: tuple[Hit, ...] = index.search(query(text, filters)).passages
    return sorted(hit.version_id for hit in hits)
