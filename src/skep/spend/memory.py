"""A meter without a database, for tests of whatever meters its calls: the real decisions, on a bank in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from typing_extensions import override

from skep.spend.holdings import NEVER, WindowView
from skep.spend.interfaces import JournalUnwritableError
from skep.spend.leasing import lease_size
from skep.spend.meter import LeasedMeter, MeterOptions
from skep.spend.models import Rule
from skep.spend.periods import window_end, window_start
from skep.spend.ports import Bank, Journal, Wish


@dataclass(slots=True)
class MemoryWindow:
    """A window as the database keeps it."""

    window_id: int
    rule: Rule
    value: str
    started_at: datetime
    used: int = 0
    overage: int = 0
    leases: dict[int, int] = field(default_factory=dict)
    """By process."""

    @property
    def leased(self) -> int:
        """By all processes."""
        return sum(self.leases.values())


class MemoryBank:
    """What several meters of one process can share as if they were processes of their own.

    ``now`` is the bank's clock. Each meter gets its own `MemoryTeller`.
    """

    def __init__(self, rules: Iterable[Rule], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.rules = {rule.rule_id: rule for rule in rules}
        self.windows: dict[tuple[int, str, datetime], MemoryWindow] = {}
        self.recalls: list[tuple[int, frozenset[int]]] = []
        """Who asked for which windows."""
        self.processes = 0
        self.failure: Exception | None = None
        """What every method raises, if set: the database is away."""
        self.now = now
        self._ids = itertools.count(1)

    def teller(self) -> MemoryTeller:
        """The bank as one more process sees it."""
        self.processes += 1
        return MemoryTeller(self, self.processes)

    def window(self, rule_id: int, value: str, starts_at: datetime | None = None) -> MemoryWindow | None:
        """The window that starts then, or the present one; None when the rule is gone."""
        rule = self.rules.get(rule_id)
        if rule is None:
            return None
        key = (rule_id, value, starts_at or window_start(rule.period, self.now()))
        if key not in self.windows:
            self.windows[key] = MemoryWindow(next(self._ids), rule, value, key[2])
        return self.windows[key]


class MemoryTeller(Bank):
    """One process' view of a `MemoryBank`."""

    def __init__(self, bank: MemoryBank, process_id: int) -> None:
        self.bank = bank
        self.process_id = process_id

    @override
    async def acquire(self, wishes: Sequence[Wish]) -> list[WindowView]:
        self._fail()
        views = (self._acquire(wish) for wish in wishes)
        return [view for view in views if view is not None]

    @override
    async def give_back(self, amounts: Mapping[int, int]) -> None:
        self._fail()
        for window in self.bank.windows.values():
            if window.window_id in amounts:
                window.leases[self.process_id] -= amounts[window.window_id]

    @override
    async def recall(self, window_ids: Collection[int]) -> None:
        self._fail()
        self.bank.recalls.append((self.process_id, frozenset(window_ids)))

    @override
    async def renew(self) -> Mapping[int, int]:
        self._fail()
        return {window.window_id: window.leases.get(self.process_id, 0) for window in self.bank.windows.values()}

    def _fail(self) -> None:
        if self.bank.failure is not None:
            raise self.bank.failure

    def _acquire(self, wish: Wish) -> WindowView | None:
        window = self.bank.window(wish.rule_id, wish.value, wish.starts_at)
        if window is None:
            return None
        rule = self.bank.rules[wish.rule_id]
        left = rule.amount - window.used - window.leased if rule.mode == "hard" else 0
        granted = lease_size(wish.need, wish.least, wish.want, left, self.bank.processes)
        mine = window.leases[self.process_id] = window.leases.get(self.process_id, 0) + granted
        ends_at = window_end(rule.period, window.started_at)
        return WindowView(
            window_id=window.window_id,
            rule_id=wish.rule_id,
            value=wish.value,
            granted=granted,
            used=window.used,
            others=window.leased - mine,
            starts_at=window.started_at,
            starts_in_seconds=(window.started_at - self.bank.now()).total_seconds(),
            ends_at=ends_at,
            ends_in_seconds=NEVER if ends_at is None else (ends_at - self.bank.now()).total_seconds(),
        )


class MemoryJournal(Journal):
    """Lines in a list. ``is_full`` makes it refuse, as a full disk does."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.open: dict[str, str] = {}
        self.is_full = False

    @override
    def begin(self, call_id: str, line: str) -> None:
        if self.is_full:
            raise JournalUnwritableError(path="memory", reason="it is full")
        self.open[call_id] = line
        self.lines.append(line)

    @override
    def enter(self, line: str) -> None:
        if self.is_full:
            raise JournalUnwritableError(path="memory", reason="it is full")
        self.lines.append(line)

    @override
    def end(self, call_id: str, line: str) -> None:
        del self.open[call_id]
        self.lines.append(line)


class MemoryMeter(LeasedMeter):
    """A meter for tests: everything as in the real one, but rules are given, and nothing outlives it.

    ``journal.lines`` are what would become rows of the ledger (see `lines.COLUMNS`). Enter it, or call `start` first.
    """

    def __init__(self, rules: Iterable[Rule] = (), options: MeterOptions | None = None) -> None:
        self.bank = MemoryBank(rules)
        self.journal = MemoryJournal()
        self.bank_teller = self.bank.teller()
        super().__init__(self.bank_teller, self.journal, options or MeterOptions(valid_seconds=NEVER))

    async def start(self) -> None:
        """Read the rules and become valid."""
        self.change_rules(self.bank.rules.values())
        await self.renew()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()
