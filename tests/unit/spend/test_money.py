"""Dollars and nano-dollars, and the rules that come with a key."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend import KeyLimits, RuleInvalidError, parse_usd, usd_text, usd_to_nusd
from skep.spend.key_rules import rules_of
from skep.spend.rules import check_rule


@given(st.integers(-(10**20), 10**20))
def test_what_is_shown_is_what_is_counted(nusd: int) -> None:
    assert usd_to_nusd(parse_usd(usd_text(nusd))) == nusd


@pytest.mark.parametrize(
    ("nusd", "text"),
    [(0, "0.00"), (5 * 10**9, "5.00"), (1, "0.000000001"), (250_000_000, "0.25"), (-15 * 10**8, "-1.50")],
)
def test_at_least_cents(nusd: int, text: str) -> None:
    assert usd_text(nusd) == text


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-inf", "0.0000000001", "1e31", "1e999999", "1e-999999", "1." + "0" * 30 + "1"]
)
def test_amounts_that_cannot_be_counted(text: str) -> None:
    with pytest.raises(RuleInvalidError):
        usd_to_nusd(Decimal(text))


@pytest.mark.parametrize("text", ["", "five", "5 USD", "1,5"])
def test_texts_that_are_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="no amount"):
        parse_usd(text)


def test_a_key_has_the_rules_that_were_named() -> None:
    rules = rules_of("k1", "ci", KeyLimits(5, "day", 60, 1000, 4))
    for rule in rules:
        check_rule(rule)
    assert {(rule.subject, rule.value, rule.mode) for rule in rules} == {("key", "k1", "hard")}
    assert [(rule.name, rule.metric, rule.period, rule.amount) for rule in rules] == [
        ("ci-k1-cost-day", "cost", "day", 5),
        ("ci-k1-requests-minute", "requests", "minute", 60),
        ("ci-k1-tokens-minute", "tokens", "minute", 1000),
        ("ci-k1-concurrent", "concurrent", None, 4),
    ]


def test_none_is_no_rule_and_0_is_one_that_lets_nothing_through() -> None:
    assert rules_of("k1", "ci", KeyLimits()) == []
    (rule,) = rules_of("k1", "ci", KeyLimits(0))
    assert (rule.amount, rule.period) == (0, "total")


def test_a_period_alone_says_nothing() -> None:
    with pytest.raises(RuleInvalidError, match="a period needs a budget"):
        rules_of("k1", "ci", KeyLimits(None, "day"))
