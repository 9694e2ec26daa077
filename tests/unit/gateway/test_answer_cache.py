"""What makes two questions the same, what a client may wish, and what is kept of an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.caching.entries import (
    Entry,
    Question,
    Wish,
    clearing_names,
    packed,
    question_key,
    read_wish,
    unpacked,
)
from skep.gateway.caching.recording import Recorder
from skep.web import WHOLE_ANSWER

SEED = b"s" * 32
OURS = ("installation", 1)
PLAIN = (SEED, OURS, "chat.completions", (), b'{"model":"smart"}')


@pytest.mark.parametrize(
    "other",
    [
        (b"t" * 32, *PLAIN[1:]),
        (SEED, ("installation", 11), *PLAIN[2:]),
        (SEED, ("another", 1), *PLAIN[2:]),
        (SEED, OURS, "completions", (), b'{"model":"smart"}'),
        (*PLAIN[:3], ((b"openai-beta", b"x"),), b'{"model":"smart"}'),
        (*PLAIN[:4], b'{"model":"smart" }'),
    ],
)
def test_whatever_differs_makes_another_question(other: tuple[Any, ...]) -> None:
    assert question_key(*other) != question_key(*PLAIN)


@pytest.mark.parametrize("name", [b"user-agent", b"x-stainless-retry-count", b"traceparent", b"cache-control"])
def test_what_a_client_tells_of_itself_makes_none(name: bytes) -> None:
    assert question_key(*PLAIN[:3], ((name, b"1"),), PLAIN[4]) == question_key(*PLAIN)


pairs = st.lists(st.tuples(st.binary(min_size=1, max_size=6), st.binary(max_size=6)), max_size=4)


@given(pairs, st.binary(max_size=20), pairs, st.binary(max_size=20))
def test_no_two_questions_are_the_same_bytes(
    headers: list[tuple[bytes, bytes]], body: bytes, others: list[tuple[bytes, bytes]], another: bytes
) -> None:
    same = question_key(SEED, OURS, "f", headers, body) == question_key(SEED, OURS, "f", others, another)
    assert same == (sorted(headers) == sorted(others) and body == another)


@pytest.mark.parametrize(
    ("control", "wish"),
    [
        ("", Wish()),
        ("no-store", Wish(reads=False, keeps=False)),
        ("No-Cache", Wish(reads=False)),
        ("max-age=60", Wish(max_age_seconds=60)),
        ('max-age="60", max-age=5', Wish(max_age_seconds=5)),
        ("max-age=0", Wish(max_age_seconds=0)),
        ("max-age=, max-age=-1, max-age=1e9, only-if-cached, \xff", Wish()),
    ],
)
def test_a_clients_wish(control: str, wish: Wish) -> None:
    assert read_wish([(b"accept", b"x"), (b"cache-control", control.encode("latin-1"))]) == wish


def test_tags_are_told_apart_and_bounded() -> None:
    told = [(b"x-skep-cache-tags", b"b, a,,b"), (b"x-skep-cache-tags", b"c" * 500)]
    assert read_wish(told).tags == ("a", "b", "c" * 100)
    assert len(read_wish([(b"x-skep-cache-tags", b",".join(b"%d" % n for n in range(50)))]).tags) == 20
    assert clearing_names("m", ["a"]) == ["*", "model:m", "tag:a"]


def entry(**more: Any) -> Entry:
    usual: dict[str, Any] = {
        "body": b"{}",
        "last": b"",
        "is_stream": False,
        "content_type": b"application/json",
        "provider": "p",
        "model_used": "m",
        "cost_nusd": 5,
        "stored_at": 1000.0,
        "epochs": {"*": 0, "model:m": 2},
    }
    return Entry(**usual | more)


def asked(seconds: int = 60, wish: Wish | None = None, names: tuple[str, ...] = ()) -> Question:
    return Question(b"k", 1, seconds, wish or Wish(), {"*": 0, "model:m": 2, **dict.fromkeys(names, 0)})


def test_an_answer_is_given_while_it_is_fresh_and_nobody_cleared_it() -> None:
    assert entry().answers(asked(), 1060.0)
    assert not entry().answers(asked(), 1060.1)
    assert not entry().answers(asked(seconds=10), 1011.0), "the setting was made shorter"
    assert not entry().answers(asked(wish=Wish(max_age_seconds=5)), 1006.0)
    assert not entry().answers(Question(b"k", 1, 60, Wish(), {"*": 1, "model:m": 2}), 1001.0)
    assert not entry().answers(asked(names=("tag:a",)), 1001.0), "it could not be cleared by that tag"


@given(
    st.binary(max_size=50),
    st.binary(max_size=20),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 2**60)),
    st.dictionaries(st.text(max_size=5), st.integers(0, 2**50), max_size=3),
)
def test_what_is_packed_comes_out_again(
    body: bytes, last: bytes, is_stream: bool, cost: int | None, epochs: dict[str, int]
) -> None:
    one = entry(body=body, last=last, is_stream=is_stream, cost_nusd=cost, epochs=epochs)
    assert unpacked(b"k", packed(b"k", one)) == one


@given(st.binary(max_size=60))
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no entry"):
        unpacked(b"k", data)


@pytest.mark.parametrize("cut", [0, 1, 20, 100])
def test_what_is_cut_off_is_refused(cut: int) -> None:
    data = packed(b"k", entry(body=b"x" * 50))
    with pytest.raises(ValueError, match="no entry"):
        unpacked(b"k", data[:cut])


def test_what_belongs_to_another_key_is_refused() -> None:
    with pytest.raises(ValueError, match="another key"):
        unpacked(b"other", packed(b"k", entry()))


async def record(*messages: dict[str, Any]) -> tuple[Recorder, list[Any]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    recorder = Recorder(send)
    for message in messages:
        await recorder(message)
    return recorder, sent


def kept(recorder: Recorder) -> Entry | None:
    return recorder.entry(provider="p", model_used="m", cost_nusd=1, epochs={})


JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream")]


async def test_a_whole_answer_is_kept_and_marked() -> None:
    recorder, sent = await record({"type": WHOLE_ANSWER, "status": 200, "headers": list(JSON), "body": b"{}"})
    found = kept(recorder)
    assert found is not None
    assert (found.body, found.last, found.is_stream, found.content_type) == (b"{}", b"", False, b"application/json")
    assert sent[0]["headers"][-1] == (b"x-skep-cache", b"miss")


@pytest.mark.parametrize(
    ("told", "was_cut"),
    [
        (b'{"finish_reason": "length"}', True),
        (b'{"stop_reason":"max_tokens"}', True),
        (b'{"finish_reason":"stop"}', False),
        (b'{"content":"\\"finish_reason\\":\\"length\\""}', False),
    ],
)
async def test_whether_an_answer_came_to_its_bound(told: bytes, was_cut: bool) -> None:
    recorder, _ = await record({"type": WHOLE_ANSWER, "status": 200, "headers": list(JSON), "body": told})
    assert recorder.was_cut is was_cut


async def test_a_stream_is_kept_without_its_cost() -> None:
    end = b": x-skep-cost-usd 0.1\n\ndata: [DONE]\n\n"
    recorder, _ = await record(
        {"type": "http.response.start", "status": 200, "headers": list(EVENTS)},
        {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True},
        {"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True},
        {"type": "http.response.body", "body": end},
    )
    found = kept(recorder)
    assert found is not None
    assert (found.body, found.last, found.is_stream) == (b"data: 1\n\ndata: 2\n\n", b"data: [DONE]\n\n", True)


@pytest.mark.parametrize(("status", "size"), [(400, 10), (500, 10), (200, 1_048_577), (200, 0)])
async def test_what_is_no_answer_or_too_long_is_not_kept(status: int, size: int) -> None:
    recorder, sent = await record(
        {"type": WHOLE_ANSWER, "status": status, "headers": list(JSON), "body": b"x" * size},
        {"type": "http.response.body", "body": b"", "more_body": False},
    )
    assert kept(recorder) is None
    assert len(sent) == 2
