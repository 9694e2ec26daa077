"""Where spending goes, if it goes on as it did. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from skep.spend.models import Metric, TrendPoint, WindowState
from skep.spend.money import usd_text

LEAST_SHARE = 0.05
"""Of a window must be over before anything is said of its end; of one without an end, an hour."""

PACE_DAYS = 7
"""A week, so that weekends count as they come."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a window stands at its end, at the pace that it had so far."""

    used_at_end: int | None
    """In the unit of the rule; None: it has no end."""
    used_up_at: datetime | None
    """When nothing is left; None: not before its end, or nothing is used."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a day cost of late, and what that makes of the month."""

    usd_per_day: str
    """Over the last days that are whole, a week at most."""
    usd_per_day_before: str | None
    """The same for as many days before those; None: they are not looked at."""
    month_usd: str
    """So far in this month (UTC)."""
    month_end_usd: str
    """At its end, at this pace."""


def forecast_of(metric: Metric, amount: int, window: WindowState, now: datetime) -> Forecast | None:
    """None for what is too young, too short, or no sum: calls at once, and limits by the minute."""
    whole = None if window.ends_at is None else window.ends_at - window.started_at
    over = now - window.started_at
    least = timedelta(hours=1) if whole is None else whole * LEAST_SHARE
    if metric == "concurrent" or over < least or (whole is not None and whole < timedelta(hours=1)):
        return None
    per_second = window.used / over.total_seconds()
    at_end = (
        None if window.ends_at is None else round(per_second * (window.ends_at - window.started_at).total_seconds())
    )
    if window.used >= amount:
        return Forecast(at_end, now)
    if not window.used:
        return Forecast(at_end, None)
    left = (amount - window.used) / per_second
    # A date that far away says nothing, and may not be one.
    if left > timedelta(days=3650).total_seconds():
        return Forecast(at_end, None)
    up_at = now + timedelta(seconds=left)
    return Forecast(at_end, None if window.ends_at is not None and up_at >= window.ends_at else up_at)


def pace_of(points: Sequence[TrendPoint], since: datetime, now: datetime) -> Pace | None:
    """``points`` are those of ``since`` until now. None where no whole day or not the whole month is among them.

    Days before the first call do not count: whoever began the day before yesterday does not spend a seventh of it each day.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    begun = min((point.start for point in points if point.calls), default=now)
    first = begun.replace(hour=0, minute=0, second=0, microsecond=0)
    known = max(since, first)
    days = min(PACE_DAYS, (today - known).days)
    if days < 1 or since > month:
        return None

    def spent(begin: datetime, end: datetime) -> int:
        return sum(point.cost_nusd for point in points if begin <= point.start < end)

    length = timedelta(days=days)
    pace = spent(today - length, today) / days
    before = spent(today - 2 * length, today - length) / days if known <= today - 2 * length else None
    so_far = spent(month, now)
    end = month + timedelta(days=calendar.monthrange(month.year, month.month)[1])
    return Pace(
        usd_per_day=usd_text(round(pace)),
        usd_per_day_before=None if before is None else usd_text(round(before)),
        month_usd=usd_text(so_far),
        month_end_usd=usd_text(so_far + round(pace * (end - now).total_seconds() / 86_400)),
    )
