"""What this process holds of rules' windows. Pure: no clock, no loop, no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from skep.spend.leasing import IN_USE_SECONDS, Shortage, wanted
from skep.spend.models import Rule, Standing

NEVER = float("inf")
NEVER_LOW = 1 << 62

_THRIFT_WEIGHT = 0.1
"""Of the newest call in the running mean of used / reserved."""


@dataclass(frozen=True, slots=True)
class WindowView:
    """What the database says about a window, in answer to an asking."""

    window_id: int
    rule_id: int
    value: str
    granted: int
    """What the asking moved into this process' lease."""
    used: int
    others: int
    """Leased by other processes."""
    starts_at: datetime
    starts_in_seconds: float
    """From the database's now; not above 0 in a window that has begun."""
    ends_at: datetime | None
    ends_in_seconds: float
    """From the database's now; infinite when it never ends."""


@dataclass(slots=True)
class FlushedWindow:
    """What copying ended calls into the ledger did to one window. Not frozen: a flush makes thousands of them."""

    window_id: int
    seen: int
    """Charges of all lines that were copied."""
    charged: int
    """Of those that the ledger did not have yet."""
    moved: int
    """What left our lease for it: less than ``charged`` where calls cost more than they had reserved."""
    used: int
    """By all processes, afterwards."""
    others: int
    """Leased by other processes."""


@dataclass(slots=True, eq=False)
class Holding:
    """One window of one rule for one value, and this process' lease of it.

    ``granted`` = ``used`` + ``reserved`` + `free`: what the lease has, what ended calls took of it and the ledger does not have
    yet, what calls under way reserved, and the rest. `free` is negative after calls that cost more than they had reserved.
    """

    rule: Rule
    value: str
    window_id: int
    ends: float
    """On the meter's clock."""
    ends_at: datetime | None
    starts_at: datetime | None = None
    """As the bank told it."""
    granted: int = 0
    used: int = 0
    reserved: int = 0
    known_used: int = 0
    """`used` of all processes that the ledger has, when last heard; not less now."""
    others: int = 0
    """Other processes' leases, when last heard."""
    thrift: float = 0.0
    taken: int = 0
    """Reserved since the last asking."""
    calls: int = 0
    """By so many calls."""
    taken_since: float = 0.0
    last_taken: float = 0.0
    last_need: int = 0
    """What the last call reserved."""
    low: int = -NEVER_LOW
    """Below so much that is free, more is asked for in time."""

    @property
    def free(self) -> int:
        """What can be reserved here and now."""
        return self.granted - self.used - self.reserved

    @property
    def settled(self) -> int:
        """Used for good, as far as known here."""
        return self.known_used + self.used

    def follow(self, before: Holding | None, now: float) -> None:
        """What was in use in the window before is in use in this one."""
        self.last_taken = now if before is None else max(before.last_taken, now - IN_USE_SECONDS)
        self.last_need = 0 if before is None else before.last_need

    def is_beyond(self, need: int) -> bool:
        """Whether it is certain that ``need`` does not fit any more, whatever others give back."""
        return self.settled + need > self.rule.amount

    def demand(self, now: float) -> int:
        """What to have in store, by what was reserved since the last asking."""
        return wanted(self.taken, self.calls, now - self.taken_since)

    def make_wish(self, now: float) -> int:
        """What to have in store, by the demand since the last asking; which starts anew."""
        want = self.demand(now)
        self.taken, self.calls, self.taken_since, self.low = 0, 0, now, -NEVER_LOW
        return want

    def reserve(self, need: int, now: float) -> None:
        """Set so much aside for one call."""
        self.reserved += need
        self.taken += need
        self.calls += 1
        self.last_taken = now
        self.last_need = need

    def release(self, reserved: int) -> None:
        """Undo a reservation."""
        self.reserved -= reserved

    def settle(self, reserved: int, actual: int) -> None:
        """Turn a reservation into what was really used."""
        self.reserved -= reserved
        self.used += actual
        if reserved > 0:
            share = min(1.0, actual / reserved)
            self.thrift += (share - self.thrift) * _THRIFT_WEIGHT if self.thrift else share

    def flushed(self, flushed: FlushedWindow) -> None:
        """The ledger took over a part of our use. What was charged by an earlier attempt counts as moved whole."""
        self.used -= flushed.seen
        self.granted -= flushed.moved + flushed.seen - flushed.charged
        self.known_used = max(self.known_used, flushed.used)
        self.others = flushed.others

    def heard(self, view: WindowView, sent_at: float, *, is_flushing: bool) -> None:
        """Take over the answer to an asking that was sent at ``sent_at``.

        While a flush is under way ``view.used`` may or may not contain what is still in our own ``used``: then it is not taken
        over, since counting it twice would refuse calls that fit. The flush's own answer will tell.
        """
        self.granted += view.granted
        if not is_flushing:
            self.known_used = max(self.known_used, view.used)
        self.others = view.others
        self.ends = sent_at + view.ends_in_seconds
        if view.granted:
            self.low = self.free // 2

    def take_idle(self) -> int:
        """Take what is neither used nor reserved out of the holding, to give it back."""
        idle = max(0, self.free)
        self.granted -= idle
        return idle

    def shortage(self, need: int) -> Shortage:
        """The numbers that a decision needs."""
        return Shortage(
            metric=self.rule.metric,
            amount=self.rule.amount,
            need=need,
            settled=self.settled,
            held=self.others + self.reserved,
            others=self.others,
            thrift=self.thrift,
        )

    def standing(self) -> Standing:
        """For people and headers."""
        reserved = self.reserved + self.others
        return Standing(
            rule=self.rule,
            value=self.value,
            used=self.settled,
            reserved=reserved,
            remaining=max(0, self.rule.amount - self.settled - reserved),
            resets_at=self.ends_at,
        )
