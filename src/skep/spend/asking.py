"""Calls that wait for room: one asking of the bank at a time, for all of them together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skep.errors import UnavailableError
from skep.observe import event
from skep.spend.ahead import AHEAD
from skep.spend.holdings import NEVER, WindowView
from skep.spend.interfaces import MeterUnavailableError
from skep.spend.leasing import STORE_CALLS, Verdict, judge
from skep.spend.matching import MOST_NEED, Plan, Seat
from skep.spend.models import Ask, Metric
from skep.spend.ports import Bank, Wish
from skep.spend.refusing import refusal
from skep.spend.tickets import HeldTicket

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 3.0
"""How long the bank may take to answer before those who wait are told that it is away."""

AWAY_SECONDS = 0.5
"""For so long after that, calls that need the bank are refused at once."""

LATE_SECONDS = 0.2
"""After that, calls that need the bank do not join those who find out whether it is back."""

AHEAD_OF_WAITING = 4
"""While calls wait, so many windows that none waits for are asked for beside theirs; else `AHEAD`."""

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.08
_MOST_AT_ONCE = 5
"""So often in a row it is asked again without a pause, for those to whom the last answer was none."""
"""Between two askings that brought nothing; each is twice as long as the one before. Settlements end a pause."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One call that waits."""

    ask: Ask
    plan: Plan
    needs: dict[Metric, int]
    answer: asyncio.Future[HeldTicket]
    short_of: set[Seat] = field(default_factory=set)
    """Seats at which it lets later calls wait behind it."""
    asked: set[Seat] = field(default_factory=set)
    """Seats for which the last asking counted it in: only what was asked for can have been denied."""
    since: float | None = None
    """When the bank first said that there is no room; None before."""

    def lacks(self, now: float) -> Iterable[tuple[Seat, int]]:
        """The seats that keep it waiting now, with what it needs of each."""
        for seat in self.plan.seats:
            need = self.needs[seat.rule.metric]
            if seat.lacks(need, now):
                yield seat, need


class Desk(Protocol):
    """What asking needs of the meter."""

    @property
    def is_valid(self) -> bool:
        """Whether leases may be used now."""

    def now(self) -> float:
        """On the meter's clock."""

    def try_reserve(self, ask: Ask, plan: Plan) -> HeldTicket | None:
        """A ticket, if everything fits."""

    def give_up(self, ticket: HeldTicket) -> None:
        """Give back what nobody waits for any more."""

    def ended_in_use(self, now: float) -> Iterable[Seat]:
        """Seats that are in use and hold nothing of the present window."""

    async def renew(self) -> None:
        """Make the leases valid again. Raises an UnavailableError."""

    async def acquire(self, wishes: Sequence[Wish]) -> Sequence[WindowView]:
        """Ask the bank for leases, and take over what it answers. Raises an UnavailableError."""


@dataclass(slots=True)
class _Lack:
    need: int = 0
    least: int = 0

    def add(self, need: int) -> None:
        self.least = min(self.least, need) if self.need else need
        self.need += need


