"""`/v1/rerank` and `/v1/moderations`: what passes, and what it costs, as the providers tell it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import RawProvider, answer, raw_provider

COHERE = (
    b'{"id":"07734bd2","results":[{"index":1,"relevance_score":0.99},{"index":0, "relevance_score":8.7e-05}],'
    b'"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":2}}}'
)
JINA = b'{"model":"j","object":"list","usage":{"total_tokens":815},"results":[{"index":0,"relevance_score":0.3}]}'
HARM = (
    b'{"id":"modr-1","model":"omni","results":[{"flagged":true,"categories":{"violence":true},'
    b'"category_scores":{"violence":0.9},"category_applied_input_types":{"violence":["text"]}}]}'
)
ASKED: dict[str, Any] = {"query": "bees", "documents": ["honey", "stones"], "top_n": 2}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer
) -> Iterator[tuple[str, RawProvider, Command]]:
    folder: Path = tmp_path_factory.mktemp("ranking")
    scripts: Any = {
        "cohere": lambda: [answer(COHERE)],
        "jina": lambda: [answer(JINA)],
        "omni": lambda: [answer(HARM)],
    }
    with raw_provider(scripts) as raw, scratch_server.database() as url:
        shared = {"base_url": raw.url, "api_key": "sk-provider"}
        told = {
            "providers": {kind: {"kind": kind, **shared} for kind in ("cohere", "jina", "openai")},
            "models": {
                "by-search": {"search_usd": 0.002, "routes": [{"provider": "cohere", "model": "cohere"}]},
                "by-token": {
                    "price": {"input_usd_per_mtok": 2, "output_usd_per_mtok": 0},
                    "routes": [{"provider": "jina", "model": "jina"}],
                },
                "unpriced": {"routes": [{"provider": "cohere", "model": "cohere"}]},
                "harm": {"routes": [{"provider": "openai", "model": "omni"}]},
            },
        }
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(json.dumps(told))
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield address, raw, skep


def _key(skep: Command, name: str, *more: str) -> dict[str, str]:
    made = skep("key", "create", "--name", name, "--json", *more).answer["key"]
    return {"authorization": f"Bearer {made}"}


def test_ranking_costs_what_the_provider_tells(served: tuple[str, RawProvider, Command]) -> None:
    url, raw, skep = served
    headers = _key(skep, "free")
    found = {
        model: httpx.post(f"{url}/v1/rerank", json={"model": model, **ASKED}, headers=headers, timeout=30)
        for model in ("by-search", "by-token", "unpriced")
    }
    assert [each.status_code for each in found.values()] == [200] * 3
    assert (found["by-search"].content, found["by-token"].content) == (COHERE, JINA)
    costs = {model: each.headers.get("x-skep-cost-usd") for model, each in found.items()}
    # Two searches at 0.002; 815 tokens at 2 dollars a million; nobody knows.
    assert costs == {"by-search": "0.004", "by-token": "0.00163", "unpriced": None}
    seen = raw.last("cohere")
    assert (seen.path, json.loads(seen.body)) == ("/v1/rerank", {"model": "cohere", **ASKED})


def test_a_budget_reserves_the_searches_that_documents_can_be(served: tuple[str, RawProvider, Command]) -> None:
    url, _, skep = served
    headers = _key(skep, "little", "--budget-usd", "0.005", "--per", "day")

    def ask(model: str, documents: int) -> httpx.Response:
        body = {"model": model, "query": "bees", "documents": ["honey"] * documents}
        return httpx.post(f"{url}/v1/rerank", json=body, headers=headers, timeout=30)

    assert ask("by-search", 1_000).status_code == 402
    unknown = ask("unpriced", 1)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (402, "unpriced")
    assert [ask("by-search", 5).status_code for _ in range(2)] == [200, 402]


def test_moderations_are_free(served: tuple[str, RawProvider, Command]) -> None:
    url, _, skep = served
    headers = _key(skep, "poor", "--budget-usd", "0.00000001", "--per", "day")
    key = headers["authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20) as client:
        raw = client.moderations.with_raw_response.create(model="harm", input="I will get you.")
        assert raw.parse().results[0].flagged
    assert (raw.headers["x-skep-cost-usd"], raw.headers["x-skep-provider"]) == ("0", "openai")
    chat = httpx.post(f"{url}/v1/chat/completions", json={"model": "harm", "messages": []}, headers=headers, timeout=30)
    assert chat.status_code == 402


def test_a_model_without_such_a_provider_says_so(served: tuple[str, RawProvider, Command]) -> None:
    url, _, skep = served
    headers = {"authorization": f"Bearer {(skep.data / KEY_FILE).read_text().strip()}"}
    made = httpx.post(f"{url}/api/v1/keys", json={"name": "any"}, headers=headers, timeout=30).json()["key"]
    asked = {"model": "harm", **ASKED}
    refused = httpx.post(f"{url}/v1/rerank", json=asked, headers={"x-api-key": made}, timeout=30)
    assert (refused.status_code, "No provider of harm has rerank" in refused.json()["error"]["message"]) == (400, True)
