"""Streams that are ended before the model does: with real clients, and a provider that says how far it came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted
from tests.serving import eventually

WANTED = '{"a": [1, "}"], "b": 2}'
TEXT = f"Of course: {WANTED} is what you asked for. " + "And more. " * 100
SCRIPT = f"""\
rules:
  - {{when: {{models: [short]}}, then: {{text: Not a word of JSON., events_per_second: 1000}}}}
otherwise: {{text: {json.dumps(TEXT)}, events_per_second: 300}}
"""
SETTINGS = """\
providers:
  chat: {{kind: openai_compatible, base_url: "{url}"}}
  messages: {{kind: anthropic, base_url: "{url}", api_key: k}}
  openai: {{kind: openai, base_url: "{url}", api_key: k}}
  gemini: {{kind: gemini, base_url: "{gemini_url}", api_key: k}}
models:
  chat: {{routes: [{{provider: chat, model: long}}], price: {price}}}
  messages: {{routes: [{{provider: messages, model: long}}], price: {price}}}
  gemini: {{routes: [{{provider: gemini, model: long}}], price: {price}}}
  responses: {{routes: [{{provider: openai, model: long, formats: [responses]}}], price: {price}}}
  always: {{routes: [{{provider: chat, model: long}}], price: {price}, stop_when: {{json: true}}, cache_seconds: 60}}
  short: {{routes: [{{provider: chat, model: short}}], price: {price}}}
