"""OpenAI's own client at `/v1/responses`, with providers of every format: what its answers, streams and errors are like, and what they cost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.acceptance.gateway.test_exact_budget import server
from tests.acceptance.gateway.test_messages import RAW_ANSWER as RAW_MESSAGE
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
      tool_calls: [{{name: weather, arguments: {{place: Ulm, exact: 12345678901234567890}}}}, {{name: clock, arguments: {{}}}}]
      {USAGE}
  - {{when: {{models: [busy]}}, then: {{status: 429, retry_after: "7"}}}}
  - {{when: {{models: [context]}}, then: {{status: 400, error_code: context_length_exceeded, error_message: too long}}}}
  - {{when: {{models: [cut]}}, then: {{words: 30, fault: {{kind: close_in_stream, after_events: 9}}}}}}
  - {{when: {{models: [unended]}}, then: {{words: 30, fault: no_done}}}}
  - {{when: {{models: [failing]}}, then: {{words: 30, fault: {{kind: error_in_stream, after_events: 9}}}}}}
  - {{when: {{models: [shaped]}}, then: {{{USAGE}}}}}
  - {{when: {{models: [refusing]}}, then: {{refusal: I will not., {USAGE}}}}}
  - {{when: {{models: [long]}}, then: {{text: one two three four five six, finish_reason: length, {USAGE}}}}}
  - {{when: {{models: [slow]}}, then: {{words: 200, events_per_second: 20}}}}
otherwise: {{text: The hive is quiet., {USAGE}}}
"""
BEHAVIOURS = ("text", "tools", "busy", "context", "cut", "unended", "failing", "shaped", "refusing", "long", "slow")
KINDS = {"responses": "openai", "chat": "openai_compatible", "messages": "anthropic", "gemini": "gemini"}
"""The kind of the provider, by the format that it speaks."""

COST_NUSD = 60 * 1000 + 40 * 500 + 20 * 2000
COST = "0.00012"
QUESTION = "How is the hive?"
TOOLS: Any = [
    {
        "type": "function",
        "name": "weather",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        "strict": False,
    },
    {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}, "strict": False},
]
PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "cached_input_usd_per_mtok": 0.5}


def settings(url: str, raw_url: str) -> str:
    providers = {kind: {"kind": row, "base_url": url, "api_key": "sk-provider"} for kind, row in KINDS.items()}
    providers["gemini"]["base_url"] = f"{url.removesuffix('/v1')}/v1beta"
    providers["raw"] = {"kind": "openai", "base_url": raw_url, "api_key": "sk-provider"}
    models: dict[str, Any] = {
        f"{kind}-{behaviour}": {"retries": 0, "price": PRICE, "routes": [{"provider": kind, "model": behaviour}]}
        for kind in KINDS
        for behaviour in BEHAVIOURS
    }
    for behaviour in ("text", "tools", "long", "cut"):
        route = {"provider": "responses", "model": behaviour, "formats": ["responses"]}
        models[f"only-{behaviour}"] = {"retries": 0, "price": PRICE, "routes": [route]}
    routes = [{"provider": "responses", "model": "text"}]
    models["kept"] = {"price": PRICE, "routes": routes, "cache_seconds": 300}
    models["falls"] = {"retries": 0, "price": PRICE, "routes": [{"provider": "responses", "model": "busy"}, *routes]}
    dear = PRICE | {"cache_write_usd_per_mtok": 1.25}
    for name in ("exact", "exact-stream", "failed", "failed-stream"):
        models[name] = {"retries": 0, "price": dear, "routes": [{"provider": "raw", "model": name}]}
    route = {"provider": "raw", "model": "native", "formats": ["chat", "messages"]}
    models["native"] = {"price": PRICE, "routes": [route]}
    return json.dumps({"providers": providers, "models": models})


