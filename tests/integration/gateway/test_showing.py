"""Each process sees how the others fare."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from skep.gateway import GatewayStatus
from skep.gateway.showing import shown
from skep.store import DatabaseUnavailableError
from tests.metering import open_database

IDLE = GatewayStatus(0, 0, [], [], {})


async def test_each_process_sees_the_others_until_they_end(database_url: str) -> None:
    one, other = await open_database(database_url), await open_database(database_url)
    theirs = [IDLE]
    try:
        async with shown(one, "here", lambda: IDLE) as here:

            async def sees(*active: int) -> bool:
                for _ in range(60):
                    found = await here.everywhere()
                    if [process.active_calls for process in found[1:]] == list(active):
                        return True
                    await asyncio.sleep(0.05)
                return False

            async with shown(other, "there", lambda: theirs[0]):
                assert await sees(0)
                theirs[0] = replace(IDLE, active_calls=3)
                assert await sees(3)
                first, second = await here.everywhere()
                assert (first.node, first.seen_seconds_ago, second.node) == ("here", 0.0, "there")
                with psycopg.connect(database_url, autocommit=True) as connection:
                    connection.execute("update gateway_process set seen_at = now() - interval '30 seconds'")
                assert (await here.everywhere())[1].seen_seconds_ago == pytest.approx(30, abs=3)
            assert await sees()
        await one.close()
        with pytest.raises(DatabaseUnavailableError):
            await here.everywhere()
    finally:
        await one.close()
        await other.close()
