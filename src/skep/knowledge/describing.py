"""What ranking needs to know of passages, kept in memory: a version never changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from skep.access import Principal
from skep.knowledge.following import names_starting_in
from skep.knowledge.models import Kind
from skep.knowledge.ranking import Passage
from skep.knowledge.storing import queries
from skep.store import Database

CACHED_PASSAGES = 300_000
"""Descriptions kept between searches, about 250 bytes each."""

Described = Mapping[int, tuple[Passage, ...]]
"""Version id -> its passages, by ordinal."""


class Describer:
    """Describes passages from memory, or else from the database."""

    def __init__(self, database: Database, *, cached_passages: int = CACHED_PASSAGES) -> None:
        self._database = database
        self._limit = cached_passages
        self._cache: OrderedDict[int, tuple[Passage, ...]] = OrderedDict()
        self._cached = 0

    @property
    def cached_passages(self) -> int:
        """How many descriptions are kept."""
        return self._cached

    async def describe(self, principal: Principal, version_ids: Iterable[int]) -> Described:
        """The passages of some versions; a version that is gone is left out."""
        found: dict[int, tuple[Passage, ...]] = {}
        missing: list[int] = []
        for version_id in version_ids:
            cached = self._cache.get(version_id)
            if cached is None:
                missing.append(version_id)
            else:
                self._cache.move_to_end(version_id)
                found[version_id] = cached
        if missing:
            described = await self._fetch(principal, missing)
            found |= described
            self._keep(described)
        return found

    def _keep(self, described: Described) -> None:
        for version_id, passages in described.items():
            # Searches at the same time may have fetched the same.
            self._cached -= len(self._cache.get(version_id, ()))
            self._cache[version_id] = passages
            self._cached += len(passages)
        while self._cached > self._limit and len(self._cache) > len(described):
            _, dropped = self._cache.popitem(last=False)
            self._cached -= len(dropped)

    async def _fetch(self, principal: Principal, version_ids: list[int]) -> Described:
        bound = {"project_id": principal.project_id, "version_ids": version_ids}
        async with self._database.connection() as connection:
            async with connection.pipeline():
                files_cursor = await connection.execute(queries["fetch_version_files"], bound)
                spans_cursor = await connection.execute(queries["fetch_spans"], bound)
                symbols_cursor = await connection.execute(queries["fetch_symbols"], bound)
            files = await files_cursor.fetchall()
            spans = await spans_cursor.fetchall()
            symbols = await symbols_cursor.fetchall()
        starts: dict[int, list[tuple[int, str]]] = {}
        for version_id, name, line in symbols:
            starts.setdefault(version_id, []).append((line, name))
        described: dict[int, list[Passage]] = {version_id: [] for version_id, *_ in files}
        facts: dict[int, tuple[str, str, Kind]] = {row[0]: (row[1], row[2], row[3]) for row in files}
        for version_id, start_line, end_line, symbol in spans:
            # A version that was erased between the two statements has spans and no file.
            if version_id in facts:
                path, language, kind = facts[version_id]
                defines = names_starting_in(starts.get(version_id, ()), start_line, end_line)
                described[version_id].append(Passage(path, language, kind, symbol, defines))
        return {version_id: tuple(passages) for version_id, passages in described.items()}
