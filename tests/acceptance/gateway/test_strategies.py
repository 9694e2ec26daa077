"""Strategies through a server: shares, the quickest, the cheapest, what has room for a request, and what takes over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted
from tests.serving import eventually

pytestmark = pytest.mark.measured

SCRIPT = """\
rules:
  - {when: {models: [slow]}, then: {text: Hello, latency_ms: 150}}
  - {when: {models: [broken]}, then: {status: 500}}
  - {when: {models: [tight]}, then: {status: 400, error_code: context_length_exceeded}}
otherwise: {text: Hello, usage: {input_tokens: 10, output_tokens: 10}}
"""
SETTINGS = """\
providers:
  one: {{kind: openai_compatible, base_url: "{url}"}}
  two: {{kind: openai_compatible, base_url: "{url}"}}
  azure: {{kind: azure, base_url: "{root}", api_key: k, health_check_seconds: 0.5}}
models:
  weighted:
    strategy: weighted
    routes: [{{provider: one, model: m, weight: 3}}, {{provider: two, model: m, weight: 1}}]
  quickest:
    strategy: lowest_latency
    routes: [{{provider: one, model: slow}}, {{provider: two, model: quick}}]
  cheapest:
    strategy: lowest_cost
    routes:
      - {{provider: one, model: m, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
      - {{provider: two, model: m, price: {{input_usd_per_mtok: 0.5, output_usd_per_mtok: 0.5}}}}
  cheap_and_broken:
    strategy: lowest_cost
    retries: 0
    routes:
      - {{provider: one, model: m, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
      - {{provider: two, model: broken, price: {{input_usd_per_mtok: 0.5, output_usd_per_mtok: 0.5}}}}
  by_length:
    routes: [{{provider: one, model: m, context_window: 100}}, {{provider: two, model: m, context_window: 1000}}]
  too_long:
    routes:
      - {{provider: one, model: tight, context_window: 4000}}
      - {{provider: one, model: small, context_window: 4000}}
      - {{provider: two, model: m}}
  deployed: {{routes: [{{provider: azure, model: team-chat}}]}}
"""


@dataclass
class Server:
    client: httpx.Client
    provider: Scripted

    def answer(self, model: str, *, words: str = "?", stream: bool = False, **more: object) -> httpx.Response:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": words}],
            "stream": stream,
            **more,
        }
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer

    def ask(self, model: str, *, stream: bool = False) -> str:
        """The provider that answered."""
        return self.answer(model, stream=stream).headers["x-skep-provider"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("strategies")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url, root=provider.url.removesuffix("/v1")))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with (
            server(skep, folder / "skep.yaml", workers=1) as address,
            httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=30) as client,
        ):
            yield Server(client, provider)


def test_weights_are_shares(served: Server) -> None:
    found = Counter(served.ask("weighted") for _ in range(200))
    # 150 are expected; beyond these bounds once in a million times.
    assert 115 <= found["one"] <= 180
    assert found["one"] + found["two"] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_the_quickest_is_taken_once_it_is_known(served: Server, stream: bool) -> None:
    found = [served.ask("quickest", stream=stream) for _ in range(20)]
    # Each is tried at first.
    assert found.count("one") <= 2
    assert found[-10:] == ["two"] * 10
    status = served.client.get("/api/v1/gateway/status").json()
    took = {
        route["route"]: route["first_event_ms" if stream else "answer_ms"]
        for route in status["routes"]
        if route["route"] in ("one/slow", "two/quick")
    }
    assert took["two/quick"] is not None
    assert took["one/slow"] is None or took["one/slow"] > took["two/quick"]


def test_what_is_under_way_spreads_calls(served: Server) -> None:
    with ThreadPoolExecutor(16) as threads:
        found = Counter(threads.map(lambda _: served.ask("quickest"), range(64)))
    assert found["two"] > found["one"]


def test_the_cheapest_is_taken_and_another_takes_over(served: Server) -> None:
    assert {served.ask("cheapest") for _ in range(5)} == {"two"}
    assert {served.ask("cheap_and_broken") for _ in range(5)} == {"one"}


@pytest.mark.parametrize(
    ("asked", "provider"),
    [
        ({}, "one"),
        ({"words": "long " * 100}, "two"),
        ({"max_tokens": 90}, "two"),
        # Longer than any: the largest is asked.
        ({"words": "long " * 2000}, "two"),
        # What else is in it hides how long it is.
        ({"words": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 800}}]}, "one"),
    ],
)
def test_a_request_goes_where_it_has_room(served: Server, asked: dict[str, Any], provider: str) -> None:
    assert served.answer("by_length", **asked).headers["x-skep-provider"] == provider


def test_windows_that_are_no_larger_than_one_that_was_too_small_are_passed_over(served: Server) -> None:
    answer = served.answer("too_long")
    with eventually() as waits:
        while (found := served.client.get(f"/api/v1/calls/{answer.headers['x-skep-call-id']}")).status_code == 404:
            waits()
    call = found.json()
    assert [(step["what"], step["outcome"]) for step in call["steps"]] == [
        ("one/tight", "context_too_long"),
        ("one/small", "context_too_long"),
        ("two/m", "ok"),
    ]
    assert "4000 tokens" in call["steps"][1]["reason"]
    assert call["attempts"] == 2


def test_clients_are_told_the_largest_window(served: Server) -> None:
    listed = {model["id"]: model["context_window"] for model in served.client.get("/v1/models").json()["data"]}
    assert (listed["by_length"], listed["too_long"]) == (1000, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_deployment_of_azure_is_called_by_its_name(served: Server, stream: bool) -> None:
    answer = served.answer("deployed", stream=stream)
    assert answer.headers["x-skep-provider"] == "azure"
    assert "Hello" in answer.text
    calls = [
        each for each in served.provider.truth() if each["path"] == "/openai/deployments/team-chat/chat/completions"
    ]
    assert calls
    assert {call["status"] for call in calls} == {200}


def test_azure_is_asked_whether_it_is_well(served: Server) -> None:
    def is_well() -> bool:
        status = served.client.get("/api/v1/gateway/status").json()
        return [each["is_well"] for each in status["providers"] if each["provider"] == "azure"] == [True]

    with eventually() as waits:
        while not is_well():
            waits()
