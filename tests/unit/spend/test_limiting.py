"""What is left of limits, for headers and for whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from skep.gateway.headers import limit_headers
from skep.spend import Room
from skep.spend.holdings import NEVER, Holding
from skep.spend.limiting import rooms, states
from skep.spend.models import WindowState
from skep.spend.refusing import refusal
from skep.web import openai_error_headers, span_text
from tests.metering import a_rule

MOMENT = datetime(2026, 11, 20, tzinfo=UTC)


def holding(amount: int, metric: str = "requests", ends: float = 60.0, **counts: int) -> Holding:
    rule = a_rule(metric, amount, mode="soft" if counts.pop("soft", 0) else "hard")  # type: ignore[arg-type]
    return Holding(rule, "", 1, ends, MOMENT, None, **counts)


def test_the_tightest_of_a_kind_is_told() -> None:
    holds = [
        holding(10, used=2, reserved=1),
        holding(100, known_used=50, others=49),
        holding(5, soft=1),
        holding(1000, "tokens", NEVER, known_used=1200),
        holding(7, "cost"),
        holding(3, "concurrent"),
    ]
    assert rooms([(each, 0) for each in holds], 45.5) == (
        Room("requests", 100, 1, 14.5),
        Room("tokens", 1000, 0, None),
    )
    assert rooms([(holding(7, "cost"), 1)], 0.0) == ()


def test_headers_have_openais_names() -> None:
    assert limit_headers([Room("requests", 60, 59, 0.2), Room("tokens", 9, 0, None)]) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"200ms"),
        (b"x-ratelimit-limit-tokens", b"9"),
        (b"x-ratelimit-remaining-tokens", b"0"),
    ]


def test_a_refusal_has_them_too() -> None:
    headers = openai_error_headers(refusal(holding(5, known_used=5), 1, 30.0, "Wait"))
    assert headers == {
        "retry-after": "30",
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "30s",
    }
    assert "x-ratelimit-limit-cost" not in openai_error_headers(
        refusal(holding(5, "cost", known_used=5), 1, 30.0, "Wait")
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.12, "120ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"), (3600, "1h0m0s"), (90061, "25h1m1s")],
)
def test_spans_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_what_counts_a_key_is_told() -> None:
    rules = [
        a_rule("requests", 10, rule_id=1, name="all"),
        a_rule("cost", 10, rule_id=2, name="each", subject="key", value="*"),
        a_rule("cost", 10, rule_id=3, name="other", subject="key", value="k2"),
        a_rule("tokens", 10, rule_id=4, name="users", subject="user", value="*"),
        a_rule("tokens", 10, rule_id=5, name="models", subject="model", value="*"),
    ]
    windows = [
        WindowState(1, "", MOMENT, MOMENT, 4, 7, 0, 0),
        WindowState(2, "k1", MOMENT, None, 4, 1, 0, 0),
        WindowState(2, "k2", MOMENT, None, 9, 0, 0, 0),
    ]
    found = list(states(rules, windows, {"project": "", "key": "k1", "user": None, "tier": None}))
    assert [(state.rule, state.value, state.used, state.remaining) for state in found] == [
        ("all", "", 4, 0),
        ("each", "k1", 4, 5),
    ]
    assert [state.resets_at for state in found] == [MOMENT, None]
