"""Calls of a provider that speaks Gemini's own format, byte by byte: what it gets, what its answers become, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.acceptance.gateway.test_messages import Server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import STREAM_END, STREAM_HEAD, answer, chunk, raw_provider
from tests.scripted import scripted

USAGE = "usage: {input_tokens: 100, output_tokens: 20, cached_input_tokens: 40, reasoning_tokens: 5}"
SCRIPT = f"""\
api_keys: [g-provider]
rules:
  - when: {{models: [tools]}}
    then: {{tool_calls: [{{name: weather, arguments: {{place: Ulm}}}}, {{name: clock, arguments: {{}}}}], {USAGE}}}
  - {{when: {{models: [secret]}}, then: {{text: Write to max.muster@example.org today., {USAGE}}}}}
otherwise: {{text: The hive is quiet., {USAGE}}}
"""
PRICE = {
    "input_usd_per_mtok": 1,
    "output_usd_per_mtok": 2,
    "cached_input_usd_per_mtok": 0.5,
    "input_audio_usd_per_mtok": 3,
}
QUESTION = [{"role": "user", "content": "How is the hive?"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "clock"}},
]

# 30 of text, 20 cached, 10 of audio and 6 by a tool go in; 5 are said and 8 are thought.
RAW_USAGE = (
    b'{"promptTokenCount":60,"cachedContentTokenCount":20,"toolUsePromptTokenCount":6,"candidatesTokenCount":5,'
    b'"thoughtsTokenCount":8,"totalTokenCount":79,"promptTokensDetails":[{"modality":"TEXT","tokenCount":50},'
    b'{"modality":"AUDIO","tokenCount":10}]}'
)
RAW_COST = "0.000102"
RAW_CALLS = (
    b'{"candidates":[{"content":{"role":"model","parts":[{"text":"Hm.","thought":true},{"text":"A\\u0042"},'
    b'{"functionCall":{"name":"f","args":{"x":1.0}},"thoughtSignature":"a+/b"},{"functionCall":{"name":"f","args":{}}}]},'
    b'"finishReason":"STOP","index":0}],"usageMetadata":' + RAW_USAGE + b',"modelVersion":"g-1","responseId":"r-1"}'
)
RAW_BLOCKED = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9}}'
RAW_MALFORMED = (
    b'{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","index":0}],"usageMetadata":' + RAW_USAGE + b"}"
)
KEY_INVALID = b'{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}'
EXHAUSTED = (
    b'{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED","details":'
    b'[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"27.5s"}]}}'
)
TOO_LONG = (
    b'{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"The input token count (9) exceeds the maximum number of'
    b' tokens allowed (8)."}}'
)


def _part(text: str, **more: object) -> bytes:
    content = {"parts": [{"text": text}], "role": "model"}
    told = {"candidates": [{"content": content, "index": 0, **more}], "responseId": "r-2", "modelVersion": "g-1"}
    return b"data: " + json.dumps(told).encode() + b"\r\n\r\n"


LAST = b'data: {"candidates":[{"finishReason":"STOP","index":0}],"usageMetadata":' + RAW_USAGE + b"}\r\n\r\n"
FAILED = b'data: {"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}\r\n\r\n'


def _streamed(*parts: bytes | float) -> list[bytes | float]:
    return [STREAM_HEAD, *(chunk(part) if isinstance(part, bytes) else part for part in parts)]


RAW: dict[str, Any] = {
    "calls": lambda: [answer(RAW_CALLS)],
    "blocked": lambda: [answer(RAW_BLOCKED)],
    "malformed": lambda: [answer(RAW_MALFORMED)],
    "key": lambda: [answer(KEY_INVALID, status=400)],
    "exhausted": lambda: [answer(EXHAUSTED, status=429)],
    "long": lambda: [answer(TOO_LONG, status=400)],
    # The usage may come with the last words, or after them.
    "stream": lambda: [*_streamed(_part("A"), _part("B", finishReason="STOP"), LAST), STREAM_END],
    "open": lambda: _streamed(_part("A"), LAST, 60.0),
    "broken": lambda: _streamed(_part("A"), _part("B")),
    "failing": lambda: [*_streamed(_part("A"), FAILED), STREAM_END],
}


def settings(url: str, raw_url: str) -> str:
    providers: dict[str, Any] = {
        "gemini": {"kind": "gemini", "base_url": url.removesuffix("/v1") + "/v1beta", "api_key": "g-provider"},
        "raw": {"kind": "gemini", "base_url": raw_url.removesuffix("/v1") + "/v1beta", "api_key": "g-raw"},
        "chat": {"kind": "openai_compatible", "base_url": url, "headers": {"authorization": "Bearer g-provider"}},
    }
    models: dict[str, Any] = {name: {"retries": 0, "price": PRICE, "routes": [_route("raw", name)]} for name in RAW}
    for name in ("text", "tools", "shaped"):
        models[name] = {"retries": 0, "price": PRICE, "routes": [_route("gemini", name)]}
    models["kept"] = {"price": PRICE, "routes": [_route("gemini", "text")], "cache_seconds": 300}
    models["guarded"] = {"price": PRICE, "routes": [_route("gemini", "secret")], "guards": ["mail"]}
    models["mixed"] = {"retries": 0, "price": PRICE, "routes": [_route("chat", "text"), _route("gemini", "text")]}
    guards = {"mail": {"on": ["answer"], "kinds": ["email"], "action": "redact"}}
    return json.dumps({"providers": providers, "models": models, "guards": guards})


def _route(provider: str, model: str) -> dict[str, Any]:
    return {"provider": provider, "model": model}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("gemini")
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        raw_provider(RAW) as raw,
        scratch_server.database() as url,
    ):
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(settings(provider.url, raw.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Server(address, key, provider, raw, skep)


@pytest.fixture
def gpt(served: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, timeout=20) as made:
        yield made


def _chat(served: Server, model: str, key: str = "", **more: object) -> httpx.Response:
    return served.post("/v1/chat/completions", key, model=model, **{"messages": QUESTION, **more})


def test_what_it_is_asked_stands_in_its_own_words_at_its_own_address(served: Server) -> None:
    told = [{"role": "system", "content": "Be kind."}, *QUESTION]
    asked: Any = {"messages": told, "max_completion_tokens": 50, "reasoning_effort": "low", "seed": 7}
    answered = _chat(served, "calls", **asked, tools=TOOLS)
    seen = served.raw.last("calls")
    assert seen.path == "/v1beta/models/calls:generateContent"
    assert b"\r\nx-goog-api-key: g-raw\r\n" in seen.head.lower()
    assert b"authorization" not in seen.head.lower()
    assert json.loads(seen.body) == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [{"role": "user", "parts": [{"text": "How is the hive?"}]}],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "weather", "parametersJsonSchema": {"type": "object", "properties": {}}},
                    {"name": "clock"},
                ]
            }
        ],
        "generationConfig": {
            "seed": 7,
            "maxOutputTokens": 50,
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        },
    }
    message = answered.json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("AB", "Hm.")
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "f", "arguments": '{"x":1.0}'},
        {"name": "f", "arguments": "{}"},
    ]
    assert answered.json()["usage"] == {
        "prompt_tokens": 66,
        "completion_tokens": 13,
        "total_tokens": 79,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 8},
    }
    assert answered.headers["x-skep-cost-usd"] == RAW_COST


def test_a_signature_travels_back_and_results_find_their_calls(served: Server) -> None:
    said = _chat(served, "calls", tools=TOOLS).json()["choices"][0]["message"]
    ids = [call["id"] for call in said["tool_calls"]]
    assert len(set(ids)) == 2
    results = [{"role": "tool", "tool_call_id": each, "content": f"r{number}"} for number, each in enumerate(ids)]
    _chat(served, "calls", messages=[*QUESTION, said, *results[::-1]], tools=TOOLS)
    _, model, user = json.loads(served.raw.last("calls").body)["contents"]
    first, second = (part for part in model["parts"] if "functionCall" in part)
    assert (first["thoughtSignature"], "thoughtSignature" in second) == ("a+/b", False)
    responses = [part["functionResponse"] for part in user["parts"]]
    assert [(each["name"], each["response"]) for each in responses] == [
        ("f", {"output": "r1"}),
        ("f", {"output": "r0"}),
    ]
    assert [each["id"] for each in responses] == [second["functionCall"]["id"], first["functionCall"]["id"]]
    # A call of another model's has none; Google's word for that stands in its place.
    said["tool_calls"] = [{**call, "id": f"call_{number}"} for number, call in enumerate(said["tool_calls"])]
    results = [{"role": "tool", "tool_call_id": f"call_{number}", "content": ""} for number in range(2)]
    _chat(served, "calls", messages=[*QUESTION, said, *results], tools=TOOLS)
    parts = json.loads(served.raw.last("calls").body)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, "skip_thought_signature_validator", None]


def test_another_route_gets_ids_without_signatures(served: Server, gpt: openai.OpenAI) -> None:
    said: Any = gpt.chat.completions.create(model="tools", messages=QUESTION, tools=TOOLS).choices[0].message  # type: ignore[arg-type]
    assert "_thoughtSignature_" in said.tool_calls[0].id
    results = [{"role": "tool", "tool_call_id": call.id, "content": "x"} for call in said.tool_calls]
    messages = [*QUESTION, said.model_dump(exclude_none=True), *results]
    answered = _chat(served, "mixed", messages=messages, tools=TOOLS)
    assert (answered.status_code, answered.headers["x-skep-provider"]) == (200, "chat")
    assert _chat(served, "tools", messages=messages, tools=TOOLS).status_code == 200
    sizes = [line["request_bytes"] for line in served.provider.truth()[-2:]]
    assert sizes[0] < len(json.dumps({"model": "mixed", "messages": messages, "tools": TOOLS}).encode()) - 40


def test_a_prompt_that_is_blocked_is_a_content_filter(served: Server) -> None:
    answered = _chat(served, "blocked")
    assert answered.json()["choices"][0]["finish_reason"] == "content_filter"
    assert answered.headers["x-skep-cost-usd"] == "0.000009"
    message = served.post("/v1/messages", model="blocked", max_tokens=9, messages=QUESTION).json()
    assert message["stop_reason"] == "refusal"


def test_a_call_that_its_model_could_not_write_is_a_failure(served: Server) -> None:
    answered = _chat(served, "malformed")
    assert answered.status_code == 502
    assert "MALFORMED_FUNCTION_CALL" in answered.json()["error"]["message"]


def test_errors_are_told_apart(served: Server, gpt: openai.OpenAI) -> None:
    busy = _chat(served, "exhausted")
    assert (busy.status_code, busy.headers["retry-after"], busy.json()["error"]["code"]) == (
        429,
        "28",
        "RESOURCE_EXHAUSTED",
    )
    # Whose key is wrong is not the client's business.
    assert _chat(served, "key").status_code == 502
    with pytest.raises(openai.BadRequestError, match="maximum number of tokens"):
        gpt.chat.completions.create(model="long", messages=QUESTION)  # type: ignore[arg-type]


def test_a_stream_ends_when_its_provider_has_said_all(served: Server) -> None:
    asked: Any = {"stream": True, "stream_options": {"include_usage": True}}
    text = _chat(served, "stream", **asked).text
    assert served.raw.last("stream").path == "/v1beta/models/stream:streamGenerateContent?alt=sse"
    events = [json.loads(each[6:]) for each in text.split("\n\n") if each.startswith("data: {")]
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in events[:-1]) == "AB"
    assert events[-1]["usage"]["total_tokens"] == 79
    assert f": x-skep-cost-usd {RAW_COST}\n\ndata: [DONE]\n\n" in text
    # One that is never closed is not waited for.
    assert "data: [DONE]" in _chat(served, "open", **asked).text


@pytest.mark.parametrize("model", ["broken", "failing"])
def test_a_stream_that_breaks_off_never_ends_well(served: Server, model: str) -> None:
    text = _chat(served, model, stream=True).text
    assert '"content":"A"' in text
    assert '"error":{' in text
    assert "[DONE]" not in text


def test_a_budget_bounds_the_output_in_gemini_s_word(served: Server) -> None:
    key = served.new_key(budget_usd="0.05", per="day")
    assert _chat(served, "calls", key).status_code == 200
    bound = json.loads(served.raw.last("calls").body)["generationConfig"]["maxOutputTokens"]
    assert 16 < bound < 50_000
    tiny = served.new_key(budget_usd="0.000001", per="day")
    assert _chat(served, "calls", tiny).status_code == 402


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_is_kept_and_given_again(served: Server, streams: bool) -> None:
    first, second = (_chat(served, "kept", stream=streams, seed=3) for _ in range(2))
    assert [each.headers["x-skep-cache"] for each in (first, second)] == ["miss", "hit"]
    costs = (": x-skep-cost-usd 0\n\n", ": x-skep-cost-usd 0.00012\n\n")
    assert second.text.replace(*costs) == first.text


@pytest.mark.parametrize("streams", [False, True])
def test_guards_look_through_its_answers(served: Server, streams: bool) -> None:
    text = _chat(served, "guarded", stream=streams).text
    assert "max.muster" not in text
    assert "[EMAIL" in text.upper()


def test_structured_output_fits_the_schema(served: Server) -> None:
    schema = {"type": "object", "properties": {"bees": {"type": "integer"}}, "required": ["bees"]}
    form = {"type": "json_schema", "json_schema": {"name": "hive", "schema": schema, "strict": True}}
    answered = _chat(served, "shaped", response_format=form, max_tokens=100)
    assert answered.json()["choices"][0]["message"]["content"] == "The hive is quiet."


def test_routes_are_tried_and_checked(served: Server) -> None:
    told = served.skep("gateway", "test", "text", "--json").answer
    assert (told["failed"], told["tests"][0]["route"]) == (0, "gemini/text")