"""
PRICE = "{input_usd_per_mtok: 1, output_usd_per_mtok: 2}"
QUESTION: Any = [{"role": "user", "content": "Two things, as JSON"}]
JSON = {"x-skep-stop-when": "json"}


@dataclass
class Server:
    client: httpx.Client
    provider: Scripted
    skep: Command
    url: str
    key: str

    def explained(self, call_id: str) -> dict[str, Any]:
        """A call of the ledger, which has it about a second later."""
        with eventually() as waits:
            while (found := self.client.get(f"/api/v1/calls/{call_id}")).status_code == 404:
                waits()
        call: dict[str, Any] = found.json()
        return call

    def last_end(self) -> dict[str, Any]:
        return self.provider.truth("end")[-1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("early-ends")
    with scripted(folder / "provider", SCRIPT, "--no-fsync", "--ends") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(
            SETTINGS.format(url=provider.url, gemini_url=f"{provider.url.removesuffix('/v1')}/v1beta", price=PRICE)
        )
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        headers = {"authorization": f"Bearer {key}"}
        with (
            server(skep, folder / "skep.yaml", workers=1) as address,
            httpx.Client(base_url=address, headers=headers, timeout=30) as client,
        ):
            yield Server(client, provider, skep, address, key)


@pytest.mark.parametrize("model", ["chat", "messages", "gemini"])
def test_openais_client_gets_the_json_and_a_good_end(served: Server, model: str) -> None:
    """From a provider of either format."""
    with openai.OpenAI(api_key=served.key, base_url=f"{served.url}/v1", max_retries=0) as client:
        stream = client.chat.completions.create(
            model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}, extra_headers=JSON
        )
        call_id = stream.response.headers["x-skep-call-id"]
        chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said.endswith(WANTED)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert reasons == ["stop"]
    usage = chunks[-1].usage
    assert usage is not None
    call = served.explained(call_id)
    assert (call["outcome"], call["stopped"]) == ("ok", "json")
    assert call["cost"]["estimated"]
    assert call["usage"]["output_tokens"] == usage.completion_tokens > 0
    assert call["cost"]["cost_nusd"] == usage.prompt_tokens * 1000 + usage.completion_tokens * 2000


@pytest.mark.parametrize("model", ["chat", "messages", "gemini"])
def test_anthropics_client_gets_the_json_and_a_good_end(served: Server, model: str) -> None:
    with (
        anthropic.Anthropic(api_key=served.key, base_url=served.url, max_retries=0) as client,
        client.messages.stream(model=model, max_tokens=900, messages=QUESTION, extra_headers=JSON) as stream,
    ):
        message = stream.get_final_message()
    block = message.content[0]
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text.endswith(WANTED)
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("model", ["chat", "messages", "gemini", "responses"])
def test_openais_client_gets_a_response_with_the_json(served: Server, model: str) -> None:
    """The client puts the response together itself, and compares nothing: so what it was sent as a whole is looked at."""
    with (
        openai.OpenAI(api_key=served.key, base_url=f"{served.url}/v1", max_retries=0) as client,
        client.responses.stream(model=model, input="Two things, as JSON", extra_headers=JSON) as stream,
    ):
        events = list(stream)
        response = stream.get_final_response()
    assert response.status == "completed"
    assert response.output_text.endswith(WANTED)
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == response.output_text
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert response.usage is not None
    assert response.usage.output_tokens > 0
    with eventually() as waits:
        while served.last_end()["whole"]:
            waits()


def test_a_response_that_cost_enough_is_incomplete(served: Server) -> None:
    body = {"model": "responses", "stream": True, "input": "Two things, as JSON"}
    answer = served.client.post("/v1/responses", json=body, headers={"x-skep-stop-when": '{"cost_usd": 0.0001}'})
    last = json.loads(answer.text.rstrip().rpartition("data: ")[2])
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    call = served.explained(answer.headers["x-skep-call-id"])
    assert (call["stopped"], call["usage"]["output_tokens"]) == ("cost", last["response"]["usage"]["output_tokens"])


@pytest.mark.parametrize(("usd", "why", "reason"), [(0.0001, "cost", "length"), (1, None, "stop")])
def test_a_call_is_cut_when_it_has_cost_enough(served: Server, usd: float, why: str | None, reason: str) -> None:
    body = {"model": "chat", "stream": True, "messages": QUESTION, "max_tokens": 2000}
    when = json.dumps({"cost_usd": usd})
    answer = served.client.post("/v1/chat/completions", json=body, headers={"x-skep-stop-when": when})
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert f'"finish_reason":"{reason}"' in answer.text.replace(" ", "")
    call = served.explained(answer.headers["x-skep-call-id"])
    assert (call["stopped"], call["cost"]["estimated"]) == (why, why is not None)
    if why:
        assert usd * 1e9 <= call["cost"]["cost_nusd"] < usd * 1e9 + 20_000


def test_the_provider_is_told_and_savings_are_counted(served: Server) -> None:
    body = {"model": "chat", "stream": True, "messages": QUESTION}
    # How long a stream of this route is, is known once one came to its own end.
    whole = served.client.post("/v1/chat/completions", json=body).text
    answer = served.client.post("/v1/chat/completions", json=body, headers={"x-skep-stop-when": '{"pattern": "asked"}'})
    assert "asked" in answer.text
    assert len(answer.text) < len(whole) / 3
    with eventually() as waits:
        while served.last_end()["whole"]:
            waits()
    call = served.explained(answer.headers["x-skep-call-id"])
    assert call["stopped"] == "pattern"
    spared = float(call["spared_usd"])
    assert 0.0003 < spared < 0.0012
    found = served.client.get("/api/v1/cost/savings").json()
    lines = {line["by"]: line for line in found["lines"]}
    assert float(lines["pattern"]["saved_usd"]) >= spared
    assert float(found["saved_usd"]) >= spared
    told = served.skep("cost", "savings").out
    pattern = lines["pattern"]
    many = "1 call" if pattern["calls"] == 1 else f"{pattern['calls']} calls"
    assert f"{many} ended early (pattern): about {pattern['saved_usd']} USD" in told
    shown = served.skep("gateway", "explain", answer.headers["x-skep-call-id"]).out
    assert f"about {call['spared_usd']} USD, by ending the stream early (pattern)" in shown


def test_a_models_own_condition_counts_and_its_answers_are_kept(served: Server) -> None:
    body = {"model": "always", "stream": True, "messages": QUESTION}
    first = again = served.client.post("/v1/chat/completions", json=body)
    # It is kept a moment after its end was sent.
    with eventually() as waits:
        while again.headers["x-skep-cache"] == "miss":
            first, again = again, served.client.post("/v1/chat/completions", json=body)
            waits()
    events = [line for line in again.text.splitlines() if line.startswith("data: {")]
    assert events == [line for line in first.text.splitlines() if line.startswith("data: {")]
    said = "".join(
        choice["delta"].get("content") or "" for event in events for choice in json.loads(event[6:])["choices"]
    )
    assert said.endswith(WANTED)
    # Another wish has another answer.
    other = served.client.post("/v1/chat/completions", json=body, headers={"x-skep-stop-when": '{"pattern": "course"}'})
    assert "x-skep-cache" not in other.headers
    assert "course" in other.text
    assert '\\"a\\"' not in other.text


def test_a_stream_without_what_is_looked_for_comes_to_its_own_end(served: Server) -> None:
    body = {"model": "short", "stream": True, "messages": QUESTION}
    answer = served.client.post("/v1/chat/completions", json=body, headers=JSON)
    call = served.explained(answer.headers["x-skep-call-id"])
    assert (call["stopped"], call["cost"]["estimated"], call["outcome"]) == (None, False, "ok")


@pytest.mark.parametrize(
    ("wish", "more", "words"),
    [
        ("yaml", {"stream": True}, "must be json"),
        ('{"pattern": "("}', {"stream": True}, "missing"),
        ("json", {"stream": False}, "streams"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(served: Server, wish: str, more: dict[str, Any], words: str) -> None:
    body = {"model": "chat", "messages": QUESTION, **more}
    answer = served.client.post("/v1/chat/completions", json=body, headers={"x-skep-stop-when": wish})
    assert answer.status_code == 400
    assert "x-skep-stop-when" in answer.json()["error"]["message"]
    assert words in answer.json()["error"]["message"]
