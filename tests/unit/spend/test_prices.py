"""Money: integers, rounded once, never less reserved than charged."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend import Price, Rates, Tier, Usage, cost_nusd, make_price, price_on_terms, worst_cost_nusd
from skep.spend.prices import cost_parts, price_facts, price_of_facts, worst_units_nusd

RATE = st.integers(0, 100_000_000_000)
PART = st.none() | RATE
RATES = st.builds(Rates, RATE, RATE, PART, PART, PART, PART, PART, PART, PART, PART, PART, PART)
PRICES = st.builds(
    make_price,
    RATES,
    st.lists(st.builds(Tier, st.integers(0, 300_000), RATES), max_size=3),
    request_nusd=st.integers(0, 10**7),
)
TOKENS = st.integers(0, 2_000_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Parts that do not overlap and are not larger than their whole."""
    inside, outside = draw(TOKENS), draw(TOKENS)
    cached = draw(st.integers(0, inside))
    written = draw(st.integers(0, inside - cached))
    heard = draw(st.integers(0, inside - cached - written))
    seen = draw(st.integers(0, inside - cached - written - heard))
    reasoned = draw(st.integers(0, outside))
    spoken = draw(st.integers(0, outside - reasoned))
    drawn = draw(st.integers(0, outside - reasoned - spoken))
    hour, characters, audio_ms = draw(st.integers(0, written)), draw(st.none() | TOKENS), draw(st.none() | TOKENS)
    return Usage(inside, cached, written, outside, reasoned, heard, spoken, hour, seen, drawn, characters, audio_ms)


def exact(price: Price, usage: Usage) -> Fraction:
    """The same, written another way: each token at its own rate."""
    rates = price.rates
    for tier in price.tiers:
        if (usage.input_tokens or 0) > tier.above_input_tokens:
            rates = tier.rates

    def rate(own: int | None, whole: int) -> int:
        return whole if own is None else own

    inside, outside = rates.input_nusd_per_mtok, rates.output_nusd_per_mtok
    cached, written, heard = (
        usage.cached_input_tokens or 0,
        usage.cache_write_tokens or 0,
        usage.input_audio_tokens or 0,
    )
    hour, written_rate = usage.cache_write_1h_tokens or 0, rate(rates.cache_write_nusd_per_mtok, inside)
    reasoned, spoken = usage.reasoning_tokens or 0, usage.output_audio_tokens or 0
    seen, drawn = usage.input_image_tokens or 0, usage.output_image_tokens or 0
    total = (
        ((usage.input_tokens or 0) - cached - written - heard - seen) * inside
        + seen * rate(rates.input_image_nusd_per_mtok, inside)
        + drawn * rate(rates.output_image_nusd_per_mtok, outside)
        + (usage.characters or 0) * (rates.input_nusd_per_mchar or 0)
        + cached * rate(rates.cached_input_nusd_per_mtok, inside)
        + (written - hour) * written_rate
        + hour * rate(rates.cache_write_1h_nusd_per_mtok, written_rate)
        + heard * rate(rates.input_audio_nusd_per_mtok, inside)
        + ((usage.output_tokens or 0) - reasoned - spoken - drawn) * outside
        + reasoned * rate(rates.reasoning_nusd_per_mtok, outside)
        + spoken * rate(rates.output_audio_nusd_per_mtok, outside)
    )
    time = Fraction((usage.audio_ms or 0) * (rates.audio_nusd_per_hour or 0), 3_600_000)
    return Fraction(total, 1_000_000) + time + price.request_nusd


@given(PRICES, usages())
def test_a_cost_is_exact_and_rounded_once(price: Price, usage: Usage) -> None:
    cost = cost_nusd(price, usage)
    assert cost is not None
    assert abs(cost - exact(price, usage)) <= Fraction(1, 2)


