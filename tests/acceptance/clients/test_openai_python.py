"""OpenAI's own Python client against a real server: what people build on it, with a scripted provider behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.acceptance.clients.conftest import Clients

QUESTION: Any = [{"role": "user", "content": "How warm is it in Berlin?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
def client(clients: Clients) -> Iterator[OpenAI]:
    with OpenAI(base_url=clients.base_url, api_key=clients.key, max_retries=0, timeout=20) as made:
        yield made


def test_a_chat_tells_what_it_cost(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-x", messages=QUESTION)
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello from here."
    assert answer.model == "gpt-x"
    # 10 tokens at one dollar a million, 4 at two.
    assert raw.headers["x-skep-cost-usd"] == "0.000018"
    assert raw.headers["x-skep-model"] == "gpt-x"


def test_tools_there_and_back(client: OpenAI) -> None:
    asked = client.chat.completions.create(model="picks", messages=QUESTION, tools=TOOLS)
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Berlin"}')
    turns = [*QUESTION, message, {"role": "tool", "tool_call_id": call.id, "content": "21"}]
    told = client.chat.completions.create(model="picks", messages=turns, tools=TOOLS)
    assert told.choices[0].message.content == "It is 21 degrees in Berlin."


def test_tools_in_a_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(model="picks", messages=QUESTION, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"city":"Berlin"}'


def test_structured_output(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model="shapes", messages=QUESTION, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Berlin", degrees=21)


def test_structured_output_in_a_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(model="shapes", messages=QUESTION, response_format=Weather) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Weather(city="Berlin", degrees=21)


def test_a_stream_comes_piece_by_piece(client: OpenAI) -> None:
    began = time.monotonic()
    with client.chat.completions.create(model="slow", messages=QUESTION, stream=True) as stream:
        arrived = [(time.monotonic() - began, chunk.choices[0].delta.content or "") for chunk in stream]
    assert "".join(text for _, text in arrived) == "one two three four five six seven eight"
    # Eight events at four a second; had they been held back, all would have come at once.
    assert arrived[-1][0] - arrived[0][0] > 1.0


async def test_a_stream_of_the_async_client(clients: Clients) -> None:
    async with AsyncOpenAI(base_url=clients.base_url, api_key=clients.key, max_retries=0, timeout=20) as client:
        stream = await client.chat.completions.create(
            model="gpt-x", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 14


def test_completions(client: OpenAI) -> None:
    assert client.completions.create(model="gpt-x", prompt="Say").choices[0].text == "Hello from here."


def test_embeddings(client: OpenAI) -> None:
    answer = client.embeddings.create(model="embed-x", input=["one", "two"])
    assert [len(each.embedding) for each in answer.data] == [16, 16]
    plain = client.embeddings.create(model="embed-x", input="one", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(answer.data[0].embedding, abs=1e-6)


@pytest.mark.parametrize(
    ("model", "raised", "code"),
    [
        ("nobody", openai.NotFoundError, "model_not_found"),
        ("busy", openai.RateLimitError, "rate_limit_exceeded"),
        ("broken", openai.InternalServerError, "provider_failed"),
    ],
)
def test_errors(client: OpenAI, model: str, raised: type[openai.APIStatusError], code: str) -> None:
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model=model, messages=QUESTION)
    assert caught.value.code == code
    assert caught.value.body


def test_a_stream_that_dies_raises(client: OpenAI) -> None:
    texts: list[str] = []
    with (
        client.chat.completions.create(model="broken", messages=QUESTION, stream=True) as stream,
        pytest.raises(openai.APIError, match="broken"),
    ):
        texts.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert texts


def test_a_client_that_hangs_up_ends_the_providers_work(client: OpenAI, clients: Clients) -> None:
    with (
        clients.breaking_off("slow"),
        client.chat.completions.create(model="slow", messages=QUESTION, stream=True) as stream,
    ):
        next(iter(stream))


def test_a_client_that_gives_up_ends_the_providers_work(client: OpenAI, clients: Clients) -> None:
    with clients.breaking_off("lasting"), pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="lasting", messages=QUESTION)


def test_retries_are_the_clients_and_heed_retry_after(client: OpenAI, clients: Clients) -> None:
    before = len(clients.requests("weary"))
    answer = client.with_options(max_retries=2).chat.completions.create(model="weary", messages=QUESTION)
    assert answer.choices[0].message.content == "At last."
    assert len(clients.requests("weary")) - before == 2


def test_a_wrong_key(clients: Clients) -> None:
    with (
        OpenAI(base_url=clients.base_url, api_key="skep_wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="gpt-x", messages=QUESTION)
    assert caught.value.code == "invalid_api_key"
