"""``tier:fast`` as a model through a server: what answers, what keys and budgets say of it, and what takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import openai
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.acceptance.gateway.test_experiments import QUESTION, Server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import scripted
from tests.serving import eventually

SCRIPT = """\
rules:
  - {when: {models: [up-down]}, then: {status: 401}}
otherwise: {text: Hello., usage: {input_tokens: 100, output_tokens: 10}}
"""
SETTINGS = """\
providers:
  house: {{kind: openai_compatible, base_url: "{url}"}}
  away: {{kind: openai_compatible, base_url: "{url}", local: false}}
models:
  first: {{tier: fast, routes: [{{provider: away, model: up-first}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 5}}}}
  second: {{tier: fast, routes: [{{provider: house, model: up-second}}]}}
  down: {{tier: shaky, retries: 0, routes: [{{provider: away, model: up-down}}]}}
  up: {{tier: shaky, routes: [{{provider: away, model: up-up}}]}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("tiers")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Server(address, key, provider, skep)


def model_of(served: Server, key: str = "", tier: str = "tier:fast", **headers: str) -> str:
    answer = served.ask(tier, key=key, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-skep-model"]


def test_a_tier_is_asked_for_and_listed_like_a_model(served: Server) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    assert client.chat.completions.create(model="tier:fast", messages=QUESTION).choices[0].message.content == "Hello."
    assert served.provider.truth()[-1]["model"] == "up-first"
    assert {"tier:fast", "tier:shaky", "first"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("tier:fast").id == "tier:fast"
    with pytest.raises(openai.NotFoundError, match="Tiers: fast, shaky") as refused:
        client.chat.completions.create(model="tier:slow", messages=QUESTION)
    assert refused.value.code == "tier_not_found"


def test_keys_name_tiers_or_models(served: Server) -> None:
    assert model_of(served, served.key_for(models=["second", "up"])) == "second"
    key = served.key_for(models=["tier:fast"])
    assert model_of(served, key) == "first"
    assert model_of(served, key, tier="second") == "second"
    assert served.ask("up", key=key).status_code == 403
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)
    assert [model.id for model in client.models.list()] == ["first", "second", "tier:fast"]


def test_a_tier_stays_in_the_house(served: Server) -> None:
    assert model_of(served, **{"x-skep-privacy": "local_only"}) == "second"


def test_a_model_whose_routes_are_closed_is_passed_over(served: Server) -> None:
    with eventually() as waits:
        while (answer := served.ask("tier:shaky")).status_code != 200:
            assert answer.status_code == 502, answer.text
            waits()
    assert answer.headers["x-skep-model"] == "up"


def test_budgets_count_the_tier_whoever_asks_and_however(served: Server) -> None:
    name = f"t-{uuid4().hex[:8]}"
    served.administer("limits", name=name, metric="requests", amount=2, subject="tier", value="fast", period="day")
    gold = served.key_for(tier="gold")
    assert served.ask("tier:fast").status_code == 200
    assert served.ask("second", key=gold).status_code == 200
    refused = [served.ask("tier:fast").status_code, served.ask("second", key=gold).status_code]
    assert refused == [429, 429]
    assert served.ask("up").status_code == 200
    served.skep("limit", "delete", name)
    # A rule for a tier of keys goes on holding them.
    served.administer("limits", name=name, metric="requests", amount=0, subject="tier", value="gold", period="day")
    assert (served.ask("tier:fast", key=gold).status_code, served.ask("tier:fast").status_code) == (429, 200)
    served.skep("limit", "delete", name)


def test_a_call_says_which_model_its_tier_was(served: Server) -> None:
    call = served.ask("tier:fast").headers["x-skep-call-id"]
    with eventually() as waits:
        while (told := served.skep("gateway", "explain", call, "--json", code=None)).code:
            waits()
    assert [told.answer[name] for name in ("asked_model", "model", "tier")] == ["tier:fast", "first", "fast"]
