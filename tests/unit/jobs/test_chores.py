from __future__ import annotations

import asyncio
import logging

import pytest

from skep.jobs import do_chores


async def test_a_chore_that_fails_is_logged_and_keeps_no_other_from_being_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    enough = asyncio.Event()

    async def fail() -> None:
        done.append("fail")
        raise OSError("no space left")

    async def work() -> None:
        done.append("work")
        if len(done) >= 6:
            enough.set()

    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(do_chores([fail, work], first_seconds=0.0, every_seconds=0.01))
        await asyncio.wait_for(enough.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert done[:6] == ["fail", "work"] * 3
    assert "chore failed" in caplog.text
