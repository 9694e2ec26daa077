"""Anthropic's and OpenAI's own clients against providers of both formats: each face by each kind, whole and streamed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import openai
import pytest
from pydantic import BaseModel

from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import RawProvider, answer, raw_provider
from tests.scripted import Scripted, scripted
from tests.unit.gateway.test_translating import CLAUDE_CODE

USAGE = "usage: {input_tokens: 100, output_tokens: 20, cached_input_tokens: 40}"
SCRIPT = f"""\
prices: {{"*": {{input_usd_per_mtok: 1, output_usd_per_mtok: 2, cached_input_usd_per_mtok: 0.5}}}}
api_keys: [sk-provider]
rules:
  - when: {{models: [tools]}}
    then:
      text: Let me look.
      tool_calls: [{{name: weather, arguments: {{place: Ulm, exact: 12345678901234567890}}}}, {{name: clock, arguments: {{}}}}]
      {USAGE}
  - {{when: {{models: [busy]}}, then: {{status: 429, retry_after: "7"}}}}
  - {{when: {{models: [context]}}, then: {{status: 400, error_message: prompt is too long}}}}
  - {{when: {{models: [cut]}}, then: {{words: 30, fault: close_in_stream}}}}
  - {{when: {{models: [failing]}}, then: {{words: 30, fault: {{kind: error_in_stream, after_events: 6}}}}}}
  - {{when: {{models: [shaped]}}, then: {{{USAGE}}}}}
  - {{when: {{models: [long]}}, then: {{text: one two three four five six, finish_reason: length, {USAGE}}}}}
  - {{when: {{models: [slow]}}, then: {{words: 200, events_per_second: 20}}}}
