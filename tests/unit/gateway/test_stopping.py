"""Streams that are ended early: where, by what, and that the end is one that the provider could have sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.events import data_of
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.models import StopWhen
from skep.gateway.profiles import Face
from skep.gateway.requests import Known, read_request
from skep.gateway.stopping import TAIL_CHARACTERS, JsonEnd, PatternEnd, Stopper, asked_to_stop, pattern_problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
WHOLE = st.lists(JSON, max_size=4) | st.dictionaries(st.text(max_size=4), JSON, max_size=4)
PROSE = st.text(st.characters(exclude_characters="{[]}"), max_size=20)


def pieces(text: str, sizes: list[int]) -> list[str]:
    found, at = [], 0
    for size in sizes:
        found.append(text[at : at + size])
        at += size
    return [*found, text[at:]]


def end_of(ender: JsonEnd | PatternEnd, text: str, sizes: list[int]) -> int | None:
    """The place of the end in the whole text."""
    before = 0
    for piece in pieces(text, sizes):
        end = ender.feed(piece)
        if end is not None:
            return before + end
        before += len(piece)
    return None


SIZES = st.lists(st.integers(0, 7), max_size=30)


@given(WHOLE, PROSE, st.text(max_size=20), SIZES)
def test_the_first_json_is_found_however_the_text_is_cut(
    value: object, before: str, after: str, sizes: list[int]
) -> None:
    written = orjson.dumps(value).decode()
    assert end_of(JsonEnd(), before + written + after, sizes) == len(before + written)


@given(WHOLE, SIZES)
def test_json_that_is_not_whole_goes_on(value: object, sizes: list[int]) -> None:
    assert end_of(JsonEnd(), orjson.dumps(value).decode()[:-1], sizes) is None


@given(st.text("ab", max_size=40), SIZES)
def test_a_pattern_is_found_however_the_text_is_cut(text: str, sizes: list[int]) -> None:
    place = text.find("abba")
    assert end_of(PatternEnd("ab{2}a"), text, sizes) == (None if place < 0 else place + 4)


def test_a_pattern_sees_what_is_near_its_end() -> None:
    near = "x" * (TAIL_CHARACTERS - 2)
    assert end_of(PatternEnd("a.*b"), f"a{near}b", [1, TAIL_CHARACTERS - 2]) == TAIL_CHARACTERS
    assert end_of(PatternEnd("a.*b"), f"a{near}xxb", [1, TAIL_CHARACTERS - 2, 2]) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "missing"),
        ("(a)\\1", "escape"),
        ("a*", "empty text"),
        ("a" * 501, "500"),
        ("a{200}b{200}", "steps"),
        ("a+", ""),
    ],
)
def test_patterns_that_cannot_be_are_explained(pattern: str, problem: str) -> None:
    assert problem in pattern_problem(pattern)
    assert bool(problem) == bool(pattern_problem(pattern))


def asked(face: Face = "chat.completions", **more: object) -> Known:
    return read_request(face, orjson.dumps({"model": "m", "messages": [], "max_tokens": 9, "stream": True, **more}))


def header(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"accept", b"*/*"), (b"x-skep-stop-when", value.encode())]


@pytest.mark.parametrize(
    ("value", "when"),
    [
        ("json", StopWhen(json=True)),
        ('{"json": true}', StopWhen(json=True)),
        ('{"pattern": "\\u00dcbung", "cost_usd": 0.01}', StopWhen(pattern="Übung", cost_nusd=10_000_000)),
    ],
)
def test_a_call_says_when(value: str, when: StopWhen) -> None:
    assert asked_to_stop(header(value), asked(), StopWhen(pattern="usual")) == when
    assert asked_to_stop(header(value), asked("messages"), None) == when


def test_without_a_word_the_models_own_counts_for_streams() -> None:
    usual = StopWhen(json=True)
    assert asked_to_stop([], asked(), usual) is usual
    assert asked_to_stop([], asked(stream=False), usual) is None
    assert asked_to_stop([], asked(n=2), usual) is None


@pytest.mark.parametrize(
    ("value", "known", "reason"),
    [
        ("JSON", asked(), "must be json"),
        ("{}", asked(), "takes json"),
        ('{"after": 3}', asked(), "takes json"),
        ('{"json": 1}', asked(), "true or false"),
        ('{"pattern": 1}', asked(), "must be a text"),
        ('{"pattern": "("}', asked(), "missing"),
        ('{"cost_usd": 0}', asked(), "US dollars"),
        ('{"cost_usd": true}', asked(), "US dollars"),
        ("json", asked(stream=False), "streams"),
        ("json", asked(n=2), "one choice"),
    ],
)
def test_what_cannot_be_meant_is_refused(value: str, known: Known, reason: str) -> None:
    with pytest.raises(RequestInvalidError, match=reason):
        asked_to_stop(header(value), known, None)


def chat(text: str) -> bytes:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "c", "model": "m", "created": 1, "choices": [delta]}) + b"\n\n"


def message(text: str, index: int = 1) -> bytes:
    said = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: " + orjson.dumps(said) + b"\n\n"


def values_of(events: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(data) for event in events if (data := data_of(event)) and data != b"[DONE]"]


def no_cost(_tokens: int) -> None:
    return None


def test_a_chat_ends_as_its_provider_would_have_ended_it() -> None:
    stopper = Stopper(StopWhen(json=True), "chat.completions", 10, no_cost)
    first = [b": ping\n\n", chat('{"a":')]
    assert stopper.passing(first) is first
    passed = stopper.passing([chat("[1]"), chat("}, as"), chat(" you asked")])
    assert passed[0] == chat("[1]")
    assert passed[-1] == b"data: [DONE]\n\n"
    last, finish, usage = values_of(passed)[1:]
    assert last["choices"][0]["delta"]["content"] == "}"
    assert {each["id"] for each in (last, finish, usage)} == {"c"}
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["choices"] == []
    # The last piece as it was written, though not all of it was wanted.
    assert usage["usage"] == {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
    assert stopper.why == "json"
    assert stopper.passing([chat("more")]) == []


def test_messages_end_with_the_block_that_is_open() -> None:
    stopper = Stopper(StopWhen(pattern="END"), "messages", 10, no_cost)
    thought = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"END"}}\n\n'
    assert stopper.passing([thought]) == [thought]
    passed = stopper.passing([message("so EN"), message("D.")])
    assert passed[0] == message("so EN")
    last, block, delta, stop = values_of(passed)[1:]
    assert last["delta"]["text"] == "D"
    assert block == {"type": "content_block_stop", "index": 1}
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"] == {"output_tokens": stopper.output_tokens} == {"output_tokens": 3}
    assert stop == {"type": "message_stop"}
    assert passed[-1].startswith(b"event: message_stop\n")


def response_events(*texts: str) -> list[bytes]:
    """A thought that is whole, and a message under way."""
    thought = {"id": "rs", "type": "reasoning", "summary": []}
    message = {"id": "msg", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    place = {"item_id": "msg", "output_index": 1, "content_index": 0}
    said: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp", "status": "in_progress", "model": "m", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.output_item.done", "output_index": 0, "item": thought | {"encrypted_content": "x"}},
        {"type": "response.output_item.added", "output_index": 1, "item": message},
        {
            "type": "response.content_part.added",
            **place,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
        *({"type": "response.output_text.delta", **place, "delta": text} for text in texts),
    ]
    return [
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps({**each, "sequence_number": number}))
        for number, each in enumerate(said)
    ]


def test_a_response_ends_with_all_that_it_has_said() -> None:
    stopper = Stopper(StopWhen(json=True), "responses", 10, no_cost)
    first = response_events('so {"a":', "1} and", " more")
    passed = stopper.passing(first)
    assert passed[:6] == first[:6]
    assert stopper.passing(first[-1:]) == []
    told = values_of(passed)
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    delta, text, part, item, end = told[6:]
    assert delta["delta"] == "1}"
    assert text["type"] == "response.output_text.done"
    assert text["text"] == part["part"]["text"] == item["item"]["content"][0]["text"] == 'so {"a":1}'
    assert (item["output_index"], item["item"]["status"]) == (1, "completed")
    response = end["response"]
    assert (end["type"], response["id"], response["status"]) == ("response.completed", "resp", "completed")
    assert response["output"] == [
        {"id": "rs", "type": "reasoning", "summary": [], "encrypted_content": "x"},
        item["item"],
    ]
    assert response["usage"]["output_tokens"] == stopper.output_tokens
    assert passed[-1].startswith(b"event: response.completed\n")


def test_a_response_that_cost_enough_in_the_middle_of_a_call_has_half_a_call() -> None:
    call = {"id": "fc", "type": "function_call", "status": "in_progress", "call_id": "c", "name": "f", "arguments": ""}
    said: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 2, "item": call},
        *(
            {"type": "response.function_call_arguments.delta", "item_id": "fc", "output_index": 2, "delta": piece}
            for piece in ('{"a":', "1}")
        ),
    ]
    events = [b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each)) for each in said]
    stopper = Stopper(StopWhen(cost_nusd=30), "responses", 0, lambda tokens: 10 * tokens)
    assert len(stopper.passing(response_events("one "))) == 6
    passed = values_of(stopper.passing(events))
    assert stopper.why == "cost"
    assert not [each for each in passed if "text" in each["type"] or "content_part" in each["type"]]
    item, end = passed[-2:]
    assert item["item"] == {**call, "status": "incomplete", "arguments": said[1]["delta"]}
    assert end["type"] == "response.incomplete"
    assert end["response"]["output"][-1] == item["item"]


def test_a_response_that_cost_enough_is_incomplete() -> None:
    stopper = Stopper(StopWhen(cost_nusd=20), "responses", 0, lambda tokens: 10 * tokens)
    passed = stopper.passing(response_events("one ", "two ", "three "))
    assert stopper.why == "cost"
    end = values_of(passed)[-1]
    assert (end["type"], end["response"]["status"]) == ("response.incomplete", "incomplete")
    assert end["response"]["output"][1]["content"][0]["text"] == "one two "


@pytest.mark.parametrize(("face", "event"), [("chat.completions", chat("four")), ("messages", message("four"))])
def test_what_cost_enough_is_cut_not_ended(face: Face, event: bytes) -> None:
    stopper = Stopper(StopWhen(cost_nusd=30), face, 0, lambda tokens: 10 * tokens)
    assert stopper.passing([event, event]) == [event, event]
    passed = stopper.passing([event, event])
    assert passed[0] == event
    assert stopper.why == "cost"
    told = values_of(passed)
    reasons = [each["choices"][0]["finish_reason"] for each in told if each.get("choices")] or [
        each["delta"]["stop_reason"] for each in told if each["type"] == "message_delta"
    ]
    assert reasons[-1] == ("length" if face == "chat.completions" else "max_tokens")


def test_arguments_of_tools_are_no_text() -> None:
    """A call of a tool ends by itself; half of it would be of no use."""
    call = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}\n\n'
    stopper = Stopper(StopWhen(json=True), "chat.completions", 0, no_cost)
    assert stopper.passing([call]) == [call]
    assert not stopper.why


def test_a_usage_that_nobody_asked_for_is_not_told() -> None:
    quiet = Stopper(StopWhen(json=True), "chat.completions", 10, no_cost, tells_usage=False)
    assert [each["choices"] for each in values_of(quiet.passing([chat("{}")]))][1:] == [
        [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    ]
    told = chat("{}").replace(b'"id":"c"', b'"id":"c","usage":{"prompt_tokens":70000,"completion_tokens":1}')
    knows_better = Stopper(StopWhen(json=True), "chat.completions", 10, no_cost)
    assert [each.get("usage", {}).get("prompt_tokens") for each in values_of(knows_better.passing([told]))] == [
        70000,
        None,
    ]
