"""LangChain's client for OpenAI against a real server."""

from __future__ import annotations

from contextlib import closing

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from tests.acceptance.clients.conftest import Clients

QUESTION = "How warm is it in Berlin?"


class Weather(BaseModel):
    """How warm it is somewhere."""

    city: str
    degrees: int


def get_weather(city: str) -> int:
    """How warm it is in a city."""
    return len(city)


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain would report to its makers' service if a variable said so."""
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


def _chat(clients: Clients, model: str, retries: int = 0, *, responses: bool = False) -> ChatOpenAI:
    return ChatOpenAI(
        model=model,
        base_url=clients.base_url,
        api_key=SecretStr(clients.key),
        max_retries=retries,
        timeout=20,
        # Its own it keeps for ever, by their address.
        http_client=httpx.Client(timeout=20),
        use_responses_api=responses,
    )


def test_a_chat(clients: Clients) -> None:
    answer = _chat(clients, "gpt-x").invoke(QUESTION)
    assert answer.content == "Hello from here."
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 14


def test_tools_there_and_back(clients: Clients) -> None:
    chat = _chat(clients, "picks").bind_tools([get_weather])
    asked = chat.invoke(QUESTION)
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("get_weather", {"city": "Berlin"})]
    result = ToolMessage(content="21", tool_call_id=asked.tool_calls[0]["id"] or "")
    assert chat.invoke([HumanMessage(QUESTION), asked, result]).content == "It is 21 degrees in Berlin."


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output(clients: Clients, method: str) -> None:
    chain = _chat(clients, "shapes").with_structured_output(Weather, method=method)  # type: ignore[arg-type]  # one of its Literals
    assert chain.invoke(QUESTION) == Weather(city="Berlin", degrees=21)


def test_a_stream(clients: Clients) -> None:
    chunks = list(_chat(clients, "slow").stream(QUESTION))
    assert "".join(str(chunk.content) for chunk in chunks) == "one two three four five six seven eight"
    assert len([chunk for chunk in chunks if chunk.content]) == 8


def test_a_stream_that_is_left(clients: Clients) -> None:
    with clients.breaking_off("slow"), closing(_chat(clients, "slow").stream(QUESTION)) as stream:  # type: ignore[type-var]  # a generator
        assert any(chunk.content for chunk in stream)


def test_embeddings(clients: Clients) -> None:
    # What is not OpenAI's own tokenizer must not be looked up on the network.
    embeddings = OpenAIEmbeddings(
        model="embed-x",
        openai_api_base=clients.base_url,
        openai_api_key=SecretStr(clients.key),
        check_embedding_ctx_length=False,
        http_client=httpx.Client(timeout=20),
    )
    assert [len(vector) for vector in embeddings.embed_documents(["one", "two"])] == [16, 16]


def test_errors(clients: Clients) -> None:
    with pytest.raises(openai.RateLimitError):
        _chat(clients, "busy").invoke(QUESTION)
    with pytest.raises(openai.APIError, match="broken"):
        list(_chat(clients, "broken").stream(QUESTION))


def test_retries(clients: Clients) -> None:
    assert _chat(clients, "weary", retries=2).invoke(QUESTION).content == "At last."


def test_responses(clients: Clients) -> None:
    chat = _chat(clients, "gpt-x", responses=True)
    answer = chat.invoke(QUESTION)
    assert isinstance(answer, AIMessage)
    assert answer.text == "Hello from here."
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 14
    assert "".join(chunk.text for chunk in chat.stream(QUESTION)) == "Hello from here."
    assert _chat(clients, "shapes", responses=True).with_structured_output(Weather).invoke(QUESTION) == Weather(
        city="Berlin", degrees=21
    )


def test_tools_there_and_back_in_responses(clients: Clients) -> None:
    chat = _chat(clients, "picks", responses=True).bind_tools([get_weather])
    asked = chat.invoke(QUESTION)
    streamed = sum(chat.stream(QUESTION), start=AIMessageChunk(content=""))
    for said in (asked, streamed):
        assert [(call["name"], call["args"]) for call in said.tool_calls] == [("get_weather", {"city": "Berlin"})]
    result = ToolMessage(content="21", tool_call_id=asked.tool_calls[0]["id"] or "")
    assert chat.invoke([HumanMessage(QUESTION), asked, result]).text == "It is 21 degrees in Berlin."


def test_errors_of_responses(clients: Clients) -> None:
    with pytest.raises(openai.RateLimitError):
        _chat(clients, "busy", responses=True).invoke(QUESTION)
    with pytest.raises(openai.APIError, match="broken"):
        list(_chat(clients, "broken", responses=True).stream(QUESTION))
