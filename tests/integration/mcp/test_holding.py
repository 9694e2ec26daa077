"""Skep as a stdio server holds it: opened early, again after a failure, closed while nobody asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from skep.mcp.holding import Holder
from skep.settings import Settings
from tests.workspace import settings_for


@asynccontextmanager
async def held(settings: Settings, folder: Path) -> AsyncIterator[Holder]:
    holder = Holder(settings, folder)
    try:
        yield holder
    finally:
        await holder.close()


async def test_what_could_not_be_opened_is_tried_again(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path / "data")
    (tmp_path / "data").write_text("a file in the way\n")
    async with held(settings, tmp_path) as holder:
        holder.begin()
        answer = await holder.call("status", {}, None)
        assert answer.is_error
        assert "data folder" in answer.text
        (tmp_path / "data").unlink()
        answers = await asyncio.gather(*(holder.call("status", {}, None) for _ in range(10)))
        assert [answer.is_error for answer in answers] == [False] * 10


async def test_an_unused_one_is_closed_and_opened_by_the_next_call(database_url: str, tmp_path: Path) -> None:
    async with held(settings_for(database_url, tmp_path / "data"), tmp_path) as holder:
        holder._idle_seconds = 0.2
        for _ in range(2):
            assert not (await holder.call("status", {}, None)).is_error
            owner = holder._owner
            assert owner is not None
            await asyncio.wait_for(asyncio.shield(owner), 20)
            assert holder._owner is None


async def test_it_can_be_closed_at_any_moment(database_url: str, tmp_path: Path) -> None:
    for pause in (0.0, 0.01, 0.1):
        async with held(settings_for(database_url, tmp_path / "data"), tmp_path) as holder:
            holder.begin()
            await asyncio.sleep(pause)
