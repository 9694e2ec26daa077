"""Where spending goes at the pace it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend.forecasting import LEAST_SHARE, Forecast, forecast_of, pace_of
from skep.spend.models import TrendPoint, WindowState

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def window(used: int, length: timedelta | None = 30 * DAY) -> WindowState:
    return WindowState(1, "", START, None if length is None else START + length, used, 0, 0, 0)


@pytest.mark.parametrize(
    ("used", "days", "at_end", "up_after_days"),
    [(100, 10, 300, None), (500, 10, 1500, 20), (0, 10, 0, None), (1000, 10, 3000, 10), (1, 10, 3, None)],
)
def test_a_window_goes_on_as_it_did(used: int, days: int, at_end: int, up_after_days: int | None) -> None:
    found = forecast_of("cost", 1000, window(used), START + days * DAY)
    assert found == Forecast(at_end, None if up_after_days is None else START + up_after_days * DAY)


def test_one_without_an_end_may_be_used_up_all_the_same() -> None:
    found = forecast_of("cost", 1000, window(10, None), START + DAY)
    assert found == Forecast(None, START + 100 * DAY)
    assert forecast_of("cost", 10**18, window(1, None), START + DAY) == Forecast(None, None)


def test_of_what_is_too_young_or_no_sum_nothing_is_said() -> None:
    early = START + 30 * DAY * (LEAST_SHARE * 0.9)
    assert forecast_of("cost", 1000, window(10), early) is None
    assert forecast_of("cost", 1000, window(10, None), START + timedelta(minutes=59)) is None
    assert forecast_of("requests", 1000, window(10, timedelta(minutes=1)), START + timedelta(seconds=30)) is None
    assert forecast_of("concurrent", 10, window(10, None), START + DAY) is None


@given(st.integers(1, 10**15), st.integers(0, 2 * 10**15), st.floats(0.06, 1.0))
def test_what_is_used_up_before_the_end_is_more_than_there_is_at_the_end(amount: int, used: int, share: float) -> None:
    found = forecast_of("cost", amount, window(used), START + 30 * DAY * share)
    assert found is not None
    assert found.used_at_end is not None
    assert found.used_at_end >= used * 0.999
    if found.used_up_at is not None and used < amount:
        assert found.used_at_end >= amount * 0.999
        assert START < found.used_up_at < START + 30 * DAY


def points(*costs: int, start: datetime = START) -> list[TrendPoint]:
    """One a day."""
    return [TrendPoint(start + day * DAY, 1, cost, "", 0, 0, 0, 0) for day, cost in enumerate(costs)]


def test_the_pace_is_that_of_whole_days() -> None:
    usd = 10**9
    found = pace_of(points(*[usd] * 7, *[2 * usd] * 7, 50 * usd), START, START + 14.5 * DAY)
    assert found is not None
    assert (found.usd_per_day, found.usd_per_day_before) == ("2.00", "1.00")
    assert (found.month_usd, found.month_end_usd) == ("71.00", "102.00")


def test_where_not_the_whole_month_is_looked_at_it_has_no_pace() -> None:
    assert pace_of(points(1, 2, 3), START + DAY, START + 3 * DAY) is None
    assert pace_of([], START, START + DAY / 2) is None
    young = pace_of(points(10**9), START, START + 1.5 * DAY)
    assert young is not None
    assert (young.usd_per_day, young.usd_per_day_before) == ("1.00", None)


def test_days_before_the_first_call_do_not_count() -> None:
    usd = 10**9
    begun = START + 10 * DAY
    assert pace_of(points(10 * usd, start=begun), START, begun + DAY / 2) is None, "there is no whole day yet"
    found = pace_of(points(10 * usd, 10 * usd, usd, start=begun), START, begun + 2.5 * DAY)
    assert found is not None
    assert (found.usd_per_day, found.usd_per_day_before) == ("10.00", None)
