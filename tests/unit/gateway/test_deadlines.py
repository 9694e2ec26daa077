from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from skep.gateway.deadlines import TICK_SECONDS, Deadlines


@dataclass(eq=False)
class One:
    late_at: list[float] = field(default_factory=list)

    def be_late(self) -> None:
        self.late_at.append(time.monotonic())


async def test_who_is_late_is_told_once_and_nobody_else() -> None:
    deadlines, late, early, discarded = Deadlines(), One(), One(), One()
    begun = time.monotonic()
    deadlines.add(late, begun + 0.05)
    deadlines.add(early, begun + 60)
    deadlines.add(discarded, begun)
    deadlines.discard(discarded)
    deadlines.discard(discarded)
    await asyncio.sleep(0.05 + 5 * TICK_SECONDS)
    assert len(late.late_at) == 1
    assert late.late_at[0] >= begun + 0.05
    assert not early.late_at
    assert not discarded.late_at


async def test_one_that_was_late_can_be_watched_again() -> None:
    deadlines, one = Deadlines(), One()
    for times in (1, 2):
        deadlines.add(one, time.monotonic())
        await asyncio.sleep(3 * TICK_SECONDS)
        assert len(one.late_at) == times