otherwise: {{text: The hive is quiet., {USAGE}}}
"""
BEHAVIOURS = ("text", "tools", "busy", "context", "cut", "failing", "shaped", "long", "slow")
KINDS = ("chat", "messages", "gemini")
COST_NUSD = 60 * 1000 + 40 * 500 + 20 * 2000
COST = "0.00012"

QUESTION: Any = [{"role": "user", "content": "How is the hive?"}]
TOOLS: Any = [
    {
        "name": "weather",
        "description": "Tells it.",
        "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
    {"name": "clock", "input_schema": {"type": "object", "properties": {}}},
]
OPENAI_TOOLS: Any = [
    {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}} for tool in TOOLS
]


def settings(url: str, raw_url: str) -> str:
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "cached_input_usd_per_mtok": 0.5}
    providers = {
        "chat": {"kind": "openai_compatible", "base_url": url, "api_key": "sk-provider"},
        "messages": {"kind": "anthropic", "base_url": url, "api_key": "sk-provider"},
        "gemini": {"kind": "gemini", "base_url": f"{url.removesuffix('/v1')}/v1beta", "api_key": "sk-provider"},
        "raw": {"kind": "anthropic", "base_url": raw_url, "api_key": "sk-provider"},
        "strict": {"kind": "mistral", "base_url": raw_url, "api_key": "sk-provider"},
    }
    models: dict[str, Any] = {
        f"{kind}-{behaviour}": {"retries": 0, "price": price, "routes": [{"provider": kind, "model": behaviour}]}
        for kind in KINDS
        for behaviour in BEHAVIOURS
    }
    routes = [{"provider": "chat", "model": "text"}, {"provider": "messages", "model": "text"}]
    models["both"] = {"retries": 0, "price": price, "routes": routes}
    models["falls"] = {"retries": 0, "price": price, "routes": [{"provider": "chat", "model": "busy"}, routes[1]]}
    models["kept"] = {"price": price, "routes": routes[:1], "cache_seconds": 300}
    dear = price | {"cache_write_usd_per_mtok": 1.25, "cache_write_1h_usd_per_mtok": 2}
    models["raw"] = {"price": dear, "routes": [{"provider": "raw", "model": "exact"}]}
    models["strict"] = {"retries": 0, "price": price, "routes": [{"provider": "strict", "model": "bounded"}]}
    return json.dumps({"providers": providers, "models": models})


RAW_ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"exact","content":[{"type":"text","text":"A\\u0042"}],'
    b' "stop_reason": "end_turn", "stop_sequence":null, "other": 1.0,'
    b' "usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":40,'
    b'"cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":10},"service_tier":"standard"}}'
)
CHAT_ANSWER = (
    b'{"id":"c","object":"chat.completion","model":"bounded","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
# 10 in at 1, 20 cached at 0.5, 30 written at 1.25, 10 written for an hour at 2, 5 out at 2 dollars a million.
RAW_COST = "0.0000875"


@dataclass
class Server:
    url: str
    key: str
    provider: Scripted
    raw: RawProvider
    skep: Command

    def post(self, path: str, key: str = "", **body: object) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers={"x-api-key": key or self.key}, timeout=30)

    def new_key(self, **more: object) -> str:
        headers = {"authorization": f"Bearer {(self.skep.data / KEY_FILE).read_text().strip()}"}
        answer = httpx.post(f"{self.url}/api/v1/keys", json={"name": uuid4().hex, **more}, headers=headers, timeout=30)
        return str(answer.json()["key"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("messages")
    more = "request-id: req_1\r\nanthropic-ratelimit-requests-limit: 50\r\n"
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        raw_provider(
            {"exact": lambda: [answer(RAW_ANSWER, more=more)], "bounded": lambda: [answer(CHAT_ANSWER)]}
        ) as raw,
        scratch_server.database() as url,
    ):
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(settings(provider.url, raw.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Server(address, key, provider, raw, skep)


@pytest.fixture
def claude(served: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
def gpt(served: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, timeout=20) as made:
        yield made


by_kind = pytest.mark.parametrize("kind", KINDS)


@by_kind
def test_a_message(claude: anthropic.Anthropic, kind: str) -> None:
    raw = claude.messages.with_raw_response.create(
        model=f"{kind}-text",
        max_tokens=50,
        system="Be kind.",
        messages=QUESTION,
        stop_sequences=["x"],
        extra_body={"temperature": 0.5},
    )
    message = raw.parse()
    assert [block.model_dump(include={"type", "text"}) for block in message.content] == [
        {"type": "text", "text": "The hive is quiet."}
    ]
    assert (message.role, message.stop_reason, message.type) == ("assistant", "end_turn", "message")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (60, 40, 20)
    assert (raw.headers["x-skep-cost-usd"], raw.headers["x-skep-provider"]) == (COST, kind)


@by_kind
def test_a_streamed_message(claude: anthropic.Anthropic, kind: str) -> None:
    with claude.messages.stream(model=f"{kind}-text", max_tokens=50, messages=QUESTION) as stream:
        names = [event.type for event in stream]
        message = stream.get_final_message()
    assert [name for name in names if name not in ("text", "ping")] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert message.content[0].model_dump()["text"] == "The hive is quiet."
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 20


@by_kind
@pytest.mark.parametrize("streams", [False, True])
def test_tools_in_messages(claude: anthropic.Anthropic, kind: str, streams: bool) -> None:
    asked: Any = {"model": f"{kind}-tools", "max_tokens": 50, "messages": QUESTION, "tools": TOOLS}
    if streams:
        with claude.messages.stream(**asked) as stream:
            message = stream.get_final_message()
    else:
        message = claude.messages.create(**asked)
    text, *uses = message.content
    assert (text.type, message.stop_reason) == ("text", "tool_use")
    found = [(use.name, use.input) for use in uses if use.type == "tool_use"]
    assert found == [("weather", {"place": "Ulm", "exact": 12345678901234567890}), ("clock", {})]
    assert len({use.id for use in uses if use.type == "tool_use"}) == 2
    results: Any = [
        {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses if use.type == "tool_use"
    ]
    again: Any = [*QUESTION, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    answer = claude.messages.create(model=f"{kind}-text", max_tokens=50, messages=again, tools=TOOLS)
    assert answer.stop_reason == "end_turn"


@by_kind
@pytest.mark.parametrize("streams", [False, True])
def test_tools_in_chats(gpt: openai.OpenAI, kind: str, streams: bool) -> None:
    asked: Any = {"model": f"{kind}-tools", "messages": QUESTION, "tools": OPENAI_TOOLS, "tool_choice": "required"}
    if streams:
        with gpt.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            for _ in stream:
                pass
            answer: Any = stream.get_final_completion()
    else:
        answer = gpt.chat.completions.create(**asked)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls] == [
        ("weather", {"place": "Ulm", "exact": 12345678901234567890}),
        ("clock", {}),
    ]
    assert choice.message.content == "Let me look."
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (100, 20)
    assert answer.usage.prompt_tokens_details.cached_tokens == 40


@by_kind
def test_a_chat_and_its_stream(gpt: openai.OpenAI, kind: str) -> None:
    raw = gpt.chat.completions.with_raw_response.create(model=f"{kind}-text", messages=QUESTION)
    answer = raw.parse()
    assert answer.choices[0].message.content == "The hive is quiet."
    assert raw.headers["x-skep-cost-usd"] == COST
    with gpt.chat.completions.create(model=f"{kind}-text", messages=QUESTION, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "The hive is quiet."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "nobody asked for it"


class Hive(BaseModel):
    name: str
    bees: int


@by_kind
def test_structured_output(claude: anthropic.Anthropic, gpt: openai.OpenAI, kind: str) -> None:
    parsed = gpt.chat.completions.parse(model=f"{kind}-shaped", messages=QUESTION, response_format=Hive)
    assert isinstance(parsed.choices[0].message.parsed, Hive)
    form: Any = {"format": {"type": "json_schema", "schema": Hive.model_json_schema()}}
    message = claude.messages.create(model=f"{kind}-shaped", max_tokens=50, messages=QUESTION, output_config=form)
    assert isinstance(Hive.model_validate_json(message.content[0].model_dump()["text"]), Hive)


@by_kind
def test_what_is_cut_at_its_bound_says_so(claude: anthropic.Anthropic, gpt: openai.OpenAI, kind: str) -> None:
    assert claude.messages.create(model=f"{kind}-long", max_tokens=50, messages=QUESTION).stop_reason == "max_tokens"
    assert gpt.chat.completions.create(model=f"{kind}-long", messages=QUESTION).choices[0].finish_reason == "length"


ERRORS: dict[str, tuple[type[anthropic.APIStatusError], str]] = {
    "busy": (anthropic.RateLimitError, "rate_limit_error"),
    "context": (anthropic.BadRequestError, "invalid_request_error"),
}


@by_kind
@pytest.mark.parametrize("behaviour", ERRORS)
def test_errors_are_what_the_client_knows(claude: anthropic.Anthropic, kind: str, behaviour: str) -> None:
    raised, name = ERRORS[behaviour]
    with pytest.raises(raised) as caught:
        claude.messages.create(model=f"{kind}-{behaviour}", max_tokens=50, messages=QUESTION)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", name)
    if behaviour == "busy":
        assert int(caught.value.response.headers["retry-after"]) >= 1


@by_kind
@pytest.mark.parametrize("behaviour", ["cut", "failing"])
def test_a_stream_that_breaks_off_ends_with_an_error(
    served: Server, claude: anthropic.Anthropic, kind: str, behaviour: str
) -> None:
    body = {"model": f"{kind}-{behaviour}", "max_tokens": 50, "messages": QUESTION, "stream": True}
    text = served.post("/v1/messages", **body).text
    last = [event for event in text.strip().split("\n\n") if not event.startswith(":")][-1]
    assert last.startswith("event: error\ndata: ")
    assert json.loads(last.partition("data: ")[2])["type"] == "error"
    assert "message_stop" not in text
    stream = claude.messages.create(model=f"{kind}-{behaviour}", max_tokens=50, messages=QUESTION, stream=True)
    with pytest.raises(anthropic.APIError):
        list(stream)
    chat = served.post("/v1/chat/completions", **{**body, "max_completion_tokens": 50}).text
    assert "[DONE]" not in chat
    assert '"error"' in [event for event in chat.strip().split("\n\n") if not event.startswith(":")][-1]


def test_our_own_errors_have_anthropics_shape(served: Server) -> None:
    asked: dict[str, Any] = {"model": "chat-text", "max_tokens": 50, "messages": QUESTION}
    poor = served.new_key(budget_usd="0.000001", per="day")
    few = served.new_key(requests_per_minute=0)
    other = served.new_key(models=["both"])
    found = {
        "no key": httpx.post(f"{served.url}/v1/messages", json=asked),
        "no model": served.post("/v1/messages", **{**asked, "model": "nobody"}),
        "not for it": served.post("/v1/messages", other, **asked),
        "no money": served.post("/v1/messages", poor, **asked),
        "too many": served.post("/v1/messages", few, **asked),
        "no JSON": httpx.post(f"{served.url}/v1/messages", content=b"{", headers={"x-api-key": served.key}),
    }
    kinds = {name: (answer.status_code, answer.json()["error"]["type"]) for name, answer in found.items()}
    assert kinds == {
        "no key": (401, "authentication_error"),
        "no model": (404, "not_found_error"),
        "not for it": (403, "permission_error"),
        "no money": (402, "billing_error"),
        "too many": (429, "rate_limit_error"),
        "no JSON": (400, "invalid_request_error"),
    }
    for refused in found.values():
        error = refused.json()
        assert (error["type"], error["request_id"]) == ("error", refused.headers["x-trace-id"])
        assert refused.headers["request-id"] == error["request_id"]
        assert error["error"]["message"]
        assert error["error"]["fix"]
    assert found["no money"].headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("face", "model", "more", "field"),
    [
        ("messages", "chat-text", {"top_k": 5}, "top_k"),
        ("messages", "chat-text", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ("messages", "chat-text", {"mcp_servers": [{"type": "url", "url": "x", "name": "y"}]}, "mcp_servers"),
        ("chat/completions", "messages-text", {"n": 2}, "n"),
        ("chat/completions", "messages-text", {"logprobs": True}, "logprobs"),
        ("chat/completions", "messages-text", {"seed": 7}, "seed"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(
    served: Server, face: str, model: str, more: dict[str, Any], field: str
) -> None:
    before = len(served.provider.truth())
    answer = served.post(f"/v1/{face}", **{"model": model, "max_tokens": 50, "messages": QUESTION, **more})
    assert answer.status_code == 400, answer.text
    assert f" {field} of this request" in answer.json()["error"]["message"]
    assert len(served.provider.truth()) == before


def test_an_address_that_the_providers_do_not_have_is_refused_as_such(served: Server) -> None:
    answer = served.post("/v1/embeddings", model="messages-text", input="A hive")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "face_not_spoken", "model"), answer.text
    assert "messages-text has embeddings" in error["message"]
    assert "it can be asked for messages" in error["message"]
    assert "at another address" in error["fix"]


def test_a_route_that_can_be_told_it_is_taken(served: Server) -> None:
    asked: dict[str, Any] = {"model": "both", "max_tokens": 50, "messages": QUESTION}
    assert served.post("/v1/messages", **asked).headers["x-skep-provider"] == "chat"
    answer = served.post("/v1/messages", **asked, top_k=5)
    assert (answer.status_code, answer.headers["x-skep-provider"]) == (200, "messages")
    told = served.skep("gateway", "explain", answer.headers["x-skep-call-id"], code=None)
    until = time.monotonic() + 15
    while "untranslatable" not in told.out and time.monotonic() < until:
        time.sleep(0.2)
        told = served.skep("gateway", "explain", answer.headers["x-skep-call-id"], code=None)
    assert "tried: chat/text: untranslatable (top_k:" in told.out


def test_a_provider_of_another_format_takes_over(claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(model="falls", max_tokens=50, messages=QUESTION)
    assert raw.headers["x-skep-provider"] == "messages"
    with claude.messages.stream(model="falls", max_tokens=50, messages=QUESTION) as stream:
        assert stream.get_final_text() == "The hive is quiet."


def test_what_the_provider_gets_and_gives_passes_untouched(served: Server) -> None:
    sent = b'{"max_tokens" : 50, "messages":[{"role":"user","content":"\\u0041"}], "model":"raw", "unknown": 1.50}'
    headers = {"x-api-key": served.key, "anthropic-version": "2023-01-01", "anthropic-beta": "some-2026"}
    got = httpx.post(f"{served.url}/v1/messages", content=sent, headers=headers, timeout=30)
    assert (got.status_code, got.content) == (200, RAW_ANSWER)
    assert (got.headers["request-id"], got.headers["x-skep-cost-usd"]) == ("req_1", RAW_COST)
    assert not [name for name in got.headers if name.startswith("anthropic-ratelimit")]
    seen = served.raw.last("exact")
    assert (seen.path, seen.body) == ("/v1/messages", sent.replace(b'"raw"', b'"exact"'))
    head = seen.head.lower()
    assert b"x-api-key: sk-provider" in head
    assert head.count(b"anthropic-version: 2023-01-01") == head.count(b"anthropic-version:") == 1
    assert b"anthropic-beta: some-2026" in head
    assert served.key.encode() not in seen.head
    # From a client of another format nothing of its own format passes.
    served.post("/v1/chat/completions", model="raw", messages=QUESTION)
    assert b"anthropic-version: 2023-06-01" in served.raw.last("exact").head.lower()


def test_a_bound_is_set_where_anthropics_api_needs_one(served: Server) -> None:
    assert served.post("/v1/chat/completions", model="messages-text", messages=QUESTION).status_code == 200
    assert served.post("/v1/messages", model="messages-text", messages=QUESTION).status_code == 200


def test_a_bound_is_said_in_the_providers_own_word_alone(served: Server) -> None:
    answered = served.post("/v1/messages", model="strict", max_tokens=50, messages=QUESTION)
    assert answered.status_code == 200, answered.text
    # Mistral refuses fields that it does not know, max_completion_tokens among them.
    sent = json.loads(served.raw.last("bounded").body)
    assert sent == {"model": "bounded", "messages": QUESTION, "max_tokens": 50}


def test_a_budget_counts_both_formats_exactly(served: Server) -> None:
    key = served.new_key(budget_usd=f"{6 * COST_NUSD / 1e9:.9f}", per="day")
    faces = ("/v1/messages", "/v1/chat/completions")
    taken = 0
    for _ in range(3):
        for face in faces:
            for kind in KINDS:
                answer = served.post(face, key, model=f"{kind}-text", max_tokens=20, messages=QUESTION)
                assert answer.status_code in (200, 402)
                taken += answer.status_code == 200
    # A reservation is for the most that a call may cost, which is more than these do: the last ones find no room.
    assert 1 <= taken <= 6


@by_kind
@pytest.mark.parametrize("streams", [False, True])
def test_what_claude_code_sends_is_answered(served: Server, kind: str, streams: bool) -> None:
    body = {**CLAUDE_CODE, "model": f"{kind}-text", "stream": streams}
    headers = {"anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14", "x-api-key": served.key}
    answer = httpx.post(f"{served.url}/v1/messages?beta=true", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    said = answer.text if streams else answer.json()["content"][0]["text"]
    assert ("message_stop" in said) if streams else (said == "The hive is quiet.")


def test_tokens_are_counted_by_the_provider_or_estimated(served: Server, claude: anthropic.Anthropic) -> None:
    asked: Any = {"messages": QUESTION, "system": "Be kind."}
    body = {"model": "messages-text", **asked}
    told = served.post("/v1/messages/count_tokens", **body)
    direct = httpx.post(
        f"{served.provider.url}/messages/count_tokens",
        json={"model": "text", **asked},
        headers={"x-api-key": "sk-provider"},
        timeout=30,
    )
    assert told.json() == direct.json()
    assert (told.headers["x-skep-cost-usd"], "x-skep-estimated" in told.headers) == ("0", False)
    guessed = served.post("/v1/messages/count_tokens", **{**body, "model": "chat-text"})
    assert guessed.headers["x-skep-estimated"] == "true"
    assert 5 <= guessed.json()["input_tokens"] <= 60
    # A model of both kinds is asked where it can be.
    assert (
        served.post("/v1/messages/count_tokens", **{**body, "model": "both"}).headers["x-skep-provider"] == "messages"
    )
    assert claude.messages.count_tokens(model="messages-text", **asked).input_tokens > 0
    poor = served.new_key(budget_usd="0.00000001", per="day")
    assert served.post("/v1/messages/count_tokens", poor, **body).status_code == 200
    few = served.new_key(requests_per_minute=0)
    assert served.post("/v1/messages/count_tokens", few, **body).status_code == 429


def test_a_client_that_goes_away_is_settled(served: Server) -> None:
    for kind in KINDS:
        body = {"model": f"{kind}-slow", "max_tokens": 500, "messages": QUESTION, "stream": True}
        with (
            httpx.Client(headers={"x-api-key": served.key}, timeout=20) as client,
            client.stream("POST", f"{served.url}/v1/messages", json=body) as answer,
        ):
            call = answer.headers["x-skep-call-id"]
            came = b""
            pieces = answer.iter_bytes()
            while came.count(b"content_block_delta") < 2 * 12:
                came += next(pieces)
        until = time.monotonic() + 15
        while "cancelled" not in (told := served.skep("gateway", "explain", call, code=None).out):
            assert time.monotonic() < until, told
            time.sleep(0.2)
        # The provider told nothing of its output yet, or a token: what came is counted.
        tokens = re.search(r"tokens: .*?(\d+) output.* \(estimated\)", told)
        assert tokens is not None, told
        assert 12 <= int(tokens[1]) < 100


def test_a_kept_stream_of_messages_is_given_again(claude: anthropic.Anthropic, served: Server) -> None:
    texts = []
    for _ in range(3):
        with claude.messages.stream(model="kept", max_tokens=50, messages=QUESTION) as stream:
            texts.append((stream.get_final_text(), stream.response.headers["x-skep-cache"]))
    assert texts == [("The hive is quiet.", "miss"), *[("The hive is quiet.", "hit")] * 2]
    body = {"model": "kept", "max_tokens": 50, "messages": QUESTION, "stream": True}
    assert served.post("/v1/messages", **body).text.count("x-skep-cost-usd") == 1
    assert served.post("/v1/messages", **body).text.count(": x-skep-cost-usd 0\n") == 1