RAW_USAGE = (
    b'{"input_tokens":70,"input_tokens_details":{"cached_tokens":20,"cache_write_tokens":40},'
    b'"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":75}'
)
# 10 in at 1, 20 cached at 0.5, 40 written at 1.25, 5 out at 2 dollars a million.
RAW_COST = "0.00008"
RAW_ANSWER = (
    b'{"id":"resp_1","object":"response","status":"completed","error":null, "other": 1.0,"model":"exact","output":[{"id":"msg_1",'
    b'"type":"message","role":"assistant","content":[{"type":"output_text","text":"A\\u0042","annotations":[]}]}],'
    b' "usage":' + RAW_USAGE + b',"metadata":{}}'
)
RAW_FAILED = RAW_ANSWER.replace(b'"error":null', b'"error":{"code":"server_error","message":"no"}')
RAW_EVENTS = (
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"r","error":null,"usage":null}}\n\n',
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":1, "delta":"A\\u0042"}\n\n',
)
RAW_LAST = (
    b'event: response.completed\ndata: {"type":"response.completed","sequence_number":2,"response":'
    + RAW_ANSWER
    + b"}\n\n"
)
RAW_LAST_FAILED = RAW_LAST.replace(b"response.completed", b"response.failed").replace(RAW_ANSWER, RAW_FAILED)


def streamed(*events: bytes) -> list[bytes]:
    return [STREAM_HEAD, *map(chunk, events), STREAM_END]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("responses")
    scripts: Any = {
        "exact": lambda: [answer(RAW_ANSWER)],
        "exact-stream": lambda: streamed(*RAW_EVENTS, RAW_LAST, b"data: [DONE]\n\n"),
        "failed": lambda: [answer(RAW_FAILED)],
        "native": lambda: [answer(RAW_MESSAGE)],
        "failed-stream": lambda: streamed(*RAW_EVENTS, RAW_LAST_FAILED),
    }
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        raw_provider(scripts) as raw,
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


by_kind = pytest.mark.parametrize("kind", KINDS)


@by_kind
def test_a_response(gpt: openai.OpenAI, kind: str) -> None:
    raw = gpt.responses.with_raw_response.create(
        model=f"{kind}-text", instructions="Be kind.", input=QUESTION, max_output_tokens=50, temperature=0.5
    )
    response = raw.parse()
    assert (response.output_text, response.status, response.object) == ("The hive is quiet.", "completed", "response")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (100, 20, 120)
    assert response.usage.input_tokens_details.cached_tokens == 40
    assert (raw.headers["x-skep-cost-usd"], raw.headers["x-skep-provider"]) == (COST, kind)


@by_kind
def test_a_streamed_response(gpt: openai.OpenAI, kind: str) -> None:
    events: list[Any] = list(gpt.responses.create(model=f"{kind}-text", input=QUESTION, stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * 4,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events[4:8]) == events[8].text == "The hive is quiet."
    last = events[-1].response
    assert (last.output_text, last.status, last.usage.output_tokens) == ("The hive is quiet.", "completed", 20)
    assert {event.item_id for event in events[3:10]} == {last.output[0].id}
    with gpt.responses.stream(model=f"{kind}-text", input=QUESTION) as stream:
        assert stream.get_final_response().output_text == "The hive is quiet."


@by_kind
@pytest.mark.parametrize("streams", [False, True])
def test_tools_in_responses(gpt: openai.OpenAI, kind: str, streams: bool) -> None:
    asked: Any = {"model": f"{kind}-tools", "input": QUESTION, "tools": TOOLS, "tool_choice": "required"}
    if streams:
        with gpt.responses.stream(**asked) as stream:
            response: Any = stream.get_final_response()
    else:
        response = gpt.responses.create(**asked)
    assert response.output_text == "Let me look."
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("weather", {"place": "Ulm", "exact": 12345678901234567890}),
        ("clock", {}),
    ]
    assert len({call.call_id for call in calls}) == 2
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    said = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
    again: Any = [{"role": "user", "content": QUESTION}, *said, *results]
    second = gpt.responses.create(model=f"{kind}-text", input=again, tools=TOOLS)
    assert second.output_text == "The hive is quiet."


class Hive(BaseModel):
    name: str
    bees: int


@by_kind
def test_structured_output(gpt: openai.OpenAI, kind: str) -> None:
    parsed = gpt.responses.parse(model=f"{kind}-shaped", input=QUESTION, text_format=Hive)
    assert isinstance(parsed.output_parsed, Hive)
    with gpt.responses.stream(model=f"{kind}-shaped", input=QUESTION, text_format=Hive) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Hive)


