"""The collections that a search sees: each caught up with its change log, or known to be behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from skep.access import Principal
from skep.knowledge.following import CollectionRow, LexicalFollower
from skep.knowledge.interfaces import (
    CollectionGoneError,
    CollectionNotFoundError,
    LexicalBusyError,
    NothingIndexedError,
)
from skep.knowledge.lexical import LexicalIndex, LexicalIndexError, LexicalWriteError, is_locked
from skep.knowledge.rounds import Rounds
from skep.knowledge.storing import queries
from skep.knowledge.vectors import Embedded
from skep.observe import event
from skep.store import Database

_BUSY_PAUSE_SECONDS = 0.25
"""After another process was found writing an index, how long we answer from what is there before asking again."""

_NOTHING_EMBEDDED = Embedded()

_Row = tuple[CollectionRow, Embedded]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """A collection's index as one search sees it."""

    collection: CollectionRow
    index: LexicalIndex
    applied_seq: int
    """The last change it knows; -1 when there is no index that can be read."""
    embedded: Embedded = _NOTHING_EMBEDDED
    """How far the model that searches use is with it."""

    @property
    def is_behind(self) -> bool:
        """Whether something was committed that the index does not have."""
        return self.applied_seq < self.collection.last_seq


@dataclass(slots=True)
class _Reader:
    """What is kept of a collection between searches."""

    index: LexicalIndex
    catching_up: asyncio.Lock = field(default_factory=asyncio.Lock)
    busy_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Project:
    """What is kept of a project between searches: its readers by uid, and the statement under way."""

    rows: Rounds[None, list[_Row]]
    readers: dict[str, _Reader] = field(default_factory=dict)
    said: list[_Row] = field(default_factory=list)
    """What the database said last."""


class Views:
    """Opens the lexical indexes of this machine for searching, and keeps them open."""

    def __init__(self, database: Database, follower: LexicalFollower, *, model: str) -> None:
        """``model``: whose vectors the searches use; empty for none."""
        self._database = database
        self._follower = follower
        self._model = model
        self._projects: dict[int, _Project] = {}

    def close(self) -> None:
        """Let go of the indexes."""
        for project in self._projects.values():
            for reader in project.readers.values():
                reader.index.close()
        self._projects.clear()

    async def open(self, principal: Principal, names: Sequence[str]) -> list[View]:
        """The collections of these names, or all of them for no name.

        Raises NothingIndexedError, CollectionNotFoundError, and the store's errors.
        """
        project_id = principal.project_id
        if project_id not in self._projects:
            self._projects[project_id] = _Project(Rounds(partial(self._fetch_rows, project_id)))
        project = self._projects[project_id]
        rows = await project.rows.ask((None,))
        project.said[:] = rows
        known = {row.uid for row, _ in rows}
        for uid in [uid for uid in project.readers if uid not in known]:
            # Purged, perhaps by another process. Files that are held open would keep their place on the disk; searches
            # that are at it keep them a little longer.
            del project.readers[uid]
        embedded = {row.collection_id: far for row, far in rows}
        chosen = choose([row for row, _ in rows], names, project=principal.project_name)
        views = [await self._view(project_id, project, row, embedded[row.collection_id]) for row in chosen]
        return [view for view in views if view is not None]

    def guess(self, principal: Principal, names: Sequence[str]) -> list[View]:
        """What `open` will give if nothing has changed since it was last called; empty when that cannot be told."""
        project = self._projects.get(principal.project_id)
        if project is None:
            return []
        by_name = {row.name: (row, embedded) for row, embedded in project.said}
        if not by_name.keys() >= set(names):
            return []
        views = []
        for row, embedded in [by_name[name] for name in dict.fromkeys(names)] if names else project.said:
            reader = project.readers.get(row.uid)
            if reader is None or not reader.index.is_open or reader.index.applied_seq != row.last_seq:
                return []
            views.append(View(row, reader.index, row.last_seq, embedded))
        return views

    def refresh(self, view: View) -> None:
        """See what was built anew."""
        _refreshed(view.index)

    async def _fetch_rows(self, project_id: int, _: frozenset[None]) -> list[_Row]:
        bound = {"project_id": project_id, "model": self._model}
        rows = await self._database.fetch_tuples(queries["fetch_searchable"], bound)
        return [(CollectionRow(*row[:5]), Embedded(*row[5:])) for row in rows]

    async def _view(self, project_id: int, project: _Project, row: CollectionRow, embedded: Embedded) -> View | None:
        """The index, caught up unless another process is busy writing it; None when it was purged a moment ago."""
        if row.uid not in project.readers:
            project.readers[row.uid] = _Reader(LexicalIndex(self._follower.folder_of(row)))
        reader = project.readers[row.uid]
        applied = _refreshed(reader.index)
        if applied != row.last_seq and not self._is_being_written(reader, row):
            async with reader.catching_up:
                # Whoever waited here finds the work done.
                applied = _refreshed(reader.index)
                if applied is None or applied != row.last_seq:
                    try:
                        # It may be ahead of us since we asked, or, for good, of a database restored from a backup.
                        row = await self._follower.fetch(project_id, row.collection_id)
                    except CollectionGoneError:
                        return None
                    if applied != row.last_seq:
                        await self._catch_up(project_id, reader, row)
                        applied = _refreshed(reader.index)
        return View(row, reader.index, -1 if applied is None else applied, embedded)

    def _is_being_written(self, reader: _Reader, row: CollectionRow) -> bool:
        """Whether another process is just catching up. Asked cheaply, since in that time every search comes by here."""
        if time.monotonic() < reader.busy_until:
            return True
        if reader.catching_up.locked():
            return False  # it is this process that writes, and its searches wait for it
        if not reader.index.is_open or not is_locked(self._follower.folder_of(row)):
            return False
        reader.busy_until = time.monotonic() + _BUSY_PAUSE_SECONDS
        return True

    async def _catch_up(self, project_id: int, reader: _Reader, row: CollectionRow) -> None:
        try:
            await self._follower.catch_up(project_id, row.collection_id, timeout_seconds=0)
        except CollectionGoneError:
            return
        except LexicalBusyError:
            reader.busy_until = time.monotonic() + _BUSY_PAUSE_SECONDS
        except LexicalWriteError as error:
            # A full or read-only disk: what the index had before still answers, and the answer says how far it is.
            if not reader.index.is_open:
                raise
            event(_log, logging.WARNING, "index not brought up to date", collection=row.name, reason=str(error))
            reader.busy_until = time.monotonic() + _BUSY_PAUSE_SECONDS


def choose(collections: Sequence[CollectionRow], names: Sequence[str], *, project: str) -> list[CollectionRow]:
    """The collections of these names, or all of them for no name.

    Raises CollectionNotFoundError for an unknown name, NothingIndexedError when there is none at all.
    """
    if not collections:
        raise NothingIndexedError(what="collection", name="", project=project)
    if not names:
        return list(collections)
    by_name = {collection.name: collection for collection in collections}
    for name in names:
        if name not in by_name:
            raise CollectionNotFoundError(what="collection", name=name, known=", ".join(sorted(by_name)))
    return [by_name[name] for name in dict.fromkeys(names)]


def _refreshed(index: LexicalIndex) -> int | None:
    try:
        return index.refresh()
    except LexicalIndexError:
        return None
