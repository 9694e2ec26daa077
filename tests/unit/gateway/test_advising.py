"""What is advised, from sums and settings alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from skep.gateway.advising import MARGIN, Advice, Known, advise, experiment_for
from skep.gateway.models import Arm, Experiment, GatewayConfig, Model, Provider, Route
from skep.gateway.profiles import PROFILES
from skep.gateway.purposes import Purpose
from skep.spend import (
    Comparison,
    Counts,
    Group,
    Miss,
    Price,
    Rates,
    Tier,
    Usage,
    cost_nusd,
    cost_of_many_nusd,
    make_price,
)
from skep.spend.comparing import ArmRow, compared

KIND = {profile.kind: profile for profile in PROFILES}
HISTOGRAM = (0.0,) * 40 + (5.0,) + (0.0,) * 87


def price(usd: int) -> Price:
    """So many dollars for a million tokens, either way."""
    return make_price(Rates(input_nusd_per_mtok=usd * 10**9, output_nusd_per_mtok=usd * 10**9))


def provider(name: str, *, local: bool = False, kind: str = "openai") -> Provider:
    return Provider(name=name, profile=KIND[kind], base_url="http://x", is_local=local)


def model(name: str, *routes: tuple[Provider, str, Price | None], tier: str | None = None, **more: Any) -> Model:
    made = tuple(Route(provider=where, model=called, price=costs) for where, called, costs in routes)
    return Model(name=name, routes=made, tier=tier, **more)


HOUSE, AWAY, OTHER = provider("house", local=True), provider("away"), provider("other")


def config(*models: Model) -> GatewayConfig:
    providers = {route.provider.name: route.provider for each in models for route in each.routes}
    return GatewayConfig(providers=providers, models={each.name: each for each in models})


def group(name: str, route: str, calls: int = 1000, failed: int = 0, **more: Any) -> Group:
    """Calls of 900 tokens in and 100 out each, at a dollar a million."""
    counts = Counts(
        calls=calls,
        failed=failed,
        weighed=calls,
        cost_nusd=calls * 1000 * 1000,
        input_tokens=900 * calls,
        output_tokens=100 * calls,
        duration=HISTOGRAM,
    )
    where, _, called = route.partition("/")
    facts: dict[str, Any] = {
        "tier": None,
        "face": "chat.completions",
        "stream": False,
        "is_remote": True,
        "size": 0,
        "counts": counts,
    }
    return Group(model=name, provider=where, model_used=called, **(facts | more))


def advised(settings: GatewayConfig, *groups: Group, **more: Any) -> Advice:
    """Of the first group's kind."""
    found = advise(settings, Known(groups, more.get("misses", ()), more.get("comparisons", {})))
    return next(each for each in found if each.model == groups[0].model)


BIG, SMALL = (
    model("big", (AWAY, "gpt-x", price(1)), tier="best"),
    model("small", (AWAY, "gpt-s", price(0)), tier="fast"),
)


def test_the_same_tokens_are_priced_anew() -> None:
    cheaper = model(
        "half", (AWAY, "gpt-h", make_price(Rates(500_000_000, 1_000_000_000, 100_000_000), request_nusd=10))
    )
    counts = replace(group("big", "away/gpt-x").counts, cached_input_tokens=100_000)
    found = advised(config(BIG, cheaper), group("big", "away/gpt-x", counts=counts))
    assert (found.cost_usd, found.mean_input_tokens, found.mean_output_tokens) == ("1.00", 900, 100)
    (option,) = found.models
    # 800,000 at half a dollar, 100,000 at a tenth, 100,000 at a dollar, and ten nano-dollars a call.
    assert option.cost_usd == "0.51001"
    assert option.saves_usd == "0.48999"
    assert option.saves_share == pytest.approx(0.48999)
    assert found.routes == []


def test_what_is_dearer_or_has_no_price_is_no_option() -> None:
    dear, unpriced = model("dear", (AWAY, "d", price(2))), model("unpriced", (AWAY, "u", None), (AWAY, "v", price(0)))
    assert advised(config(BIG, dear, unpriced), group("big", "away/gpt-x")).models == []
    # The dearest of its routes counts.
    mixed = model("mixed", (AWAY, "m", price(0)), (OTHER, "m", price(3)))
    assert advised(config(BIG, mixed), group("big", "away/gpt-x")).models == []


@pytest.mark.parametrize(
    "costs",
    [
        make_price(Rates(0, 0, input_nusd_per_mchar=15_000)),
        make_price(Rates(0, 0, audio_nusd_per_hour=360)),
        make_price(Rates(20_000, 0)),
    ],
)
def test_what_speaks_listens_or_embeds_is_no_option_for_chats(costs: Price) -> None:
    found = advised(config(BIG, model("speaker", (AWAY, "tts", costs))), group("big", "away/gpt-x"))
    assert found.models == []
    free = model("house", (HOUSE, "llama", make_price(Rates(0, 0))))
    assert [each.model for each in advised(config(BIG, free), group("big", "away/gpt-x")).models] == ["house"]