@by_kind
def test_a_response_that_is_cut_at_its_bound_says_so(gpt: openai.OpenAI, kind: str) -> None:
    response = gpt.responses.create(model=f"{kind}-long", input=QUESTION)
    assert response.incomplete_details is not None
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    *_, last = gpt.responses.create(model=f"{kind}-long", input=QUESTION, stream=True)
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None


@by_kind
@pytest.mark.parametrize("streams", [False, True])
def test_a_refusal(gpt: openai.OpenAI, kind: str, streams: bool) -> None:
    if streams:
        *_, last = gpt.responses.create(model=f"{kind}-refusing", input=QUESTION, stream=True)
        response: Any = last.response  # type: ignore[union-attr]  # the last event has it
    else:
        response = gpt.responses.create(model=f"{kind}-refusing", input=QUESTION)
    said = response.output[-1].content[0].model_dump()
    assert "I will not." in (said.get("refusal"), said.get("text"))


@by_kind
def test_errors_are_what_the_client_knows(gpt: openai.OpenAI, kind: str) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        gpt.responses.create(model=f"{kind}-busy", input=QUESTION)
    assert int(caught.value.response.headers["retry-after"]) >= 1
    with pytest.raises(openai.BadRequestError, match="too long"):
        gpt.responses.create(model=f"{kind}-context", input=QUESTION)


@by_kind
@pytest.mark.parametrize("behaviour", ["cut", "unended", "failing"])
def test_a_stream_that_breaks_off_ends_with_an_error(
    served: Server, gpt: openai.OpenAI, kind: str, behaviour: str
) -> None:
    text = served.post("/v1/responses", model=f"{kind}-{behaviour}", input=QUESTION, stream=True).text
    events = [event for event in text.strip().split("\n\n") if not event.startswith(":")]
    assert "response.completed" not in text
    assert events[-1].startswith("event: error\ndata: ")
    told = [json.loads(event.partition("data: ")[2]) for event in events]
    assert told[-1]["type"] == "error"
    assert told[-1]["error"]["message"]
    assert told[-1]["sequence_number"] > told[-2]["sequence_number"]
    if behaviour != "failing":
        assert told[-1]["sequence_number"] == len(told) - 1
        assert (told[-1]["code"], told[-1]["message"]) == (told[-1]["error"]["code"], told[-1]["error"]["message"])
    with pytest.raises(openai.APIError):
        list(gpt.responses.create(model=f"{kind}-{behaviour}", input=QUESTION, stream=True))


def test_a_second_route_takes_over(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model="falls", input=QUESTION) as stream:
        assert stream.get_final_response().output_text == "The hive is quiet."


def test_answers_are_not_kept_here(served: Server, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="background") as refused:
        gpt.responses.create(model="responses-text", input=QUESTION, background=True)
    assert refused.value.param == "background"
    for ask in (gpt.responses.retrieve, gpt.responses.delete, gpt.responses.cancel, gpt.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="resp_1") as missing:
            ask("resp_1")
        assert missing.value.code == "response_not_kept"
    assert httpx.get(f"{served.url}/v1/responses/resp_1").status_code == 401


def test_what_the_provider_gets_and_gives_passes_untouched(served: Server) -> None:
    sent = b'{"max_output_tokens" : 50, "input":"\\u0041", "model":"exact", "unknown": 1.50}'
    headers = {"authorization": f"Bearer {served.key}"}
    got = httpx.post(f"{served.url}/v1/responses", content=sent, headers=headers, timeout=30)
    assert (got.status_code, got.content, got.headers["x-skep-cost-usd"]) == (200, RAW_ANSWER, RAW_COST)
    seen = served.raw.last("exact")
    assert (seen.path, seen.body) == ("/v1/responses", sent)
    sent = sent.replace(b'"exact"', b'"exact-stream","stream":true')
    got = httpx.post(f"{served.url}/v1/responses", content=sent, headers=headers, timeout=30)
    comment = b": x-skep-cost-usd %b\n\n" % RAW_COST.encode()
    assert got.content == b"".join([*RAW_EVENTS, comment, RAW_LAST])
    assert served.raw.last("exact-stream").body == sent


