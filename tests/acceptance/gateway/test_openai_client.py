"""OpenAI's own client, pointed at Skep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.acceptance.gateway.conftest import Served

QUESTION: Any = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, timeout=20) as made:
        yield made


def test_a_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="ok", messages=QUESTION)
    assert answer.choices[0].message.content == "Hi."
    assert answer.usage is not None
    assert answer.usage.total_tokens == 1050


def test_a_stream(client: OpenAI) -> None:
    with client.chat.completions.create(model="stream_ok", messages=QUESTION, stream=True) as stream:
        texts = [chunk.choices[0].delta.content for chunk in stream]
    assert texts == ["Hel", "lo"]


def test_a_stream_with_usage(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    with client.chat.completions.create(
        model="stream_ok", messages=QUESTION, stream=True, stream_options=options
    ) as stream:
        last = list(stream)[-1]
    assert last.usage is not None
    assert last.usage.total_tokens == 1050


def test_a_stream_that_breaks_off_raises(client: OpenAI) -> None:
    with client.chat.completions.create(model="stream_no_done", messages=QUESTION, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.content == "Hel"
        with pytest.raises(openai.APIError, match="failed with stream_no_done"):
            list(stream)


def test_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "ok" in names
    assert "local" in names


def test_local_embeddings_in_both_formats(client: OpenAI) -> None:
    packed = client.embeddings.create(model="local", input=["red", "crimson", "database"])
    plain = client.embeddings.create(model="local", input="red", encoding_format="float")
    vectors = [each.embedding for each in packed.data]
    assert len(vectors[0]) == 384
    assert vectors[0] == pytest.approx(plain.data[0].embedding, abs=1e-6)

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    assert packed.usage.prompt_tokens > plain.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("model", "raised"),
    [
        ("nobody", openai.NotFoundError),
        ("busy", openai.RateLimitError),
        ("context", openai.BadRequestError),
        ("html", openai.InternalServerError),
    ],
)
def test_errors_are_what_the_client_knows(client: OpenAI, model: str, raised: type[openai.APIStatusError]) -> None:
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model=model, messages=QUESTION)
    assert caught.value.code


def test_a_wrong_key(served: Served) -> None:
    with (
        OpenAI(base_url=f"{served.url}/v1", api_key="skep_wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
