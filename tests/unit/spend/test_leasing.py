"""How much a process takes, when a call is refused, and when windows begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend.leasing import RECALL_SECONDS, STORE_CALLS, Shortage, Verdict, judge, lease_size, wanted
from skep.spend.models import Metric, Period
from skep.spend.periods import window_end, window_start

AMOUNT = st.integers(0, 10**12)


@given(AMOUNT, AMOUNT, AMOUNT, st.integers(-(10**12), 10**12), st.integers(0, 20))
def test_a_lease_is_never_more_than_is_left_and_never_useless(
    need: int, least: int, want: int, left: int, processes: int
) -> None:
    size = lease_size(need, least, want, left, processes)
    assert 0 <= size <= max(0, left)
    if least > left:
        assert size == 0
    elif left > 0:
        assert size >= min(need, left)


def test_near_the_end_only_what_is_needed_is_taken() -> None:
    assert lease_size(10, 10, 1000, left=100_000, processes=4) == 1000
    assert lease_size(10, 10, 1000, left=400, processes=4) == 50
    assert lease_size(10, 10, 1000, left=79, processes=4) == 10
    assert lease_size(10, 10, 1000, left=10, processes=4) == 10
    assert lease_size(10, 10, 1000, left=9, processes=4) == 0
    assert lease_size(30, 10, 0, left=25, processes=1) == 25


def test_a_store_covers_some_seconds_and_some_calls() -> None:
    assert wanted(taken=0, calls=0, elapsed_seconds=10.0) == 0
    assert wanted(taken=30, calls=3, elapsed_seconds=10.0) == 10 * STORE_CALLS
    assert wanted(taken=100_000, calls=1000, elapsed_seconds=10.0) == 30_000


def shortage(
    metric: Metric = "cost", need: int = 10, settled: int = 0, held: int = 0, others: int = 0, thrift: float = 0.0
) -> Shortage:
    return Shortage(metric, 100, need, settled, held, others, thrift)


@pytest.mark.parametrize(
    ("case", "waited", "verdict"),
    [
        (shortage(settled=91, held=9, others=9), 0.0, Verdict.REFUSE),
        (shortage(settled=50, held=50, others=0), 0.0, Verdict.WAIT),
        (shortage(settled=50, held=50, others=0), 2.0, Verdict.REFUSE),
        (shortage(settled=50, held=50, thrift=1.0), 0.0, Verdict.REFUSE),
        (shortage(settled=50, held=50, thrift=0.8), 0.0, Verdict.WAIT),
        (shortage("requests", settled=50, held=50, others=50), 0.0, Verdict.WAIT),
        (shortage("requests", settled=50, held=50, others=50), RECALL_SECONDS, Verdict.REFUSE),
        (shortage("requests", settled=50, held=50), 0.0, Verdict.REFUSE),
        (shortage("concurrent", held=100), 0.0, Verdict.REFUSE),
        (shortage(need=101), 0.0, Verdict.REFUSE),
    ],
)
def test_when_to_wait(case: Shortage, waited: float, verdict: Verdict) -> None:
    assert judge(case, waited, patience_seconds=2.0) is verdict


MOMENTS = st.integers(10**8, 7 * 10**15).map(lambda us: datetime(1971, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
PERIODS: list[Period] = ["minute", "hour", "day", "week", "month"]


@given(st.sampled_from(PERIODS), MOMENTS)
def test_windows_follow_each_other_without_gaps(period: Period, moment: datetime) -> None:
    start = window_start(period, moment)
    end = window_end(period, start)
    assert end is not None
    assert start <= moment < end
    assert window_start(period, end) == end
    assert window_start(period, end - timedelta(microseconds=1)) == start


def test_windows_have_the_borders_people_expect() -> None:
    moment = datetime(2026, 2, 26, 13, 45, 59, 5, tzinfo=UTC)  # a Thursday
    assert window_start("week", moment) == datetime(2026, 2, 23, tzinfo=UTC)
    assert window_start("month", moment) == datetime(2026, 2, 1, tzinfo=UTC)
    assert window_end("month", datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert window_start("total", moment) == window_start(None, moment) == datetime(1970, 1, 1, tzinfo=UTC)
    assert window_end("total", moment) is None
