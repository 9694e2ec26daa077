"""Refusals with their numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from skep.spend.holdings import NEVER, Holding
from skep.spend.interfaces import BudgetExceededError, DearFieldError, LimitExceededError, UnpricedError
from skep.spend.models import EVERY, Ask, Metric, Rule

_NUSD = 1_000_000_000
_UNITS: Mapping[Metric, str] = {"requests": "calls", "tokens": "tokens", "concurrent": "calls at once", "cost": "USD"}


def refusal(holding: Holding, need: int, now: float, saving: str) -> BudgetExceededError | LimitExceededError:
    """Why a call does not fit into a holding's window. ``saving``: see `Ask`."""
    rule = holding.rule
    standing = holding.standing()
    waits = _retry_after(holding, need, now)
    fields = {
        "rule": rule.name,
        "rule_id": rule.rule_id,
        "metric": rule.metric,
        "subject": rule.subject,
        "value": holding.value,
        "whose": whose(rule, holding.value),
        "period": rule.period,
        "amount": rule.amount,
        "used": standing.used,
        "reserved": standing.reserved,
        "asked": need,
        "numbers": _numbers(rule, standing.used, standing.reserved, need),
        "resets_at": standing.resets_at,
        "reset": _reset(rule, standing.resets_at),
        "retry_after_seconds": waits,
        "fallback_model": rule.fallback_model,
        "saving": saving,
    }
    return BudgetExceededError(**fields) if rule.metric == "cost" else LimitExceededError(**fields)


def unpriced(rule: Rule, ask: Ask) -> UnpricedError:
    """Why a call without a price is refused."""
    found = UnpricedError if ask.dear_field is None else DearFieldError
    return found(
        model=ask.model,
        param=ask.dear_field,
        rule=rule.name,
        rule_id=rule.rule_id,
        whose=whose(rule, rule.value),
        fallback_model=rule.fallback_model,
        saving=ask.saving,
    )


def whose(rule: Rule, value: str) -> str:
    """Whom a rule counts, in words."""
    if rule.subject == "project":
        return "of the project"
    return f"of each {rule.subject}" if value == EVERY else f"of the {rule.subject} {value}"


def amount_text(metric: Metric, amount: int) -> str:
    """An amount with its unit: ``0.25 USD``, ``60 calls``."""
    if metric != "cost":
        return f"{amount} {_UNITS[metric]}"
    whole, rest = divmod(abs(amount), _NUSD)
    fraction = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{whole}.{fraction} USD"


def _numbers(rule: Rule, used: int, reserved: int, need: int) -> str:
    allowed = amount_text(rule.metric, rule.amount)
    per = f" per {rule.period}" if rule.period not in (None, "total") else ""
    if rule.metric == "concurrent":
        return f"{allowed} are allowed, and {reserved} are under way"
    parts = [
        f"{amount_text(rule.metric, used)} used",
        f"{amount_text(rule.metric, reserved)} reserved by calls under way",
    ]
    return f"{allowed}{per} are allowed, {', '.join(parts)}, and this call may take {amount_text(rule.metric, need)}"


def _reset(rule: Rule, resets_at: datetime | None) -> str:
    if rule.metric == "concurrent":
        return "there is room when one of them ends."
    return "it never resets." if resets_at is None else f"it resets at {resets_at:%Y-%m-%d %H:%M:%S} UTC."


def _retry_after(holding: Holding, need: int, now: float) -> int | None:
    """Whole seconds after which to try again; None when the call can never fit."""
    if need > holding.rule.amount:
        return None
    if holding.rule.metric == "concurrent":
        return 1
    return None if holding.ends == NEVER else max(1, math.ceil(holding.ends - now))
