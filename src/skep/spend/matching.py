"""Which rules apply to whom, and what a call takes of each. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import get_args

from skep.spend.holdings import Holding
from skep.spend.models import EVERY, Ask, Caller, Metric, Price, Rule, Settlement, Subject, Usage
from skep.spend.prices import cost_nusd, worst_cost_nusd, worst_units_nusd

SUBJECTS: tuple[Subject, ...] = get_args(Subject)

MOST_NEED = 2 * 10**18
"""More than any rule's amount, and little enough for 64 bits, whatever a client says it may use."""

MOST_TOKENS = 10**12
"""A provider that tells of more tokens than this, or of less than none, is not believed."""

LONGEST_VALUE = 200
"""Characters of a subject's value; an index entry of PostgreSQL has room for 2,700 bytes."""


@dataclass(slots=True, eq=False)
class Seat:
    """One rule for one value: the place of the holding of its present window."""

    rule: Rule
    value: str
    is_hard: bool
    holding: Holding | None = None
    coming: Holding | None = None
    """Of the window after it, asked for before that begins."""
    waiting: int = 0
    """Calls that wait for room here: those that come later wait behind them, or large ones would never have their turn."""

    def lacks(self, need: int, now: float) -> bool:
        """Whether so much cannot be reserved here now. For nothing there is always room, also where more was used than there is."""
        holding = self.present(now)
        return holding is None or (self.is_hard and need > 0 and holding.free < need)

    def present(self, now: float) -> Holding | None:
        """The holding of the present window, which may be the one that was asked for ahead; None when nothing is held of it."""
        if self.holding is not None and now >= self.holding.ends:
            if self.coming is None:
                return None
            # What was held before stays known to the meter until its calls are in the ledger.
            self.holding, self.coming = self.coming, None
        return None if self.holding is None or now >= self.holding.ends else self.holding

    def take(self, holding: Holding, starts: float, now: float) -> None:
        """A holding that the bank told of, of a window that starts at ``starts``. Of two, the older may be told of last."""
        if self.holding is None or self.holding is holding:
            self.holding = holding
        elif starts > now:
            # Told a moment ago: clocks that differ have no time to drift apart until then.
            self.coming, self.holding.ends = holding, starts
        elif self.holding.ends <= holding.ends:
            self.holding, self.coming = holding, None

    def holdings(self) -> list[Holding]:
        """What is held, now and of the window to come."""
        return [holding for holding in (self.holding, self.coming) if holding is not None]

    def forget(self, holding: Holding) -> None:
        """It is of no more use."""
        if self.holding is holding:
            self.holding = None
        elif self.coming is holding:
            self.coming = None


@dataclass(slots=True, eq=False)
class Plan:
    """What applies to one caller and model: made once, used for each of their calls."""

    seats: tuple[Seat, ...]
    counts_money: bool
    counts_tokens: bool
    refuses_unpriced: Rule | None
    """The first hard money rule that does not allow calls without a price."""
    needs_cap: bool
    """Whether a call without a bound on its output gets one."""
    columns: str = ""
    """The caller's part of a line in the journal."""


@dataclass(slots=True)
class RuleBook:
    """The rules of all projects, and the seats of whoever met them. Bounded by `forget_idle`."""

    rules: dict[tuple[int, str, str], list[Rule]] = field(default_factory=dict)
    """By project, subject and value: a project may have one for each of thousands of keys."""
    seats: dict[tuple[int, str], Seat] = field(default_factory=dict)
    _by_id: dict[int, Rule] = field(default_factory=dict)

    def replace(self, rules: Iterable[Rule]) -> list[Seat]:
        """Take over other rules; the seats whose rule changed. Seats of rules that are gone are dropped."""
        by_id = self._by_id = {rule.rule_id: rule for rule in rules}
        self.rules = {}
        for rule in by_id.values():
            self.rules.setdefault((rule.project_id, rule.subject, rule.value), []).append(rule)
        changed = []
        for key, seat in list(self.seats.items()):
            now = by_id.get(seat.rule.rule_id)
            if now is None:
                del self.seats[key]
            elif now != seat.rule:
                seat.rule, seat.is_hard = now, now.mode == "hard"
                changed.append(seat)
                for holding in seat.holdings():
                    holding.rule = now
        return changed

    def rule(self, rule_id: int) -> Rule | None:
        """The rule of this number; None when it is gone."""
        return self._by_id.get(rule_id)

    def plan(self, caller: Caller, model: str, columns: str) -> Plan:
        """What applies to this caller and model."""
        found = [(rule, value) for subject in SUBJECTS for rule, value in self._applying(subject, caller, model)]
        found.sort(key=lambda pair: (pair[0].rule_id, pair[1]))
        seats = tuple(self._seat(rule, value) for rule, value in found)
        hard_money = [seat.rule for seat in seats if seat.is_hard and seat.rule.metric == "cost"]
        return Plan(
            seats=seats,
            counts_money=any(seat.rule.metric == "cost" for seat in seats),
            counts_tokens=any(seat.rule.metric == "tokens" for seat in seats),
            refuses_unpriced=next((rule for rule in hard_money if not rule.allow_unpriced), None),
            needs_cap=any(seat.is_hard and seat.rule.metric in ("cost", "tokens") for seat in seats),
            columns=columns,
        )

    def _applying(self, subject: Subject, caller: Caller, model: str) -> Iterator[tuple[Rule, str]]:
        for value in dict.fromkeys(_values(subject, caller, model)):
            # Not twice, should somebody be called like the word for everybody.
            for wanted in dict.fromkeys((value, EVERY)):
                for rule in self.rules.get((caller.project_id, subject, wanted), ()):
                    yield rule, value

    def forget_idle(self, waited_for: Collection[Seat]) -> None:
        """Drop the seats that hold nothing and are not waited for; plans made before must be dropped too."""
        self.seats = {key: seat for key, seat in self.seats.items() if seat.holding is not None or seat in waited_for}

    def _seat(self, rule: Rule, value: str) -> Seat:
        key = (rule.rule_id, value)
        seat = self.seats.get(key)
        if seat is None:
            seat = self.seats[key] = Seat(rule, value, rule.mode == "hard")
        return seat


