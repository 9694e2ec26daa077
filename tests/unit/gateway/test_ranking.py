"""What calls that have documents ranked, or looked at for harm, can cost at most, and what they did cost."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.ranking import read_ranking
from skep.gateway.requests import PICTURE_TOKENS, Known, read_request
from skep.gateway.usage import UNBILLED, AnswerUnreadableError, Billing
from skep.spend import Usage


def body(**values: object) -> bytes:
    return orjson.dumps({"model": "ranks", **values})


def read(sent: bytes) -> Known:
    return read_request("rerank", sent)


@pytest.mark.parametrize(
    ("query", "documents", "searches"),
    [
        ("q", ["a"], 1),
        ("q", [], 1),
        ("q", ["a"] * 90, 1),
        ("q", ["a"] * 101, 2),
        # Long documents count as several: 60 of 5,000 tokens at most are 600 of them, and the 60 with their ends.
        ("q", ["x" * 5_000] * 60, 7),
        # A query that fills a document leaves no room in it but for a token.
        ("q" * 500, ["x" * 1_000], 16),
        (7, ["a"], 1),
    ],
)
def test_how_much_ranking_can_be(query: object, documents: list[str], searches: int) -> None:
    sent = body(query=query, documents=documents)
    known = read(sent)
    times = len(query) if isinstance(query, str) else len(sent)
    assert known.input_tokens_at_most == len(sent) + times * len(documents)
    assert known.searches_at_most == searches
    assert (known.output_tokens, known.stream) == (0, False)


def test_documents_of_a_large_body_are_counted() -> None:
    texts, objects = ["x" * 300] * 6_000, [{"text": "x" * 300}] * 6_000
    for documents in (texts, objects):
        sent = body(query="qq", documents=documents)
        known = read(sent)
        assert known.input_tokens_at_most >= len(sent) + 2 * 6_000
        assert known.searches_at_most >= 60
    sent = body(query="qq", documents=texts)
    assert read(sent).input_tokens_at_most == len(sent) + 2 * 6_000


def test_pictures_count_by_the_most_they_may_be() -> None:
    sent = body(query="q", documents=[{"image": "https://x"}])
    assert read(sent).input_tokens_at_most == len(sent) + 1 + PICTURE_TOKENS


@pytest.mark.parametrize("face", ["rerank", "moderations"])
def test_there_is_no_stream(face: Any) -> None:
    with pytest.raises(RequestInvalidError, match="no stream"):
        read_request(face, body(stream=True))


def test_documents_are_said_once() -> None:
    with pytest.raises(RequestInvalidError, match="documents twice"):
        read(b'{"model":"a","query":"q","documents":["a"],"documents":["a","b"]}')


@pytest.mark.parametrize(
    ("told", "usage", "billing"),
    [
        ({"usage": {"total_tokens": 815}}, Usage(815, output_tokens=0), UNBILLED),
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, Usage(9), UNBILLED),
        ({"meta": {"billed_units": {"search_units": 2}}}, None, Billing(searches=2)),
        ({"meta": {"billed_units": {"search_units": 2.0}}}, None, Billing(searches=2)),
        (
            {"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 7}}},
            Usage(7),
            Billing(searches=1),
        ),
        ({"meta": {"billed_units": {"search_units": "2"}}}, None, UNBILLED),
        ({"meta": {"billed_units": {"search_units": True}}}, None, UNBILLED),
        ({"usage": {"total_tokens": -1}}, None, UNBILLED),
        ({"usage": 7, "meta": 7}, None, UNBILLED),
        ({}, None, UNBILLED),
    ],
)
def test_what_ranking_used(told: dict[str, Any], usage: Usage | None, billing: Billing) -> None:
    assert read_ranking(orjson.dumps({"results": [], **told})) == (usage, None, billing)


def test_answers_that_are_none() -> None:
    assert read_ranking(b'{"error":{"code":1}}')[1] == {"code": 1}
    for sent in (b"", b"[]"):
        with pytest.raises(AnswerUnreadableError):
            read_ranking(sent)
