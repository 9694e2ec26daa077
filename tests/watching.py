"""A workspace whose folder is watched, and how to wait for what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from typing_extensions import override

from skep.app import knowledge_options
from skep.knowledge import IndexedFolder, Refresher, Watcher, WatchOptions, WatchTools
from skep.knowledge.indexing import PartsReport
from skep.knowledge.parsing import KeptWorker
from tests.workspace import Workspace

FAST = 20.0
"""Seconds within which something on a busy machine must have happened."""


async def eventually(holds: Callable[[], Awaitable[bool]], *, seconds: float = FAST) -> None:
    """Wait until it holds; fails when it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await holds():
        assert loop.time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


class SeenRefresher(Refresher):
    """Remembers what was looked at."""

    looks: list[tuple[str, ...]]

    @override
    async def refresh(self, folder: IndexedFolder, parts: tuple[str, ...], spare: KeptWorker) -> PartsReport:
        self.looks.append(parts)
        return await super().refresh(folder, parts, spare)


@dataclass
class Watched:
    """A watcher at work."""

    workspace: Workspace
    watcher: Watcher
    refresher: SeenRefresher
    notices: list[str] = field(default_factory=list)

    @property
    def looks(self) -> list[tuple[str, ...]]:
        """What was looked at since the watching began."""
        return self.refresher.looks

    async def until_found(self, query: str, *paths: str) -> None:
        """Wait until a query is found in exactly these files."""

        async def holds() -> bool:
            return await self.workspace.paths(query) == set(paths)

        await eventually(holds)

    async def until_still(self) -> None:
        """Wait until nothing was looked at for a while."""
        seen = -1
        while seen != len(self.looks):
            seen = len(self.looks)
            await asyncio.sleep(0.5)


USUAL = WatchOptions(use_events=True, polling_seconds=0.2, rescan_minutes=0)


@asynccontextmanager
async def watching(workspace: Workspace, options: WatchOptions = USUAL) -> AsyncIterator[Watched]:
    """Watch what the workspace has indexed, from the moment on at which it has caught up."""
    skep = workspace.skep
    notices: list[str] = []
    refresher = SeenRefresher(skep.database, knowledge_options(skep.settings, skep.node), notices.append)
    refresher.looks = []
    tools = WatchTools(skep.database, skep.knowledge, refresher, options, notices.append)
    watcher = Watcher(tools, node=skep.node)
    task = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(FAST):
            await watcher.caught_up()
        yield Watched(workspace, watcher, refresher, notices)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
