"""Where files lead: the edges that start in some versions, looked up when somebody asks and remembered until something changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from skep.knowledge.edges import MAX_DEFINERS, Edge, Lead, weigh
from skep.knowledge.storing import queries
from skep.store import Database

CACHED_VERSIONS = 20_000
"""Versions of a collection whose edges are remembered, about 3 kB each."""

_CACHED_COLLECTIONS = 16


@dataclass(frozen=True, slots=True)
class _Known:
    """The edges of some versions, as of a place in the change log."""

    last_seq: int
    edges: dict[int, list[Edge]]


class EdgeReader:
    """Looks up where versions lead, and remembers it as long as nothing changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[int, int], _Known] = OrderedDict()

    async def neighbours(
        self, project_id: int, collection_id: int, last_seq: int, version_ids: Collection[int]
    ) -> list[Edge]:
        """Every edge that starts in one of the versions, sorted by source, target and kind. At most one statement.

        ``last_seq`` is the end of the collection's change log, as the caller knows it: what comes back is at least as new.
        Its target is a findable version of the same collection, never the source itself. Versions that are gone, of other
        collections or of languages without edges have none. Raises the store's errors.
        """
        known = self._remembered((project_id, collection_id), last_seq)
        missing = [version_id for version_id in version_ids if version_id not in known.edges]
        if missing:
            bound = {
                "project_id": project_id,
                "collection_id": collection_id,
                "version_ids": missing,
                "limit": MAX_DEFINERS,
            }
            rows = await self._database.fetch_tuples(queries["fetch_leads"], bound)
            known.edges.update((version_id, []) for version_id in missing)
            for edge in weigh(Lead(*row) for row in rows):
                known.edges[edge.source].append(edge)
        return [edge for version_id in sorted(set(version_ids)) for edge in known.edges[version_id]]

    def _remembered(self, collection: tuple[int, int], last_seq: int) -> _Known:
        known = self._known.get(collection)
        if known is None or known.last_seq != last_seq or len(known.edges) > CACHED_VERSIONS:
            known = self._known[collection] = _Known(last_seq, {})
        self._known.move_to_end(collection)
        while len(self._known) > _CACHED_COLLECTIONS:
            self._known.popitem(last=False)
        return known