@given(PRICES, usages(), TOKENS, TOKENS)
def test_no_call_within_its_bounds_costs_more_than_the_worst_case(
    price: Price, usage: Usage, more_in: int, more_out: int
) -> None:
    worst = worst_cost_nusd(
        price,
        (usage.input_tokens or 0) + more_in,
        (usage.output_tokens or 0) + more_out,
        has_audio=True,
        keeps_an_hour=True,
    ) + worst_units_nusd(price, usage.characters or 0, usage.audio_ms or 0)
    cost = cost_nusd(price, usage)
    assert cost is not None
    assert cost <= worst


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(), None),
        (Usage(output_tokens=5), None),
        (Usage(input_tokens=0), 0),
        (Usage(input_tokens=1000), 150_000),
        (Usage(input_tokens=1000, output_tokens=500), 450_000),
        (Usage(input_tokens=1000, cached_input_tokens=1000), 75_000),
        (Usage(input_tokens=1000, cached_input_tokens=5000), 0),
        (Usage(input_tokens=3, output_tokens=1), 1_050),
    ],
)
def test_costs_of_a_usual_model(usage: Usage, cost: int | None) -> None:
    """0.15 USD in, 0.60 out, 0.075 cached, for a million tokens."""
    price = make_price(Rates(150_000_000, 600_000_000, cached_input_nusd_per_mtok=75_000_000))
    assert cost_nusd(price, usage) == cost


def test_a_tier_holds_for_the_whole_call() -> None:
    price = make_price(Rates(1_000_000, 0), [Tier(200_000, Rates(2_000_000, 0))])
    assert cost_nusd(price, Usage(input_tokens=200_000)) == 200_000
    assert cost_nusd(price, Usage(input_tokens=200_001)) == 400_002
    assert worst_cost_nusd(price, 200_001, 0) == 400_002


def test_what_is_paid_in_the_place_of_tokens_is_exact() -> None:
    spoken, heard = (
        make_price(Rates(0, 0, input_nusd_per_mchar=15 * 10**9)),
        make_price(Rates(0, 0, audio_nusd_per_hour=111_000_000)),
    )
    assert cost_nusd(spoken, Usage(0, characters=1)) == 15_000
    assert cost_nusd(heard, Usage(0, audio_ms=3_600_000)) == 111_000_000
    # 30.83 nano-dollars for a millisecond.
    assert [cost_nusd(heard, Usage(0, audio_ms=ms)) for ms in (1, 3, 6)] == [31, 93, 185]
    assert worst_units_nusd(heard, 0, 1) == 31
    assert [part.per for part in cost_parts(heard, Usage(0, audio_ms=5))] == [3_600_000]


def test_equal_prices_have_equal_versions() -> None:
    first = make_price(Rates(1, 2), [Tier(10, Rates(3, 4)), Tier(5, Rates(5, 6))])
    second = make_price(Rates(1, 2), [Tier(5, Rates(5, 6)), Tier(10, Rates(3, 4))])
    assert first == second
    assert first.version != make_price(Rates(1, 3)).version
    assert len(first.version) == 12


@given(PRICES, usages(), st.decimals(0, 10, places=3), st.integers(0, 10**9))
def test_a_price_on_other_terms_is_so_many_times_the_price(
    price: Price, usage: Usage, factor: Decimal, more: int
) -> None:
    other = price_on_terms(price, "service_tier x", factor=factor, more_nusd=more)
    usual, found = cost_nusd(price, usage), cost_nusd(other, usage)
    assert usual is not None
    assert found is not None
    tokens = Fraction(usual - price.request_nusd) * Fraction(factor)
    # Rates are rounded up to a nano-dollar for a million tokens, costs to a nano-dollar.
    counted = (usage.input_tokens or 0) + (usage.output_tokens or 0) + (usage.characters or 0) + (usage.audio_ms or 0)
    slack = 1 + Fraction(counted, 1_000_000) * 2 + Fraction(factor)
    assert abs(found - price.request_nusd - more - tokens) <= slack
    assert other.version != price.version
    assert price_of_facts(price_facts(other)) == other


def test_only_a_call_that_asks_for_it_is_reserved_an_hour_of_cache_for() -> None:
    price = make_price(Rates(1_000_000, 0, cache_write_nusd_per_mtok=1_250_000, cache_write_1h_nusd_per_mtok=2_000_000))
    assert worst_cost_nusd(price, 100, 0) == 125
    assert worst_cost_nusd(price, 100, 0, keeps_an_hour=True) == 200
    assert cost_nusd(price, Usage(100, cache_write_tokens=80, cache_write_1h_tokens=60)) == 20 + 25 + 120


def test_prices_on_the_terms_of_the_list_have_the_version_that_they_had() -> None:
    assert make_price(Rates(1, 2)).version == "18c3ced11bca"
    assert price_of_facts(
        {"rates": {"input_nusd_per_mtok": 1, "output_nusd_per_mtok": 2}, "tiers": [], "request_nusd": 0}
    ) == make_price(Rates(1, 2))
