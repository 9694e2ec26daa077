"""Strategies through a server: shares, the quickest, the cheapest, and what takes over."""

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
from tests.scripted import scripted

SCRIPT = """\
rules:
  - {when: {models: [slow]}, then: {text: Hello, latency_ms: 150}}
  - {when: {models: [broken]}, then: {status: 500}}
otherwise: {text: Hello, usage: {input_tokens: 10, output_tokens: 10}}
"""
SETTINGS = """\
providers:
  one: {{kind: openai_compatible, base_url: "{url}"}}
  two: {{kind: openai_compatible, base_url: "{url}"}}
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
"""


@dataclass
class Server:
    client: httpx.Client

    def ask(self, model: str, *, stream: bool = False) -> str:
        """The provider that answered."""
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "?"}], "stream": stream}
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-skep-provider"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("strategies")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with (
            server(skep, folder / "skep.yaml", workers=1) as address,
            httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=30) as client,
        ):
            yield Server(client)


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
