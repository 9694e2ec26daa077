"""What `skep cost trend` says of the pace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from skep.cli.cost_commands import trend_text
from skep.spend import Trend
from skep.spend.forecasting import pace_of
from skep.spend.models import TrendPoint

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
UNKNOWN = "at which pace, and where that leads, is not known before a whole day (UTC) is over"


@pytest.mark.parametrize(
    ("days_ago", "looked_at_days", "last"),
    [
        (0, 45, UNKNOWN),
        (1, 45, "1.00 USD a day of late; 1.00 USD this month, at this pace 11.50 at its end"),
        # Not the whole month is looked at: then nobody asked.
        (0, 2, f"2026-11-20  1.00 USD        1 calls  {'#' * 40}"),
    ],
)
def test_the_pace_is_not_known_on_the_first_day(days_ago: int, looked_at_days: int, last: str) -> None:
    since = NOW - timedelta(days=looked_at_days, hours=12)
    start = NOW - timedelta(days=days_ago, hours=12)
    points = [TrendPoint(start, 1, 10**9, "1.00", 0, 0, 0, 0)]
    told = list(trend_text(Trend("day", since, points, pace_of(points, since, NOW)), NOW))
    assert told[-1] == last