def _values(subject: Subject, caller: Caller, model: str) -> tuple[str, ...]:
    match subject:
        case "project":
            return ("",)
        case "tag":
            return tuple(map(keepable, caller.tags))
        case "model":
            return (keepable(model),)
        case "key":
            return (caller.key_id,)
        case "user":
            return _told(caller.user)
        case "session":
            return _told(caller.session)
        case "tier":
            # A rule for a tier of keys must hold whichever model they ask for, and one for a tier of models whoever asks.
            return (*_told(caller.tier), *_told(caller.model_tier))


def _told(name: str | None) -> tuple[str, ...]:
    return () if name is None else (keepable(name),)


def keepable(text: str) -> str:
    """A name from outside as it can stand in the database and in an index: short, without NUL and half characters.

    What is cut off is told apart by a hash.
    """
    if len(text) <= LONGEST_VALUE and text.isprintable():
        return text
    whole = text.encode("utf-8", "backslashreplace")
    plain = whole.decode().replace("\0", "\ufffd")
    return (
        plain
        if len(plain) <= LONGEST_VALUE
        else f"{plain[: LONGEST_VALUE - 17]}~{hashlib.sha256(whole).hexdigest()[:16]}"
    )


def needs(plan: Plan, ask: Ask, output_tokens: int) -> dict[Metric, int]:
    """What the call takes of each metric at most. A call without a price takes no money: it is refused elsewhere, or allowed."""
    found: dict[Metric, int] = {"requests": 1, "concurrent": 1}
    if plan.counts_tokens:
        found["tokens"] = min(ask.input_tokens_at_most + output_tokens, MOST_NEED)
    if plan.counts_money:
        found["cost"] = 0 if ask.price is None else min(_worst_nusd(ask, ask.price, output_tokens), MOST_NEED)
    return found


def _worst_nusd(ask: Ask, price: Price, output_tokens: int) -> int:
    worst = worst_cost_nusd(
        price,
        ask.input_tokens_at_most,
        output_tokens,
        has_audio=ask.has_audio,
        keeps_an_hour=ask.keeps_an_hour,
    )
    if ask.characters_at_most or ask.audio_ms_at_most:
        worst += worst_units_nusd(price, ask.characters_at_most, ask.audio_ms_at_most)
    return worst


@dataclass(slots=True)
class Use:
    """What a call really took. None: not known, so its whole reservation is charged."""

    cost_nusd: int | None
    tokens: int | None

    def of(self, metric: Metric, reserved: int) -> int:
        """What is charged for it to a rule of this metric."""
        if metric == "requests":
            return 1
        if metric == "concurrent":
            return 0
        known = self.cost_nusd if metric == "cost" else self.tokens
        return reserved if known is None else known


def is_plausible(usage: Usage) -> bool:
    """Whether what a provider told can be true. It must neither pay back money nor break the ledger's columns."""
    for tokens in (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens,
        usage.output_audio_tokens,
        usage.cache_write_1h_tokens,
        usage.input_image_tokens,
        usage.output_image_tokens,
        usage.characters,
        usage.audio_ms,
    ):
        if tokens is not None and not 0 <= tokens <= MOST_TOKENS:
            return False
    return True


def use(ask: Ask, settlement: Settlement) -> Use:
    """What a call took, all its attempts together. A call that used nothing costs nothing, also without a price."""
    if settlement.usage is None:
        used = Use(None, None) if settlement.estimated and not settlement.wasted else Use(0, 0)
    else:
        used = _used(settlement.usage, None if settlement.is_unpriced else settlement.price or ask.price)
        if used.cost_nusd is None and settlement.told_nusd is not None:
            used = Use(min(settlement.told_nusd, MOST_NEED), used.tokens)
    for usage, price in settlement.wasted:
        more = _used(usage, price or ask.price)
        used = Use(_sum(used.cost_nusd, more.cost_nusd), _sum(used.tokens, more.tokens))
    return used


def _used(usage: Usage, price: Price | None) -> Use:
    return Use(
        cost_nusd=None if price is None else cost_nusd(price, usage),
        tokens=None if usage.input_tokens is None else usage.input_tokens + (usage.output_tokens or 0),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
