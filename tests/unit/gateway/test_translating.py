"""From one wire format into another: nothing is lost on the way there and back, and what cannot be said is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.translating import (
    FORMATS,
    AnswerStrangeError,
    FormatName,
    Translator,
    UntranslatableError,
    Wanted,
    translate_answer,
    translate_request,
)
from skep.gateway.usage import messages_usage_of
from skep.spend import Usage
from tests.translation_sample import Sample
from tests.translations import FORMAT_NAMES, SAMPLES, outcome_of

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CLAUDE_CODE: dict[str, Any] = {
    "model": "smart",
    "max_tokens": 32000,
    "system": [
        {"type": "text", "text": "You are a tool.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be brief."},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Weather?", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Berlin"}},
                {"type": "tool_use", "id": "b", "name": "weather", "input": {"city": "Bonn"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "21"},
                {"type": "tool_result", "tool_use_id": "b", "content": "no station", "is_error": True},
                {"type": "text", "text": "And?"},
            ],
        },
    ],
    "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "metadata": {"user_id": "u"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "medium"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "stop_sequences": ["END"],
    "stream": True,
}


def test_what_claude_code_sends_as_a_chat() -> None:
    written, wanted = translate_request(CLAUDE_CODE, "messages", "chat")
    assert wanted.thinking
    assert orjson.loads(orjson.dumps(written)) == {
        "model": "smart",
        "messages": [
            {"role": "system", "content": [_text("You are a tool."), _text("Be brief.")]},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [_call("a", '{"city":"Berlin"}'), _call("b", '{"city":"Bonn"}')],
            },
            {"role": "tool", "tool_call_id": "a", "content": "21"},
            {"role": "tool", "tool_call_id": "b", "content": "Error: no station"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning_effort": "medium",
        "max_completion_tokens": 32000,
        "stop": ["END"],
        "user": "u",
        "stream": True,
    }


def test_a_chat_as_messages_keeps_arguments_byte_by_byte() -> None:
    chat = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [_text("See"), _picture("data:image/png;base64,AA=="), _picture("https://a/b")],
            },
            {"role": "assistant", "content": None, "tool_calls": [_call("a", '{"n": 1.50}'), _call("b", "")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
            {"role": "user", "content": "Go on"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
        "reasoning_effort": "high",
    }
    written, _ = translate_request(chat, "chat", "messages")
    body = orjson.dumps(written)
    assert b'"input":{"n": 1.50}' in body
    assert orjson.loads(body) == {
        "model": "m",
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    _text("See"),
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "image", "source": {"type": "url", "url": "https://a/b"}},
                ],
            },
            {"role": "assistant", "content": [_use("a", {"n": 1.5}), _use("b", {})]},
            {"role": "user", "content": [_result("a", "1"), _result("b", "2"), _text("Go on")]},
        ],
        "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "tool", "name": "weather"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def _use(name: str, written: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": name, "name": "weather", "input": written}


def _result(name: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": name, "content": text}


@pytest.mark.parametrize(
    ("source", "target", "more", "field"),
    [
        ("chat", "messages", {"seed": 1}, "seed"),
        ("chat", "messages", {"n": 2}, "n"),
        ("chat", "messages", {"logit_bias": {"1": 5}}, "logit_bias"),
        ("chat", "messages", {"response_format": {"type": "json_object"}}, "response_format"),
        ("chat", "messages", {"tools": [{"type": "custom", "custom": {}}]}, "tools.0.type"),
        ("chat", "messages", {"messages": [{"role": "user", "content": "a", "name": "b"}]}, "messages.0.name"),
        (
            "chat",
            "messages",
            {"messages": [{"role": "assistant", "tool_calls": [_call("a", "[1]")]}]},
            "messages.0.tool_calls.0.function.arguments",
        ),
        ("messages", "chat", {"top_k": 5}, "top_k"),
        ("messages", "chat", {"mcp_servers": []}, "mcp_servers"),
        ("messages", "chat", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ("messages", "chat", {"metadata": {"user_id": "a", "other": 1}}, "metadata.other"),
        ("messages", "chat", {"context_management": {"edits": [{"type": "x"}]}}, "context_management.edits.0.type"),
    ],
)
def test_what_cannot_be_said_is_named(
    source: FormatName, target: FormatName, more: Mapping[str, Any], field: str
) -> None:
    plain = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    with pytest.raises(UntranslatableError) as raised:
        translate_request({**plain, **more}, source, target)
    assert raised.value.field == field


WORDS = st.text(min_size=1, max_size=8)
NAMES = st.text("abc_", min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(NAMES, st.integers(-5, 5) | WORDS | st.none(), max_size=3)
TEXT = WORDS.map(_text)
BASE64 = st.fixed_dictionaries(
    {"type": st.just("base64"), "media_type": st.just("image/png"), "data": st.sampled_from(["AA==", "AQID"])}
)
IMAGE = st.fixed_dictionaries({"type": st.just("image"), "source": BASE64})
USE = st.builds(_use, NAMES, ARGUMENTS)
RESULT = st.builds(_result, NAMES, WORDS)


def _said(role: str, *blocks: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    content = WORDS | st.lists(st.one_of(*blocks), min_size=2, max_size=3)
    return content.map(lambda said: {"role": role, "content": said})


MESSAGES = st.fixed_dictionaries(
    {"model": NAMES, "messages": st.lists(_said("user", TEXT, IMAGE) | _said("assistant", TEXT, USE), max_size=4)},
    optional={
        "system": WORDS,
        "max_tokens": st.integers(1, 9),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=2),
        "metadata": st.fixed_dictionaries({"user_id": WORDS}),
        "stream": st.just(True),
        "top_k": st.integers(1, 9),
        "tools": st.just([{"name": "weather", "input_schema": SCHEMA}]),
    },
)


@given(MESSAGES)
def test_a_request_read_and_written_again_says_the_same(values: dict[str, Any]) -> None:
    written = FORMATS["messages"].write_request(FORMATS["messages"].read_request(values))
    assert orjson.loads(orjson.dumps(written)) == values


@given(MESSAGES)
def test_a_request_says_the_same_after_a_way_through_the_other_format(values: dict[str, Any]) -> None:
    values = {name: value for name, value in values.items() if name != "top_k"}
    there, _ = translate_request(values, "messages", "chat")
    back, _ = translate_request(orjson.loads(orjson.dumps(there)), "chat", "messages")
    # What is said first among calls of tools is not kept by OpenAI's format: texts come before calls.
    assert _ordered(orjson.loads(orjson.dumps(back))) == _ordered(values)


def _ordered(values: dict[str, Any]) -> dict[str, Any]:
    turns = []
    for turn in values["messages"]:
        content = turn["content"]
        blocks = [_text(content)] if isinstance(content, str) else content
        turns.append((turn["role"], sorted(blocks, key=lambda block: block["type"] == "tool_use")))
    return {**values, "messages": turns}


ANSWER: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"}, _text("Hi"), _use("a", {"n": 1})],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 7,
    },
}


def test_an_answer_of_anthropic_as_a_chat() -> None:
    told = orjson.loads(translate_answer(orjson.dumps(ANSWER), "messages", "chat", Wanted(created=5)))
    message = told["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hi", "Hm")
    assert message["tool_calls"] == [_call("a", '{"n":1}')]
    assert told["choices"][0]["finish_reason"] == "tool_calls"
    assert told["usage"]["prompt_tokens"] == 3210
    assert told["usage"]["prompt_tokens_details"] == {"cached_tokens": 3000, "cache_write_tokens": 200}


def test_an_answer_there_and_back_keeps_what_it_used() -> None:
    there = translate_answer(orjson.dumps(ANSWER), "messages", "chat", Wanted())
    back = orjson.loads(translate_answer(there, "chat", "messages", Wanted()))
    assert back["usage"] == ANSWER["usage"]
    assert back["stop_reason"] == "tool_use"


def test_thinking_is_told_only_to_those_who_asked() -> None:
    there = translate_answer(orjson.dumps(ANSWER), "messages", "chat", Wanted())
    back = orjson.loads(translate_answer(there, "chat", "messages", Wanted(thinking=False)))
    assert [block["type"] for block in back["content"]] == ["text", "tool_use"]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"choices":[]}', b'{"choices":[{"message":3}]}'])
def test_a_strange_answer(body: bytes) -> None:
    with pytest.raises(AnswerStrangeError):
        translate_answer(body, "chat", "messages", Wanted())


def test_usage_of_anthropic_counts_the_cache_beside_the_input() -> None:
    assert messages_usage_of(ANSWER["usage"]) == Usage(
        input_tokens=3210, cached_input_tokens=3000, cache_write_tokens=200, output_tokens=7
    )
    assert messages_usage_of(None) is None


@pytest.mark.parametrize(("hour", "counted"), [(150, 150), (900, 200), (0, None), ("x", None)])
def test_what_anthropic_keeps_for_an_hour_is_a_part_of_what_it_keeps(hour: object, counted: int | None) -> None:
    usage = messages_usage_of(ANSWER["usage"] | {"cache_creation": {"ephemeral_1h_input_tokens": hour}})
    assert usage is not None
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (200, counted)


def test_what_is_kept_for_an_hour_is_told_to_clients_of_anthropic() -> None:
    kept = {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150}
    answer = ANSWER | {"usage": ANSWER["usage"] | {"cache_creation": kept}}
    there = translate_answer(orjson.dumps(answer), "messages", "chat", Wanted())
    assert orjson.loads(translate_answer(there, "chat", "messages", Wanted()))["usage"] == answer["usage"]


CHUNKS = [
    {"id": "c", "model": "gpt", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"id": "c", "model": "gpt", "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    {"id": "c", "model": "gpt", "choices": [{"index": 0, "delta": {"content": "lo"}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "w", "arguments": ""}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"n":'}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "w", "arguments": "{}"}}]}}]},
    {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}},
]


def test_a_stream_as_messages() -> None:
    translator = Translator("chat", "messages", Wanted())
    said = translator.feed([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in CHUNKS])
    events = _events(said + b"".join(translator.end()))
    assert [event["type"] for event in events] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]
    assert [event["index"] for event in events if "index" in event] == [0] * 4 + [1] * 4 + [2] * 3
    assert (
        "".join(
            event["delta"].get("partial_json", "") for event in events if event.get("index") == 1 and "delta" in event
        )
        == '{"n":1}'
    )
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"]) == (9, 4)


def test_a_stream_there_and_back() -> None:
    there, back = Translator("chat", "messages", Wanted()), Translator("messages", "chat", Wanted())
    said = there.feed([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in CHUNKS])
    last, done = there.end()
    events = [event + b"\n\n" for event in (said + last + done).split(b"\n\n") if event]
    chunks = _events(back.feed(events) + back.end()[0])
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello"
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    written = {index: "".join(c["function"]["arguments"] for c in calls if c["index"] == index) for index in (0, 1)}
    assert written == {0: '{"n":1}', 1: "{}"}
    assert chunks[-1]["usage"]["total_tokens"] == 13


def test_an_error_in_a_stream() -> None:
    translator = Translator("messages", "chat", Wanted())
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    told = _events(translator.feed([b"event: error\ndata: " + orjson.dumps(error) + b"\n\n"]))
    assert told[0]["error"]["message"] == "Overloaded"
    assert told[0]["error"]["code"] == "overloaded_error"


def test_a_text_that_comes_in_parts_is_streamed() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    translator = Translator("chat", "messages", Wanted())
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": parts}}]}
    events = _events(translator.feed([b"data: " + orjson.dumps(chunk) + b"\n\n"]))
    assert [event["delta"] for event in events if "delta" in event] == [{"type": "text_delta", "text": "Hello"}]


@pytest.mark.parametrize("event", [b"data: {\n\n", b"data: 3\n\n", b'data: {"choices": [3]}\n\n'])
def test_an_event_that_cannot_be_read(event: bytes) -> None:
    with pytest.raises(AnswerStrangeError):
        Translator("chat", "messages", Wanted()).feed([event])


def _events(said: bytes) -> list[dict[str, Any]]:
    lines = said.split(b"\n")
    return [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: ") and line != b"data: [DONE]"]


def chunk(**delta: object) -> bytes:
    return b"data: " + orjson.dumps({"id": "c", "choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


def tool(index: int, arguments: str, name: str | None = None) -> bytes:
    function = {"arguments": arguments, **({} if name is None else {"name": name})}
    return chunk(tool_calls=[{"index": index, "id": f"c{index}", "function": function}])


def test_a_stream_that_says_nothing_is_a_message_all_the_same() -> None:
    last, end = Translator("chat", "messages", Wanted()).end()
    assert [line for line in last.splitlines() if line.startswith(b"event")] == [
        b"event: message_start",
        b"event: message_delta",
    ]
    assert end.startswith(b"event: message_stop")


def test_calls_that_are_told_in_turns_cannot_be_blocks() -> None:
    translator = Translator("chat", "messages", Wanted())
    translator.feed([tool(0, "{", "a"), tool(0, "}"), tool(1, "{", "b"), tool(1, "}")])
    with pytest.raises(AnswerStrangeError, match="after another one has begun"):
        translator.feed([tool(0, " ")])


@pytest.mark.parametrize(
    ("source", "target", "sample"),
    [
        (source, target, sample)
        for source, samples in SAMPLES.items()
        for target in FORMAT_NAMES
        for sample in samples
        if target != source
    ],
)
def test_each_field_is_said_left_out_or_refused_as_the_reference_says(
    source: FormatName, target: FormatName, sample: Sample
) -> None:
    outcome, reason = outcome_of(source, sample, target)
    assert outcome == sample.outcome_in(target), reason
    if outcome == "refused":
        assert ": " in reason
