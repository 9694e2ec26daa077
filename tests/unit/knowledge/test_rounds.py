"""Askers share statements: one under way, and one for all who came meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from skep.knowledge.rounds import Rounds


class Source:
    """Answers when it is let to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[frozenset[int]] = []
        self.may_answer = asyncio.Event()

    async def fetch(self, keys: frozenset[int]) -> dict[int, int]:
        self.asked.append(keys)
        await self.may_answer.wait()
        if 13 in keys:
            raise ValueError("unlucky")
        return {key: key * 10 for key in keys}


async def test_who_comes_while_a_statement_is_under_way_shares_the_next() -> None:
    source = Source()
    rounds = Rounds(source.fetch)
    first = asyncio.create_task(rounds.ask([1]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(rounds.ask([key, 5])) for key in (2, 3, 4)]
    await asyncio.sleep(0)
    assert source.asked == [{1}]
    source.may_answer.set()
    assert await first == {1: 10}
    assert await asyncio.gather(*later) == [{2: 20, 3: 30, 4: 40, 5: 50}] * 3
    assert source.asked == [{1}, {2, 3, 4, 5}]
    assert await rounds.ask([7]) == {7: 70}


async def test_an_error_reaches_those_who_asked_and_nobody_later() -> None:
    source = Source()
    rounds = Rounds(source.fetch)
    asking = asyncio.gather(*(rounds.ask([key]) for key in (1, 2, 13)), return_exceptions=True)
    await asyncio.sleep(0.01)
    source.may_answer.set()
    asked = await asking
    assert [str(answer) for answer in asked] == ["{1: 10}", "unlucky", "unlucky"]
    with pytest.raises(ValueError, match="unlucky"):
        await rounds.ask([13])
    assert await rounds.ask([2]) == {2: 20}


async def test_one_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    source = Source()
    rounds = Rounds(source.fetch)
    first, stays, leaves = (asyncio.create_task(rounds.ask([key])) for key in (1, 2, 3))
    await asyncio.sleep(0.01)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    source.may_answer.set()
    assert (await first, await stays) == ({1: 10}, {2: 20, 3: 30})


async def test_one_who_leaves_in_the_middle_of_a_statement_of_its_own_lets_the_next_begin() -> None:
    source = Source()
    rounds = Rounds(source.fetch)
    leaves, stays = (asyncio.create_task(rounds.ask([key])) for key in (1, 2))
    await asyncio.sleep(0.01)
    leaves.cancel()
    source.may_answer.set()
    assert await stays == {2: 20}
    assert source.asked == [{1}, {2}]
