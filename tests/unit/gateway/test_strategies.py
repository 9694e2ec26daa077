"""In which order routes are tried: shares that hold, what is quickest, what is cheapest."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.models import Provider, Route
from skep.gateway.profiles import PROFILES
from skep.gateway.requests import TOOLS_TOKENS, Known, read_request
from skep.gateway.strategies import (
    FORGET_SECONDS,
    LEAST_SECONDS,
    Latency,
    by_cost,
    by_load,
    by_weight,
    by_window,
    load_of,
    tokens_needed,
)
from skep.spend import Rates, make_price


def route(name: str, weight: float = 1.0, usd: tuple[int, int] | None = None) -> Route:
    price = None if usd is None else make_price(Rates(input_nusd_per_mtok=usd[0], output_nusd_per_mtok=usd[1]))
    return Route(provider=Provider(name=name, profile=PROFILES[0], base_url="x"), model="m", weight=weight, price=price)


def names(routes: list[Route]) -> list[str]:
    return [each.provider.name for each in routes]


def asked(max_tokens: int | None = None, size: int = 400) -> Known:
    bound = "" if max_tokens is None else f'"max_tokens":{max_tokens},'
    return read_request("chat.completions", f'{{"model":"m",{bound}"messages":"{"x" * size}"}}'.encode())


def test_routes_are_first_in_the_shares_of_their_weights() -> None:
    chance = random.Random(7)
    routes = [route("a", 6), route("b", 3), route("c", 1), route("never", 0)]
    firsts = Counter(names(by_weight(routes, chance.random))[0] for _ in range(20_000))
    assert firsts.keys() == {"a", "b", "c"}
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert firsts[name] / 20_000 == pytest.approx(share, abs=0.015)


def test_a_weight_of_nothing_comes_after_all_others() -> None:
    chance = random.Random(7)
    for _ in range(100):
        order = names(by_weight([route("spare", 0), route("a", 0.001), route("b", 1000)], chance.random))
        assert order[-1] == "spare"


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=8), st.integers(0, 2**32))
def test_no_route_is_lost_or_doubled(weights: list[float], seed: int) -> None:
    routes = [route(str(index), weight) for index, weight in enumerate(weights)]
    chance = random.Random(seed)
    everybody = sorted(names(routes))
    assert sorted(names(by_weight(routes, chance.random))) == everybody
    assert sorted(names(by_load(routes, weights, chance.random))) == everybody


def test_of_two_the_one_with_less_load_is_first() -> None:
    routes = [route("a"), route("b")]
    assert names(by_load(routes, [2.0, 1.0], random.Random(1).random)) == ["b", "a"]
    assert names(by_load(routes, [1.0, 1.0], random.Random(1).random)) == ["a", "b"]


def test_of_many_the_better_of_two_by_chance_is_first_and_the_rest_goes_by_load() -> None:
    routes, loads, chance = [route(name) for name in "abcd"], [4.0, 3.0, 2.0, 1.0], random.Random(3)
    firsts: Counter[str] = Counter()
    for _ in range(6_000):
        order = names(by_load(routes, loads, chance.random))
        firsts[order[0]] += 1
        assert order[1:] == [name for name in "dcba" if name != order[0]]
    # Of the six pairs d is in three, c is the better one in two, b in one.
    assert firsts.keys() == {"d", "c", "b"}
    assert firsts["d"] / 6_000 == pytest.approx(3 / 6, abs=0.03)
    assert firsts["c"] / 6_000 == pytest.approx(2 / 6, abs=0.03)


def test_a_slower_answer_counts_at_once_and_a_quicker_one_slowly() -> None:
    latency = Latency()
    assert latency.seconds(0.0) is None
    latency.took(0.1, 0.0)
    latency.took(2.0, 1.0)
    assert latency.seconds(1.0) == 2.0
    latency.took(0.1, 2.0)
    assert 1.7 < (latency.seconds(2.0) or 0) < 2.0
    for second in range(3, 60):
        latency.took(0.1, second)
    assert latency.seconds(59) == pytest.approx(0.1, abs=0.02)


def test_many_answers_at_the_same_moment_count_too() -> None:
    latency = Latency()
    latency.took(2.0, 1.0)
    for _ in range(500):
        latency.took(0.1, 1.0)
    assert latency.seconds(1.0) == pytest.approx(0.1, abs=0.05)


def test_a_route_that_nobody_takes_is_tried_again_after_a_while() -> None:
    slow = Latency()
    slow.took(2.0, 0.0)
    assert load_of(slow.seconds(0.0), 0) > load_of(0.2, 0)
    assert load_of(slow.seconds(3 * FORGET_SECONDS), 0) < load_of(0.2, 0)


def test_what_is_under_way_counts() -> None:
    assert load_of(0.1, 3) > load_of(0.3, 0)
    assert load_of(None, 0) == LEAST_SECONDS
    assert load_of(None, 1) > load_of(None, 0)


def test_the_cheapest_depends_on_the_call() -> None:
    reads, writes, unknown = route("reads", usd=(10, 1000)), route("writes", usd=(100, 100)), route("unknown")
    routes = [unknown, writes, reads]
    assert names(by_cost(routes, asked(1, size=40_000))) == ["reads", "writes", "unknown"]
    assert names(by_cost(routes, asked(10_000, size=40))) == ["writes", "reads", "unknown"]
    # Without a bound some output is reckoned with.
    assert names(by_cost(routes, asked(size=40))) == ["writes", "reads", "unknown"]
    assert names(by_cost([route("a", usd=(1, 1)), route("b", usd=(1, 1))], asked())) == ["a", "b"]


def windows(*sizes: int | None) -> list[Route]:
    return [replace(route(str(size)), context_window=size) for size in sizes]


@pytest.mark.parametrize(
    ("tokens", "order"),
    [
        (50, ["100", "None", "1000", "200"]),
        (100, ["100", "None", "1000", "200"]),
        (101, ["None", "1000", "200", "100"]),
        (5000, ["None", "1000", "200", "100"]),
        (None, ["100", "None", "1000", "200"]),
    ],
)
def test_windows_that_a_request_does_not_seem_to_fit_come_last(tokens: int | None, order: list[str]) -> None:
    assert names(by_window(windows(100, None, 1000, 200), tokens)) == order


def test_a_request_needs_a_token_for_four_bytes_and_its_bound() -> None:
    known = asked(500, 4000)
    assert tokens_needed(known) == -(-len(known.body) // 4) + 500
    tools = read_request("chat.completions", b'{"model":"m","messages":"","tools":[{}]}')
    assert tools.input_tokens_at_most == len(tools.body) + TOOLS_TOKENS
    assert tokens_needed(tools) == 10
    each = read_request("chat.completions", b'{"model":"m","messages":"","n":3,"max_tokens":10}')
    assert tokens_needed(each) == 13 + 10


@pytest.mark.parametrize("part", ['{"image_url":{"url":"data:"}}', '{"input_audio":{"data":""}}', '{"file_id":"f"}'])
def test_what_has_other_things_than_text_is_not_weighed(part: str) -> None:
    assert tokens_needed(read_request("chat.completions", f'{{"model":"m","messages":[{part}]}}'.encode())) is None
