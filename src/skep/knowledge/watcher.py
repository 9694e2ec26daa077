"""Keeping the indexed folders of this machine fresh: which they are, and a `FolderWatch` for each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from skep.errors import UnavailableError
from skep.knowledge.folder_watch import FolderWatch, WatchTools
from skep.knowledge.refreshing import IndexedFolder
from skep.knowledge.storing import queries
from skep.observe import event
from skep.store import Database, hear

_LOOK_SECONDS = 10.0
"""How often we look which folders there are, besides when a collection has changed."""

_PAUSE_SECONDS = 0.5
"""Between two looks at the least."""

_log = logging.getLogger(__name__)


class Watcher:
    """Watches every indexed folder of one machine: new ones as soon as they are indexed, purged ones no longer."""

    def __init__(
        self,
        tools: WatchTools,
        *,
        node: str,
        project_id: int | None = None,
        wanted: Callable[[IndexedFolder], bool] | None = None,
    ) -> None:
        self._tools = tools
        self._node = node
        self._project_id = project_id
        self._wanted = wanted
        self._watches: dict[IndexedFolder, tuple[FolderWatch, asyncio.Task[None]]] = {}
        self._news = asyncio.Event()
        self._begun = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled. A database that is away is waited for."""
        hearing = asyncio.create_task(
            hear(self._tools.database, queries["listen_changes"], self._hear), name="skep-watch-listen"
        )
        try:
            while True:
                self._news.clear()
                await self._follow()
                await asyncio.sleep(_PAUSE_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._news.wait()
        finally:
            tasks = [hearing, *(task for _, task in self._watches.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._tools.spare.close()

    @property
    def collections(self) -> frozenset[str]:
        """The names of the collections whose folders are watched now."""
        return frozenset(folder.collection for folder in self._watches)

    async def caught_up(self) -> tuple[IndexedFolder, ...]:
        """Wait until everything that is watched now has caught up; which folders that are."""
        await self._begun.wait()
        watches = [watch for watch, _ in self._watches.values()]
        for watch in watches:
            await watch.caught_up.wait()
        return tuple(watch.folder for watch in watches)

    def _hear(self, _payload: str) -> None:
        self._news.set()

    async def _follow(self) -> None:
        try:
            found = await fetch_folders(self._tools.database, self._node, self._project_id)
        except UnavailableError as error:
            event(_log, logging.WARNING, "folders not known", reason=str(error))
            return
        wanted = {folder for folder in found if self._wanted is None or self._wanted(folder)}
        for folder in [folder for folder in self._watches if folder not in wanted]:
            _, task = self._watches.pop(folder)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for folder in wanted:
            if folder not in self._watches or self._watches[folder][1].done():
                self._watches[folder] = self._start(folder)
        self._begun.set()

    def _start(self, folder: IndexedFolder) -> tuple[FolderWatch, asyncio.Task[None]]:
        watch = FolderWatch(folder, self._tools)
        task = asyncio.create_task(watch.run(), name=f"skep-watch-{folder.source_id}")
        task.add_done_callback(_note_end)
        return watch, task


async def fetch_folders(database: Database, node: str, project_id: int | None) -> list[IndexedFolder]:
    """The folders of a machine that are indexed: of one project, or of every one for None."""
    bound = {"node": node, "project_id": project_id}
    return await database.fetch_all(IndexedFolder, queries["fetch_watched_sources"], bound)


def _note_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        # Started again when the folders are looked for the next time.
        event(_log, logging.ERROR, "watching failed", task=task.get_name(), reason=f"{type(error).__name__}: {error}")
