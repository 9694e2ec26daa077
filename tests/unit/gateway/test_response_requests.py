"""What is read of a request for OpenAI's responses: what bounds it, what makes it dear, and what it goes on from."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.profiles import PROFILES
from skep.gateway.requests import FILE_TOKENS, PICTURE_TOKENS, TOOLS_TOKENS, Known, adapted, read_request
from skep.gateway.response_requests import STORED_TOKENS

FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
SEARCH = {"type": "web_search"}


def body(**values: object) -> bytes:
    return orjson.dumps({"model": "smart", "input": "hi", **values})


def read(sent: bytes) -> Known:
    return read_request("responses", sent)


def _marked(ttl: str) -> dict[str, Any]:
    part = {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": ttl}}
    return {"input": [{"role": "user", "content": [part]}]}


def large(**values: object) -> bytes:
    """A body of which only the top level is looked at, and whose input is left alone."""
    items = [{"role": "user", "content": f"{number}, " + "x" * 200} for number in range(8_000)]
    return body(**{"input": items, **values})


def test_what_is_known_of_a_usual_response() -> None:
    sent = body(max_output_tokens=64, safety_identifier="ann", user="old", stream=True)
    known = read(sent)
    assert (known.model, known.stream, known.output_tokens, known.choices) == ("smart", True, 64, 1)
    assert (known.user, known.dear_field, known.does_more) == ("ann", None, False)
    assert known.input_tokens_at_most == len(sent)
    assert read(body(user="old")).user == "old"


def test_pictures_and_files_count_by_the_most_they_may_be() -> None:
    parts = [
        {"type": "input_image", "file_id": "f"},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_file", "file_url": "https://x/y"},
    ]
    sent = body(input=[{"role": "user", "content": parts}], tools=[FUNCTION])
    assert read(sent).input_tokens_at_most == len(sent) + PICTURE_TOKENS + 3 * FILE_TOKENS + TOOLS_TOKENS


@pytest.mark.parametrize(
    "values",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"input": [{"role": "user", "content": "a"}, {"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"id": "msg_1"}]},
        {"input": [{"id": "msg_1", "type": None}]},
    ],
)
def test_what_goes_on_from_what_is_stored_counts_as_a_whole_context(values: dict[str, Any]) -> None:
    sent = body(**values)
    known = read(sent)
    assert known.input_tokens_at_most == len(sent) + STORED_TOKENS
    assert (known.does_more, known.dear_field) == (True, None)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"type": None, "id": "msg_1"},
    ],
)
def test_a_large_body_hides_no_reference(item: dict[str, Any]) -> None:
    whole = orjson.loads(large())["input"]
    plain = large()
    assert read(plain).input_tokens_at_most == len(plain)
    for place in (0, len(whole) // 2, len(whole)):
        sent = large(input=[*whole[:place], item, *whole[place:]])
        assert read(sent).input_tokens_at_most == len(sent) + STORED_TOKENS
    spaced = large(input=[*whole, item]).replace(b'{"id"', b"{" + b" " * 200_000 + b'"id"')
    assert read(spaced).input_tokens_at_most == len(spaced) + STORED_TOKENS
    escaped = large(input=[*whole, item]).replace(b'"id"', b'"\\u0069d"').replace(b"item_ref", b"item\\u005fref")
    assert read(escaped).input_tokens_at_most == len(escaped) + STORED_TOKENS


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tools": [FUNCTION, {"type": "custom", "name": "c"}, {"type": "apply_patch"}]}, None),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION]}]}, None),
        ({"tools": []}, None),
        ({"tools": [FUNCTION, SEARCH]}, "tools"),
        ({"tools": [{"type": "web_search_preview"}]}, "tools"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "tools"),
        ({"tools": [{"type": "image_generation"}]}, "tools"),
        ({"tools": [{"type": "computer_use_preview"}]}, "tools"),
        ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, "tools"),
        ({"tools": [{"type": "what comes next"}]}, "tools"),
        ({"tools": [{"type": "namespace", "tools": [FUNCTION, SEARCH]}]}, "tools"),
        ({"tools": [{"type": "namespace", "tools": SEARCH}]}, "tools"),
        ({"tools": [7]}, "tools"),
        ({"tools": SEARCH}, "tools"),
        ({"input": [{"type": "additional_tools", "role": "developer", "tools": [SEARCH]}]}, "input"),
        ({"input": [{"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}]}, None),
        ({"input": [{"type": "compaction_trigger"}]}, "input"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"reasoning": {"effort": "low"}}, None),
        ({"reasoning": {"mode": "standard"}}, None),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"prompt_cache_options": {"ttl": "30m"}}, None),
        ({"prompt_cache_options": {"ttl": "12h"}}, "prompt_cache_options.ttl"),
        (_marked("30m"), None),
        (_marked("12h"), "prompt_cache_options.ttl"),
        ({"tools": [{**FUNCTION, "parameters": {"enum": ["1h", "12h"]}}]}, None),
        ({"provider": {"order": ["x"]}}, "provider"),
    ],
)
def test_what_makes_a_response_cost_other_than_its_price(values: dict[str, Any], field: str | None) -> None:
    assert read(body(**values)).dear_field == field


def test_a_large_body_hides_no_dear_tools() -> None:
    many = [{**FUNCTION, "description": "d" * 1_000} for _ in range(100)]
    assert read(large(tools=many)).dear_field is None
    assert read(large(tools=[*many, SEARCH])).dear_field == "tools"
    # Longer lists are not read, so nobody knows what is in them.
    assert read(large(tools=many * 11)).dear_field == "tools"
    cached = large(prompt_cache_options={"ttl": "12h"}).replace(b'"ttl":', b'"ttl"' + b" " * 200_000 + b":")
    assert read(cached).dear_field == "prompt_cache_options.ttl"
    whole = orjson.loads(large())["input"]
    dear = {"type": "additional_tools", "role": "developer", "tools": [SEARCH]}
    assert read(large(input=[*whole, dear])).dear_field == "input"
    assert read(large(tools=many).replace(b'{"type":"object"}', b'{"type"}', 1)).dear_field == "tools"


@pytest.mark.parametrize(
    ("sent", "param", "reason"),
    [
        (body(background=True), "background", "fetched later"),
        (body(max_output_tokens=0), "max_output_tokens", "at least 1"),
        (body(safety_identifier=7), "user", "a text"),
        (b'{"model":"a","tools":[],"tools":[{"type":"web_search"}]}', "tools", "says tools twice"),
        (b'{"model":"a","input":"x","input":[{"id":"m"}]}', "input", "says input twice"),
        (b'{"model":"a","Tools":[{"type":"web_search"}]}', "tools", "another case"),
        (b'{"model":"a","Background":true}', "background", "another case"),
    ],
)
def test_what_is_refused(sent: bytes, param: str, reason: str) -> None:
    with pytest.raises(RequestInvalidError) as raised:
        read(sent)
    assert (raised.value.fields["param"], reason in str(raised.value)) == (param, True), str(raised.value)


def test_no_background_is_no_obstacle() -> None:
    assert read(body(background=False)).dear_field is None


@pytest.mark.parametrize(
    ("sent", "cap", "expected"),
    [
        (b'{"model":"a", "input": "x"}', None, b'{"model":"b", "input": "x"}'),
        # It tells its usage unasked, and refuses a field that it does not know.
        (b'{"model":"a","stream":true}', None, b'{"model":"b","stream":true}'),
        (b'{"model":"a"}', 50, b'{"max_output_tokens":50,"model":"b"}'),
        (b'{"model":"a","max_output_tokens":90}', 50, b'{"model":"b","max_output_tokens":50}'),
        (b'{"model":"a","max_tokens":90}', None, b'{"max_output_tokens":90,"model":"b","max_tokens":90}'),
    ],
)
def test_what_a_provider_gets(sent: bytes, cap: int | None, expected: bytes) -> None:
    (profile,) = (profile for profile in PROFILES if profile.kind == "openai")
    caps = profile.caps_of("responses")
    assert adapted(read(sent), model="b", include_usage=True, cap_fields=caps, cap=cap) == expected
