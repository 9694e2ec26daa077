"""One watched folder: from its first catching up until it is let go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from skep.errors import SkepError
from skep.knowledge.interfaces import CollectionGoneError, ReportNotice
from skep.knowledge.parsing import KeptWorker
from skep.knowledge.refreshing import IndexedFolder, Refresher
from skep.knowledge.service import Knowledge
from skep.knowledge.storing import queries
from skep.knowledge.walking import RootIsFileError, RootMissingError, RootUnreadableError, decode_path, encode_path
from skep.knowledge.watch_status import BEAT_SECONDS
from skep.knowledge.watching import (
    FolderEvents,
    Hint,
    Pending,
    TellHints,
    WatchLimitError,
    WatchUnsupportedError,
    Work,
    open_events,
)
from skep.store import Database

Method = Literal["events", "polling", "waiting"]

_POLLING_SHARE = 20
"""Looking through a folder regularly takes at most one twentieth of one core's time."""

_AGAIN_SECONDS = (0.5, 1.0, 2.0, 5.0)
_LOOKS_AT_ONCE = 2

_RootError = (RootMissingError, RootIsFileError, RootUnreadableError)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How folders are watched."""

    use_events: bool
    polling_seconds: float
    rescan_minutes: float
    """How often a folder that is watched by events is looked through all the same; 0 means never."""
    open_events: Callable[[bytes, TellHints], FolderEvents] = open_events


@dataclass(frozen=True, slots=True)
class WatchTools:
    """What all folders that are watched in one process share."""

    database: Database
    knowledge: Knowledge
    refresher: Refresher
    options: WatchOptions
    notice: ReportNotice
    spare: KeptWorker = field(default_factory=KeptWorker)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOOKS_AT_ONCE))


class FolderWatch:
    """Keeps one folder fresh. Events are hints; what is true is what a look at the disk finds."""

    def __init__(self, folder: IndexedFolder, tools: WatchTools) -> None:
        self.folder = folder
        self._tools = tools
        self._root = decode_path(folder.root)
        self._pending = Pending()
        self._heard = asyncio.Event()
        self._events: FolderEvents | None = None
        self._must_begin = True
        self._method: Method = "waiting"
        self._notice = ""
        self._failures = 0
        self._rescan_at = 0.0
        self._beaten_at = 0.0
        self.caught_up = asyncio.Event()
        """Set when everything that had changed before it was watched is searchable."""

    async def run(self) -> None:
        """Watch until cancelled, or until the collection is purged."""
        try:
            while True:
                if await self._has_looked():
                    self._failures = 0
                    await self._until_due()
                else:
                    pause = _AGAIN_SECONDS[min(self._failures, len(_AGAIN_SECONDS) - 1)]
                    self._failures += 1
                    await asyncio.sleep(pause)
        except CollectionGoneError:
            self._tools.notice(f"{self.folder.collection} was purged; {self.folder.root} is not watched any more")
        finally:
            self._close()
            with suppress(SkepError):
                await self._tools.database.execute(queries["delete_watch"], self._key)

    @property
    def _key(self) -> dict[str, object]:
        return {"project_id": self.folder.project_id, "source_id": self.folder.source_id}

    async def _has_looked(self) -> bool:
        """Do what is due; False when it has to be tried again. Raises CollectionGoneError."""
        work = self._pending.take(_now())
        began = self._must_begin
        try:
            async with self._tools.slots:
                if began:
                    await self._begin()
                    self._must_begin = False
                if work.parts and not began:
                    await self._look(work)
                elif began:
                    await self._catch_up()
                elif _now() - self._beaten_at >= BEAT_SECONDS:
                    await self._beat()
        except CollectionGoneError:
            raise
        except _RootError as error:
            # Not taken for deleted: whatever is mounted there, or is just being replaced, comes back.
            self._must_begin = True
            self._close()
            await self._trouble(error)
            return False
        except SkepError as error:
            self._pending.put_back(work, _now())
            self._must_begin = began
            await self._trouble(error)
            return False
        if self._failures:
            self._tools.notice(f"{self.folder.root} is watched again")
        return True

    async def _begin(self) -> None:
        """Listen to every folder that an index run would list, if the system lets us."""
        self._close()
        self._method, self._notice = "polling", ""
        if not self._tools.options.use_events:
            return
        try:
            self._events = self._tools.options.open_events(self._root, self._tell)
            while await self._listen_to(await asyncio.to_thread(self._tools.refresher.folders, self.folder)):
                """Folders that were made while others were being listened to are found in the next round."""
            self._method = "events"
        except (WatchLimitError, WatchUnsupportedError) as error:
            self._fall_back(error)

    def _fall_back(self, error: SkepError) -> None:
        """Look through the folder regularly instead."""
        self._close()
        self._method = "polling"
        seconds = self._tools.options.polling_seconds
        self._notice = f"{error} It is looked through every {seconds:g} s instead. fix: {error.fix_text}"
        self._tools.notice(self._notice)

    async def _catch_up(self) -> None:
        """An ordinary index run: what changed while nobody watched."""
        started = _now()
        await self._index()
        self._plan_rescan(_now() - started)
        self.caught_up.set()
        await self._beat()

    async def _index(self) -> None:
        folder = self.folder
        await self._tools.knowledge.index(
            folder.principal, Path(os.fsdecode(self._root)), collection=folder.collection, report=_unseen
        )

    async def _look(self, work: Work) -> None:
        started = _now()
        report = await self._tools.refresher.refresh(self.folder, work.parts, self._tools.spare)
        if self._events is not None:
            try:
                for folder in await self._listen_to(report.folders):
                    # Something may have happened in it before we listened.
                    self._pending.add_part(encode_path(folder), _now())
            except WatchLimitError as error:
                self._fall_back(error)
        if report.is_too_much:
            await self._index()
        counts = report.counts
        if report.is_too_much or counts.added or counts.changed or counts.removed:
            await self._beat(lag_ms=(_now() - work.since) * 1000, looks=1)
        if work.is_whole:
            self._plan_rescan(_now() - started)

    async def _listen_to(self, folders: Iterable[bytes]) -> list[bytes]:
        """Listen to these as well; returns those that are new. Raises WatchLimitError."""
        events = self._events
        if events is None:
            return []

        def add() -> list[bytes]:
            new = events.add(folders)
            # The one file of git's own that has rules for us lies in a folder that nothing else is written to.
            events.add(info for folder in new if os.path.isdir(os.path.join(self._root, info := _info_of(folder))))
            return new

        return await asyncio.to_thread(add)

    def _tell(self, hints: Sequence[Hint], has_lost: bool) -> None:
        now = _now()
        if has_lost:
            self._tools.notice(
                f"more changed in {self.folder.root} at once than the system tells of; all of it is looked through"
            )
            self._must_begin = True
            self._pending.add_part("", now)
        if any(not hint.name for hint in hints):
            self._must_begin = True
        self._pending.add_hints(hints, now)
        self._heard.set()

    async def _until_due(self) -> None:
        while True:
            now = _now()
            due_at = self._pending.due_at
            if self._rescan_at and now >= self._rescan_at and due_at is None:
                self._pending.add_part("", now)
                continue
            if due_at is not None and due_at <= now:
                return
            times = [self._beaten_at + BEAT_SECONDS, *(at for at in (due_at, self._rescan_at) if at)]
            if min(times) <= now:
                return
            self._heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(times) - now):
                    await self._heard.wait()

    def _plan_rescan(self, took_seconds: float) -> None:
        options = self._tools.options
        if self._method == "polling":
            self._rescan_at = _now() + max(options.polling_seconds, _POLLING_SHARE * took_seconds)
        else:
            self._rescan_at = _now() + options.rescan_minutes * 60 if options.rescan_minutes else 0.0

    async def _trouble(self, error: SkepError) -> None:
        if not self._failures:
            self._tools.notice(f"{self.folder.root} cannot be looked at now, it is tried again: {error}")
        with suppress(SkepError):
            await self._beat(method="waiting", notice=f"{error} fix: {error.fix_text}")

    async def _beat(
        self, *, lag_ms: float | None = None, looks: int = 0, method: Method | None = None, notice: str | None = None
    ) -> None:
        """Note that it is watched, and how."""
        self._beaten_at = _now()
        bound = self._key | {
            "method": method or self._method,
            "notice": self._notice if notice is None else notice,
            "lag_ms": lag_ms,
            "looks": looks,
        }
        await self._tools.database.execute(queries["upsert_watch"], bound)

    def _close(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()


def _info_of(folder: bytes) -> bytes:
    return os.path.join(folder, b".git/info")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _unseen(phase: str, done: int, total: int) -> None:
    """Nobody looks at the progress."""
