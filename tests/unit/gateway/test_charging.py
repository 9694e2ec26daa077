"""What is charged when attempts fail, are given up, or break: the whole pipeline, on a meter in memory and an upstream by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from skep.access import Principal
from skep.gateway import (
    Gateway,
    GatewayConfig,
    GatewayOptions,
    Model,
    OverloadedError,
    ProviderFailedError,
    ProviderTimeoutError,
    Route,
)
from skep.gateway.configuring import USUAL_FALLBACKS
from skep.gateway.failures import Failure
from skep.gateway.interfaces import Answer, AttemptFailedError, CancelledUnsentError, Stream
from skep.gateway.local import THREADS
from skep.gateway.models import Provider
from skep.gateway.pricing import price_of_call
from skep.gateway.profiles import profiles_by_kind
from skep.gateway.upstream import WholeAnswer
from skep.spend import BudgetExceededError, DearFieldError, MemoryMeter, Price, Rates, Rule, make_price
from skep.spend.lines import COLUMNS
from skep.web import Notes

PRICE = make_price(Rates(input_nusd_per_mtok=0, output_nusd_per_mtok=1_000_000))
"""One nano-dollar a token that comes out."""

BOUND = 100
WHO = Principal(1, "team", "k", "ci", "member")
OK = b'{"choices":[{"message":{"content":"Hi."}}],"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}'

Play = Callable[[], Any]


def served_by(tier: str) -> bytes:
    return orjson.dumps({**orjson.loads(OK), "service_tier": tier})


def answers(body: bytes = OK, status: int = 200, content_type: str = "application/json") -> Play:
    return lambda: WholeAnswer(status, [("content-type", content_type)], body)


def fails(kind: Any, **facts: Any) -> Play:
    def play() -> None:
        raise AttemptFailedError(Failure(kind, "as told", **facts))

    return play


def breaks() -> Play:
    def play() -> None:
        raise ZeroDivisionError("ours")

    return play


@dataclass
class HandUpstream:
    """Plays one act after the other; the event is set when one hangs."""

    acts: list[Play]
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, *_: object, timeout_seconds: float) -> Answer:
        act = self.acts.pop(0)
        if act is HANGS:
            self.hanging.set()
            await self.goes_on.wait()
            return WholeAnswer(200, [("content-type", "application/json")], OK)
        if act is CONNECTS:
            self.hanging.set()
            try:
                await asyncio.sleep(timeout_seconds)
            except asyncio.CancelledError:
                raise CancelledUnsentError from None
        answer: Answer = act()
        return answer

    async def stream(self, *_: object, timeout_seconds: float, method: str = "POST") -> Stream:
        raise NotImplementedError

    async def probe(self, *_: object, timeout_seconds: float) -> int:
        raise NotImplementedError

    def retire(self, *_: object) -> None:
        pass

    async def close(self) -> None:
        return


HANGS: Play = lambda: None  # noqa: E731 -- told apart by what they are
CONNECTS: Play = lambda: None  # noqa: E731


@dataclass
class Stage:
    gateway: Gateway
    meter: MemoryMeter
    upstream: HandUpstream
    is_gone: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[dict[str, Any]] = field(default_factory=list)
    told: bool = False

    async def call(self, **body: object) -> None:
        sent = orjson.dumps({"model": "smart", "messages": [], "max_tokens": BOUND, **body})

        async def receive() -> dict[str, Any]:
            if not self.told:
                self.told = True
                return {"type": "http.request", "body": sent}
            await self.is_gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        scope: dict[str, Any] = {"headers": [], "client": None}
        await self.gateway.call("chat.completions", WHO, scope, receive, send, Notes())

    @property
    def line(self) -> dict[str, str]:
        """The only line of the ledger, and nothing is left reserved."""
        assert [holding.reserved for holding in self.meter.windows.values()] == [0] * len(self.meter.windows)
        ends = [line for line in self.meter.journal.lines if line.startswith("E")]
        assert len(ends) == 1
        return dict(zip(COLUMNS, ends[0][:-1].split("\t"), strict=True))

    @property
    def used(self) -> int:
        return sum(holding.used for holding in self.meter.windows.values())


async def stage(
    *acts: Play,
    budget: int = 10_000,
    options: GatewayOptions | None = None,
    allow_unpriced: bool = False,
    tiers: tuple[tuple[str, Decimal], ...] = (),
    search_nusd: int | None = None,
    kind: str = "vllm",
    price: Price | None = PRICE,
) -> Stage:
    rule = Rule(1, 1, "cap", "cost", "project", "", "total", budget, allow_unpriced=allow_unpriced)
    meter = MemoryMeter([rule])
    await meter.start()
    providers = [
        Provider(name=name, profile=profiles_by_kind()[kind], base_url="http://x") for name in ("one", "two", "three")
    ]
    routes = tuple(
        Route(provider=provider, model="m", price=price, service_tiers=tiers, search_nusd=search_nusd)
        for provider in providers
    )
    model = Model(name="smart", routes=routes, retries=0, falls_back_on=USUAL_FALLBACKS)
    config = GatewayConfig(providers={each.name: each for each in providers}, models={"smart": model})
    upstream = HandUpstream(list(acts))
    gateway = Gateway(config, meter, upstream, options or GatewayOptions())
    return Stage(gateway, meter, upstream)


SENT_AND_SILENT = fails("timeout")


@pytest.mark.parametrize(
    ("acts", "cost"),
    [
        ([answers()], 7),
        # Whoever got the question and said nothing may have written as much as it was allowed to.
        ([SENT_AND_SILENT, answers()], BOUND + 7),
        ([SENT_AND_SILENT, SENT_AND_SILENT, answers()], 2 * BOUND + 7),
        ([fails("malformed"), answers()], BOUND + 7),
        ([answers(OK[:-3]), answers()], BOUND + 7),
        # Nothing left, or it was told that nothing came of it.
        ([fails("timeout", has_left=False), answers()], 7),
        ([fails("unreachable"), answers()], 7),
        ([fails("server_error", status=500), answers()], 7),
        # A page of somebody on the way was not written by a model.
        ([answers(b"<html>", content_type="text/html"), answers()], 7),
        # An error that tells its usage.
        (
            [answers(b'{"error":{"message":"x"},"usage":{"prompt_tokens":1,"completion_tokens":40}}', 500), answers()],
            47,
        ),
        ([answers(b'{"error":{"message":"x"},"usage":{"prompt_tokens":1,"completion_tokens":40}}'), answers()], 47),
    ],
)
async def test_every_attempt_that_may_be_billed_is_charged(acts: Sequence[Play], cost: int) -> None:
    on = await stage(*acts)
    await on.call()
    line = on.line
    assert (int(line["cost_nusd"]), on.used, line["outcome"]) == (cost, cost, "ok")
    assert int(line["attempts"]) == len(acts)
    assert on.sent[0]["status"] == 200


async def test_a_dearer_tier_is_not_charged_by_the_price_of_the_model() -> None:
    refusing = await stage(answers())
    with pytest.raises(
        DearFieldError, match="With service_tier the call costs other than the price of the model smart"
    ):
        await refusing.call(service_tier="priority")
    assert len(refusing.upstream.acts) == 1
    on = await stage(SENT_AND_SILENT, answers(), allow_unpriced=True)
    await on.call(service_tier="priority")
    assert (on.line["cost_nusd"], on.line["price_version"], on.line["output_tokens"]) == (r"\N", r"\N", "7")


TIERS = (("flex", Decimal("0.5")), ("priority", Decimal(2)))
SEARCH: dict[str, object] = {"web_search_options": {}}


@pytest.mark.parametrize(
    ("asked", "served", "cost", "terms"),
    [
        ({}, None, 7, ""),
        ({"service_tier": "auto"}, "default", 7, ""),
        ({"service_tier": "flex"}, None, 4, "service_tier flex"),
        ({"service_tier": "priority"}, "priority", 14, "service_tier priority"),
        # A provider charges by the tier that it served by, whatever was asked for.
        ({"service_tier": "priority"}, "default", 7, ""),
        ({}, "priority", 14, "service_tier priority"),
        (SEARCH, None, 12, "web_search_options"),
        ({**SEARCH, "service_tier": "priority"}, None, 19, "service_tier priority, web_search_options"),
    ],
)
async def test_terms_whose_price_is_known_are_charged(
    asked: dict[str, object], served: str | None, cost: int, terms: str
) -> None:
    on = await stage(answers(OK if served is None else served_by(served)), tiers=TIERS, search_nusd=5)
    await on.call(**asked)
    assert (int(on.line["cost_nusd"]), on.used) == (cost, cost)
    assert on.meter.prices[on.line["price_version"]].terms == terms


async def test_a_tier_that_nobody_knows_has_no_cost_and_is_charged_as_reserved() -> None:
    on = await stage(answers(served_by("scale")), tiers=TIERS)
    await on.call()
    assert (on.line["cost_nusd"], on.line["price_version"], on.line["output_tokens"]) == (r"\N", r"\N", "7")
    assert on.used == BOUND


@pytest.mark.parametrize(
    ("kind", "price", "asked", "cost"),
    [
        ("openrouter", PRICE, {"plugins": [{"id": "web"}]}, 25_000),
        ("openrouter", None, {}, 25_000),
        # A price explains what a call cost; what is told explains nothing.
        ("openrouter", PRICE, {}, 7),
        # Who knows in what money others tell it.
        ("vllm", None, {}, None),
    ],
)
async def test_a_cost_that_the_provider_tells_counts_where_no_price_is_known(
    kind: str, price: Price | None, asked: dict[str, object], cost: int | None
) -> None:
    told = orjson.loads(OK)
    told["usage"]["cost"] = 0.000025
    on = await stage(answers(orjson.dumps(told)), allow_unpriced=True, kind=kind, price=price)
    await on.call(**asked)
    assert on.line["cost_nusd"] == (r"\N" if cost is None else str(cost))
    assert on.used == (cost or 0)


@pytest.mark.parametrize(
    ("asked", "reserved"),
    # Flex may be denied, and then costs what the list says.
    [({"service_tier": "priority"}, 2 * BOUND), ({"service_tier": "flex"}, BOUND), (SEARCH, BOUND + 5)],
)
async def test_terms_are_reserved_for(asked: dict[str, object], reserved: int) -> None:
    short = await stage(answers(), budget=reserved - 1, tiers=TIERS, search_nusd=5)
    with pytest.raises(BudgetExceededError):
        await short.call(**asked)
    fits = await stage(answers(), budget=reserved, tiers=TIERS, search_nusd=5)
    await fits.call(**asked)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"service_tier": "flex"}, "service_tier"),
        (SEARCH, "web_search_options"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"provider": {"sort": "price"}}, "provider"),
    ],
)
async def test_terms_that_have_no_price_are_refused_by_name(asked: dict[str, object], field: str) -> None:
    on = await stage(answers())
    with pytest.raises(DearFieldError, match=f"With {field} the call costs other than the price") as caught:
        await on.call(**asked)
    assert caught.value.fields["param"] == field
    assert len(on.upstream.acts) == 1


async def test_a_call_that_fails_is_charged_for_all_its_attempts() -> None:
    on = await stage(SENT_AND_SILENT, fails("unreachable"), SENT_AND_SILENT)
    with pytest.raises(ProviderTimeoutError):
        await on.call()
    assert (int(on.line["cost_nusd"]), on.used, on.line["outcome"]) == (2 * BOUND, 2 * BOUND, "timeout")
    assert on.line["estimated"] == "t"


async def test_what_is_wasted_was_reserved_before_the_next_attempt() -> None:
    """Of a budget for one call and a half, the second attempt has no room: it is not made."""
    on = await stage(SENT_AND_SILENT, answers(), budget=BOUND + BOUND // 2)
    with pytest.raises(ProviderTimeoutError):
        await on.call()
    assert (on.used, len(on.upstream.acts)) == (BOUND, 1)
    assert int(on.line["attempts"]) == 1
    exact = await stage(SENT_AND_SILENT, answers(), budget=2 * BOUND)
    await exact.call()
    assert exact.used == BOUND + 7


async def test_what_is_reserved_for_more_attempts_stands_in_the_journal() -> None:
    on = await stage(SENT_AND_SILENT, HANGS)
    calling = asyncio.create_task(on.call())
    await on.upstream.hanging.wait()
    begun = [dict(zip(COLUMNS, line[:-1].split("\t"), strict=True)) for line in on.meter.journal.open.values()]
    assert [(each["cost_nusd"], each["holds"].split(",")[1]) for each in begun] == [(str(2 * BOUND), str(2 * BOUND))]
    on.upstream.goes_on.set()
    await calling


async def test_a_whole_answer_that_its_client_gave_up_is_charged_as_far_as_it_may_have_come() -> None:
    on = await stage(HANGS)
    calling = asyncio.create_task(on.call())
    await on.upstream.hanging.wait()
    on.is_gone.set()
    await calling
    assert (int(on.line["cost_nusd"]), on.line["outcome"], on.line["estimated"]) == (BOUND, "cancelled", "t")
    assert on.used == BOUND


async def test_a_call_that_was_given_up_before_it_left_is_free() -> None:
    on = await stage(CONNECTS)
    calling = asyncio.create_task(on.call())
    await on.upstream.hanging.wait()
    on.is_gone.set()
    await calling
    assert (int(on.line["cost_nusd"]), on.used, on.line["outcome"]) == (0, 0, "cancelled")


DRAINS = replace(GatewayOptions(), cancels_when_client_gone=False)


async def test_a_provider_that_is_heard_out_tells_what_it_used() -> None:
    on = await stage(HANGS, options=DRAINS)
    calling = asyncio.create_task(on.call())
    await on.upstream.hanging.wait()
    on.is_gone.set()
    await asyncio.sleep(0.2)
    on.upstream.goes_on.set()
    await calling
    assert (int(on.line["cost_nusd"]), on.line["outcome"], on.line["estimated"]) == (7, "cancelled", "f")


async def test_a_provider_is_not_heard_out_for_ever() -> None:
    on = await stage(HANGS, options=replace(DRAINS, drain_seconds=0.1))
    calling = asyncio.create_task(on.call())
    await on.upstream.hanging.wait()
    on.is_gone.set()
    await asyncio.wait_for(calling, 2)
    assert (int(on.line["cost_nusd"]), on.line["outcome"], on.line["estimated"]) == (BOUND, "cancelled", "t")


async def test_an_error_of_ours_is_told_apart_and_raised() -> None:
    on = await stage(breaks())
    with pytest.raises(ZeroDivisionError):
        await on.call()
    assert (on.line["outcome"], int(on.line["cost_nusd"])) == ("internal", BOUND)


async def test_a_bound_that_is_wasted_is_the_cap_where_the_client_named_none() -> None:
    on = await stage(SENT_AND_SILENT, answers(b"{", 500), answers(b"{", 500))
    with pytest.raises(ProviderFailedError):
        await on.call(max_tokens=None)
    assert on.used == on.meter.options.output_tokens_cap


class SlowEmbedder:
    """Counts how many run at once."""

    dimensions = 1

    def __init__(self) -> None:
        self.running = self.most = 0
        self.guard = threading.Lock()
        self.ends = threading.Event()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        with self.guard:
            self.running += 1
            self.most = max(self.most, self.running)
        self.ends.wait(5)
        with self.guard:
            self.running -= 1
        return [[1.0]] * len(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return len(texts)


async def test_the_local_model_has_a_few_threads_of_its_own_and_takes_turns() -> None:
    embedder = SlowEmbedder()
    async with MemoryMeter() as meter:
        config = GatewayConfig(providers={}, models={})
        options = GatewayOptions(max_calls=5, max_waiting_calls=0)
        gateway = Gateway(config, meter, HandUpstream([]), options, embedder=embedder)

        async def embed() -> int:
            sent: list[Any] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b'{"model":"local","input":"a"}'}

            async def send(message: Any) -> None:
                sent.append(message)

            scope: dict[str, Any] = {"headers": [], "client": None}
            try:
                await gateway.call("embeddings", WHO, scope, receive, send, Notes())
            except OverloadedError:
                return 503
            return int(sent[0]["status"])

        calls = [asyncio.create_task(embed()) for _ in range(8)]
        await asyncio.sleep(0.1)
        # The loop's own threads are free all the while.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 1) == 1
        assert gateway.status().active_calls == 5
        embedder.ends.set()
        assert sorted(await asyncio.gather(*calls)) == [200] * 5 + [503] * 3
        assert embedder.most == THREADS
        await gateway.close()


async def test_a_probe_given_up_in_a_pause_lets_another_through() -> None:
    """After a failed probe's client went away while the next route's attempt was waited for, that route is tried again."""
    on = await stage(fails("server_error", status=500), HANGS)
    board, (one, two, *_) = on.gateway.board, on.gateway.config.models["smart"].routes
    for route in (one, two):
        board.hear_opened(route.name, 0.0, "told")
    calling = asyncio.create_task(on.call())
    await on.upstream.hanging.wait()
    assert not board.admits(two), "the probe is under way"
    on.is_gone.set()
    await calling
    assert board.admits(two)


def test_what_a_chat_costs_where_characters_are_paid_nobody_knows() -> None:
    """Not nothing: a budget must not let it pass as free."""
    provider = Provider(name="one", profile=profiles_by_kind()["openai"], base_url="http://x")
    for rates in (Rates(0, 0, input_nusd_per_mchar=15_000), Rates(0, 0, audio_nusd_per_hour=360)):
        route = Route(provider=provider, model="tts-1", price=make_price(rates))
        assert price_of_call(route, None, searches=False) is None
    free = Route(provider=provider, model="m", price=make_price(Rates(0, 0)))
    assert price_of_call(free, None, searches=False) == free.price
