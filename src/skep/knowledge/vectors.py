"""Vectors in the database: put there, and found again by nearness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from skep.knowledge.embedding import Embedder
from skep.knowledge.lexical import LexicalFilters, glob_to_regex
from skep.knowledge.models import EmbeddingStatus
from skep.knowledge.storing import queries
from skep.store import Database

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_PASSAGES = 20_000
"""Up to so many passages every vector is looked at: the index would have to be gone through far from the question for
those few that pass a filter, and might miss one."""

SESSION_SETTINGS: Mapping[str, str] = {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": "100"}
"""What a session needs for `nearest_passages`: the index is read on until enough passages pass the filters."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """How far a model is with a collection, as was last counted."""

    space_id: int = 0
    """0 when it has not begun."""
    complete_seq: int = -1
    """All that the collection had after this change has its vectors."""
    passages: int = 0
    """With a vector, of ``total``."""
    total: int = 0

    def is_complete(self, last_seq: int) -> bool:
        """Whether that still holds for a change log that ends there."""
        return self.complete_seq >= last_seq


@dataclass(frozen=True, slots=True)
class Near:
    """A passage and how near it is."""

    version_id: int
    ordinal: int
    collection_id: int
    similarity: float
    """Cosine, -1 to 1."""


Scan = Literal["index", "exact", "both"]
"""How vectors were found: through the index, by looking at every one, or that after the index had found too few."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest passages, best first."""

    near: list[Near]
    scan: Scan


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """What is looked for in one space."""

    space_id: int
    vector: Sequence[float]
    collection_ids: Sequence[int]
    passages: int
    """How many findable passages these collections have, about."""
    filters: LexicalFilters
    limit: int


@dataclass(frozen=True, slots=True)
class EmbeddingRow:
    """How far a model is with a collection, as the database says it."""

    collection_id: int
    last_seq: int
    is_paused: bool
    model: str
    complete_seq: int
    embedded: int
    total: int


def embedding_status(row: EmbeddingRow) -> EmbeddingStatus:
    """The same in words for people. Pure."""
    is_complete = row.complete_seq >= row.last_seq
    fraction = 1.0 if is_complete else min(row.embedded / row.total, 0.999) if row.total else 0.0
    state = "complete" if is_complete else "paused" if row.is_paused else "embedding"
    return EmbeddingStatus(row.model, row.embedded, row.total, round(fraction, 3), state)


class Vectors:
    """The vectors of every project, each model's in a space of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spaces: dict[tuple[int, str], int] = {}

    async def open_space(self, project_id: int, embedder: Embedder) -> int:
        """The space of a model in a project; made at its first use."""
        known = self._spaces.get((project_id, embedder.name))
        if known is not None:
            return known
        bound = {"project_id": project_id, "model": embedder.name, "dimensions": embedder.dimensions}
        ((space_id,),) = await self._database.fetch_tuples(queries["open_space"], bound)
        return self._spaces.setdefault((project_id, embedder.name), int(space_id))

    async def add(self, project_id: int, space_id: int, vectors: Mapping[bytes, NDArray[np.float32]]) -> int:
        """Keep vectors by the SHA-256 of what was embedded; returns how many are new.

        What was erased since it was read is left out, so that nothing of it comes back.
        """
        bound = {
            "project_id": project_id,
            "space_id": space_id,
            "sha256s": list(vectors),
            "vectors": [vector_text(vector.tolist()) for vector in vectors.values()],
        }
        async with self._database.transaction() as connection:
            await connection.execute(queries["hold_contents"], bound)
            return (await connection.execute(queries["insert_embeddings"], bound)).rowcount

    async def note_progress(self, bound: Mapping[str, int]) -> None:
        """Count how many passages of a collection (with its project and a space) have their vectors."""
        await self._database.execute(queries["note_embedding_progress"], bound)

    async def recount(self, project_id: int, collection_id: int) -> None:
        """`note_progress` for every model that ever began, after passages were taken away."""
        bound = {"project_id": project_id, "collection_id": collection_id}
        for (space_id,) in await self._database.fetch_tuples(queries["fetch_begun_spaces"], bound):
            await self.note_progress(bound | {"space_id": space_id})

    async def nearest(self, project_id: int, query: VectorQuery) -> Nearest:
        """The passages nearest to a vector; fewer than asked for only where no more pass the filters."""
        bound = _bound(project_id, query)
        matching = query.passages
        is_filtered = query.filters != LexicalFilters()
        if is_filtered:
            ((matching,),) = await self._database.fetch_tuples(queries["count_matching"], bound)
        statement: bytes = b""
        scan: Scan = "exact"
        if matching > EXACT_PASSAGES:
            scan = "index"
            statement = _through_the_index(query, is_filtered=is_filtered)
        elif not is_filtered:
            statement = queries["nearest_passages_of_all"]
        rows = await self._database.fetch_tuples(statement, bound) if statement else []
        if len(rows) < query.limit:
            return Nearest(await self.nearest_exactly(project_id, query), "both" if scan == "index" else "exact")
        return Nearest([Near(*row) for row in rows], scan)

    async def nearest_exactly(self, project_id: int, query: VectorQuery) -> list[Near]:
        """The same by looking at every vector of what passes the filters."""
        rows = await self._database.fetch_tuples(queries["nearest_passages_exactly"], _bound(project_id, query))
        return [Near(*row) for row in rows]


def _through_the_index(query: VectorQuery, *, is_filtered: bool) -> bytes:
    statement = queries["nearest_filtered_passages" if is_filtered else "nearest_passages"]
    numbers = {b":dimensions": len(query.vector), b":limit": query.limit}
    for name, number in numbers.items():
        statement = statement.replace(name, b"%d" % number)
    return statement


def vector_text(vector: Sequence[float]) -> str:
    """A vector as PostgreSQL reads it; five digits are more than a 16-bit number keeps."""
    return "[" + ",".join([f"{value:.5g}" for value in vector]) + "]"


def _bound(project_id: int, query: VectorQuery) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "space_id": query.space_id,
        "vector": vector_text(query.vector),
        "collection_ids": list(query.collection_ids),
        "limit": query.limit,
        **_filter_columns(query.filters),
    }


def _filter_columns(filters: LexicalFilters) -> dict[str, Any]:
    pattern = None if filters.path_glob is None else f"^(?:{glob_to_regex(filters.path_glob)})$"
    return {
        "languages": list(filters.languages) or None,
        "kinds": list(filters.kinds) or None,
        "modified_since": filters.modified_since,
        "modified_until": filters.modified_until,
        "path_pattern": pattern,
    }
