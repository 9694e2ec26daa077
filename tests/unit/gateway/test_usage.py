"""Usage as providers tell it, and what is told about a stream."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.streaming import Tally, tally_of
from skep.gateway.usage import (
    UNBILLED,
    AnswerUnreadableError,
    Billing,
    billing_of,
    counted,
    delta_bytes,
    output_bytes,
    read_answer,
    usage_of,
)
from skep.spend import Usage


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}, Usage(12, output_tokens=9)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2},
            },
            Usage(100, 60, None, 50, 30, 5, 2),
        ),
        # DeepSeek tells its cache apart.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "total_tokens": 11,
                "prompt_cache_hit_tokens": 4,
                "prompt_cache_miss_tokens": 6,
            },
            Usage(10, 4, None, 1),
        ),
        # xAI and Gemini: what the model thought is in the total only.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 40,
                "completion_tokens_details": {"reasoning_tokens": 25},
            },
            Usage(10, None, None, 30, 25),
        ),
        # A part is never more than its whole.
        (
            {"prompt_tokens": 10, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 99}},
            Usage(10, 10, None, 0),
        ),
        # Of what is written into a cache, a part is kept for an hour.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cache_write_tokens": 60},
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 40},
            },
            Usage(100, None, 60, 1, cache_write_1h_tokens=40),
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_1h_tokens": 40}},
            Usage(100, None, 40, 1, cache_write_1h_tokens=40),
        ),
        (
            {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cache_write_tokens": 30, "cache_write_1h_tokens": 40},
            },
            Usage(100, None, 30, cache_write_1h_tokens=30),
        ),
        ({"prompt_tokens": -3, "completion_tokens": 2}, Usage(None, output_tokens=2)),
        ({"prompt_tokens": True, "completion_tokens": "2"}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_a_usage_object(told: object, usage: Usage | None) -> None:
    assert usage_of(told) == usage


def test_a_long_answer_has_its_usage_at_the_end() -> None:
    vectors = [{"object": "embedding", "index": index, "embedding": [0.125] * 500} for index in range(200)]
    answer: dict[str, Any] = {"object": "list", "data": vectors, "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    body = orjson.dumps(answer)
    assert len(body) > 262_144
    assert read_answer(body) == (Usage(3), None, UNBILLED)
    answer["usage"] = {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}
    assert read_answer(orjson.dumps(answer)) == (Usage(3, 1), None, UNBILLED)
    answer["service_tier"] = "flex"
    assert read_answer(orjson.dumps(answer)) == (Usage(3, 1), None, Billing("flex"))
    del answer["usage"]
    del answer["service_tier"]
    assert read_answer(orjson.dumps(answer)) == (None, None, UNBILLED)
    with pytest.raises(AnswerUnreadableError):
        read_answer(body[:-1])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"a":1} x'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(AnswerUnreadableError):
        read_answer(body)


def test_an_error_inside_an_answer_is_told() -> None:
    assert read_answer(b'{"error":{"code":1}}') == (None, {"code": 1}, UNBILLED)


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read_answer(body)
    except AnswerUnreadableError:
        assert not isinstance(_loaded(body), dict)
    else:
        assert isinstance(_loaded(body), dict)


def _loaded(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def test_counting_never_says_less_than_the_pieces() -> None:
    assert counted(401, 0) == Usage(101, output_tokens=0)
    assert counted(4, 8, pieces=7) == Usage(1, output_tokens=7)
    assert output_bytes(b'{"delta":{"content":"abc"},"x":{"arguments":"{\\"a\\":1}"}}') == 3 + 9


@given(st.text(), st.text())
def test_a_text_counts_as_it_is_written_in_json(text: str, arguments: str) -> None:
    written = orjson.dumps({"content": text, "x": {"arguments": arguments}, "other": text})
    assert output_bytes(written) == len(orjson.dumps(text)) + len(orjson.dumps(arguments)) - 4


def _chunk(**values: Any) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"delta": {"content": "hi"}}], **values}) + b"\n\n"


USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


def test_the_event_that_only_we_asked_for_is_hidden() -> None:
    ours = _chunk(choices=[], usage=USAGE)
    events = [_chunk(usage=None), _chunk(), ours, b"data: [DONE]\n\n"]
    tally = Tally(hides_usage=True)
    assert tally.passing(events) == events[:2]
    assert (tally.usage, tally.done_event) == (Usage(4, output_tokens=2), events[3])
    assert (tally.pieces, tally.output_bytes) == (2, 4)
    told = Tally(hides_usage=False)
    assert told.passing(events) == events[:3]
    assert told.usage == tally.usage


def test_usage_told_again_and_again_counts_once() -> None:
    tally = Tally(hides_usage=True)
    events = [_chunk(usage={**USAGE, "completion_tokens": count, "total_tokens": 4 + count}) for count in (1, 2, 3)]
    assert tally.passing(events) == events
    assert tally.usage == Usage(4, output_tokens=3)


def test_the_tier_that_served_is_told_with_the_usage() -> None:
    tally = Tally(hides_usage=True)
    tally.passing([_chunk(service_tier="priority"), _chunk(choices=[], usage=USAGE, service_tier="default")])
    assert tally.billing == Billing("default")
    tally.passing([_chunk(usage=USAGE, service_tier=None)])
    assert tally.billing == Billing("default")


def test_nothing_passes_after_an_error_or_after_the_end() -> None:
    error = b'data: {"error":{"message":"boom","code":500}}\n\n'
    tally = Tally(hides_usage=True)
    assert tally.passing([_chunk(), error, _chunk(), b"data: [DONE]\n\n"]) == [_chunk(), error]
    assert tally.failure is not None
    assert tally.failure.kind == "interrupted"
    ended = Tally(hides_usage=True)
    assert ended.passing([b"data: [DONE]\n\n", _chunk()]) == []


def test_a_model_that_speaks_of_errors_is_no_error() -> None:
    events = [
        b'data: {"choices":[{"delta":{"content":"\\"error\\": \\"x\\""}}]}\n\n',
        b'data: {"error":null,"choices":[]}\n\n',
        b": ping\n\n",
        b'data: not json "error" {"usage":{\n\n',
    ]
    tally = Tally(hides_usage=True)
    assert tally.passing(events) == events
    assert tally.failure is None


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.000123456789}, 123_457),
        ({"cost": 1e-05, "is_byok": False}, 10_000),
        ({"cost": 0}, 0),
        ({"cost": 2}, 2_000_000_000),
        # Only the fee, where the provider behind sends a bill of its own.
        ({"cost": 0.01, "is_byok": True}, None),
        ({"cost": -1}, None),
        ({"cost": 1e300}, None),
        ({"cost": True}, None),
        ({"cost": "0.1"}, None),
        ({"cost": None}, None),
        ({}, None),
    ],
)
def test_a_cost_that_is_told(usage: dict[str, object], cost: int | None) -> None:
    assert billing_of({"usage": usage}).cost_nusd == cost


def named(kind: str, **values: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **values}))


BEGAN = named(
    "message_start", message={"id": "m", "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 1}}
)
DELTA = named("content_block_delta", index=0, delta={"type": "text_delta", "text": "eight888"})


def test_a_stream_of_messages_is_counted_to_its_end() -> None:
    tally = tally_of("messages", hides_usage=True)
    last = named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    stop = named("message_stop")
    assert tally.passing([BEGAN, DELTA, b": note\n\n", DELTA]) == [BEGAN, DELTA, b": note\n\n", DELTA]
    # So far it tells what went in only.
    assert (tally.usage, tally.is_counting) == (Usage(10, 3, output_tokens=1), True)
    assert (tally.pieces, tally.output_bytes, tally.done_event) == (2, 16, None)
    assert tally.passing([last, stop, DELTA]) == [last]
    assert (tally.usage, tally.is_counting) == (Usage(10, 3, output_tokens=9), False)
    assert (tally.done_event, tally.failure) == (stop, None)


@pytest.mark.parametrize(
    ("kind", "failure"), [("overloaded_error", "rate_limited"), ("api_error", "interrupted"), ("x", "interrupted")]
)
def test_an_error_ends_a_stream_of_messages(kind: str, failure: str) -> None:
    tally = tally_of("messages", hides_usage=False)
    error = named("error", error={"type": kind, "message": "no"})
    assert tally.passing([BEGAN, error, DELTA]) == [BEGAN, error]
    assert tally.failure is not None
    assert (tally.failure.kind, tally.done_event) == (failure, None)


@given(st.binary(max_size=80))
def test_no_event_of_messages_upsets_it(data: bytes) -> None:
    event = b"event: message_delta\ndata: " + data.replace(b"\n", b"").replace(b"\r", b"") + b"\n\n"
    assert tally_of("messages", hides_usage=False).passing([event]) in ([event], [])


def response(kind: str, **values: Any) -> bytes:
    return named(f"response.{kind}", response={"id": "r", "error": None, "usage": None, **values})


TOLD = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 19,
}
PIECE = named("response.output_text.delta", delta="eight888", logprobs=[])
AGAIN = named("response.output_text.done", text="eight888eight888")
RESPONDED = Usage(10, cached_input_tokens=3, cache_write_tokens=2, output_tokens=9, reasoning_tokens=4)


@pytest.mark.parametrize("kind", ["completed", "incomplete"])
def test_a_stream_of_a_response_is_counted_to_its_end(kind: str) -> None:
    tally = tally_of("responses", hides_usage=True)
    begun, last = response("created"), response(kind, usage=TOLD, service_tier="flex")
    events = [begun, PIECE, b": note\n\n", PIECE, AGAIN]
    assert tally.passing(events) == events
    # What is said again when it is whole is not counted again.
    assert (tally.usage, tally.pieces, tally.output_bytes) == (None, 2, 16)
    assert tally.passing([last, b"data: [DONE]\n\n", PIECE]) == []
    assert (tally.done_event, tally.failure) == (last, None)
    assert (tally.usage, tally.billing) == (RESPONDED, Billing("flex"))


def test_nothing_else_ends_a_response_well() -> None:
    tally = tally_of("responses", hides_usage=False)
    assert tally.passing([response("created"), PIECE, b"data: [DONE]\n\n"]) == [response("created"), PIECE]
    assert (tally.done_event, tally.failure) == (None, None)


@pytest.mark.parametrize(
    ("event", "failure", "usage"),
    [
        (named("error", code="overloaded_error", message="no", param=None), "rate_limited", None),
        (named("error", error={"code": "context_length_exceeded", "message": "no"}), "context_too_long", None),
        (named("error", code=None, message=None), "interrupted", None),
        (response("failed", error={"code": "server_error", "message": "no"}, usage=TOLD), "interrupted", RESPONDED),
        (response("failed"), "interrupted", None),
        (named("response.failed", response=7), "interrupted", None),
    ],
)
def test_an_error_ends_a_response(event: bytes, failure: str, usage: Usage | None) -> None:
    tally = tally_of("responses", hides_usage=False)
    assert tally.passing([PIECE, event, PIECE]) == [PIECE, event]
    assert tally.failure is not None
    assert (tally.failure.kind, tally.done_event, tally.usage) == (failure, None, usage)


@given(st.sampled_from(["response.completed", "response.failed", "error", "x"]), st.binary(max_size=80))
def test_no_event_of_a_response_upsets_it(name: str, data: bytes) -> None:
    event = b"event: %b\ndata: %b\n\n" % (name.encode(), data.replace(b"\n", b"").replace(b"\r", b""))
    assert tally_of("responses", hides_usage=False).passing([event]) in ([event], [])


@given(st.text(), st.text())
def test_what_is_new_in_a_response_counts_as_it_is_written_in_json(text: str, other: str) -> None:
    assert delta_bytes(orjson.dumps({"type": "x", "delta": text, "text": other})) == len(orjson.dumps(text)) - 2


def test_a_whole_response_tells_its_usage_and_its_failure() -> None:
    whole: dict[str, Any] = {"id": "r", "error": None, "output": [], "service_tier": "default", "usage": TOLD}
    assert read_answer(orjson.dumps(whole)) == (RESPONDED, None, Billing("default"))
    failed = {**whole, "status": "failed", "error": {"code": "server_error", "message": "no"}}
    assert read_answer(orjson.dumps(failed))[:2] == (RESPONDED, failed["error"])
