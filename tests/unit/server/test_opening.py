"""The server's Skep while its database comes and goes, with both made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from skep.access import Principal
from skep.app import Skep
from skep.errors import SkepError
from skep.gateway import Gateway
from skep.server import opening as module
from skep.server.interfaces import NotReadyError
from skep.server.opening import Opening
from skep.store import DatabaseUnavailableError

WHO = Principal(1, "default", "k", "name", "admin")


class World:
    """A database that is there or not, and everything that looks at it."""

    def __init__(self) -> None:
        self.is_there = True
        self.hangs = False
        self.defect: Exception | None = None
        self.opened = 0
        self.closed = 0
        self.asked = 0
        self.warmed = 0

    def require(self) -> None:
        if self.defect is not None:
            raise self.defect
        if not self.is_there:
            raise DatabaseUnavailableError(where="db", reason="connection refused")

    async def authenticate(self, key: str) -> Principal:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        self.require()
        return WHO

    async def ensure_schema(self, _: object) -> bool:
        await self.authenticate("")
        return False

    async def warm_up(self) -> None:
        self.warmed += 1

    @asynccontextmanager
    async def open_skep(self) -> AsyncIterator[Skep]:
        self.require()
        self.opened += 1
        fake: Any = SimpleNamespace(
            access=SimpleNamespace(authenticate=self.authenticate, recall=lambda key, **_: None),
            database=SimpleNamespace(where="db"),
            knowledge=SimpleNamespace(warm_up=self.warm_up),
        )
        try:
            yield cast("Skep", fake)
        finally:
            self.closed += 1

    @asynccontextmanager
    async def open_gateway(self, _: Skep) -> AsyncIterator[Gateway]:
        fake: Any = SimpleNamespace()
        yield cast("Gateway", fake)

    @asynccontextmanager
    async def probe(self) -> AsyncIterator[None]:
        self.require()
        yield


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "ensure_schema", made.ensure_schema)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(module, "_PAUSES_SECONDS", (0.05,))
    return made


@asynccontextmanager
async def held(world: World) -> AsyncIterator[Opening]:
    made = Opening(world.open_skep, world.probe, world.open_gateway)
    holding = asyncio.create_task(made.hold())
    yield made
    made.end()
    await asyncio.wait_for(holding, 5)
    assert world.opened == world.closed


@pytest.fixture
async def opening(world: World) -> AsyncIterator[Opening]:
    async with held(world) as made:
        yield made


async def reason_of(opening: Opening) -> str:
    with pytest.raises(SkepError) as caught:
        await opening.authenticate("key")
    assert caught.value.http_status == 503
    return str(caught.value)


async def until_well(opening: Opening) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await opening.authenticate("key")
            except NotReadyError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_the_first_requests_wait_for_the_first_attempt(world: World) -> None:
    async with held(world) as opening:
        with pytest.raises(NotReadyError, match="just started"):
            _ = opening.skep
        assert await opening.authenticate("key") == WHO
        await opening.check()


async def test_it_tries_again_until_it_works(world: World) -> None:
    world.is_there = False
    async with held(world) as opening:
        assert "connection refused" in await reason_of(opening)
        with pytest.raises(NotReadyError, match="connection refused"):
            await opening.check()
        world.is_there = True
        await until_well(opening)
        await opening.check()


async def test_a_defect_is_a_reason_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.defect = RuntimeError("a defect")
    async with held(world) as opening:
        assert "a defect" in await reason_of(opening)
        assert "opening failed" in caplog.text
        world.defect = None
        await until_well(opening)


async def test_while_the_database_is_away_requests_are_told_at_once(opening: Opening, world: World) -> None:
    await opening.authenticate("key")
    world.is_there = False
    assert "connection refused" in await reason_of(opening)
    asked = world.asked
    for _ in range(5):
        assert "connection refused" in await reason_of(opening)
    assert world.asked == asked
    with pytest.raises(NotReadyError, match="connection refused"):
        await opening.check()
    world.is_there = True
    await until_well(opening)
    assert world.opened == 1


async def test_a_database_that_hangs_is_away_only_if_a_new_connection_fails(opening: Opening, world: World) -> None:
    await opening.authenticate("key")
    world.hangs = True
    waiting = asyncio.create_task(opening.authenticate("key"))
    await asyncio.sleep(0.4)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(NotReadyError, match="took longer than"):
        await opening.check()
    world.is_there = False
    assert "connection refused" in await reason_of(opening)


async def test_ready_means_that_requests_are_served(opening: Opening, world: World) -> None:
    await opening.authenticate("key")
    world.is_there = False
    await reason_of(opening)
    world.is_there = True
    await opening.check()
    assert await opening.authenticate("key") == WHO


async def test_a_database_that_says_nothing_is_looked_at_shortly_once_that_is_known(
    opening: Opening, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def silent() -> AsyncIterator[None]:
        await asyncio.sleep(60)
        yield

    await opening.authenticate("key")
    world.hangs = True
    monkeypatch.setattr(opening, "_probe", silent)
    monkeypatch.setattr(module, "_GLANCE_SECONDS", 0.05)
    reason = "no connection to the database could be made within"
    with pytest.raises(NotReadyError, match=reason):
        await opening.check()
    async with asyncio.timeout(0.15):
        with pytest.raises(NotReadyError, match=reason):
            await opening.check()


async def test_a_database_that_is_not_there_yet_does_not_hold_up_the_end(world: World) -> None:
    @asynccontextmanager
    async def silent() -> AsyncIterator[Skep]:
        await asyncio.sleep(60)
        yield cast("Skep", world)

    opening = Opening(silent, world.probe, world.open_gateway, where="the database at db")
    holding = asyncio.create_task(opening.hold())
    await asyncio.sleep(0)
    with pytest.raises(NotReadyError, match="the database at db has not answered yet"):
        _ = opening.skep
    opening.end()
    await asyncio.wait_for(holding, 1)
