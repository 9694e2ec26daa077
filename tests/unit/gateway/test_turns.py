"""Turns: a bounded number of calls, a bounded queue, and nothing is lost when somebody stops waiting."""

from __future__ import annotations

import asyncio

import pytest

from skep.gateway.interfaces import OverloadedError
from skep.gateway.turns import Turns


async def test_as_many_as_there_are_turns() -> None:
    turns = Turns(2, 5, 1.0)
    assert [turns.try_take() for _ in range(3)] == [True, True, False]
    turns.leave()
    assert turns.try_take()


async def test_first_come_first_served() -> None:
    turns = Turns(1, 5, 5.0)
    order: list[int] = []

    async def call(number: int) -> None:
        await turns.take()
        order.append(number)
        await asyncio.sleep(0)
        turns.leave()

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(call(number))
    assert order == [0, 1, 2, 3, 4]
    assert (turns.active, turns.waiting) == (0, 0)


async def test_who_finds_the_queue_full_is_told_at_once() -> None:
    turns = Turns(1, 1, 5.0)
    await turns.take()
    waiting = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="1 run and 1 wait") as caught:
        await turns.take()
    assert caught.value.fields["retry_after_seconds"] == 2.5
    turns.leave()
    await waiting


async def test_who_waits_too_long_is_told() -> None:
    turns = Turns(1, 1, 0.01)
    await turns.take()
    with pytest.raises(OverloadedError):
        await turns.take()
    assert (turns.active, turns.waiting) == (1, 0)


async def test_a_turn_given_to_who_just_left_goes_to_the_next() -> None:
    turns = Turns(1, 5, 5.0)
    await turns.take()
    first = asyncio.create_task(turns.take())
    second = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    turns.leave()
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (turns.active, turns.waiting) == (1, 0)
    turns.leave()
    assert turns.active == 0
