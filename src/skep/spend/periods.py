"""When a rule's windows begin and end. Pure; the database's function ``period_start`` does the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from skep.spend.models import Period

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Where the one window of ``total``, and of rules without a period, begins."""

_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}


def window_start(period: Period | None, moment: datetime) -> datetime:
    """The beginning of the window that ``moment`` lies in. It belongs to the window; the end does not."""
    moment = moment.astimezone(UTC)
    if period is None or period == "total":
        return BEGINNING
    if period == "minute":
        return moment.replace(second=0, microsecond=0)
    if period == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        return midnight - timedelta(days=midnight.weekday())
    return midnight.replace(day=1) if period == "month" else midnight


def window_end(period: Period | None, start: datetime) -> datetime | None:
    """The end of the window that begins at ``start``; None when it never ends."""
    if period is None or period == "total":
        return None
    if period == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + _LENGTHS[period]
