"""Google's own client at `/v1beta`, with providers of every format: what its answers, streams and errors are like, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.acceptance.gateway.test_exact_budget import server
from tests.acceptance.gateway.test_gemini import LAST, RAW_CALLS, RAW_COST
from tests.acceptance.gateway.test_messages import Server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import STREAM_END, STREAM_HEAD, answer, chunk, raw_provider
from tests.scripted import scripted

USAGE = "usage: {input_tokens: 100, output_tokens: 20, cached_input_tokens: 40}"
SCRIPT = f"""\
prices: {{"*": {{input_usd_per_mtok: 1, output_usd_per_mtok: 2, cached_input_usd_per_mtok: 0.5}}}}
api_keys: [sk-provider]
rules:
  - when: {{models: [tools]}}
    then:
      text: Let me look.
      tool_calls: [{{name: weather, arguments: {{place: Ulm}}}}, {{name: clock, arguments: {{}}}}]
      {USAGE}
  - {{when: {{models: [busy]}}, then: {{status: 429, retry_after: "7"}}}}
  - {{when: {{models: [context]}}, then: {{status: 400, error_code: context_length_exceeded, error_message: prompt is too long}}}}
  - {{when: {{models: [cut]}}, then: {{words: 30, fault: {{kind: close_in_stream, after_events: 9}}}}}}
  - {{when: {{models: [failing]}}, then: {{words: 30, fault: {{kind: error_in_stream, after_events: 9}}}}}}
  - {{when: {{models: [shaped]}}, then: {{{USAGE}}}}}
  - {{when: {{models: [refusing]}}, then: {{refusal: I will not., {USAGE}}}}}
  - {{when: {{models: [long]}}, then: {{text: one two three four five six, finish_reason: length, {USAGE}}}}}
  - {{when: {{models: [secret]}}, then: {{text: Write to max.muster@example.org today., {USAGE}}}}}
  - {{when: {{models: [wanted]}}, then: {{text: 'Of course: {{"a": 1}} and more and more', {USAGE}}}}}