def test_calls_whose_cost_is_not_known_are_not_weighed() -> None:
    counts = Counts(calls=10)
    assert advise(config(BIG, SMALL), Known([group("big", "away/gpt-x", counts=counts)], (), {})) == []


@pytest.mark.parametrize(
    ("theirs", "verdict", "words"),
    [
        (None, "try", "it served no such calls yet"),
        ((20, 0), "try", "too few calls to say anything: 20, and each side needs 30"),
        ((5000, 0), "try", "in calls of its own it fails no more often, but these are other calls"),
        ((100, 0), "try", "in calls of its own it is not shown to fail no more often: more calls are needed"),
        ((5000, 500), "worse", "in calls of its own it fails more often"),
    ],
)
def test_other_calls_alone_recommend_no_model(theirs: tuple[int, int] | None, verdict: str, words: str) -> None:
    others = [group("small", "away/gpt-s", *theirs)] if theirs is not None else []
    (option,) = advised(config(BIG, SMALL), group("big", "away/gpt-x", 5000, 5), *others).models
    assert (option.verdict, option.words) == (verdict, words)
    assert option.evidence == ("none" if theirs is None else "traffic")
    assert option.to_try == experiment_for("big", "small")
    assert (option.duration is not None) == (theirs is not None)


@pytest.mark.parametrize(
    ("arms", "verdict"),
    [
        (((5000, 5), (5000, 5)), "recommended"),
        (((5000, 5), (5000, 200)), "worse"),
        (((5000, 5), (100, 0)), "try"),
        (((5000, 5), (10, 0)), "try"),
    ],
)
def test_an_experiment_recommends(arms: tuple[tuple[int, int], tuple[int, int]], verdict: str) -> None:
    experiment = Experiment(name="cheaper", arms=(Arm(name="control"), Arm(name="canary", model="small")))
    rows = [
        ArmRow(name, calls, failed=failed) for name, (calls, failed) in zip(("control", "canary"), arms, strict=True)
    ]
    comparison = Comparison("cheaper", datetime.now(UTC), None, *compared(rows, ["control", "canary"]))
    asked = replace(BIG, experiment=experiment)
    (option,) = advised(
        config(asked, SMALL),
        group("big", "away/gpt-x"),
        group("small", "away/gpt-s"),
        comparisons={"cheaper": comparison},
    ).models
    assert (option.evidence, option.experiment, option.verdict, option.to_try) == (
        "experiment",
        "cheaper",
        verdict,
        None,
    )
    assert option.calls == arms[1][0]
    if verdict == "recommended":
        assert option.difference is not None
        assert option.difference.high <= MARGIN


def test_the_same_model_elsewhere_is_recommended_by_its_attempts() -> None:
    elsewhere = model("there", (OTHER, "vendor/GPT-X", price(0)))
    settings = config(BIG, elsewhere)
    served = group("there", "other/vendor/GPT-X", 2000)
    (option,) = advised(settings, group("big", "away/gpt-x"), served).routes
    assert (option.route, option.relation, option.verdict) == ("other/vendor/GPT-X", "same model", "recommended")
    assert (option.attempts, option.cost_usd) == (2000, "0.00")
    # Attempts that failed count, also of calls that another route answered then; what clients did wrong does not.
    misses = [Miss("there", option.route, "server_error", 200), Miss("there", option.route, "client_error", 900)]
    (option,) = advised(settings, group("big", "away/gpt-x"), served, misses=misses).routes
    assert (option.attempts, option.verdict) == (2200, "worse")
    assert option.failure_rate is not None
    assert option.failure_rate.value == 200 / 2200


def test_routes_of_the_same_name_and_tier_and_no_others() -> None:
    big = model("big", (AWAY, "gpt-x", price(1)), (OTHER, "llama", price(0)), tier="best")
    peer, stranger = model("peer", (OTHER, "p", price(0)), tier="best"), model("stranger", (OTHER, "s", price(0)))
    found = advised(config(big, peer, stranger), group("big", "away/gpt-x"), group("peer", "other/p", 5000))
    told = {option.route: (option.relation, option.verdict) for option in found.routes}
    assert told == {"other/llama": ("same name", "try"), "other/p": ("same tier", "try")}


