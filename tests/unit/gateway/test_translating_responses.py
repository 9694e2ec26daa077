"""Requests of OpenAI's responses from and into the other formats."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.translating import (
    FORMATS,
    FormatName,
    UntranslatableError,
    translate_request,
)
from tests.unit.gateway.test_translating import CLAUDE_CODE, SCHEMA

FUNCTION = {"type": "function", "name": "weather", "parameters": SCHEMA}
CODEX: dict[str, Any] = {
    "model": "smart",
    "instructions": "You are a tool.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "weather", "arguments": '{"n": 1.50}'},
        {"type": "function_call", "call_id": "b", "name": "weather", "arguments": "", "status": "completed"},
        {"type": "function_call_output", "call_id": "a", "output": "21"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "no station"}]},
        {"role": "user", "content": "And?"},
    ],
    "tools": [{**FUNCTION, "description": "d", "strict": False}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "text": {"verbosity": "medium", "format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}},
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "store": False,
    "stream": True,
    "max_output_tokens": 500,
    "safety_identifier": "u",
}


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def test_what_codex_sends_as_a_chat() -> None:
    written, wanted = translate_request(CODEX, "responses", "chat")
    assert (wanted.thinking, wanted.asked) == (True, CODEX)
    assert orjson.loads(orjson.dumps(written)) == {
        "model": "smart",
        "messages": [
            {"role": "system", "content": "You are a tool."},
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [_call("a", '{"n": 1.50}'), _call("b", "{}")],
            },
            {"role": "tool", "tool_call_id": "a", "content": "21"},
            {"role": "tool", "tool_call_id": "b", "content": "no station"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "d", "parameters": SCHEMA, "strict": False},
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
        "reasoning_effort": "medium",
        "max_completion_tokens": 500,
        "user": "u",
        "stream": True,
    }


def test_what_codex_sends_as_messages() -> None:
    written, _ = translate_request(CODEX, "responses", "messages")
    body = orjson.dumps(written)
    assert b'"input":{"n": 1.50}' in body
    told = orjson.loads(body)
    assert told["system"] == [{"type": "text", "text": "You are a tool."}, {"type": "text", "text": "Be brief."}]
    assert [(turn["role"], turn["content"]) for turn in told["messages"]] == [
        ("user", "Weather?"),
        (
            "assistant",
            [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"n": 1.5}},
                {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
            ],
        ),
        (
            "user",
            [
                {"type": "tool_result", "tool_use_id": "a", "content": "21"},
                {"type": "tool_result", "tool_use_id": "b", "content": "no station"},
                {"type": "text", "text": "And?"},
            ],
        ),
    ]
    assert told["thinking"] == {"type": "adaptive"}
    assert told["output_config"] == {"effort": "medium", "format": {"type": "json_schema", "schema": SCHEMA}}
    assert (told["max_tokens"], told["metadata"], told["stream"]) == (500, {"user_id": "u"}, True)


def test_what_claude_code_sends_as_a_response() -> None:
    asked = {name: value for name, value in CLAUDE_CODE.items() if name != "stop_sequences"}
    written, _ = translate_request(asked, "messages", "responses")
    assert orjson.loads(orjson.dumps(written)) == {
        "model": "smart",
        "input": [
            {
                "role": "system",
                "content": [
                    {"type": "input_text", "text": "You are a tool."},
                    {"type": "input_text", "text": "Be brief."},
                ],
            },
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": '{"city":"Berlin"}'},
            {"type": "function_call", "call_id": "b", "name": "weather", "arguments": '{"city":"Bonn"}'},
            {"type": "function_call_output", "call_id": "a", "output": "21"},
            {"type": "function_call_output", "call_id": "b", "output": "Error: no station"},
            {"role": "user", "content": "And?"},
        ],
        "store": False,
        "tools": [{**FUNCTION, "description": "d", "strict": False}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "max_output_tokens": 32000,
        "user": "u",
        "stream": True,
    }


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"input": [{"id": "msg_1"}]}, "input.0.type"),
        ({"input": 7}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input.0.content.0.file_id",
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0.type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "input.0.content.0.image_url",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "https://x"}]}]},
            "input.0.content",
        ),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "[1]"}]}, "input.0.arguments"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f", "namespace": "n"}]}, "input.0.namespace"),
        ({"tools": [{**FUNCTION, "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "tool_choice.type"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"new": 1}}, "text.new"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"include": ["web_search_call.action.sources"]}, "include"),
    ],
)
@pytest.mark.parametrize("target", ["chat", "messages"])
def test_what_cannot_be_said_is_named(target: FormatName, more: Mapping[str, Any], field: str) -> None:
    with pytest.raises(UntranslatableError) as raised:
        translate_request({"model": "m", "input": "x", **more}, "responses", target)
    assert raised.value.field == field


WORDS = st.text(min_size=1, max_size=8)
NAMES = st.text("abc_", min_size=1, max_size=6)
TEXT = WORDS.map(lambda text: {"type": "input_text", "text": text})
IMAGE = st.sampled_from(["https://x/y", "data:image/png;base64,AA=="]).map(
    lambda url: {"type": "input_image", "image_url": url, "detail": "auto"}
)
USER = (WORDS | st.lists(TEXT | IMAGE, min_size=2, max_size=3)).map(lambda said: {"role": "user", "content": said})
ASSISTANT = WORDS.map(lambda said: {"role": "assistant", "content": said})
CALL = st.builds(
    lambda call, name, number: {
        "type": "function_call",
        "call_id": call,
        "name": name,
        "arguments": orjson.dumps({"n": number}).decode(),
    },
    NAMES,
    NAMES,
    st.integers(-5, 5),
)
OUTPUT = st.builds(lambda call, text: {"type": "function_call_output", "call_id": call, "output": text}, NAMES, WORDS)
SPOKEN = st.tuples(ASSISTANT, st.lists(CALL, max_size=2), USER | OUTPUT).map(lambda said: [said[0], *said[1], said[2]])
"""What the model says and calls, and what is said after that."""

RESPONSES = st.fixed_dictionaries(
    {
        "model": NAMES,
        "input": st.tuples(USER, st.lists(SPOKEN, max_size=3)).map(lambda said: [said[0], *itertools.chain(*said[1])]),
        "store": st.just(False),
    },
    optional={
        "max_output_tokens": st.integers(1, 9),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "user": WORDS,
        "stream": st.just(True),
        "tools": st.just([{**FUNCTION, "strict": False}]),
        "tool_choice": st.sampled_from(["auto", "required", "none", {"type": "function", "name": "weather"}]),
        "reasoning": st.sampled_from([{"effort": "low", "summary": "auto"}, {"effort": "none"}]),
        "service_tier": st.just("flex"),
        "text": st.sampled_from(
            [
                {"verbosity": "low"},
                {"format": {"type": "json_object"}},
                {"verbosity": "high", "format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}},
            ]
        ),
    },
)


@given(RESPONSES)
def test_a_request_read_and_written_again_says_the_same(values: dict[str, Any]) -> None:
    written = FORMATS["responses"].write_request(FORMATS["responses"].read_request(values))
    assert orjson.loads(orjson.dumps(written)) == values


@given(RESPONSES)
def test_a_request_says_the_same_after_a_way_through_a_chat(values: dict[str, Any]) -> None:
    there, _ = translate_request(values, "responses", "chat")
    back, _ = translate_request(orjson.loads(orjson.dumps(there)), "chat", "responses")
    assert orjson.loads(orjson.dumps(back)) == values
