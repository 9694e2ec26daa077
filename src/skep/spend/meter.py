"""The meter: decisions made in this process, on leases that a bank gives out."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from skep.errors import UnavailableError
from skep.spend.ahead import coming_wish, ended_in_use, lots_ahead
from skep.spend.asking import Asking
from skep.spend.holdings import NEVER, FlushedWindow, Holding, WindowView
from skep.spend.interfaces import JournalUnwritableError, Meter, MeterUnavailableError
from skep.spend.leasing import IN_USE_SECONDS
from skep.spend.limiting import Room, rooms
from skep.spend.lines import begin_line, caller_columns, end_line, head
from skep.spend.matching import MOST_NEED, Plan, RuleBook, Seat, is_plausible, needs, use
from skep.spend.models import Ask, Caller, Charge, Exceeded, Metric, Price, Rule, Settlement, Standing, Ticket
from skep.spend.ports import Bank, Journal, Wish
from skep.spend.prices import worst_cost_nusd
from skep.spend.refusing import refusal, unpriced
from skep.spend.tickets import HeldTicket

_MOST_PLANS = 20_000
"""Bound of the plans that are remembered; of more all are made anew."""

_NOTHING = Charge(None, None, estimated=False, price_version=None)

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Seconds that also pass while this process is stopped or the machine sleeps."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """What the settings say about admission."""

    patience_seconds: float = 2.0
    """How long a call may wait for others under way, which will use less than they reserved."""
    output_tokens_cap: int = 4096
    """Bound for a call that names none, where a hard rule counts money or tokens."""
    valid_seconds: float = 15.0
    """How long leases may be used after the last renewal was sent: half of what the database grants."""


class LeasedMeter(Meter):
    """See `Meter`. It stands on a bank and a journal; whoever opens it tells it of the world.

    That is by `change_rules`, `renew`, `recalled`, `flush_begun` and `flush_ended`.
    """

    def __init__(
        self,
        bank: Bank,
        journal: Journal,
        options: MeterOptions | None = None,
        *,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.options = options or MeterOptions()
        self.windows: dict[int, Holding] = {}
        """Present windows, and past ones until all of their calls are in the ledger."""
        self.clock = clock
        self._bank = bank
        self._journal = journal
        self._book = RuleBook()
        self._plans: dict[tuple[object, ...], Plan] = {}
        self.prices: dict[str, Price] = {}
        """Those that calls were charged by, by version: for whoever explains a call later."""
        self._knows_rules = False
        self._valid_until = -NEVER
        # What changes our leases goes one by one, so that an answer of the bank can be compared with what we believe.
        self._turn = asyncio.Lock()
        self._flushes = 0
        self._is_flushing = False
        self._asking = Asking(self, bank, self.options.patience_seconds)

    @override
    def try_admit(self, ask: Ask) -> Ticket | None:
        plan = self._plan(ask.caller, ask.model)
        if not self._knows_rules or (plan.refuses_unpriced is not None and ask.price is None):
            return None
        for seat in plan.seats:
            if seat.waiting:
                return None
        return self.try_reserve(ask, plan)

    @override
    async def admit(self, ask: Ask) -> Ticket:
        if not self._knows_rules:
            raise MeterUnavailableError(reason="the rules were not read yet, since the database did not answer")
        plan = self._plan(ask.caller, ask.model)
        if plan.refuses_unpriced is not None and ask.price is None:
            raise unpriced(plan.refuses_unpriced, ask)
        ticket = self.try_admit(ask)
        if ticket is not None:
            return ticket
        wanted = needs(plan, ask, self._output_tokens(ask, plan)[0])
        self._refuse_hopeless(ask, plan, wanted)
        return await self._asking.wait(ask, plan, wanted)

    @override
    def begin(self, ticket: Ticket) -> None:
        held = _held(ticket)
        try:
            self._journal.begin(held.ask.call_id, begin_line(held, _worst_nusd(held)))
        except JournalUnwritableError:
            self.give_up(held)
            raise
        held.is_begun = True

    @override
    async def extend(self, ticket: Ticket) -> bool:
        held = _held(ticket)
        if not held.once:
            held.once = tuple(
                reserved if holding.rule.metric in ("cost", "tokens") else 0 for holding, reserved in held.holds
            )
        try:
            await self._stock(held)
        except UnavailableError:
            return False
        now = self.clock()
        more = [need if now < holding.ends else 0 for (holding, _), need in zip(held.holds, held.once, strict=True)]
        wanted = list(zip((holding for holding, _ in held.holds), more, strict=True))
        if held.is_closed or (any(more) and not self.is_valid) or any(_is_short(*each) for each in wanted):
            return False
        before = held.holds
        held.holds = [(holding, reserved + need) for (holding, reserved), need in zip(before, more, strict=True)]
        held.attempts += 1
        try:
            self._journal.begin(held.ask.call_id, begin_line(held, _worst_nusd(held)))
        except JournalUnwritableError:
            held.holds = before
            held.attempts -= 1
            return False
        for holding, need in wanted:
            holding.reserve(need, now)
        return True

    async def _stock(self, held: HeldTicket) -> None:
        """Ask the bank for what one more attempt lacks here. Raises an UnavailableError."""
        now = self.clock()
        wishes = []
        for (holding, _), need in zip(held.holds, held.once, strict=True):
            if now < holding.ends and _is_short(holding, need):
                lack = need - holding.free
                wishes.append(Wish(holding.rule.rule_id, holding.value, lack, lack, 0, starts_at=holding.starts_at))
        if wishes:
            await self.acquire(wishes)

    @override
    def enter(self, ticket: Ticket, settlement: Settlement) -> Charge:
        held = _held(ticket)
        charge, charged = self._charge(held, settlement)
        try:
            self._journal.enter(end_line(held, settlement, charge, charged))
        except JournalUnwritableError:
            self.give_up(held)
            raise
        self._close(held, charged)
        return charge

    @override
    def settle(self, ticket: Ticket, settlement: Settlement) -> Charge:
        held = _held(ticket)
        if held.is_closed:
            return _NOTHING
        if not held.is_begun:
            self.give_up(held)
            return _NOTHING
        if settlement.usage is not None and not is_plausible(settlement.usage):
            settlement = dataclasses.replace(settlement, usage=None, estimated=True)
        charge, charged = self._charge(held, settlement)
        self._journal.end(held.ask.call_id, end_line(held, settlement, charge, charged))
        self._close(held, charged)
        return charge

    def _charge(self, held: HeldTicket, settlement: Settlement) -> tuple[Charge, list[int]]:
        """What a call is charged, and what it takes of each of its holds."""
        used = use(held.ask, settlement)
        price = None if settlement.is_unpriced else settlement.price or held.ask.price
        if price is not None and price.version not in self.prices:
            self.prices[price.version] = price
        charge = Charge(
            cost_nusd=used.cost_nusd,
            tokens=used.tokens,
            estimated=settlement.estimated or used.tokens is None,
            price_version=None if price is None else price.version,
        )
        return charge, [used.of(holding.rule.metric, reserved) for holding, reserved in held.holds]

    def _close(self, held: HeldTicket, charged: Sequence[int]) -> None:
        """A call is over: what it took stays taken, the rest is free again."""
        held.is_closed = True
        for (holding, reserved), actual in zip(held.holds, charged, strict=True):
            holding.settle(reserved, actual)
        self._rouse()

    @override
    def cancel(self, ticket: Ticket) -> None:
        held = _held(ticket)
        if not held.is_closed:
            self.give_up(held)

    @override
    def rooms(self, ticket: Ticket) -> tuple[Room, ...]:
        return rooms(_held(ticket).holds, self.clock())

    @override
    def standing(self, caller: Caller, model: str) -> tuple[Standing, ...]:
        now = self.clock()
        holdings = (seat.present(now) for seat in self._plan(caller, model).seats)
        return tuple(holding.standing() for holding in holdings if holding is not None)

    # What the asking needs (`asking.Desk`).

    @property
    def is_valid(self) -> bool:
        """Whether leases may be used now."""
        return self.clock() < self._valid_until

    def now(self) -> float:
        """On the meter's clock."""
        return self.clock()

    def try_reserve(self, ask: Ask, plan: Plan) -> HeldTicket | None:
        """Reserve in all holdings that apply, or in none and return None."""
        now = self.clock()
        if now >= self._valid_until and plan.seats:
            return None
        tokens, cap = self._output_tokens(ask, plan)
        wanted = needs(plan, ask, tokens)
        holds: list[tuple[Holding, int]] = []
        exceeded: list[Exceeded] = []
        for seat in plan.seats:
            holding = seat.holding
            need = wanted[seat.rule.metric]
            if (holding is None or now >= holding.ends) and (holding := seat.present(now)) is None:
                return None
            if not seat.is_hard:
                taken = holding.settled + holding.reserved
                if taken + need > seat.rule.amount:
                    exceeded.append(Exceeded(seat.rule, holding.window_id, min(taken, MOST_NEED)))
            elif need > holding.granted - holding.used - holding.reserved and need > 0:
                return None
            holds.append((holding, need))
        for seat, (holding, need) in zip(plan.seats, holds, strict=True):
            holding.reserve(need, now)
            if holding.free < holding.low:
                self._asking.stock_up(seat)
        started_us = time.time_ns() // 1000
        return HeldTicket(
            ask=ask,
            started_us=started_us,
            output_tokens_cap=cap,
            output_tokens_reckoned=tokens,
            exceeded=tuple(exceeded),
            holds=holds,
            head=head(ask, started_us, plan.columns),
            worst_nusd=wanted.get("cost") if ask.price is not None else None,
        )

    def give_up(self, ticket: HeldTicket) -> None:
        """Give back everything that a call that never left has reserved."""
        ticket.is_closed = True
        for holding, reserved in ticket.holds:
            holding.release(reserved)
        self._rouse()

    def ended_in_use(self, now: float) -> Iterable[Seat]:
        """Seats that are in use and hold nothing of the present window; of very many some."""
        return ended_in_use(self._book.seats.values(), now)

    async def acquire(self, wishes: Sequence[Wish]) -> Sequence[WindowView]:
        """Ask the bank, and take over what it answers. Raises an UnavailableError."""
        async with self._turn:
            sent_at, flushes = self.clock(), self.flush_count()
            views = await self._bank.acquire(wishes)
            is_flushing = flushes[1] or flushes != self.flush_count()
            for view in views:
                self._note(view, sent_at, is_flushing=is_flushing)
        return views

    def flush_count(self) -> tuple[int, bool]:
        """How many flushes there were, and whether one is under way."""
        return self._flushes, self._is_flushing

    def _note(self, view: WindowView, sent_at: float, *, is_flushing: bool) -> None:
        holding = self.windows.get(view.window_id)
        seat = self._book.seats.get((view.rule_id, view.value))
        if holding is None:
            rule = self._book.rule(view.rule_id) if seat is None else seat.rule
            if rule is None:
                return  # deleted since we asked, and its leases with it
            holding = Holding(
                rule, view.value, view.window_id, NEVER, view.ends_at, view.starts_at, taken_since=sent_at
            )
            holding.follow(None if seat is None else seat.holding, sent_at)
            self.windows[view.window_id] = holding
        holding.heard(view, sent_at, is_flushing=is_flushing)
        if seat is not None:
            seat.take(holding, sent_at + view.starts_in_seconds, sent_at)

    # How it learns of the world.

    def change_rules(self, rules: Iterable[Rule]) -> None:
        """Go by these rules from now on. Those that changed give back what is idle at the next `tidy`."""
        self._knows_rules = True
        self._plans.clear()
        for seat in self._book.replace(rules):
            for holding in seat.holdings():
                holding.last_taken = -NEVER
        for window_id in [
            window_id for window_id, each in self.windows.items() if self._book.rule(each.rule.rule_id) is None
        ]:
            del self.windows[window_id]
        self._asking.replan(self._replan)

    async def renew(self) -> None:
        """Make the leases valid again, and set right what we believe of them. Raises an UnavailableError."""
        async with self._turn:
            sent_at, flushes = self.clock(), self.flush_count()
            leases = await self._bank.renew()
            if not flushes[1] and flushes == self.flush_count():
                for window_id, holding in self.windows.items():
                    holding.granted = leases.get(window_id, 0)
            self._valid_until = sent_at + self.options.valid_seconds
        self._rouse()

    async def recalled(self, window_ids: Iterable[int], *, by_process_id: int, process_id: int) -> None:
        """Another process needs room: give back what is idle here of these windows.

        Where calls wait here too, the process with the lower number goes first, so that two do not give back to each other
        for ever what either of them could use. Raises an UnavailableError.
        """
        holdings = [self.windows[window_id] for window_id in window_ids if window_id in self.windows]
        await self._give_back(
            holding for holding in holdings if process_id > by_process_id or not self._is_waited_for(holding)
        )

    async def tidy(self) -> None:
        """Give back what is not in use any more, and what is left of past windows. Raises an UnavailableError.

        Another process that needs it recalls it sooner.
        """
        now = self.clock()
        done = []
        for holding in list(self.windows.values()):
            idle_seconds = NEVER if now >= holding.ends else now - holding.last_taken
            if idle_seconds > IN_USE_SECONDS and not (holding.used or holding.reserved or holding.granted):
                self._forget(holding)
            elif idle_seconds == NEVER or (idle_seconds > IN_USE_SECONDS and not holding.reserved):
                done.append(holding)
        await self._give_back(done)

    async def look_ahead(self) -> None:
        """Ask for windows in use that are about to begin, some at a time; to be called every second. Raises an UnavailableError."""
        now = self.clock()
        for seats in lots_ahead(self._book.seats.values(), now):
            await self.acquire([coming_wish(seat, now) for seat in seats])

    async def give_back_all(self) -> None:
        """Give back everything that is neither used nor reserved. Raises an UnavailableError."""
        await self._give_back(self.windows.values())

    async def _give_back(self, holdings: Iterable[Holding]) -> None:
        async with self._turn:
            # Taken out before it is sent: nobody may reserve it meanwhile. Should that fail, the next renewal tells.
            amounts = {holding.window_id: idle for holding in holdings if (idle := holding.take_idle())}
            if amounts:
                await self._bank.give_back(amounts)

    def _is_waited_for(self, holding: Holding) -> bool:
        seat = self._book.seats.get((holding.rule.rule_id, holding.value))
        return seat is not None and seat.waiting > 0

    def flush_begun(self) -> None:
        """A flush was sent: what is in flight is neither here nor there."""
        self._is_flushing = True

    def flush_ended(self, windows: Iterable[FlushedWindow]) -> None:
        """A flush ended; with what it did, or with nothing when that is unknown or it failed."""
        self._is_flushing = False
        self._flushes += 1
        for each in windows:
            holding = self.windows.get(each.window_id)
            if holding is not None:
                holding.flushed(each)
        if self._asking.waiters:
            self._asking.wake()

    async def close(self) -> None:
        """Refuse whoever waits, and ask for nothing more."""
        await self._asking.close()

    def _forget(self, holding: Holding) -> None:
        del self.windows[holding.window_id]
        seat = self._book.seats.get((holding.rule.rule_id, holding.value))
        if seat is not None:
            seat.forget(holding)

    def _rouse(self) -> None:
        if self._asking.waiters:
            self._asking.wake()

    def _refuse_hopeless(self, ask: Ask, plan: Plan, wanted: Mapping[Metric, int]) -> None:
        """Refuse at once what certainly does not fit: what was used for good never gets less within a window."""
        now = self.clock()
        for seat in plan.seats:
            holding = seat.present(now)
            if holding is not None and seat.is_hard:
                need = wanted[seat.rule.metric]
                if holding.is_beyond(need):
                    raise refusal(holding, need, now, ask.saving)

    def _output_tokens(self, ask: Ask, plan: Plan) -> tuple[int, int | None]:
        """How many tokens the call may put out as we reckon, and the cap that makes it true."""
        if ask.output_tokens_at_most is not None:
            return ask.output_tokens_at_most, None
        return self.options.output_tokens_cap, self.options.output_tokens_cap if plan.needs_cap else None

    def _replan(self, ask: Ask) -> tuple[Plan, dict[Metric, int]]:
        plan = self._plan(ask.caller, ask.model)
        return plan, needs(plan, ask, self._output_tokens(ask, plan)[0])

    def _plan(self, caller: Caller, model: str) -> Plan:
        key = (
            caller.project_id,
            caller.key_id,
            model,
            caller.user,
            caller.session,
            caller.tier,
            caller.model_tier,
            caller.tags,
            caller.key_name,
        )
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
                self._book.forget_idle(self._asking.seats())
            plan = self._plans[key] = self._book.plan(caller, model, caller_columns(caller, model))
        return plan


def _is_short(holding: Holding, need: int) -> bool:
    return need > 0 and holding.rule.mode == "hard" and holding.free < need


def _worst_nusd(ticket: HeldTicket) -> int | None:
    """What a call costs at most, for the ledger should it be lost; None when that is not known."""
    ask, worst = ticket.ask, ticket.worst_nusd
    if worst is None and ask.price is not None and ask.output_tokens_at_most is not None:
        worst = worst_cost_nusd(
            ask.price,
            ask.input_tokens_at_most,
            ask.output_tokens_at_most,
            has_audio=ask.has_audio,
            keeps_an_hour=ask.keeps_an_hour,
        )
    return None if worst is None else min(worst * ticket.attempts, MOST_NEED)


def _held(ticket: Ticket) -> HeldTicket:
    assert isinstance(ticket, HeldTicket), "a ticket comes from a meter"
    return ticket
