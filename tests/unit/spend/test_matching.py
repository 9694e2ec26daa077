"""Which rules apply to whom."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend import Ask, Caller, MemoryMeter, MeterOptions, Rates, Rule, Settlement, Usage, make_price
from skep.spend.matching import LONGEST_VALUE, RuleBook, keepable

CALLER = Caller(1, "k1", user="ann", tier="fast", tags=("red", "blue", "red"))


def a_rule(number: int, subject: Any, value: str, **changes: Any) -> Rule:
    facts: dict[str, Any] = {"project_id": 1, "metric": "requests", "period": "day", "amount": 9, **changes}
    return Rule(rule_id=number, name=f"r{number}", subject=subject, value=value, **facts)


@pytest.mark.parametrize(
    ("subject", "value", "counted"),
    [
        ("project", "", [""]),
        ("key", "*", ["k1"]),
        ("key", "k1", ["k1"]),
        ("key", "k2", []),
        ("user", "*", ["ann"]),
        ("user", "bob", []),
        ("session", "*", []),
        ("tier", "fast", ["fast"]),
        ("model", "m", ["m"]),
        ("model", "*", ["m"]),
        ("tag", "*", ["blue", "red"]),
        ("tag", "blue", ["blue"]),
        ("tag", "green", []),
    ],
)
def test_a_rule_counts_whom_it_names(subject: str, value: str, counted: list[str]) -> None:
    book = RuleBook()
    book.replace([a_rule(1, subject, value), a_rule(2, subject, value, project_id=2)])
    assert [seat.value for seat in book.plan(CALLER, "m", "").seats] == counted


def test_all_that_apply_do_in_the_order_of_their_numbers() -> None:
    book = RuleBook()
    book.replace([a_rule(3, "key", "*"), a_rule(1, "tag", "*"), a_rule(2, "key", "k1"), a_rule(4, "user", "bob")])
    seats = book.plan(CALLER, "m", "").seats
    assert [(seat.rule.rule_id, seat.value) for seat in seats] == [(1, "blue"), (1, "red"), (2, "k1"), (3, "k1")]
    assert book.plan(CALLER, "other", "").seats == seats, "seats are shared"


def test_a_key_called_like_everybody_is_counted_once() -> None:
    book = RuleBook()
    book.replace([a_rule(1, "user", "*")])
    assert len(book.plan(Caller(1, "k", user="*"), "m", "").seats) == 1


@given(st.text(max_size=400))
def test_a_name_from_outside_can_be_kept(text: str) -> None:
    kept = keepable(text)
    assert len(kept) <= LONGEST_VALUE
    assert "\0" not in kept
    kept.encode()
    assert keepable(text) == kept


def test_long_names_are_told_apart() -> None:
    assert keepable("x" * 300 + "a") != keepable("x" * 300 + "b")


@pytest.mark.parametrize("tokens", [-1, 10**13, 10**30])
async def test_a_provider_that_tells_nonsense_is_charged_as_reserved(tokens: int) -> None:
    price = make_price(Rates(1_000_000, 1_000_000))
    cost = a_rule(1, "project", "", metric="cost", amount=1000)
    async with MemoryMeter([cost], MeterOptions(valid_seconds=float("inf"))) as meter:
        ticket = await meter.admit(Ask(CALLER, "m", 60, 40, price))
        meter.begin(ticket)
        charge = meter.settle(ticket, Settlement("ok", Usage(input_tokens=5, output_tokens=tokens)))
        assert (charge.cost_nusd, charge.tokens, charge.estimated) == (None, None, True)
        assert meter.standing(CALLER, "m")[0].used == 100
        assert str(tokens) not in re.split(r"[\t{},\n]", meter.journal.lines[-1])


async def test_a_client_that_may_use_everything_is_refused_by_a_hard_rule_and_counted_by_a_soft_one() -> None:
    price = make_price(Rates(10**12, 10**12))
    rules = [a_rule(1, "project", "", metric="cost", amount=1000, mode="soft")]
    async with MemoryMeter(rules, MeterOptions(valid_seconds=float("inf"))) as meter:
        ticket = await meter.admit(Ask(CALLER, "m", 10**20, 10**20, price))
        meter.begin(ticket)
        assert all(int(cell) < 2**63 for cell in meter.journal.lines[-1].rsplit("{", 1)[1].rstrip("}\n").split(","))