def test_a_response_that_failed_is_charged_as_told(served: Server) -> None:
    whole = served.post("/v1/responses", model="failed", input=QUESTION)
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, "provider_failed")
    text = served.post("/v1/responses", model="failed-stream", input=QUESTION, stream=True).text
    assert text.count("event: response.failed") == 1
    assert f": x-skep-cost-usd {RAW_COST}\n" in text
    assert _told(served, whole, "server_error").count(RAW_COST) >= 1


def _told(served: Server, answer: httpx.Response, word: str) -> str:
    """What is told about a call, once it is in the ledger."""
    until = time.monotonic() + 15
    while word not in (told := served.skep("gateway", "explain", answer.headers["x-skep-call-id"], code=None).out):
        assert time.monotonic() < until, told
        time.sleep(0.2)
    return told


def test_a_budget_counts_responses_exactly(served: Server) -> None:
    key = served.new_key(budget_usd=f"{6 * COST_NUSD / 1e9:.9f}", per="day")
    taken = 0
    for _ in range(8):
        asked = served.post("/v1/responses", key, model="responses-text", input=QUESTION, max_output_tokens=20)
        assert asked.status_code in (200, 402)
        taken += asked.status_code == 200
    # A reservation is for the most that a call may cost, which is more than these do: the last ones find no room.
    assert 1 <= taken <= 6
    unbound = served.new_key(budget_usd="0.05", per="day")
    assert served.post("/v1/responses", unbound, model="exact", input=QUESTION).status_code == 200
    # Whoever names no bound gets the one that the budget has room for, in the provider's word for it.
    assert json.loads(served.raw.last("exact").body)["max_output_tokens"] > 16


def test_what_is_dear_or_stored_needs_a_budget_for_it(served: Server) -> None:
    key = served.new_key(budget_usd="1", per="day")
    asked: dict[str, Any] = {"model": "exact", "input": QUESTION, "max_output_tokens": 20}
    search = served.post("/v1/responses", key, **asked, tools=[{"type": "web_search"}])
    assert (search.status_code, search.json()["error"]["param"]) == (402, "tools")
    # Two million tokens at a dollar a million, which is what a model can see of it at most.
    stored = served.post("/v1/responses", key, **asked, previous_response_id="resp_0")
    assert (stored.status_code, stored.json()["error"]["code"]) == (402, "budget_exceeded")
    rich = served.new_key(budget_usd="3", per="day")
    stored = served.post("/v1/responses", rich, **asked, previous_response_id="resp_0")
    assert (stored.status_code, stored.headers["x-skep-cost-usd"]) == (200, RAW_COST)
    # Without a budget nobody refuses it, and nobody says what it cost.
    search = served.post("/v1/responses", **asked, tools=[{"type": "web_search"}])
    assert (search.status_code, "x-skep-cost-usd" in search.headers) == (200, False)


def test_a_key_may_be_for_responses_alone(served: Server) -> None:
    key = served.new_key(faces=["responses"])
    asked: dict[str, Any] = {"model": "responses-text", "input": QUESTION}
    assert served.post("/v1/responses", key, **asked).status_code == 200
    chat = served.post("/v1/chat/completions", key, model="responses-text", messages=[])
    assert (chat.status_code, chat.json()["error"]["code"]) == (403, "face_not_allowed")
    other = served.new_key(faces=["embeddings"])
    assert served.post("/v1/responses", other, **asked).status_code == 403


def test_a_user_is_named_by_either_word(served: Server) -> None:
    answered = served.post("/v1/responses", model="responses-text", input=QUESTION, safety_identifier="u-1", user="u-2")
    assert "u-1" in _told(served, answered, "by responses")