@dataclass(slots=True, eq=False)
class Asking:
    """The queue of waiting calls, and the one task that asks for them."""

    desk: Desk
    bank: Bank
    patience_seconds: float
    waiters: dict[Waiter, None] = field(default_factory=dict)
    low: set[Seat] = field(default_factory=set)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _is_unanswered: bool = False
    """Whether somebody waits for what the last asking was no answer to."""
    _since: float = -NEVER
    """When the present task began."""
    _away_until: float = -NEVER
    _away_reason: str = ""
    """Why the last asking had no answer; empty when it had one."""

    async def wait(self, ask: Ask, plan: Plan, needs: dict[Metric, int]) -> HeldTicket:
        """A ticket, when there is room. Raises what `Meter.admit` raises. Cancelled, it leaves nothing reserved."""
        if self._away_reason and (self.desk.now() < self._away_until or self._is_overdue):
            # Those who came first find out whether the bank is back; who comes while that takes long need not wait for it.
            raise MeterUnavailableError(reason=self._away_reason)
        waiter = Waiter(ask, plan, needs, asyncio.get_running_loop().create_future())
        self.waiters[waiter] = None
        self.wake()
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            if waiter.answer.done() and not waiter.answer.cancelled() and waiter.answer.exception() is None:
                self.desk.give_up(waiter.answer.result())
            raise
        finally:
            self._leave(waiter)

    def _leave(self, waiter: Waiter) -> None:
        if waiter in self.waiters:
            del self.waiters[waiter]
            for seat in waiter.short_of:
                seat.waiting -= 1
            waiter.short_of.clear()

    def stock_up(self, seat: Seat) -> None:
        """Ask for more of a window in time, though nobody waits yet."""
        self.low.add(seat)
        self.wake()

    def wake(self) -> None:
        """Something changed that may let a call in."""
        self._woken.set()
        if self._task is None or self._task.done():
            self._since = self.desk.now()
            self._task = asyncio.create_task(self._serve(), name="skep-spend-asking")

    @property
    def _is_overdue(self) -> bool:
        """Whether it is being asked, and would have answered by now if it were back."""
        return self._task is not None and not self._task.done() and self.desk.now() > self._since + LATE_SECONDS

    def seats(self) -> set[Seat]:
        """Those of the calls that wait."""
        return {seat for waiter in self.waiters for seat in waiter.plan.seats}

    def replan(self, plan_of: Callable[[Ask], tuple[Plan, dict[Metric, int]]]) -> None:
        """The rules changed: whoever waits does so by the new ones."""
        for waiter in self.waiters:
            waiter.plan, waiter.needs = plan_of(waiter.ask)
        if self.waiters:
            self.wake()

    async def close(self) -> None:
        """Stop asking; who waits is told that the meter closes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(MeterUnavailableError(reason="this process is stopping"))

    async def _serve(self) -> None:
        pause_seconds, at_once = _FIRST_PAUSE_SECONDS, 0
        while self.waiters or self.low:
            self._woken.clear()
            self._is_unanswered = False
            before = len(self.waiters)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._ask_once()
            except UnavailableError as error:
                self._be_away(str(error))
                continue
            except TimeoutError:
                self._be_away(f"the database did not answer within {ANSWER_SECONDS:g} s")
                continue
            except Exception as error:  # noqa: BLE001 -- handed to those who wait; the next call tries again
                event(_log, logging.ERROR, "asking for leases failed", error=repr(error))
                self._fail(error)
                self.low.clear()
                continue
            self._away_reason = ""
            pause_seconds = _FIRST_PAUSE_SECONDS if len(self.waiters) < before else pause_seconds
            at_once = at_once + 1 if self._is_unanswered else 0
            if self.waiters and not 0 < at_once <= _MOST_AT_ONCE:
                await self._pause(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _be_away(self, reason: str) -> None:
        """Nobody shall wait for a bank that is away, and not everybody find that out anew."""
        self._away_until, self._away_reason = self.desk.now() + AWAY_SECONDS, reason
        self._fail(MeterUnavailableError(reason=reason))
        self.low.clear()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _ask_once(self) -> None:
        if not self.desk.is_valid:
            await self.desk.renew()
        self._admit()
        wishes = self._wishes()
        if not wishes:
            return
        views = {(view.rule_id, view.value): view for view in await self.desk.acquire(list(wishes.values()))}
        denied = {
            seat
            for seat, wish in wishes.items()
            if wish.need and (view := views.get((wish.rule_id, wish.value))) is not None and view.granted < wish.need
        }
        self._admit()
        recalled = self._judge(denied)
        if recalled:
            await self.bank.recall(recalled)

    def _admit(self) -> None:
        """Let in who fits, in the order in which they came."""
        for waiter in list(self.waiters):
            if waiter.answer.done():
                self._leave(waiter)
                continue
            ticket = self.desk.try_reserve(waiter.ask, waiter.plan)
            if ticket is not None:
                waiter.answer.set_result(ticket)
                self._leave(waiter)

    def _wishes(self) -> dict[Seat, Wish]:
        now = self.desk.now()
        lacks: dict[Seat, _Lack] = {}
        for waiter in self.waiters:
            waiter.asked.clear()
            for seat, need in waiter.lacks(now):
                lack = lacks.setdefault(seat, _Lack())
                if seat.is_hard:
                    lack.add(need)
                    waiter.asked.add(seat)
                # What is free there counts for this one now: nobody may take it while we ask for the rest.
                if seat not in waiter.short_of:
                    waiter.short_of.add(seat)
                    seat.waiting += 1
        self._look_ahead(lacks, now)
        return {seat: _wish(seat, lack, now) for seat, lack in lacks.items()}

    def _look_ahead(self, lacks: dict[Seat, _Lack], now: float) -> None:
        """Add some of what nobody waits for yet. The rest follows in the next askings: who waits does so for these too."""
        if any(seat.holding is not None and seat.present(now) is None for seat in (*lacks, *self.low)):
            # A minute is over, and with it the windows of all keys with a limit by the minute: those that will be wanted are
            # asked for many at a time, instead of each when its call waits.
            self.low.update(self.desk.ended_in_use(now))
        self.low.difference_update(lacks)
        for _ in range(min(len(self.low), AHEAD_OF_WAITING if lacks else AHEAD)):
            lacks[self.low.pop()] = _Lack()

    def _judge(self, denied: set[Seat]) -> set[int]:
        """Refuse whom waiting does not help; the windows that others shall give back of."""
        now = self.desk.now()
        recalled: set[int] = set()
        for waiter in list(self.waiters):
            for seat, need in waiter.lacks(now):
                holding = seat.present(now)
                if holding is None or seat not in denied or seat not in waiter.asked:
                    self._is_unanswered = (
                        True  # it came meanwhile, or a new window began: that is asked for next, and at once
                    )
                    continue
                waiter.since = now if waiter.since is None else waiter.since
                if judge(holding.shortage(need), now - waiter.since, self.patience_seconds) is Verdict.REFUSE:
                    waiter.answer.set_exception(refusal(holding, need, now, waiter.ask.saving))
                    self._leave(waiter)
                    break
                if holding.others > 0:
                    recalled.add(holding.window_id)
        return recalled

    def _fail(self, error: Exception) -> None:
        for waiter in list(self.waiters):
            if not waiter.answer.done():
                waiter.answer.set_exception(error)
            self._leave(waiter)


def _wish(seat: Seat, lack: _Lack, now: float) -> Wish:
    """What to ask for one seat; a holding whose window has ended does not count."""
    holding = seat.present(now)
    free = holding.free if holding is not None and seat.is_hard else 0
    want = holding.make_wish(now) if holding is not None and seat.is_hard else 0
    if seat.is_hard and not want:
        # Nothing is known of the demand in this window: what comes once may well come again, and what came in the last one too.
        before = seat.holding.last_need if holding is None and seat.holding is not None else 0
        want = min(STORE_CALLS * (lack.least or before), MOST_NEED)
    return Wish(
        rule_id=seat.rule.rule_id,
        value=seat.value,
        need=min(max(0, lack.need - free), MOST_NEED) if lack.need else 0,
        least=max(1, lack.least - free) if lack.need else 0,
        want=want,
        is_new=holding is None,
        starts_at=None if holding is None else holding.starts_at,
    )
