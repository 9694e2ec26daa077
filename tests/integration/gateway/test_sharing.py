"""A route that one process found broken is closed in the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from skep.gateway import Board
from skep.gateway.breaker import STRAIGHT_FAILURES
from skep.gateway.failures import Failure
from skep.gateway.models import GatewayConfig, Model, Provider, Route
from skep.gateway.profiles import PROFILES
from skep.gateway.sharing import Sharing, shared
from tests.metering import open_database

PROVIDER = Provider(
    name="p",
    profile=PROFILES[0],
    base_url="http://127.0.0.1:1/v1",
    api_key=None,
    headers=(),
    connect_timeout_seconds=1.0,
    health_check_seconds=0.0,
)
ROUTE = Route(
    provider=PROVIDER,
    model="m",
    timeout_seconds=1.0,
    first_byte_timeout_seconds=1.0,
    idle_timeout_seconds=1.0,
    max_output_tokens=None,
    price=None,
)


FAILURE = Failure("server_error", "it answered 500", 500)
PROBE = replace(ROUTE, model="probe")
CONFIG = GatewayConfig(providers={}, models={"m": Model(name="m", routes=(ROUTE,))})
NAMES = (ROUTE.name, PROBE.name)


async def closes(board: Board, route: Route, within_seconds: float) -> bool:
    for _ in range(round(within_seconds * 100)):
        if board.seconds_left([route]):
            return True
        await asyncio.sleep(0.01)
    return False


async def reach(teller: Sharing, hearer: Board) -> None:
    """Wait until it listens; before, nothing reaches it."""
    for _ in range(100):
        teller.tell(PROBE.name, 60, "to see whether it listens")
        if await closes(hearer, PROBE, 0.2):
            return
    raise AssertionError("it does not listen")


@asynccontextmanager
async def two_boards(database_url: str) -> AsyncIterator[tuple[Board, Board]]:
    """Two boards that hear each other."""
    one, other = await open_database(database_url), await open_database(database_url)
    here, there = Board(), Board()
    try:
        async with shared(one, here, lambda: NAMES) as sharing, shared(other, there, lambda: NAMES) as back:
            await reach(sharing, there)
            await reach(back, here)
            yield here, there
    finally:
        await one.close()
        await other.close()


async def test_straight_failures_close_a_route_everywhere(database_url: str) -> None:
    async with two_boards(database_url) as (here, there):
        assert there.admits(ROUTE)
        for _ in range(STRAIGHT_FAILURES):
            here.failed(ROUTE, FAILURE)
        assert not here.admits(ROUTE)
        assert await closes(there, ROUTE, 2)
        assert there.seconds_left([ROUTE]) > 5
        assert "500" in there.reasons([ROUTE])


async def test_failures_in_a_row_are_added_up_over_processes(database_url: str) -> None:
    async with two_boards(database_url) as (here, there):
        for _ in range(STRAIGHT_FAILURES - 1):
            here.failed(ROUTE, FAILURE)
        await known(there, STRAIGHT_FAILURES - 1)
        assert there.admits(ROUTE)
        there.failed(ROUTE, FAILURE)
        assert not there.admits(ROUTE)
        assert await closes(here, ROUTE, 2)


async def test_one_success_anywhere_ends_the_row(database_url: str) -> None:
    few, many = 2, STRAIGHT_FAILURES - 3
    async with two_boards(database_url) as (here, there):
        for board, failures in ((here, many), (there, few)):
            for _ in range(failures):
                board.failed(ROUTE, FAILURE)
        await known(here, few + many)
        await known(there, few + many)
        there.succeeded(ROUTE, there.admits(ROUTE))
        # Its own count of what it saw itself is left to it.
        await known(here, many)
        for _ in range(few + 1):
            there.failed(ROUTE, FAILURE)
        here.failed(ROUTE, FAILURE)
        await known(there, few + 2)
        assert here.admits(ROUTE)
        assert there.admits(ROUTE)


async def known(board: Board, failures: int) -> None:
    """Wait until so many failures in a row are known."""
    found = -1
    for _ in range(1000):
        found = board.routes(CONFIG)[0].breaker.straight_failures
        if found == failures:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{found} are known, not {failures}")


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "nonsense",
        "[]",
        '{"route": "p/m"}',
        '{"route": "other/m", "seconds": 9}',
        '{"route": "p/m", "seconds": "x"}',
        '{"route": "p/m", "streak": "x"}',
        '{"route": "p/m", "streak": -30}',
        '{"route": "other/m", "streak": 30}',
    ],
)
async def test_what_makes_no_sense_closes_nothing(database_url: str, payload: str) -> None:
    database, board = await open_database(database_url), Board()
    try:
        sharing = Sharing(database, board, lambda: NAMES)
        sharing.heard(payload)
        assert board.admits(ROUTE)
        sharing.heard(json.dumps({"route": ROUTE.name, "seconds": 9, "reason": "500"}))
        assert not board.admits(ROUTE)
    finally:
        await database.close()
