"""Storms: many calls at once while the provider refuses or fails every one. It is not hammered, and each client gets a defined answer."""

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
from tests.levels import by_level
from tests.scripted import Scripted, scripted

CALLS, AT_ONCE = by_level(120, 1200), 12
RETRIES = 2
BUSY_ANSWERS, STRAIGHT_FAILURES = 3, 25

SCRIPT = """\
rules:
  - {when: {models: [busy]}, then: {status: 429, latency_ms: 5}}
  - {when: {models: [waits]}, then: {status: 429, latency_ms: 5, retry_after: "3"}}
  - {when: {models: [broken]}, then: {status: 500, latency_ms: 5}}
otherwise: {words: 2}
"""
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
  spare: {{kind: openai_compatible, base_url: "{url}"}}
models:
"""
MODEL = """\
  {name}: {{routes: [{{provider: fake, model: {name}}}]}}
  {name}-or-spare: {{routes: [{{provider: spare, model: {name}}}, {{provider: fake, model: good}}]}}
"""


@dataclass
class Server:
    url: str
    key: str
    provider: Scripted

    def storm(self, model: str, *, stream: bool) -> list[httpx.Response]:
        body = {"model": model, "messages": [{"role": "user", "content": "?"}], "stream": stream}
        limits = httpx.Limits(max_connections=AT_ONCE)
        headers = {"authorization": f"Bearer {self.key}"}
        with (
            httpx.Client(base_url=self.url, headers=headers, limits=limits, timeout=60) as client,
            ThreadPoolExecutor(AT_ONCE) as threads,
        ):
            return list(threads.map(lambda _: client.post("/v1/chat/completions", json=body), range(CALLS)))

    def asked(self, model: str) -> int:
        return len([entry for entry in self.provider.truth() if entry["model"] == model])


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory, scratch_server: Any) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("stormy")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as database:
        skep = Command(folder / "data", folder, database)
        models = "".join(MODEL.format(name=name) for name in ("busy", "waits", "broken"))
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url) + models)
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as url:
            yield Server(url, key, provider)


# A probe every few seconds at most, beside those that were under way when it became clear that it makes no sense, and their retries.
PROBES = by_level(6, 30)
MOST_ASKED = {
    "busy": BUSY_ANSWERS * (1 + RETRIES) + AT_ONCE + PROBES,
    "waits": BUSY_ANSWERS * (1 + RETRIES) + AT_ONCE + PROBES,
    "broken": STRAIGHT_FAILURES + AT_ONCE + PROBES,
}


@pytest.mark.parametrize(("name", "stream"), [("busy", True), ("waits", False)])
def test_who_is_busy_is_left_alone_and_clients_are_told_when_to_come_back(
    stormy: Server, name: str, stream: bool
) -> None:
    before = stormy.asked(name)
    answers = stormy.storm(name, stream=stream)
    assert {answer.status_code for answer in answers} == {429}
    codes = Counter(answer.json()["error"]["code"] for answer in answers)
    assert codes["routes_busy"] > CALLS - AT_ONCE - BUSY_ANSWERS - PROBES, codes
    assert {answer.json()["error"]["type"] for answer in answers if "fix" in answer.json()["error"]} == {
        "rate_limit_error"
    }
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in answers)
    assert stormy.asked(name) - before <= MOST_ASKED[name]


def test_who_fails_is_left_alone(stormy: Server) -> None:
    before = stormy.asked("broken")
    answers = stormy.storm("broken", stream=False)
    codes = Counter((answer.status_code, answer.json()["error"]["code"]) for answer in answers)
    assert codes.keys() <= {(502, "provider_failed"), (503, "no_route")}
    assert codes[503, "no_route"] > CALLS / 2, codes
    assert all(1 <= int(each.headers["retry-after"]) <= 300 for each in answers if each.status_code == 503)
    assert stormy.asked("broken") - before <= MOST_ASKED["broken"]


@pytest.mark.parametrize("name", ["busy", "waits", "broken"])
def test_the_next_route_answers_everybody(stormy: Server, name: str) -> None:
    before = stormy.asked(name)
    answers = stormy.storm(f"{name}-or-spare", stream=False)
    assert Counter((answer.status_code, answer.headers["x-skep-provider"]) for answer in answers) == {
        (200, "fake"): CALLS
    }
    assert stormy.asked(name) - before <= MOST_ASKED[name]
