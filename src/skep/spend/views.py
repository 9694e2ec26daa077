"""What people see of rules, and of keys with theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from skep.access import Key, NewKey
from skep.spend.forecasting import Forecast, forecast_of
from skep.spend.models import Metric, Mode, Period, Rule, Subject, WindowState
from skep.spend.money import usd_text


@dataclass(frozen=True, slots=True)
class ShownWindow(WindowState):
    """The same, and where it stands at its end."""

    forecast: Forecast | None
    """None: nothing can be said of it yet, or it is too short for that."""


@dataclass(frozen=True, slots=True)
class RuleView:
    """A budget or a limit with where it stands."""

    name: str
    metric: Metric
    subject: Subject
    value: str
    """Whom it counts; ``*``: each for itself; empty for the project as a whole. The id of a key."""
    period: Period | None
    amount: int
    """Nano-dollars for a budget."""
    amount_usd: str | None
    """None for a limit."""
    mode: Mode
    alert_percents: tuple[int, ...]
    fallback_model: str | None
    allow_unpriced: bool
    windows: tuple[ShownWindow, ...]
    """The present ones; none before the first call that it counts."""


@dataclass(frozen=True, slots=True)
class MeteredKey(Key):
    """A key with the rules that are its own."""

    rules: tuple[RuleView, ...]


@dataclass(frozen=True, slots=True)
class IssuedKey(MeteredKey):
    """The same with its secret, once."""

    key: str
    """The whole text that is sent. It cannot be shown again."""


def view_of(rule: Rule, windows: Sequence[WindowState] = ()) -> RuleView:
    """What is shown of a rule; ``windows`` may be those of all."""
    now = datetime.now(UTC)
    return RuleView(
        name=rule.name,
        metric=rule.metric,
        subject=rule.subject,
        value=rule.value,
        period=rule.period,
        amount=rule.amount,
        amount_usd=usd_text(rule.amount) if rule.metric == "cost" else None,
        mode=rule.mode,
        alert_percents=rule.alert_percents,
        fallback_model=rule.fallback_model,
        allow_unpriced=rule.allow_unpriced,
        windows=tuple(_shown(rule, window, now) for window in windows if window.rule_id == rule.rule_id),
    )


def _shown(rule: Rule, window: WindowState, now: datetime) -> ShownWindow:
    told = {field.name: getattr(window, field.name) for field in fields(WindowState)}
    return ShownWindow(**told, forecast=forecast_of(rule.metric, rule.amount, window, now))


def metered(key: Key, rules: Sequence[RuleView]) -> MeteredKey:
    """A key with those of the rules that are its own."""
    return MeteredKey(**_fields(key), rules=_own(key, rules))


def issued(new: NewKey, rules: Sequence[RuleView]) -> IssuedKey:
    """A new key with those of the rules that are its own."""
    return IssuedKey(**_fields(new.key), rules=_own(new.key, rules), key=new.secret)


def _own(key: Key, rules: Sequence[RuleView]) -> tuple[RuleView, ...]:
    return tuple(rule for rule in rules if rule.subject == "key" and rule.value == key.id)


def _fields(key: Key) -> dict[str, Any]:
    return {field.name: getattr(key, field.name) for field in fields(Key)}