@pytest.mark.parametrize("streams", [False, True])
def test_a_kept_response_is_given_again(served: Server, gpt: openai.OpenAI, streams: bool) -> None:
    asked: dict[str, Any] = {"model": "kept", "input": QUESTION, "stream": streams, "metadata": {"s": str(streams)}}
    first, second = (served.post("/v1/responses", **asked) for _ in range(2))
    assert [each.headers["x-skep-cache"] for each in (first, second)] == ["miss", "hit"]
    ours = f": x-skep-cost-usd {COST}\n\n"
    assert second.text.replace(": x-skep-cost-usd 0\n\n", ours) == first.text
    for more in ({"previous_response_id": "r"}, {"store": True}, {"tools": [{"type": "web_search"}]}):
        assert "x-skep-cache" not in served.post("/v1/responses", **asked, **more).headers
    if streams:
        *_, last = gpt.responses.create(**asked)
        assert last.response.output_text == "The hive is quiet."


def test_a_client_that_goes_away_is_settled(served: Server) -> None:
    for kind in KINDS:
        body = {"model": f"{kind}-slow", "max_output_tokens": 500, "input": QUESTION, "stream": True}
        with (
            httpx.Client(headers={"x-api-key": served.key}, timeout=20) as client,
            client.stream("POST", f"{served.url}/v1/responses", json=body) as answered,
        ):
            came = b""
            pieces = answered.iter_bytes()
            while came.count(b"output_text.delta") < 2 * 12:
                came += next(pieces)
        told = _told(served, answered, "cancelled")
        # What came is counted, once.
        output = int(told.partition(" output")[0].rpartition(" ")[2])
        assert 12 <= output < 100, told
        assert "(estimated)" in told


@pytest.fixture
def claude(served: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0, timeout=20) as made:
        yield made


def _asked_by(served: Server) -> str:
    return str(served.provider.truth()[-1]["path"])


@pytest.mark.parametrize("streams", [False, True])
def test_chats_reach_a_model_that_is_had_by_responses_only(served: Server, gpt: openai.OpenAI, streams: bool) -> None:
    said: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUESTION}]
    tools: Any = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["parameters"]}} for tool in TOOLS
    ]
    asked: Any = {"model": "only-tools", "messages": said, "tools": tools, "max_completion_tokens": 50}
    if streams:
        with gpt.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            for _ in stream:
                pass
            answered: Any = stream.get_final_completion()
    else:
        answered = gpt.chat.completions.create(**asked)
    assert _asked_by(served) == "/v1/responses"
    choice = answered.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me look.")
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
    assert calls == [("weather", {"place": "Ulm", "exact": 12345678901234567890}), ("clock", {})]
    assert (answered.usage.prompt_tokens, answered.usage.completion_tokens) == (100, 20)
    assert answered.usage.prompt_tokens_details.cached_tokens == 40
    assert gpt.chat.completions.create(model="only-long", messages=said).choices[0].finish_reason == "length"


def test_messages_reach_a_model_that_is_had_by_responses_only(served: Server, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "only-tools", "max_tokens": 50, "messages": [{"role": "user", "content": QUESTION}]}
    tools: Any = [{"name": tool["name"], "input_schema": tool["parameters"]} for tool in TOOLS]
    raw = claude.messages.with_raw_response.create(**asked, tools=tools)
    with claude.messages.stream(**asked, tools=tools) as stream:
        streamed: Any = stream.get_final_message()
    assert _asked_by(served) == "/v1/responses"
    message: Any
    for message in (raw.parse(), streamed):
        text, *uses = message.content
        assert (text.type, message.stop_reason) == ("text", "tool_use")
        assert [(use.name, use.input) for use in uses if use.type == "tool_use"] == [
            ("weather", {"place": "Ulm", "exact": 12345678901234567890}),
            ("clock", {}),
        ]
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (60, 40)
    assert raw.headers["x-skep-cost-usd"] == COST
    cut = claude.messages.create(**{**asked, "model": "only-cut"}, stream=True)
    with pytest.raises(anthropic.APIError):
        list(cut)


def test_a_server_that_speaks_more_than_its_kind_is_asked_in_that(served: Server) -> None:
    asked: dict[str, Any] = {"model": "native", "max_tokens": 50, "messages": [{"role": "user", "content": "a"}]}
    got = served.post("/v1/messages", **asked, top_k=5)
    assert (got.status_code, got.content) == (200, RAW_MESSAGE)
    seen = served.raw.last("native")
    assert (seen.path, json.loads(seen.body)) == ("/v1/messages", {**asked, "top_k": 5})
