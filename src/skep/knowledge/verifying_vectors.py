"""Are the vectors there that should be, and are they what the model makes of the passages?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from skep.knowledge.embedding_passages import PassageEmbedder
from skep.knowledge.following import CollectionRow
from skep.knowledge.storing import queries
from skep.knowledge.vectors import Embedded
from skep.store import Database

SAMPLES = 200
"""Vectors computed anew and compared; all of them would take as long as embedding everything."""

LEAST_COSINE = 0.98
"""Between a vector and the same passage embedded anew: 16-bit numbers and another machine cost less than 0.001."""


@dataclass(frozen=True, slots=True)
class _Sample:
    path: str
    text: str
    symbol: str
    heading: str
    vector: str


async def vector_differences(
    database: Database, embedder: PassageEmbedder, project_id: int, collection: CollectionRow
) -> AsyncIterator[str]:
    """In words, what is wrong with a collection's vectors; nothing while they are not said to be complete.

    That each passage has the right key is compared with its other columns: the key is the hash of what is embedded.
    """
    embedded = await _embedded(database, embedder, project_id, collection)
    if not embedded.space_id or not embedded.is_complete(collection.last_seq):
        return
    bound = {"project_id": project_id, "collection_id": collection.collection_id, "space_id": embedded.space_id}
    ((total, found),) = await database.fetch_tuples(queries["count_embedded"], bound)
    if total != found:
        yield f"meanings: {total - found} of {total} passages have no vector, though all are said to have one"
    samples = await database.fetch_all(_Sample, queries["sample_embedded"], bound | {"limit": SAMPLES})
    if not samples:
        return
    numpy: Any = import_module("numpy")
    anew = await asyncio.to_thread(embedder.embed_passages, samples)
    for sample, vector in zip(samples, anew, strict=True):
        stored = numpy.fromstring(sample.vector[1:-1], dtype=numpy.float32, sep=",")
        cosine = float(stored @ vector) if stored.shape == vector.shape else 0.0
        if cosine < LEAST_COSINE:
            yield f"meanings: {sample.path}: a vector is not its passage's (cosine {cosine:.2f})"


async def _embedded(
    database: Database, embedder: PassageEmbedder, project_id: int, collection: CollectionRow
) -> Embedded:
    bound = {"project_id": project_id, "model": embedder.name}
    for row in await database.fetch_tuples(queries["fetch_searchable"], bound):
        if row[0] == collection.collection_id:
            return Embedded(*row[5:])
    return Embedded()
