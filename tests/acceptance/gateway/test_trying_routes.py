"""`skep gateway test` and `models`: each route by itself, with what it says, costs and does wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import answer, raw_provider
from tests.scripted import Scripted, scripted

SCRIPT = """\
rules:
  - {when: {models: [wrong]}, then: {status: 404, error_message: "The model wrong does not exist"}}
otherwise: {text: OK, usage: {input_tokens: 10, output_tokens: 1}}
"""
SETTINGS = """\
providers:
  chat: {{kind: openai_compatible, base_url: "{url}"}}
  messages: {{kind: anthropic, base_url: "{url}", api_key: k}}
  ranking: {{kind: cohere, base_url: "{url}", api_key: k}}
  locked: {{kind: openai_compatible, base_url: "{locked}", api_key: old}}
  gone: {{kind: openai_compatible, base_url: "http://127.0.0.1:1/v1"}}
models:
  good:
    tier: fast
    context_window: 8000
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
    cache_seconds: 60
    routes: [{{provider: chat, model: one}}, {{provider: messages, model: two}}]
  bad:
    retries: 5
    apology: Sorry.
    routes: [{{provider: chat, model: wrong}}, {{provider: gone, model: three}}]
  locked:
    retries: 0
    routes: [{{provider: locked, model: locked}}]
  ranks:
    routes: [{{provider: ranking, model: four}}]
  others:
    retries: 0
    routes:
    - {{provider: chat, model: my-embedder}}
    - {{provider: chat, model: gpt-9-tts}}
    - {{provider: chat, model: painter, purpose: picture}}
"""


@dataclass
class Server:
    skep: Command
    provider: Scripted
    client: httpx.Client


def _by_key(head: bytes) -> bytes:
    if b"Bearer new" in head:
        said = {"choices": [{"message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}]}
        return answer(json.dumps(said).encode())
    return answer(b'{"error": {"message": "The key is wrong", "code": "invalid_api_key"}}', status=401)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("trying")
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        raw_provider({"locked": lambda: [_by_key(locked.seen[-1].head)]}) as locked,
        scratch_server.database() as url,
    ):
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url, locked=locked.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        headers = {"authorization": f"Bearer {key}"}
        with (
            server(skep, folder / "skep.yaml", workers=1) as address,
            httpx.Client(base_url=address, headers=headers, timeout=30) as client,
        ):
            yield Server(skep, provider, client)


def test_every_route_is_tried_by_itself(served: Server) -> None:
    before = len(served.provider.truth())
    done = served.skep("gateway", "test", "--json", code=1)
    found = {(each["model"], each["route"]): each for each in done.answer["tests"]}
    assert {route: each["result"] for route, each in found.items()} == {
        ("good", "chat/one"): "ok",
        ("good", "messages/two"): "ok",
        ("bad", "chat/wrong"): "failed",
        ("bad", "gone/three"): "failed",
        ("locked", "locked/locked"): "failed",
        ("ranks", "ranking/four"): "ok",
        ("others", "chat/my-embedder"): "ok",
        ("others", "chat/gpt-9-tts"): "untried",
        ("others", "chat/painter"): "untried",
    }
    # Each is asked for what it gives.
    assert found["ranks", "ranking/four"]["face"] == "rerank"
    assert found["others", "chat/my-embedder"]["face"] == "embeddings"
    assert "it speaks" in found["others", "chat/gpt-9-tts"]["reason"]
    assert "it draws" in found["others", "chat/painter"]["reason"]
    assert (done.answer["failed"], done.answer["untried"]) == (3, 2)
    assert found["good", "chat/one"]["cost_usd"] == found["good", "messages/two"]["cost_usd"] == "0.000012"
    assert "does not exist" in found["bad", "chat/wrong"]["reason"]
    assert "no connection" in found["bad", "gone/three"]["reason"]
    # Neither tried again nor given from the cache, and no apology hides what is wrong.
    assert [call["model"] for call in served.provider.truth()[before:]] == [
        "one",
        "two",
        "wrong",
        "four",
        "my-embedder",
    ]
    assert served.skep("gateway", "test", "good", "--json").answer["failed"] == 0
    assert [call["model"] for call in served.provider.truth()[before + 5 :]] == ["one", "two"]


def test_a_route_that_is_left_alone_is_tried_all_the_same(served: Server) -> None:
    for _ in range(4):
        tried = served.skep("gateway", "test", "locked", "--json", code=1).answer["tests"]
        assert "it answered 401" in tried[0]["reason"]
    asked = {"model": "locked", "messages": [{"role": "user", "content": "?"}]}
    closed = served.client.post("/v1/chat/completions", json=asked)
    assert (closed.status_code, closed.json()["error"]["code"]) == (503, "no_route")
    # With another key it counts as a provider of which nothing is known.
    settings = served.skep.folder / "skep.yaml"
    text = settings.read_text()
    for key, status in (("new", 200), ("old", 502)):
        settings.write_text(text.replace("api_key: old", f"api_key: {key}"))
        served.skep("gateway", "reload")
        assert served.client.post("/v1/chat/completions", json=asked).status_code == status


def test_people_read_a_line_for_each(served: Server) -> None:
    done = served.skep("gateway", "test", "bad", code=1)
    told = done.out + done.err
    assert "failed  bad: chat/wrong: The model wrong does not exist" in told
    assert "0 of 2 routes answered" in told
    done = served.skep("gateway", "test", "others")
    told = done.out + done.err
    assert "untried others: chat/gpt-9-tts: it speaks" in told
    assert "1 of 1 routes answered, 2 were not tried" in told


def test_a_model_that_is_not_there_is_named(served: Server) -> None:
    done = served.skep("gateway", "test", "other", code=2)
    assert "no model named other" in done.err
    assert "good, bad, locked, ranks, others" in done.err


def test_what_is_known_of_models_is_shown(served: Server) -> None:
    good, bad, _, _, others = served.skep("gateway", "models", "--json").answer["models"]
    assert (good["name"], good["tier"], bad["tier"]) == ("good", "fast", None)
    chat, messages = good["routes"]
    assert (chat["context_window"], chat["is_priced"], chat["is_local"]) == (8000, True, True)
    assert {"chat.completions", "messages", "embeddings"} <= set(chat["faces"])
    assert "embeddings" not in messages["faces"]
    assert [route["is_priced"] for route in bad["routes"]] == [False, False]
    assert [route["purpose"] for route in others["routes"]] == ["embedding", "speech", "picture"]
    assert chat["purpose"] is None
    told = served.skep("gateway", "models").out
    assert "chat/gpt-9-tts (openai_compatible, local): window not known, price not known; for speech; " in told
    assert "chat/one (openai_compatible, local): window 8,000, priced; chat.completions" in told


def test_only_an_admin_chooses_a_route(served: Server) -> None:
    body = json.dumps({"model": "good", "messages": [{"role": "user", "content": "?"}]})
    refused = served.client.post("/v1/chat/completions", content=body, headers={"x-skep-route": "messages/two"})
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "role_too_low"
