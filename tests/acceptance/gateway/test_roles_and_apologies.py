"""What the settings say for clients through a server: roles, for what a request leaves out, and words for when every route failed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import openai
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.acceptance.gateway.test_experiments import QUESTION, Server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import RawProvider, answer, raw_provider
from tests.scripted import scripted
from tests.serving import eventually

pytestmark = pytest.mark.measured

SCRIPT = """\
rules:
  - {when: {models: [up-broken]}, then: {status: 500}}
  - {when: {models: [up-busy]}, then: {status: 429}}
  - {when: {models: [up-strict]}, then: {status: 400}}
  - {when: {models: [up-cut]}, then: {words: 30, fault: close_in_stream}}
otherwise: {text: Hello., usage: {input_tokens: 100, output_tokens: 10}}
"""
SORRY = "Sorry, nobody answers.\\nTell us {trace_id}."
ANSWER = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}'
MESSAGE = b'{"id":"m","type":"message","role":"assistant","model":"raw","content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":2}}'


def settings(url: str, raw_url: str) -> str:
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}
    providers = {
        "fake": {"kind": "openai_compatible", "base_url": url},
        "raw": {"kind": "openai", "base_url": raw_url, "api_key": "k"},
        "claude": {"kind": "anthropic", "base_url": raw_url, "api_key": "k"},
    }
    models: dict[str, Any] = {
        "raw": {"price": price, "routes": [{"provider": "raw", "model": "chat"}], "tier": "seen"},
        "claude": {"price": price, "routes": [{"provider": "claude", "model": "message"}]},
        "silent": {"retries": 0, "routes": [{"provider": "fake", "model": "up-broken"}]},
    }
    for name in ("broken", "busy", "strict", "cut"):
        routes = [{"provider": "fake", "model": f"up-{name}"}]
        models[name] = {
            "retries": 0,
            "price": price,
            "routes": routes,
            "cache_seconds": 300,
            "apology": SORRY.replace("\\n", "\n"),
        }
    roles = {
        "critic": {"model": "raw", "temperature": 0.2, "max_tokens": 300, "system": "Be strict."},
        "claude": {"model": "claude", "temperature": 0.3, "max_tokens": 200, "system": "Be kind."},
        "seen": {"model": "tier:seen"},
    }
    return json.dumps({"providers": providers, "models": models, "roles": roles})


@pytest.fixture(scope="module")
def raw() -> Iterator[RawProvider]:
    with raw_provider({"chat": lambda: [answer(ANSWER)], "message": lambda: [answer(MESSAGE)]}) as provider:
        yield provider


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer, raw: RawProvider
) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("roles")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(settings(provider.url, raw.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Server(address, key, provider, skep)


def test_a_role_says_what_the_client_leaves_out(served: Server, raw: RawProvider) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    said = client.chat.completions.with_raw_response.create(model="role:critic", messages=QUESTION)
    assert said.parse().choices[0].message.content == "Hi."
    assert said.headers["x-skep-model"] == "raw"
    sent = json.loads(raw.seen[-1].body)
    assert sent == {
        "model": "chat",
        "messages": [{"role": "system", "content": "Be strict."}, *QUESTION],
        "temperature": 0.2,
        "max_completion_tokens": 300,
    }
    own: Any = [{"role": "system", "content": "Mine."}, *QUESTION]
    headers = {"x-skep-role": "critic"}
    client.chat.completions.create(model="raw", messages=own, temperature=1, max_tokens=7, extra_headers=headers)
    sent = json.loads(raw.seen[-1].body)
    assert sent == {"model": "chat", "messages": own, "temperature": 1, "max_tokens": 7}


def test_a_role_is_said_in_another_format_too(served: Server, raw: RawProvider) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    headers = {"x-skep-role": "claude"}
    assert (
        client.chat.completions.create(model="role", messages=QUESTION, extra_headers=headers)
        .choices[0]
        .message.content
        == "Hi."
    )
    sent = json.loads(raw.seen[-1].body)
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("message", 0.3, 200)
    assert "Be kind." in json.dumps(sent["system"])
    claude = anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0)
    claude.messages.create(model="role:claude", messages=QUESTION, max_tokens=9)
    sent = json.loads(raw.seen[-1].body)
    assert (sent["system"], sent["max_tokens"], sent["messages"]) == ("Be kind.", 9, QUESTION)


def test_the_bound_of_a_role_is_reserved(served: Server) -> None:
    key = served.administer("keys", name=uuid4().hex)
    served.administer(
        "limits", name=uuid4().hex, metric="tokens", amount=600, subject="key", value=key["id"], period="day"
    )
    body = {"model": "role:critic", "messages": QUESTION}
    headers = {"authorization": f"Bearer {key['key']}"}
    found = httpx.post(f"{served.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
    # Without a bound it would have been given one.
    assert (found.status_code, "x-skep-output-tokens-cap" in found.headers) == (200, False), found.text
    refused = httpx.post(
        f"{served.url}/v1/chat/completions", json=body | {"max_tokens": 600}, headers=headers, timeout=30
    )
    assert refused.status_code == 429


def test_roles_are_refused_by_name(served: Server) -> None:
    unknown = served.ask("raw", headers={"x-skep-role": "nobody"})
    error = unknown.json()["error"]
    assert (unknown.status_code, error["code"]) == (404, "role_not_found")
    assert error["message"] == "There is no role named nobody here. Roles: claude, critic, seen."
    assert "roles:" in error["fix"]
    assert served.ask("role").json()["error"]["code"] == "request_invalid"
    assert served.ask("role:critic", key=served.key_for(models=["claude"])).status_code == 403
    assert served.ask("role:critic", path="completions", prompt="x", messages=None).status_code == 400


def test_roles_are_listed_to_those_who_may(served: Server) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key_for(models=["raw"]), max_retries=0)
    assert [model.id for model in client.models.list()] == ["raw", "tier:seen", "role:critic", "role:seen"]


def test_a_role_is_explained(served: Server) -> None:
    call = served.ask("role:seen").headers["x-skep-call-id"]
    found = explained(served, call)
    assert (found["asked_model"], found["model"], found["tier"]) == ("role:seen", "raw", "seen")
    assert [step["outcome"] for step in found["steps"]] == ["role", "tier", "ok"]


def explained(served: Server, call: str) -> dict[str, Any]:
    with eventually() as waits:
        while (told := served.skep("gateway", "explain", call, "--json", code=None)).code:
            waits()
    return told.answer


def sorry(headers: Mapping[str, str]) -> str:
    assert headers["x-skep-apology"] == "true"
    return SORRY.replace("\\n", "\n").replace("{trace_id}", headers["x-trace-id"])


@pytest.mark.parametrize("model", ["broken", "busy"])
def test_when_every_route_failed_clients_read_an_apology(served: Server, model: str) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    chat = client.chat.completions.with_raw_response.create(model=model, messages=QUESTION)
    said = chat.parse()
    assert said.choices[0].message.content == sorry(chat.headers)
    assert (said.choices[0].finish_reason, said.model) == ("stop", model)
    assert said.usage is not None
    assert said.usage.total_tokens == 0
    text = client.completions.with_raw_response.create(model=model, prompt="x")
    assert text.parse().choices[0].text == sorry(text.headers)
    response = client.responses.with_raw_response.create(model=model, input="x")
    assert response.parse().output_text == sorry(response.headers)
    assert response.parse().status == "completed"
    claude = anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0)
    message = claude.messages.with_raw_response.create(model=model, messages=QUESTION, max_tokens=9)
    part = message.parse().content[0]
    assert part.type == "text"
    assert part.text == sorry(message.headers)
    assert (message.parse().stop_reason, message.parse().usage.output_tokens) == ("end_turn", 0)
    # Nothing of it is given again.
    assert message.headers["x-skep-cache"] == "miss"
    outcome = "server_error" if model == "broken" else "rate_limited"
    found = explained(served, chat.headers["x-skep-call-id"])
    assert (found["outcome"], found["cost"]["cost_nusd"]) == (outcome, 0)


def test_streams_apologize_as_streams(served: Server) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    with client.chat.completions.with_streaming_response.create(
        model="broken", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ) as chat:
        chunks = list(chat.parse())
        words = sorry(chat.headers)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == words
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 0
    texts = list(client.completions.create(model="broken", prompt="x", stream=True))
    assert texts[0].choices[0].text.startswith("Sorry, nobody answers.\nTell us ")
    *_, last = client.responses.create(model="broken", input="x", stream=True)
    assert last.type == "response.completed"
    assert last.response.output_text.startswith("Sorry, nobody answers.\nTell us ")
    claude = anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0)
    with claude.messages.stream(model="broken", messages=QUESTION, max_tokens=9) as events:
        assert events.get_final_text().startswith("Sorry, nobody answers.\nTell us ")
        assert events.get_final_message().stop_reason == "end_turn"


def is_open(served: Server, route: str) -> bool:
    headers = {"authorization": f"Bearer {served.key}"}
    routes = httpx.get(f"{served.url}/api/v1/gateway/status", headers=headers, timeout=30).json()["routes"]
    return any(each["route"] == route and each["breaker"]["state"] == "open" for each in routes)


def test_closed_routes_apologize_too(served: Server) -> None:
    with eventually() as waits:
        while not is_open(served, "fake/up-broken"):
            found = served.ask("broken")
            assert (found.status_code, found.headers["x-skep-apology"]) == (200, "true")
            waits()
    found = served.ask("broken")
    assert (found.status_code, found.headers["x-skep-apology"]) == (200, "true")
    assert "x-skep-provider" not in found.headers


def test_what_is_the_requests_fault_or_a_rules_is_no_apology(served: Server) -> None:
    assert served.ask("strict").status_code == 400
    assert served.ask("silent").status_code in (502, 503)
    key = served.administer("keys", name=uuid4().hex)
    served.administer("budgets", name=uuid4().hex, usd="0", subject="key", value=key["id"], period="day")
    assert served.ask("broken", key=key["key"]).status_code == 402
    # An answer that has begun ends as broken ones end.
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="cut", messages=QUESTION, stream=True))
    embeddings = httpx.post(
        f"{served.url}/v1/embeddings",
        json={"model": "broken", "input": "x"},
        headers={"authorization": f"Bearer {served.key}"},
        timeout=30,
    )
    assert embeddings.status_code in (502, 503)
