"""What comes after a failed attempt, as data and as properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.attempts import MOST_SECONDS, Attempts, Next
from skep.gateway.configuring import USUAL_FALLBACKS
from skep.gateway.failures import FAILURES, Failure, Kind
from skep.gateway.models import Model, Provider, Route
from skep.gateway.profiles import profiles_by_kind

PROVIDER = Provider(name="p", profile=profiles_by_kind()["openai_compatible"], base_url="http://x")


def model(routes: int, retries: int = 2) -> Model:
    made = tuple(Route(provider=PROVIDER, model=f"m{number}") for number in range(routes))
    return Model(name="smart", routes=made, retries=retries, falls_back_on=USUAL_FALLBACKS)


def run(
    made: Model, kinds: list[Kind], *, closed: frozenset[int] = frozenset(), wait: float | None = None
) -> list[int]:
    """The routes tried when attempts fail in these ways, and time stands still."""
    attempts = Attempts(made, 100.0, lambda index: index not in closed)
    first = attempts.first()
    tried = [] if first is None else [first]
    for kind in kinds:
        step = attempts.after(Failure(kind, "x", retry_after_seconds=wait), 0.0, 0.5)
        if step is None:
            break
        tried.append(step.route)
    return tried


@pytest.mark.parametrize(
    ("routes", "kinds", "tried"),
    [
        (1, ["server_error"] * 9, [0, 0, 0]),
        (2, ["server_error"] * 9, [0, 0, 0, 1, 1, 1]),
        (2, ["timeout"] * 9, [0, 1]),
        (3, ["auth", "timeout", "server_error"], [0, 1, 2, 2]),
        (2, ["client_error"], [0]),
        (2, ["content_filter"], [0]),
        (2, ["context_too_long"] * 3, [0, 1]),
        (2, ["server_error", "server_error", "server_error", "auth"], [0, 0, 0, 1]),
        (2, ["malformed", "auth"], [0, 1]),
        (1, ["auth"], [0]),
        (2, ["interrupted"], [0]),
    ],
)
def test_the_order(routes: int, kinds: list[Kind], tried: list[int]) -> None:
    assert run(model(routes), kinds) == tried


def test_a_closed_route_is_passed_over() -> None:
    assert run(model(3), ["timeout"] * 5, closed=frozenset({0})) == [1, 2]
    assert run(model(3), ["timeout"] * 5, closed=frozenset({1})) == [0, 2]
    assert run(model(2), [], closed=frozenset({0, 1})) == []


def test_a_long_pause_is_waited_for_only_by_who_has_no_other_route() -> None:
    assert run(model(2), ["rate_limited"], wait=5.0) == [0, 1]
    assert run(model(1), ["rate_limited"], wait=5.0) == [0, 0]
    assert run(model(1), ["rate_limited"], wait=101.0) == [0]
    attempts = Attempts(model(1), 100.0, lambda _: True)
    attempts.first()
    assert attempts.after(Failure("rate_limited", "x", retry_after_seconds=5.0), 0.0, 1.0) == Next(0, 5.25)


def test_what_falls_back_is_a_setting() -> None:
    assert run(replace(model(2), falls_back_on=frozenset({"content_filter"})), ["content_filter"]) == [0, 1]
    assert run(replace(model(2), falls_back_on=frozenset()), ["timeout"]) == [0]


@given(
    st.integers(1, 4),
    st.integers(0, 3),
    st.lists(st.sampled_from(sorted(FAILURES)), max_size=30),
    st.floats(0, 1),
    st.floats(0, 200),
)
def test_every_call_ends(routes: int, retries: int, kinds: list[Kind], chance: float, deadline: float) -> None:
    """Each route is tried in order, 1 + retries times at most, never at or after the deadline, with bounded pauses."""
    attempts = Attempts(model(routes, retries), deadline, lambda _: True)
    first = attempts.first()
    assert first is not None
    now, tried = 0.0, [first]
    for kind in kinds:
        step = attempts.after(Failure(kind, "x"), now, chance)
        if step is None:
            break
        assert 0 <= step.pause_seconds <= MOST_SECONDS
        now += step.pause_seconds
        assert now < deadline
        tried.append(step.route)
        now += 1.0
    assert tried == sorted(tried)
    assert all(tried.count(route) <= 1 + retries for route in range(routes))
    assert attempts.count == len(tried)
