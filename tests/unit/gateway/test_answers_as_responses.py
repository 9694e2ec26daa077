"""Answers of OpenAI's responses from and into the other formats, whole and streamed, every event in its order."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.fakes.models import ToolCall
from skep.fakes.models import Usage as FakeUsage
from skep.fakes.responses_wire import response_body, response_events
from skep.fakes.wire import Said, chat_body, chat_events
from skep.gateway.translating import AnswerStrangeError, FormatName, Translator, Wanted, translate_answer
from tests.unit.gateway.test_translating_responses import FUNCTION, WORDS

USAGE = FakeUsage(100, 20, cached_input_tokens=40, reasoning_tokens=5)


def _said(**more: Any) -> Said:
    told: dict[str, Any] = {
        "model": "m",
        "id": "1",
        "created": 5,
        "usage": USAGE,
        "text": "Hi you",
        "pieces": ("Hi", " you"),
    }
    return Said(**{**told, **more})


CALLS = (ToolCall("f", '{"a":1}', "c1"), ToolCall("g", "{}", "c2"))


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (_said(), "completed", None),
        (_said(finish_reason="length"), "incomplete", "max_output_tokens"),
        (_said(finish_reason="content_filter"), "incomplete", "content_filter"),
        (_said(text=None, pieces=(), tool_calls=CALLS, finish_reason="tool_calls"), "completed", None),
        (_said(text=None, pieces=(), refusal="no"), "completed", None),
    ],
)
def test_a_chat_as_a_response_is_the_same_whole_and_streamed(said: Said, status: str, reason: str | None) -> None:
    asked = {"model": "smart", "input": "x", "metadata": {"a": "b"}, "tools": [FUNCTION], "temperature": 0.5}
    wanted = Wanted(created=5, asked=asked)
    whole = orjson.loads(translate_answer(orjson.dumps(chat_body(said)), "chat", "responses", wanted))
    assert (whole["status"], whole["incomplete_details"]) == (status, reason and {"reason": reason})
    assert (whole["metadata"], whole["tools"], whole["temperature"], whole["store"]) == (
        {"a": "b"},
        [FUNCTION],
        0.5,
        False,
    )
    assert whole["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }
    events = _streamed("chat", "responses", chat_events(said, with_usage=True), wanted)
    assert events[-1]["response"] == whole
    assert events[-1]["type"] == f"response.{status}"
    _follow_each_other(events)


def _streamed(source: FormatName, target: FormatName, events: Any, wanted: Wanted) -> list[dict[str, Any]]:
    translator = Translator(source, target, wanted)
    given = list(events)
    ends = given.pop() if source == "responses" else b""
    said = translator.feed(given) + b"".join(translator.end(ends))
    return [
        orjson.loads(line[6:]) for line in said.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"
    ]


def _follow_each_other(events: list[dict[str, Any]]) -> None:
    """Each event has its number, each item and part begins before it ends, and what is told whole is what was told in pieces."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    output = events[-1]["response"]["output"]
    for place, item in enumerate(output):
        mine = [event for event in events if event.get("output_index") == place]
        assert (mine[0]["type"], mine[-1]["type"]) == ("response.output_item.added", "response.output_item.done")
        assert mine[-1]["item"] == item
        assert {event["item_id"] for event in mine if "item_id" in event} <= {item["id"]}
        pieces = "".join(event["delta"] for event in mine if event["type"].endswith(".delta"))
        if item["type"] == "function_call":
            assert pieces == item["arguments"] == mine[-2]["arguments"]
        else:
            parts = item["content"] if item["type"] == "message" else item["summary"]
            assert pieces == "".join(part.get("text") or part.get("refusal") for part in parts)
            assert sum(event["type"].endswith("part.added") for event in mine) == len(parts)
            assert sum(event["type"].endswith("part.done") for event in mine) == len(parts)


