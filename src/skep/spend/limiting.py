"""What is left of limits, for the headers of answers and for whoever asks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from skep.spend.holdings import NEVER, Holding
from skep.spend.models import EVERY, Metric, Mode, Period, Rule, Subject, WindowState

_TOLD: frozenset[Metric] = frozenset(("requests", "tokens"))
"""What OpenAI's clients know limits of."""


@dataclass(slots=True)
class Room:
    """What is left of the tightest limit of a kind. Never changed; not frozen, because every call makes some."""

    metric: Metric
    limit: int
    remaining: int
    reset_seconds: float | None
    """None: it never resets."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """Where a budget or a limit stands for a key: what all processes have put into the ledger."""

    rule: str
    metric: Metric
    subject: Subject
    value: str
    period: Period | None
    mode: Mode
    amount: int
    """Nano-dollars where the metric is ``cost``."""
    used: int
    reserved: int
    """By calls under way, and in store with processes."""
    remaining: int
    resets_at: datetime | None


def rooms(holds: Iterable[tuple[Holding, int]], now: float) -> tuple[Room, ...]:
    """Of a call's reservations, the limits of requests and of tokens that refuse; of several of a kind the tightest."""
    found: dict[Metric, tuple[int, Holding]] = {}
    for holding, _ in holds:
        rule = holding.rule
        metric = rule.metric
        if metric in _TOLD and rule.mode == "hard":
            left = max(0, rule.amount - holding.known_used - holding.used - holding.reserved - holding.others)
            if metric not in found or left < found[metric][0]:
                found[metric] = left, holding
    if not found:
        return ()
    return tuple(
        [
            Room(metric, holding.rule.amount, left, None if holding.ends == NEVER else max(0.0, holding.ends - now))
            for metric, (left, holding) in found.items()
        ]
    )


def states(
    rules: Iterable[Rule], windows: Sequence[WindowState], values: Mapping[Subject, str | None]
) -> Iterator[LimitState]:
    """Where rules stand for whoever has these values; those that depend on the single call (session, model, tag) are left out."""
    by_place = {(window.rule_id, window.value): window for window in windows}
    for rule in rules:
        value = values.get(rule.subject)
        if value is None or rule.value not in (value, EVERY):
            continue
        window = by_place.get((rule.rule_id, value))
        used, reserved = (0, 0) if window is None else (window.used, window.leased)
        yield LimitState(
            rule=rule.name,
            metric=rule.metric,
            subject=rule.subject,
            value=value,
            period=rule.period,
            mode=rule.mode,
            amount=rule.amount,
            used=used,
            reserved=reserved,
            remaining=max(0, rule.amount - used - reserved),
            resets_at=None if window is None else window.ends_at,
        )
