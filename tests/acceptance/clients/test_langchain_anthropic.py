"""LangChain's client for Anthropic against a real server, whose provider speaks OpenAI's chats."""

from __future__ import annotations

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
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
def close_clients() -> None:
    """Nothing: LangChain keeps its clients for Anthropic for ever, by their address."""


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain would report to its makers' service if a variable said so."""
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


def _chat(clients: Clients, model: str) -> ChatAnthropic:
    return ChatAnthropic(
        model=model,
        base_url=clients.base_url.removesuffix("/v1"),
        api_key=SecretStr(clients.key),
        max_retries=0,
        timeout=20,
        max_tokens=200,
    )


def test_a_chat_whole_and_streamed(clients: Clients) -> None:
    chat = _chat(clients, "gpt-x")
    answer = chat.invoke(QUESTION)
    streamed = sum(chat.stream(QUESTION), start=AIMessageChunk(content=""))
    for said in (answer, streamed):
        assert said.text == "Hello from here."
        assert said.usage_metadata is not None
        assert (said.usage_metadata["input_tokens"], said.usage_metadata["output_tokens"]) == (10, 4)


def test_tools_there_and_back(clients: Clients) -> None:
    chat = _chat(clients, "picks").bind_tools([get_weather])
    asked = chat.invoke(QUESTION)
    streamed = sum(chat.stream(QUESTION), start=AIMessageChunk(content=""))
    for said in (asked, streamed):
        assert [(call["name"], call["args"]) for call in said.tool_calls] == [("get_weather", {"city": "Berlin"})]
    result = ToolMessage(content="21", tool_call_id=asked.tool_calls[0]["id"] or "")
    assert chat.invoke([HumanMessage(QUESTION), asked, result]).text == "It is 21 degrees in Berlin."


def test_structured_output(clients: Clients) -> None:
    chain = _chat(clients, "shapes").with_structured_output(Weather, method="json_schema")
    assert chain.invoke(QUESTION) == Weather(city="Berlin", degrees=21)


def test_errors(clients: Clients) -> None:
    with pytest.raises(anthropic.RateLimitError):
        _chat(clients, "busy").invoke(QUESTION)
    with pytest.raises(anthropic.APIError):
        list(_chat(clients, "broken").stream(QUESTION))