def test_what_stayed_in_the_house_stays() -> None:
    dear_house = model("big", (HOUSE, "gpt-x", price(1)), (AWAY, "gpt-x", price(0)))
    local = model("little", (HOUSE, "tiny", price(0)))
    stayed = group("big", "house/gpt-x", is_remote=False)
    found = advised(config(dear_house, SMALL, local), stayed)
    assert (found.stayed, found.routes) == (True, [])
    assert [option.model for option in found.models] == ["little"]
    # Not written down: by what the settings say now.
    assert advised(config(dear_house, SMALL, local), replace(stayed, is_remote=None)).stayed
    away = advised(config(dear_house, SMALL, local), replace(stayed, is_remote=True))
    assert [option.route for option in away.routes] == ["away/gpt-x"]
    assert {option.model for option in away.models} == {"small", "little"}


def test_only_what_could_serve_them() -> None:
    no_embeddings = model("claude", (provider("claude", kind="anthropic"), "c", price(0)))
    asked = group("big", "away/gpt-x", face="embeddings")
    assert advised(config(BIG, no_embeddings, SMALL), asked).models == [], "vectors of two models cannot be compared"
    short = Route(provider=OTHER, model="gpt-x", price=price(0), context_window=100_000)
    brief = Model(name="brief", routes=(short,))
    long = group("big", "away/gpt-x", size=2)
    assert advised(config(BIG, brief), long).models == []
    assert advised(config(BIG, brief), long).routes == []
    assert [option.model for option in advised(config(BIG, brief), group("big", "away/gpt-x")).models] == ["brief"]


@pytest.mark.parametrize(("failed", "verdict"), [(21, "worse"), (1, "try")])
def test_a_model_whose_few_calls_fail_is_not_to_be_tried(failed: int, verdict: str) -> None:
    cheap = model("cheap", (OTHER, "c", price(0)))
    theirs = group("cheap", "other/c", calls=21, failed=failed)
    (option,) = advised(config(BIG, cheap), group("big", "away/gpt-x"), theirs).models
    assert option.verdict == verdict
    assert ("of 21 calls of its own 21 failed" in option.words) == (verdict == "worse")
    assert option.failure_rate is not None
    assert option.failure_rate.value == pytest.approx(failed / 21)


@pytest.mark.parametrize("purpose", ["speech", "transcription", "picture", "embedding", "ranking"])
def test_what_is_for_something_else_does_not_stand_in(purpose: Purpose) -> None:
    """Some of it has prices of tokens that go in and out, as chats have."""
    cheap = model("cheap", (OTHER, "c", price(0)))
    other = replace(cheap, routes=tuple(replace(route, purpose=purpose) for route in cheap.routes))
    assert [each.model for each in advised(config(BIG, cheap), group("big", "away/gpt-x")).models] == ["cheap"]
    assert advised(config(BIG, other), group("big", "away/gpt-x")).models == []


def test_what_is_not_paid_by_tokens_alone_is_not_weighed() -> None:
    for face in ("audio.speech", "images.generations", "rerank"):
        assert advise(config(BIG, SMALL), Known([group("big", "away/gpt-x", face=face)], (), {})) == []


def test_kinds_stand_apart_and_the_dearest_first() -> None:
    found = advise(
        config(BIG, SMALL),
        Known(
            [
                group("small", "away/gpt-s", 10),
                group("big", "away/gpt-x", 100),
                group("big", "away/gpt-x", 50, stream=True),
                group("big", "away/gpt-x", 20, face="messages"),
                group("gone", "gone/g", 1),
            ],
            (),
            {},
        ),
    )
    assert [(each.model, each.face, each.calls) for each in found] == [
        ("big", "chat.completions", 150),
        ("big", "messages", 20),
        ("small", "chat.completions", 10),
        ("gone", "chat.completions", 1),
    ]
    assert found[0].stream_share == 1 / 3
    assert found[-1].models == []


def test_an_experiment_to_try_can_be_read() -> None:
    for one, other in (("smart", "small"), ('od"d', "a/b: c"), ("é" * 60, "x" * 60)):
        found = yaml.safe_load(experiment_for(one, other))["models"][one]["experiment"]
        assert found["arms"]["other"]["model"] == other
        assert 1 <= len(found["name"]) <= 40


def test_prices_that_change_with_the_length_go_by_the_class() -> None:
    tiered = make_price(Rates(1_000_000_000, 1_000_000_000), [Tier(200_000, Rates(2_000_000_000, 2_000_000_000))])
    one: Callable[[int], Usage] = lambda tokens: Usage(input_tokens=tokens, output_tokens=10)  # noqa: E731
    for tokens in (1000, 200_000, 200_001, 300_000):
        single = cost_nusd(tiered, one(tokens))
        assert single is not None
        many = Usage(input_tokens=7 * tokens, output_tokens=70)
        assert cost_of_many_nusd(tiered, many, 7) == 7 * single
    assert cost_of_many_nusd(tiered, Usage(), 5) is None
    assert cost_of_many_nusd(tiered, one(1), 0) is None
