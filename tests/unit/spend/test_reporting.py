"""What reports and explanations are made of."""

from __future__ import annotations

import csv
import io
import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend import Percentiles, Price, Rates, ReportLine, Usage, cost_nusd, make_price, parse_since, report_csv
from skep.spend.histograms import percentiles
from skep.spend.models import Tier
from skep.spend.prices import MTOK, cost_parts, price_facts, price_of_facts

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RATE = st.integers(0, 10**12)
RATES = st.builds(Rates, RATE, RATE, *[st.none() | RATE] * 6)
PRICES = st.builds(
    lambda rates, above, higher, request: make_price(rates, [Tier(above, higher)], request_nusd=request),
    RATES,
    st.integers(0, 2000),
    RATES,
    st.integers(0, 1000),
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Parts do not overlap and lie within their whole."""
    parts = [draw(st.none() | st.integers(0, 1000)) for _ in range(5)]
    entry = sum(part or 0 for part in parts[:3]) + draw(st.integers(0, 1000))
    output = sum(part or 0 for part in parts[3:]) + draw(st.integers(0, 1000))
    hour = None if parts[1] is None else draw(st.none() | st.integers(0, parts[1]))
    return Usage(entry, parts[0], parts[1], output, parts[3], parts[2], parts[4], hour)


@given(PRICES, usages())
def test_the_parts_of_a_cost_are_the_cost(price: Price, usage: Usage) -> None:
    parts = cost_parts(price, usage)
    exact = sum(part.tokens * part.nusd_per_mtok for part in parts)
    assert price.request_nusd + (exact + MTOK // 2) // MTOK == cost_nusd(price, usage)
    assert sum(part.tokens for part in parts) == (usage.input_tokens or 0) + (usage.output_tokens or 0)


def test_an_unknown_usage_has_no_parts() -> None:
    assert cost_parts(make_price(Rates(1, 1)), Usage(output_tokens=5)) == []


@given(PRICES)
def test_a_price_comes_back_as_it_was_kept(price: Price) -> None:
    assert price_of_facts(price_facts(price)) == price


def histogram(counts: dict[int, int]) -> bytes:
    return struct.pack(">HH128f", 128, 0, *(counts.get(bucket, 0) for bucket in range(128)))


def test_percentiles_of_a_histogram() -> None:
    assert percentiles(None) is None
    assert percentiles(histogram({})) is None
    one = percentiles(histogram({8: 1}))
    assert one == Percentiles(0.4, 0.4, 0.4)
    found = percentiles(histogram({4: 90, 20: 9, 40: 1}))
    assert found == Percentiles(0.2, 3.2, 3.2)
    assert percentiles(histogram({4: 90, 20: 8, 40: 2})) == Percentiles(0.2, 3.2, 102.4)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", NOW - timedelta(days=7)),
        (" 90m ", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("999999w", NOW - timedelta(days=36_500)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_as_people_write_it(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "7", "d", "7 years", "-1d", "yesterday", "2026-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="neither a span such as 7d"):
        parse_since(text, NOW)


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), ('a,"b"\nc', 'a,"b"\nc'), ("=1+1", "'=1+1"), ("@x", "'@x"), ("plain", "plain")]
)
def test_a_report_as_a_table(value: str | None, shown: str) -> None:
    line = ReportLine(
        value, 3, 5, "0.000000005", 1, 0, 7, 0, 9, 2, 1, 4, "0.000000004", None, Percentiles(1.0, 2.0, 3.0)
    )
    (row,) = csv.DictReader(io.StringIO(report_csv([line])))
    assert (row["value"], row["calls"], row["cost_usd"], row["failed"]) == (shown, "3", "0.000000005", "2")
    assert (row["cached"], row["saved_usd"]) == ("1", "0.000000004")
    assert (row["ttft_p50_ms"], row["duration_p99_ms"]) == ("", "3.0")