otherwise: {{text: The hive is quiet., {USAGE}}}
"""
BEHAVIOURS = ("text", "tools", "busy", "context", "cut", "failing", "shaped", "refusing", "long", "wanted")
KINDS = {"gemini": "gemini", "chat": "openai_compatible", "messages": "anthropic", "responses": "openai"}
"""The kind of the provider, by the format that it speaks."""

COST = "0.00012"
QUESTION = "How is the hive?"
PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "cached_input_usd_per_mtok": 0.5}
RAW_PRICE = PRICE | {"input_audio_usd_per_mtok": 3}
TOOLS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="Tells it.",
            parameters=types.Schema(type=types.Type.OBJECT, properties={"place": types.Schema(type=types.Type.STRING)}),
        ),
        types.FunctionDeclaration(name="clock"),
    ]
)
NO_LOOP = types.AutomaticFunctionCallingConfig(disable=True)


def settings(url: str, raw_url: str) -> str:
    beta = url.removesuffix("/v1") + "/v1beta"
    providers: dict[str, Any] = {
        kind: {"kind": row, "base_url": beta if kind == "gemini" else url, "api_key": "sk-provider"}
        for kind, row in KINDS.items()
    }
    providers["responses"] = {"kind": "openai", "base_url": url, "api_key": "sk-provider"}
    providers["raw"] = {"kind": "gemini", "base_url": raw_url.removesuffix("/v1") + "/v1beta", "api_key": "g-raw"}
    models: dict[str, Any] = {}
    for kind in KINDS:
        for behaviour in BEHAVIOURS:
            route = {"provider": kind, "model": behaviour}
            if kind == "responses":
                route["formats"] = ["responses"]  # type: ignore[assignment]  # JSON
            models[f"{kind}-{behaviour}"] = {"retries": 0, "price": PRICE, "routes": [route]}
    gemini, chat = ({"provider": kind, "model": "text"} for kind in ("gemini", "chat"))
    models["kept"] = {"price": PRICE, "routes": [gemini], "cache_seconds": 300}
    models["guarded"] = {"price": PRICE, "routes": [{"provider": "gemini", "model": "secret"}], "guards": ["mail"]}
    models["hidden"] = {"price": PRICE, "routes": [gemini], "guards": ["hide"]}
    models["exact"] = {"price": RAW_PRICE, "routes": [{"provider": "raw", "model": "exact"}]}
    models["falls"] = {"retries": 0, "price": PRICE, "routes": [{"provider": "gemini", "model": "busy"}, chat]}
    models["sorry"] = {"retries": 0, "routes": [{"provider": "gemini", "model": "busy"}], "apology": "Sorry."}
    guards = {
        "mail": {"on": ["answer"], "kinds": ["email"], "action": "redact"},
        "hide": {"on": ["request"], "kinds": ["email"], "action": "redact"},
    }
    models["known"] = {"context_window": 9_000, "max_output_tokens": 700, "routes": [chat]}
    models["draws"] = {"routes": [{"provider": "chat", "model": "gpt-image-9"}]}
    models["draws-there"] = {"routes": [{"provider": "gemini", "model": "gemini-9-image"}]}
    models["speaks"] = {"purpose": "speech", "routes": [chat]}
    roles = {"poet": {"model": "exact", "temperature": 0.9, "system": "Rhyme.", "max_tokens": 77}}
    return json.dumps({"providers": providers, "models": models, "guards": guards, "roles": roles})


FIRST = b'data: {"candidates": [{"content": {"parts": [{"text": "A\\u0042"}],"role": "model"},"index": 0}],"x": 1.0}\r\n\r\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("gemini-client")
    whole, streamed = [answer(RAW_CALLS)], [STREAM_HEAD, chunk(FIRST), chunk(LAST), STREAM_END]
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        raw_provider({"exact": lambda: streamed if raw.seen[-1].path.endswith("alt=sse") else whole}) as raw,
        scratch_server.database() as url,
    ):
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(settings(provider.url, raw.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Server(address, key, provider, raw, skep)


@pytest.fixture(params=["v1", "v1beta"])
def google(served: Server, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=served.url, api_version=request.param, timeout=20_000)
    client = genai.Client(api_key=served.key, http_options=options)
    try:
        yield client
    finally:
        client.close()


def _post(served: Server, path: str, body: bytes | dict[str, Any], key: str = "", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"x-goog-api-key": key or served.key, **headers}
    return httpx.post(f"{served.url}/v1beta/models/{path}", content=content, headers=sent, timeout=30)


def _contents(text: str = QUESTION) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


by_kind = pytest.mark.parametrize("kind", KINDS)


@by_kind
def test_a_generation(google: genai.Client, kind: str) -> None:
    config = types.GenerateContentConfig(system_instruction="Be kind.", max_output_tokens=50, temperature=0.5)
    response = google.models.generate_content(model=f"{kind}-text", contents=QUESTION, config=config)
    assert response.text == "The hive is quiet."
    assert response.candidates is not None
    assert response.candidates[0].finish_reason == types.FinishReason.STOP
    usage = response.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.total_token_count, usage.cached_content_token_count) == (100, 120, 40)
    assert usage.candidates_token_count == 20
    assert response.sdk_http_response is not None
    headers = response.sdk_http_response.headers or {}
    assert (headers["x-skep-cost-usd"], headers["x-skep-provider"]) == (COST, kind)


@by_kind
def test_a_streamed_generation(google: genai.Client, kind: str) -> None:
    chunks = list(google.models.generate_content_stream(model=f"{kind}-text", contents=QUESTION))
    assert "".join(chunk.text or "" for chunk in chunks) == "The hive is quiet."
    assert len(chunks) >= 5
    last = chunks[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.total_token_count == 120


@by_kind
@pytest.mark.parametrize("streams", [False, True])
def test_tools(google: genai.Client, kind: str, streams: bool) -> None:
    config = types.GenerateContentConfig(tools=[TOOLS], automatic_function_calling=NO_LOOP)
    asked: Any = {"model": f"{kind}-tools", "contents": QUESTION, "config": config}
    models = google.models
    answered = list(models.generate_content_stream(**asked)) if streams else [models.generate_content(**asked)]
    parts = [part for each in answered for part in each.candidates[0].content.parts or ()]  # type: ignore[index,union-attr]
    assert "".join(part.text or "" for part in parts) == "Let me look."
    calls: list[Any] = [part.function_call for part in parts if part.function_call]
    assert [(call.name, call.args) for call in calls] == [("weather", {"place": "Ulm"}), ("clock", {})]
    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": "sunny"}))
        for call in calls
    ]
    history: Any = [
        types.Content(role="user", parts=[types.Part(text=QUESTION)]),
        types.Content(role="model", parts=[part for part in parts if part.text or part.function_call]),
        types.Content(role="user", parts=results),
    ]
    again = google.models.generate_content(model=f"{kind}-text", contents=history, config=config)
    assert again.text == "The hive is quiet."


class Hive(BaseModel):
    name: str
    bees: int


@by_kind
def test_structured_output(google: genai.Client, kind: str) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Hive)
    response = google.models.generate_content(model=f"{kind}-shaped", contents=QUESTION, config=config)
    assert isinstance(response.parsed, Hive)


@by_kind
def test_why_it_ends(google: genai.Client, kind: str) -> None:
    for behaviour, reason in (("long", types.FinishReason.MAX_TOKENS), ("refusing", types.FinishReason.SAFETY)):
        found: Any = google.models.generate_content(model=f"{kind}-{behaviour}", contents=QUESTION).candidates
        assert found[0].finish_reason == reason
        *_, last = google.models.generate_content_stream(model=f"{kind}-{behaviour}", contents=QUESTION)
        assert last.candidates is not None
        assert last.candidates[0].finish_reason == reason


@by_kind
def test_errors_are_what_the_client_knows(google: genai.Client, kind: str) -> None:
    with pytest.raises(errors.ClientError) as busy:
        google.models.generate_content(model=f"{kind}-busy", contents=QUESTION)
    assert (busy.value.code, busy.value.status) == (429, "RESOURCE_EXHAUSTED")
    with pytest.raises(errors.ClientError, match="too long") as long:
        google.models.generate_content(model=f"{kind}-context", contents=QUESTION)
    assert (long.value.code, long.value.status) == (400, "INVALID_ARGUMENT")


@by_kind
@pytest.mark.parametrize("behaviour", ["cut", "failing"])
def test_a_stream_that_breaks_off_is_an_error(google: genai.Client, kind: str, behaviour: str) -> None:
    came: list[types.GenerateContentResponse] = []
    with pytest.raises(errors.APIError):
        came += google.models.generate_content_stream(model=f"{kind}-{behaviour}", contents=QUESTION)
    assert not any(each.candidates and each.candidates[0].finish_reason for each in came)


def test_our_own_errors(served: Server, google: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="no model named nobody") as missing:
        google.models.generate_content(model="nobody", contents=QUESTION)
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    told = _post(served, "nobody:generateContent", _contents()).json()["error"]
    assert (told["details"][0]["reason"], told["details"][0]["domain"]) == ("MODEL_NOT_FOUND", "skep")
    search = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    with pytest.raises(errors.ClientError, match=r"tools\.0\.googleSearch"):
        google.models.generate_content(model="chat-text", contents=QUESTION, config=search)
    # In an address logs would keep the key.
    path = f"{served.url}/v1beta/models/gemini-text:generateContent"
    refused = httpx.post(path, params={"key": served.key}, json=_contents(), timeout=20)
    assert (refused.status_code, "x-goog-api-key" in refused.json()["error"]["message"]) == (401, True)
    assert httpx.post(path, json=_contents(), timeout=20).json()["error"]["status"] == "UNAUTHENTICATED"
    listed = _post(served, "gemini-text:streamGenerateContent", _contents())
    assert (listed.status_code, "alt=sse" in listed.json()["error"]["message"]) == (400, True)
    twice = b'{"generationConfig":{"maxOutputTokens":5,"maxOutputTokens":900},"contents":[]}'
    assert "twice" in _post(served, "gemini-text:generateContent", twice).text
    both = b'{"generationConfig":{"maxOutputTokens":5},"generation_config":{"max_output_tokens":900},"contents":[]}'
    assert "twice" in _post(served, "gemini-text:generateContent", both).text


def test_what_the_provider_gets_and_gives_passes_untouched(served: Server) -> None:
    sent = b'{"contents" : [{"parts":[{"text":"\\u0041"}]}], "unknown": 1.50}'
    got = _post(served, "exact:generateContent", sent)
    assert (got.status_code, got.content, got.headers["x-skep-cost-usd"]) == (200, RAW_CALLS, RAW_COST)
    seen = served.raw.last("exact")
    assert (seen.path, seen.body) == ("/v1beta/models/exact:generateContent", sent)
    assert served.key.encode() not in seen.head
    got = _post(served, "exact:streamGenerateContent?alt=sse", sent)
    assert got.content == FIRST + LAST
    assert served.raw.last("exact").path == "/v1beta/models/exact:streamGenerateContent?alt=sse"


def test_a_budget_counts_exactly_and_bounds_the_output(served: Server) -> None:
    key = served.new_key(budget_usd="0.0005", per="day")
    config = {"generationConfig": {"maxOutputTokens": 20}}
    statuses = [_post(served, "gemini-text:generateContent", _contents() | config, key).status_code for _ in range(6)]
    # A call costs 0.00012; the last ones find no room for the most that they may cost.
    assert statuses[:3] == [200] * 3
    assert statuses[-1] == 402
    rich = served.new_key(budget_usd="0.05", per="day")
    sent = b'{"contents":[{"parts":[{"text":"x"}]}],"generation_config": {"top_p": 1.0}}'
    assert _post(served, "exact:generateContent", sent, rich).status_code == 200
    told = json.loads(served.raw.last("exact").body)["generation_config"]
    assert (told["top_p"], 16 < told["maxOutputTokens"] < 50_000) == (1.0, True)
    search = _contents() | {"tools": [{"googleSearch": {}}]}
    dear = _post(served, "exact:generateContent", search, rich)
    assert (dear.status_code, dear.json()["error"]["details"][0]["metadata"]["param"]) == (402, "tools")
    stored = _post(served, "exact:generateContent", _contents() | {"cachedContent": "cachedContents/1"}, rich)
    assert stored.status_code == 402


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_is_kept_and_given_again(served: Server, google: genai.Client, streams: bool) -> None:
    text, path = uuid4().hex, "kept:streamGenerateContent?alt=sse" if streams else "kept:generateContent"
    first, second = (_post(served, path, _contents(text)) for _ in range(2))
    assert [each.headers["x-skep-cache"] for each in (first, second)] == ["miss", "hit"]
    assert second.content == first.content
    # The same words to another model, and the other way of asking, are other questions.
    other = _post(served, path.replace("kept", "gemini-text"), _contents(text))
    assert (other.status_code, "x-skep-cache" in other.headers) == (200, False)
    chunks = google.models.generate_content_stream(model="kept", contents=text)
    assert "".join(each.text or "" for each in chunks) == "The hive is quiet."


@pytest.mark.parametrize("streams", [False, True])
def test_guards(served: Server, google: genai.Client, streams: bool) -> None:
    if streams:
        chunks = google.models.generate_content_stream(model="guarded", contents=QUESTION)
        text = "".join(each.text or "" for each in chunks)
    else:
        text = google.models.generate_content(model="guarded", contents=QUESTION).text or ""
    assert text == "Write to [EMAIL] today."
    assert google.models.generate_content(model="hidden", contents="I am a@example.org").text == "The hive is quiet."


def test_a_stream_is_ended_early(served: Server) -> None:
    for kind in ("gemini", "chat", "messages"):
        path = f"{kind}-wanted:streamGenerateContent?alt=sse"
        got = _post(served, path, _contents(), **{"x-skep-stop-when": "json"})
        events = [json.loads(each[6:]) for each in got.text.split("\n\n") if each]
        texts = [part["text"] for each in events for part in each["candidates"][0]["content"]["parts"]]
        assert "".join(texts) == 'Of course: {"a": 1}'
        assert events[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_second_route_and_an_apology(google: genai.Client) -> None:
    assert google.models.generate_content(model="falls", contents=QUESTION).text == "The hive is quiet."
    chunks = google.models.generate_content_stream(model="sorry", contents=QUESTION)
    assert "".join(each.text or "" for each in chunks) == "Sorry."


def test_a_role_says_what_is_left_out(served: Server) -> None:
    assert _post(served, "role:poet:generateContent", _contents()).status_code == 200
    told = json.loads(served.raw.last("exact").body)
    assert told["systemInstruction"] == {"parts": [{"text": "Rhyme."}]}
    assert told["generationConfig"] == {"maxOutputTokens": 77, "temperature": 0.9}
    own = _contents() | {"generation_config": {"temperature": 0.1}, "system_instruction": {"parts": [{"text": "x"}]}}
    assert _post(served, "exact:generateContent", own, **{"x-skep-role": "poet"}).status_code == 200
    told = json.loads(served.raw.last("exact").body)
    assert told["generation_config"] == {"temperature": 0.1, "maxOutputTokens": 77}
    assert "systemInstruction" not in told


@by_kind
def test_tokens_are_counted(google: genai.Client, kind: str) -> None:
    counted = google.models.count_tokens(model=f"{kind}-text", contents=QUESTION)
    assert counted.total_tokens is not None
    assert 5 < counted.total_tokens < 50


def test_models_are_listed(google: genai.Client) -> None:
    names = [each.name for each in google.models.list()]
    # What draws at this address stands there, what draws or speaks elsewhere does not, nor what makes vectors.
    assert {"models/gemini-text", "models/exact", "models/draws-there"} <= set(names)
    assert not {"models/draws", "models/speaks", "models/local"} & set(names)
    known = google.models.get(model="known")
    assert (known.name, known.input_token_limit, known.output_token_limit) == ("models/known", 9_000, 700)
    assert google.models.get(model="exact").input_token_limit is None
    with pytest.raises(errors.ClientError, match="no model named draws"):
        google.models.get(model="draws")


def test_methods_that_are_not_served_are_named(served: Server, google: genai.Client) -> None:
    with pytest.raises(
        errors.ClientError, match=r"generateContent, streamGenerateContent and countTokens.*not batchEmbed"
    ) as refused:
        google.models.embed_content(model="gemini-text", contents=QUESTION)
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    for path, said in (("exact:generatecontent", "not generatecontent of exact"), ("exact", "not nothing of exact")):
        told = _post(served, path, _contents())
        assert (told.status_code, said in told.json()["error"]["message"]) == (404, True)
        assert "/v1/embeddings" in told.json()["error"]["details"][0]["metadata"]["fix"]


def test_a_key_may_be_for_this_face_alone(served: Server) -> None:
    key = served.new_key(faces=["generate_content"])
    assert _post(served, "gemini-text:generateContent", _contents(), key).status_code == 200
    other = served.new_key(faces=["messages"])
    refused = _post(served, "gemini-text:generateContent", _contents(), other)
    assert (refused.status_code, refused.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