def test_thinking_is_a_summary_for_those_who_asked() -> None:
    answer = {
        "id": "c",
        "model": "m",
        "choices": [{"message": {"content": "Hi", "reasoning_content": "Hm"}, "finish_reason": "stop"}],
    }
    body = orjson.dumps(answer)
    shown = orjson.loads(translate_answer(body, "chat", "responses", Wanted()))["output"]
    assert [item["type"] for item in shown] == ["reasoning", "message"]
    assert shown[0]["summary"] == [{"type": "summary_text", "text": "Hm"}]
    hidden = orjson.loads(translate_answer(body, "chat", "responses", Wanted(thinking=False)))["output"]
    assert [item["type"] for item in hidden] == ["message"]
    chunks = [
        {"id": "c", "choices": [{"delta": {"reasoning_content": "H"}}]},
        {"choices": [{"delta": {"reasoning_content": "m"}}]},
        {"choices": [{"delta": {"content": "Hi"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ]
    given = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    events = _streamed("chat", "responses", given, Wanted())
    assert events[-1]["response"]["output"] == shown
    _follow_each_other(events)
    events = _streamed("chat", "responses", given, Wanted(thinking=False))
    assert events[-1]["response"]["output"] == hidden


def test_calls_that_are_told_in_turns_stay_apart() -> None:
    def piece(index: int, arguments: str, **more: object) -> bytes:
        call = {"index": index, **more, "function": {"name": f"f{index}", "arguments": arguments}}
        return b"data: " + orjson.dumps({"id": "c", "choices": [{"delta": {"tool_calls": [call]}}]}) + b"\n\n"

    given = [piece(0, "", id="a"), piece(1, '{"x"', id="b"), piece(0, '{"y":1'), piece(1, ":2}"), piece(0, "}")]
    events = _streamed("chat", "responses", given, Wanted())
    _follow_each_other(events)
    calls = [(item["call_id"], item["arguments"]) for item in events[-1]["response"]["output"]]
    assert calls == [("a", '{"y":1}'), ("b", '{"x":2}')]


PIECES = st.lists(
    st.tuples(st.sampled_from(["content", "reasoning_content", "refusal"]), WORDS)
    | st.tuples(st.integers(0, 2), st.sampled_from(["", '{"a"', ":1}", "x"])),
    max_size=12,
)


def _chunk(place: str | int, text: str) -> dict[str, Any]:
    if isinstance(place, str):
        return {place: text}
    return {"tool_calls": [{"index": place, "id": f"c{place}", "function": {"name": f"f{place}", "arguments": text}}]}


@given(PIECES, st.booleans())
def test_any_chat_is_streamed_as_a_response_in_order(pieces: list[tuple[str | int, str]], thinks: bool) -> None:
    chunks = [{"id": "c", "model": "m", "choices": [{"delta": _chunk(*piece)}]} for piece in pieces]
    given_ = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    events = _streamed("chat", "responses", given_, Wanted(thinking=thinks))
    _follow_each_other(events)
    output = events[-1]["response"]["output"]
    told: dict[str, str] = {"content": "", "reasoning_content": "", "refusal": ""}
    for item in output:
        for part in [*item.get("content", ()), *item.get("summary", ())]:
            kinds = {"output_text": "content", "summary_text": "reasoning_content", "refusal": "refusal"}
            told[kinds[part["type"]]] += part.get("text") or part.get("refusal")
    for kind, text in told.items():
        said = "".join(text for place, text in pieces if place == kind)
        assert text == (said if thinks or kind != "reasoning_content" else "")
    calls = {item["call_id"]: item["arguments"] for item in output if item["type"] == "function_call"}
    begun = {place for place, _ in pieces if isinstance(place, int)}
    written = {f"c{place}": "".join(text for at, text in pieces if at == place) or "{}" for place in begun}
    assert calls == written
    # What was written is read again as the same.
    *passed, ends = (b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    reader = Translator("responses", "chat", Wanted())
    back = reader.feed(passed) + b"".join(reader.end(ends))
    deltas = [
        choice["delta"]
        for line in back.split(b"\n")
        if line.startswith(b"data: {")
        for choice in orjson.loads(line[6:])["choices"]
    ]
    assert "".join(delta.get("content") or "" for delta in deltas) == told["content"]


@pytest.mark.parametrize("target", ["chat", "messages"])
@pytest.mark.parametrize(
    "said", [_said(), _said(tool_calls=CALLS, finish_reason="tool_calls"), _said(finish_reason="length")]
)
def test_a_response_in_another_format_is_the_same_whole_and_streamed(target: FormatName, said: Said) -> None:
    whole = translate_answer(orjson.dumps(response_body(said, {})), "responses", target, Wanted())
    back = orjson.loads(translate_answer(whole, target, "responses", Wanted()))
    assert [item["type"] for item in back["output"]] == ["message", *["function_call"] * len(said.tool_calls)]
    assert back["output"][0]["content"][0]["text"] == "Hi you"
    assert [(item["call_id"], item["arguments"]) for item in back["output"][1:]] == [
        (call.id, call.arguments) for call in said.tool_calls
    ]
    assert (back["usage"]["total_tokens"], back["usage"]["input_tokens_details"]["cached_tokens"]) == (120, 40)
    assert back["status"] == ("incomplete" if said.finish_reason == "length" else "completed")
    translator = Translator("responses", target, Wanted())
    *given, ends = response_events(said, {})
    text = translator.feed(given) + b"".join(translator.end(ends))
    events = [event + b"\n\n" for event in text.split(b"\n\n") if event]
    returned = Translator(target, "responses", Wanted())
    came = returned.feed([event for event in events if b"[DONE]" not in event]) + b"".join(returned.end())
    final = orjson.loads(came.strip().split(b"\n")[-1].removeprefix(b"data: "))["response"]
    assert [item.get("arguments") for item in final["output"]] == [item.get("arguments") for item in back["output"]]
    assert (final["output"][0]["content"], final["usage"], final["status"]) == (
        back["output"][0]["content"],
        back["usage"],
        back["status"],
    )


@pytest.mark.parametrize(
    "output",
    [
        None,
        [7],
        [{"type": "web_search_call"}],
        [{"type": "message"}],
        [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "[1]"}],
        [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{"}],
    ],
)
def test_a_strange_response(output: object) -> None:
    with pytest.raises(AnswerStrangeError):
        translate_answer(orjson.dumps({"output": output}), "responses", "chat", Wanted())


def _named(kind: str, **more: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **more}))


@pytest.mark.parametrize(
    "event",
    [
        _named("error", code="c", message="boom"),
        _named("error", error={"code": "c", "message": "boom"}),
        _named("response.failed", response={"error": {"code": "c", "message": "boom"}}),
    ],
)
@pytest.mark.parametrize("target", ["chat", "messages"])
def test_an_error_in_a_stream_is_told(event: bytes, target: FormatName) -> None:
    told = Translator("responses", target, Wanted()).feed([event])
    assert orjson.loads(told.partition(b"data: ")[2])["error"]["message"] == "boom"


@pytest.mark.parametrize("source", ["chat", "messages"])
def test_an_error_in_a_stream_is_told_to_clients_of_responses(source: FormatName) -> None:
    error = {"error": {"message": "boom", "code": "c", "type": "c"}}
    event = b"data: " + orjson.dumps(error if source == "chat" else {"type": "error", **error}) + b"\n\n"
    told = orjson.loads(Translator(source, "responses", Wanted()).feed([event]).partition(b"data: ")[2])
    assert (told["type"], told["message"], told["error"]["message"], told["sequence_number"]) == (
        "error",
        "boom",
        "boom",
        0,
    )


def test_arguments_that_come_only_whole_are_not_lost() -> None:
    item = {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'}
    given = [
        _named("response.created", response={"id": "r", "model": "m"}),
        _named("response.output_item.added", output_index=0, item={**item, "arguments": ""}),
        _named("response.output_item.done", output_index=0, item=item),
        _named("response.completed", response={"status": "completed"}),
    ]
    (chunk,) = (event for event in _streamed("responses", "chat", given, Wanted()) if '{"x":1}' in str(event))
    assert chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"x":1}'


@pytest.mark.parametrize("event", [b"data: 3\n\n", _named("response.output_item.added", item={"type": "mcp_call"})])
def test_an_event_that_cannot_be_read(event: bytes) -> None:
    with pytest.raises(AnswerStrangeError):
        Translator("responses", "chat", Wanted()).feed([event])
