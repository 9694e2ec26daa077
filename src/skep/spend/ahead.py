"""Which windows are asked for before they begin, so that no call waits for the database at the border of a minute. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from skep.spend.holdings import Holding
from skep.spend.leasing import IN_USE_SECONDS, STORE_CALLS
from skep.spend.matching import MOST_NEED, Seat
from skep.spend.ports import Wish

AHEAD_SECONDS, LAST_SECONDS = 15.0, 2.0
"""Windows are asked for so long before they begin, spread over the time until the last seconds."""

AHEAD = 16
"""In one statement: what is locked for longer, calls may wait for."""

_MOST = 2_000
"""At a time. Windows of more keys than this are asked for when their calls come."""


def is_in_use(holding: Holding, now: float) -> bool:
    """Whether more calls are expected."""
    return holding.last_need > 0 and now - holding.last_taken < IN_USE_SECONDS


def ended_in_use(seats: Iterable[Seat], now: float) -> Iterable[Seat]:
    """Seats that are in use and hold nothing of the present window; of very many some."""
    ended = (
        seat
        for seat in seats
        if (before := seat.holding) is not None and seat.present(now) is None and is_in_use(before, now)
    )
    return islice(ended, _MOST)


def lots_ahead(seats: Iterable[Seat], now: float) -> Iterator[list[Seat]]:
    """Some of the seats in use whose window ends soon; called every second, all of them, evenly. Each lot is one statement."""
    due = [
        seat
        for seat in seats
        if (holding := seat.present(now)) is not None
        and holding.ends - now < AHEAD_SECONDS
        and seat.coming is None
        and is_in_use(holding, now)
    ][:_MOST]
    if due:
        seconds = min(seat.holding.ends for seat in due if seat.holding is not None) - now - LAST_SECONDS
        count = min(len(due), max(AHEAD, int(len(due) / max(1.0, seconds)) + 1))
        for start in range(0, count, AHEAD):
            yield due[start : min(start + AHEAD, count)]


def coming_wish(seat: Seat, now: float) -> Wish:
    """What to ask for in the window after the one that the seat holds."""
    holding = seat.holding
    assert holding is not None, "a window that is held ends"
    want = min(max(holding.demand(now), STORE_CALLS * holding.last_need), MOST_NEED) if seat.is_hard else 0
    return Wish(seat.rule.rule_id, seat.value, need=0, least=0, want=want, is_new=True, starts_at=holding.ends_at)
