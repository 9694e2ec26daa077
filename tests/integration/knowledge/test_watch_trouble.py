"""What watching does when the database is away, and what the change notices say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from skep.knowledge import ChangeFeed, ChangeNotice, CollectionNotFoundError, CursorInvalidError, Told
from skep.store import EmbeddedServer
from tests.watching import eventually, watching
from tests.workspace import Workspace, open_workspace, settings_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[Workspace, EmbeddedServer]]:
    """A workspace with a database of its own, which may be killed."""
    server = EmbeddedServer(tmp_path / "data", idle_stop_seconds=600)
    try:
        async with open_workspace(None, tmp_path, settings_for(None, tmp_path / "data")) as workspace:
            yield workspace, server
    finally:
        await asyncio.to_thread(server.stop, 20)


async def test_a_database_that_goes_away_is_waited_for(own: tuple[Workspace, EmbeddedServer]) -> None:
    workspace, server = own
    workspace.write("one.py", "def aardvark():\n    return 1\n")
    await workspace.index()
    async with watching(workspace) as watched:
        await asyncio.to_thread(server.stop, 20)
        for turn in range(3):
            workspace.write("one.py", f"def buffalo_{turn}():\n    return 1\n")
            await asyncio.sleep(0.2)
        await watched.until_found("buffalo", "one.py")
        assert await workspace.differences() == []
        workspace.write("one.py", "def cormorant():\n    return 1\n")
        await watched.until_found("cormorant", "one.py")


Following = AsyncGenerator[Told | None, None]


async def _next(following: Following) -> ChangeNotice:
    async with asyncio.timeout(20):
        async for told in following:
            if told is not None:
                return told.notice
    raise AssertionError("it ended")


def _counts(notice: ChangeNotice) -> tuple[int, int, int]:
    return notice.added, notice.changed, notice.removed


async def test_what_notices_say(workspace: Workspace) -> None:
    feed = ChangeFeed(workspace.skep.database)
    workspace.write("kept.py", "def aardvark(): ...\n")
    workspace.write("gone.py", "def buffalo(): ...\n")
    await workspace.index()
    async with aclosing(feed.follow(workspace.who, (), silence_seconds=0.5)) as following:
        assert await anext(following) is None
        workspace.write("kept.py", "def cormorant(): ...\n")
        workspace.write("new.py", "def dolphin(): ...\n")
        (workspace.folder / "gone.py").unlink()
        # Two transactions: what was there and what is gone are told once each, however many notices that are.
        await workspace.index()
        counts = [0, 0, 0]
        while sum(counts) < 3:
            counts = [sum(pair) for pair in zip(counts, _counts(await _next(following)), strict=True)]
        assert counts == [1, 1, 1]
        # Another time and nothing else: it counts as changed, since filters by time do.
        file = workspace.folder / "kept.py"
        os.utime(file, (1_000_000_000, 1_000_000_000))
        await workspace.index()
        assert _counts(await _next(following)) == (0, 1, 0)
        await workspace.skep.knowledge.purge(workspace.who, "project", "new.py")
        assert (await _next(following)).event == "missed"
        await workspace.skep.knowledge.purge(workspace.who, "project", None)
        assert (await _next(following)).event == "gone"
    await feed.close()


async def test_notices_are_of_the_own_project_and_of_what_was_named(workspace: Workspace) -> None:
    feed = ChangeFeed(workspace.skep.database)
    workspace.write("a.py", "def aardvark(): ...\n")
    await workspace.index()
    stranger = await workspace.new_principal("reader")
    await workspace.skep.knowledge.create_collection(workspace.who, "other")
    with pytest.raises(CollectionNotFoundError):
        await anext(feed.follow(workspace.who, ("nothing",), silence_seconds=0.2))
    with pytest.raises(CursorInvalidError):
        await anext(feed.follow(workspace.who, (), cursor="1; drop", silence_seconds=0.2))
    async with (
        aclosing(feed.follow(stranger, (), silence_seconds=0.2)) as strangers,
        aclosing(feed.follow(workspace.who, ("other",), silence_seconds=0.2)) as others,
        aclosing(feed.follow(workspace.who, (), silence_seconds=0.2)) as mine,
    ):
        for following in (strangers, others, mine):
            assert await anext(following) is None
        workspace.write("a.py", "def buffalo(): ...\n")
        await workspace.index()
        assert (await _next(mine)).changed_paths == ("a.py",)
        for following in (strangers, others):
            assert [await anext(following) for _ in range(3)] == [None, None, None]
    await feed.close()


async def test_many_listeners_share_what_they_ask_for(workspace: Workspace) -> None:
    feed = ChangeFeed(workspace.skep.database)
    workspace.write("a.py", "def aardvark(): ...\n")
    await workspace.index()
    followings = [feed.follow(workspace.who, (), silence_seconds=5.0) for _ in range(300)]
    await asyncio.gather(*(anext(following) for following in followings))
    heard = [asyncio.create_task(_next(following)) for following in followings]
    workspace.write("a.py", "def buffalo(): ...\n")
    await workspace.index()
    assert {notice.changed_paths for notice in await asyncio.gather(*heard)} == {("a.py",)}
    for following in followings:
        await following.aclose()
    await feed.close()


async def test_status_says_how_a_folder_is_watched(workspace: Workspace) -> None:
    workspace.write("a.py", "def aardvark(): ...\n")
    await workspace.index()

    async def watch_of() -> tuple[str, bool] | None:
        ((source,),) = [status.sources for status in await workspace.skep.knowledge.status(workspace.who)]
        return None if source.watch is None else (source.watch.method, source.watch.lag_ms is not None)

    assert await watch_of() is None
    async with watching(workspace) as watched:
        assert await watch_of() == ("events", False)
        workspace.write("a.py", "def buffalo(): ...\n")
        await watched.until_found("buffalo", "a.py")

        async def has_lag() -> bool:
            return await watch_of() == ("events", True)

        await eventually(has_lag)
    assert await watch_of() is None
