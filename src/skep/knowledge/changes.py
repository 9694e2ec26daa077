"""Telling what has changed, whichever process on whichever machine has indexed it: read from the database's change log.

A follower keeps nothing but how far it has read. One that is slow makes no queue grow: its next notice speaks of all that
came in between.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from skep.access import Principal, require_role
from skep.errors import UnavailableError
from skep.jobs import end_task
from skep.knowledge.following import CollectionRow
from skep.knowledge.interfaces import CursorInvalidError
from skep.knowledge.rounds import Rounds
from skep.knowledge.storing import queries
from skep.knowledge.views import choose
from skep.store import Database, hear

MOST_PATHS = 100
"""Paths of each kind that a notice names."""

_UNHEARD_SECONDS = 2.0
"""How often to look while no connection listens: some poolers do not let one."""

_PAUSE_SECONDS = 0.02
"""Between two looks: an index run commits often."""

_KEPT_WINDOWS = 64
_MOST_IN_CURSOR = 100
_CURSOR = re.compile(r"[0-9a-f]{12}-[0-9]{1,18}(\.[0-9a-f]{12}-[0-9]{1,18})*")


@dataclass(frozen=True, slots=True)
class ChangeNotice:
    """What has changed in a collection since the last notice of it."""

    event: Literal["change", "missed", "gone"]
    """missed: something did, but the log no longer says what. gone: the collection was purged."""
    collection: str
    seq: int
    """Number of the newest change."""
    at: str | None
    """When that was, ISO 8601, UTC; None unless it is a change."""
    added: int = 0
    changed: int = 0
    removed: int = 0
    """Files."""
    added_paths: tuple[str, ...] = ()
    changed_paths: tuple[str, ...] = ()
    removed_paths: tuple[str, ...] = ()
    """At most a hundred of each; the counts are whole."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice and how far its reader has come with it."""

    notice: ChangeNotice
    cursor: str
    """Where to go on after a break; empty when there are too many collections to say so."""


@dataclass(frozen=True, slots=True)
class _WindowRow:
    kind: str
    files: int
    paths: list[str]
    at: str


@dataclass(slots=True)
class _Position:
    """How far somebody has read a collection."""

    name: str
    seq: int


@dataclass(slots=True)
class _Project:
    rows: Rounds[None, list[CollectionRow]]
    followers: set[asyncio.Event] = field(default_factory=set)


