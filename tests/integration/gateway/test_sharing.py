"""A route that one process found broken is closed in the others."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from skep.gateway import Board
from skep.gateway.breaker import STRAIGHT_FAILURES
from skep.gateway.failures import Failure
from skep.gateway.models import Provider, Route
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


PROBE = replace(ROUTE, model="probe")
NAMES = (ROUTE.name, PROBE.name)


async def closes(board: Board, route: Route, within_seconds: float) -> bool:
    for _ in range(round(within_seconds * 100)):
        if board.seconds_left([route]):
            return True
        await asyncio.sleep(0.01)
    return False


async def test_straight_failures_close_a_route_everywhere(database_url: str) -> None:
    one, other = await open_database(database_url), await open_database(database_url)
    here, there = Board(), Board()
    try:
        async with shared(one, here, lambda: NAMES) as sharing, shared(other, there, lambda: NAMES):
            # Until the other listens nothing reaches it.
            for _ in range(100):
                sharing.tell(PROBE.name, 60, "to see whether it listens")
                if await closes(there, PROBE, 0.2):
                    break
            assert there.admits(ROUTE)
            for _ in range(STRAIGHT_FAILURES):
                here.failed(ROUTE, Failure("server_error", "it answered 500", 500))
            assert not here.admits(ROUTE)
            assert await closes(there, ROUTE, 2)
            assert there.seconds_left([ROUTE]) > 5
            assert "500" in there.reasons([ROUTE])
            # One's own word does not come back to oneself.
            assert here.seconds_left([PROBE]) == 0
    finally:
        await one.close()
        await other.close()


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "nonsense",
        "[]",
        '{"route": "p/m"}',
        '{"route": "other/m", "seconds": 9}',
        '{"route": "p/m", "seconds": "x"}',
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
