"""Several meters on one bank, whatever happens in whatever order: what must hold, holds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from skep.spend import (
    Ask,
    BudgetExceededError,
    Caller,
    LimitExceededError,
    MeterOptions,
    Rates,
    Rule,
    Settlement,
    Usage,
    make_price,
)
from skep.spend.holdings import FlushedWindow
from skep.spend.memory import MemoryBank, MemoryJournal, MemoryTeller
from skep.spend.meter import LeasedMeter
from skep.spend.tickets import HeldTicket

PRICE = make_price(Rates(1_000_000, 1_000_000))
CALLER = Caller(1, "k1", tags=("a",))
METERS = st.integers(0, 2)


def a_rule(number: int, metric: Any, amount: int, **changes: Any) -> Rule:
    facts: dict[str, Any] = {"subject": "project", "value": "", "period": "hour", **changes}
    return Rule(number, 1, f"r{number}", metric, amount=amount, **facts)


RULES = [
    a_rule(1, "cost", 500),
    a_rule(2, "requests", 12, subject="key", value="*", period="total"),
    a_rule(3, "concurrent", 4, period=None),
    a_rule(4, "tokens", 100, subject="tag", value="a", mode="soft"),
]


class PassingTeller(MemoryTeller):
    """While another process is asked to give back, time passes; and that process does."""

    def __init__(self, bank: MemoryBank, machine: Together) -> None:
        bank.processes += 1
        super().__init__(bank, bank.processes)
        self.machine = machine

    @override
    async def recall(self, window_ids: Collection[int]) -> None:
        self.machine.seconds += 0.05
        for other in self.machine.processes:
            if other.teller is not self:
                await other.meter.recalled(
                    window_ids, by_process_id=self.process_id, process_id=other.teller.process_id
                )


class Process:
    """A meter with what it needs, on a clock that goes too slow or too fast; its flushes go straight to the bank."""

    def __init__(self, bank: MemoryBank, machine: Together) -> None:
        self.bank = bank
        pace = (1.02, 0.98, 1.0)[bank.processes % 3]
        self.teller = PassingTeller(bank, machine)
        self.journal = MemoryJournal()
        self.meter = LeasedMeter(
            self.teller, self.journal, MeterOptions(patience_seconds=0.0), clock=lambda: machine.seconds * pace
        )
        self.meter.change_rules(RULES)
        self.tickets: list[HeldTicket] = []
        self.flushed = 0

    def flush(self, *, lost: bool = False) -> None:
        """Charge what ended; with ``lost``, everything that was begun, and give back the rest: the process is dead."""
        ended = [line for line in self.journal.lines[self.flushed :] if line[0] == "E"]
        self.flushed = len(self.journal.lines)
        sums: dict[int, list[int]] = {}
        for line in [*ended, *(self.journal.open.values() if lost else ())]:
            numbers = [int(number) for number in line.rstrip("\n").rsplit("{", 1)[1].rstrip("}").split(",") if number]
            for window_id, reserved, charged in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
                sums.setdefault(window_id, [0, 0])
                sums[window_id][0] += charged
                sums[window_id][1] += max(0, charged - reserved)
        done = []
        for window in self.bank.windows.values():
            if window.window_id in sums:
                charged, overage = sums[window.window_id]
                moved = min(window.leases.get(self.teller.process_id, 0), charged)
                window.leases[self.teller.process_id] = window.leases.get(self.teller.process_id, 0) - moved
                window.used += charged
                window.overage += overage
                others = window.leased - window.leases[self.teller.process_id]
                done.append(FlushedWindow(window.window_id, charged, charged, moved, window.used, others))
            if lost:
                window.leases.pop(self.teller.process_id, None)
        self.meter.flush_begun()
        self.meter.flush_ended(done)


class Together(RuleBasedStateMachine):
    """Three processes, one bank."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.seconds = 0.0

    @override
    def teardown(self) -> None:
        self.loop.close()

    def run(self, step: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(step, 5))

    @initialize()
    def begin(self) -> None:
        self.bank = MemoryBank(
            RULES, now=lambda: datetime(2026, 1, 1, 10, 59, 30, tzinfo=UTC) + timedelta(seconds=self.seconds)
        )
        self.processes = [Process(self.bank, self) for _ in range(3)]

    @rule(who=METERS, tokens=st.integers(0, 200))
    def call(self, who: int, tokens: int) -> None:
        process = self.processes[who]

        async def admit() -> None:
            ask = Ask(CALLER, "m", tokens, 0, PRICE)
            try:
                ticket = process.meter.try_admit(ask) or await process.meter.admit(ask)
            except (BudgetExceededError, LimitExceededError):
                return
            assert isinstance(ticket, HeldTicket)
            process.meter.begin(ticket)
            process.tickets.append(ticket)

        self.run(admit())

    @rule(who=METERS, tokens=st.integers(0, 300), outcome=st.sampled_from(["ok", "untold", "never", "cancel"]))
    def end(self, who: int, tokens: int, outcome: str) -> None:
        process = self.processes[who]
        if not process.tickets:
            return
        ticket = process.tickets.pop(0)
        usage = Usage(tokens, output_tokens=0) if outcome == "ok" else None
        process.meter.settle(ticket, Settlement("ok", usage, estimated=outcome == "untold"))

    @rule(who=METERS)
    def flush(self, who: int) -> None:
        self.processes[who].flush()

    @rule(who=METERS, everything=st.booleans())
    def tidy(self, who: int, everything: bool) -> None:
        meter = self.processes[who].meter
        self.run(meter.give_back_all() if everything else meter.tidy())

    @rule(who=METERS)
    def renew(self, who: int) -> None:
        self.run(self.processes[who].meter.renew())

    @rule(who=METERS)
    def look_ahead(self, who: int) -> None:
        self.run(self.processes[who].meter.look_ahead())

    @rule(who=METERS)
    def die(self, who: int) -> None:
        """Its journal is adopted, and another takes its place."""
        self.processes[who].flush(lost=True)
        self.processes[who] = Process(self.bank, self)

    @rule(seconds=st.sampled_from([0.1, 6.0, 20.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds

    @invariant()
    def nothing_is_overrun(self) -> None:
        for window in getattr(self, "bank", MemoryBank([])).windows.values():
            if window.rule.mode == "hard":
                assert window.used + window.leased <= window.rule.amount + window.overage
                assert min(window.leases.values(), default=0) >= 0

    @invariant()
    def meters_agree_with_the_bank(self) -> None:
        for process in getattr(self, "processes", []):
            for window in self.bank.windows.values():
                holding = process.meter.windows.get(window.window_id)
                held = 0 if holding is None else holding.granted
                assert held == window.leases.get(process.teller.process_id, 0)
                if holding is not None and window.rule.mode == "hard":
                    reserved = sum(part for ticket in process.tickets for each, part in ticket.holds if each is holding)
                    assert holding.reserved == reserved


Together.TestCase.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
TestTogether = Together.TestCase