class ChangeFeed:
    """Lets any number follow what changes. Listens on one connection of its own as long as somebody does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._projects: dict[int, _Project] = {}
        self._listening: asyncio.Task[None] | None = None
        self._is_heard = False
        self._windows: dict[tuple[int, int, int], asyncio.Task[ChangeNotice | None]] = {}

    async def close(self) -> None:
        """Stop listening."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await end_task(listening)

    async def follow(
        self, principal: Principal, names: Sequence[str], *, cursor: str = "", silence_seconds: float
    ) -> AsyncGenerator[Told | None, None]:
        """What changes in these collections, or in all for no name, from now on or from where a cursor was.

        None comes when nothing was told for ``silence_seconds``, and at once when the following has begun. A database that
        is away is waited for. Close it (`aclosing`) to end. Raises, at the first step, CursorInvalidError,
        CollectionNotFoundError, RoleTooLowError and the errors of the store.
        """
        require_role(principal, "reader")
        seen = parse_cursor(cursor)
        project = self._project(principal.project_id)
        woken = asyncio.Event()
        project.followers.add(woken)
        try:
            rows = await project.rows.ask((None,))
            if names:
                choose(rows, names, project=principal.project_name)
            chosen = [row for row in rows if not names or row.name in names]
            # Where there is a cursor, a collection that it does not know is younger than it.
            positions = {
                row.uid: _Position(row.name, seen.get(_short(row.uid), 0 if seen else row.last_seq)) for row in chosen
            }
            yield None
            while True:
                woken.clear()
                spoke = False
                async for told in self._look(principal, project, names, positions):
                    spoke = True
                    yield told
                with suppress(TimeoutError):
                    async with asyncio.timeout(silence_seconds if self._is_heard else _UNHEARD_SECONDS):
                        await woken.wait()
                if not spoke and not woken.is_set():
                    yield None
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            project.followers.discard(woken)
            await self._leave(principal.project_id)

    async def _look(
        self, principal: Principal, project: _Project, names: Sequence[str], positions: dict[str, _Position]
    ) -> AsyncGenerator[Told, None]:
        """What is new since the positions, which move on with it."""
        try:
            rows = await project.rows.ask((None,))
            for row in rows:
                if row.uid not in positions and (not names or row.name in names):
                    positions[row.uid] = _Position(row.name, 0)
                position = positions.get(row.uid)
                if position is None or position.seq == row.last_seq:
                    continue
                notice = await self._window(principal.project_id, row, position.seq)
                position.seq, position.name = row.last_seq, row.name
                if notice is not None:
                    yield Told(notice, cursor_of(positions))
            for uid in positions.keys() - {row.uid for row in rows}:
                position = positions.pop(uid)
                notice = ChangeNotice("gone", position.name, position.seq, None)
                yield Told(notice, cursor_of(positions))
        except UnavailableError:
            # Whoever asks for anything else is told; here the next look finds all that was not told.
            await asyncio.sleep(_UNHEARD_SECONDS)

    async def _window(self, project_id: int, row: CollectionRow, after: int) -> ChangeNotice | None:
        """What changed after a number; many who have read equally far share one answer."""
        if after > row.last_seq or after < row.pruned_seq:
            return ChangeNotice("missed", row.name, row.last_seq, None)
        key = (row.collection_id, after, row.last_seq)
        task = self._windows.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(project_id, row, after), name="skep-change-window")
            self._windows[key] = task
            while len(self._windows) > _KEPT_WINDOWS:
                del self._windows[next(iter(self._windows))]
        try:
            return await asyncio.shield(task)
        except UnavailableError:
            self._windows.pop(key, None)
            raise

    async def _fetch(self, project_id: int, row: CollectionRow, after: int) -> ChangeNotice | None:
        bound = {"project_id": project_id, "collection_id": row.collection_id, "after": after, "until": row.last_seq}
        found = await self._database.fetch_all(
            _WindowRow, queries["fetch_change_window"], bound | {"paths": MOST_PATHS}
        )
        if not found:
            return None
        kinds = {each.kind: each for each in found}
        nothing = _WindowRow("", 0, [], "")
        added, changed, removed = (kinds.get(kind, nothing) for kind in ("added", "changed", "removed"))
        return ChangeNotice(
            event="change",
            collection=row.name,
            seq=row.last_seq,
            at=max(each.at for each in found),
            added=added.files,
            changed=changed.files,
            removed=removed.files,
            added_paths=tuple(added.paths),
            changed_paths=tuple(changed.paths),
            removed_paths=tuple(removed.paths),
        )

    def _project(self, project_id: int) -> _Project:
        if project_id not in self._projects:
            self._projects[project_id] = _Project(Rounds(partial(self._fetch_rows, project_id)))
        if self._listening is None or self._listening.done():
            self._is_heard = False
            self._listening = asyncio.create_task(
                hear(self._database, queries["listen_changes"], self._wake, self._note_silence), name="skep-change-feed"
            )
        return self._projects[project_id]

    async def _fetch_rows(self, project_id: int, _: frozenset[None]) -> list[CollectionRow]:
        return await self._database.fetch_all(CollectionRow, queries["fetch_collections"], {"project_id": project_id})

    def _wake(self, payload: str) -> None:
        self._is_heard = True
        for project_id, project in self._projects.items():
            if payload in ("", str(project_id)):
                for follower in project.followers:
                    follower.set()

    def _note_silence(self) -> None:
        self._is_heard = False

    async def _leave(self, project_id: int) -> None:
        project = self._projects.get(project_id)
        if project is not None and not project.followers:
            del self._projects[project_id]
        if not self._projects:
            await self.close()


def parse_cursor(text: str) -> Mapping[str, int]:
    """How far somebody had read, by the beginning of a collection's uid. Raises CursorInvalidError."""
    if not text:
        return {}
    if not _CURSOR.fullmatch(text):
        raise CursorInvalidError(value=text[:40])
    return {uid: int(seq) for uid, _, seq in (part.partition("-") for part in text.split("."))}


def cursor_of(positions: Mapping[str, _Position]) -> str:
    """The inverse: ``3f2a90c1be77-41.…``; empty for too many collections."""
    if len(positions) > _MOST_IN_CURSOR:
        return ""
    return ".".join(f"{_short(uid)}-{position.seq}" for uid, position in sorted(positions.items()))


def _short(uid: str) -> str:
    return uid.replace("-", "")[:12]
