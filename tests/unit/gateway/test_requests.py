"""What is read of a request, and what of it is changed for a provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.naming import unescaped
from skep.gateway.profiles import Face
from skep.gateway.requests import FILE_TOKENS, PICTURE_TOKENS, adapted, read_request

CHAT: Face = "chat.completions"


def body(**values: object) -> bytes:
    return orjson.dumps({"model": "smart", **values})


def test_what_is_known_of_a_usual_request() -> None:
    sent = body(messages=[{"role": "user", "content": "hi"}], max_tokens=64, user="ann")
    known = read_request(CHAT, sent)
    assert (known.model, known.stream, known.output_tokens, known.choices) == ("smart", False, 64, 1)
    assert (known.user, known.wants_usage, known.has_audio) == ("ann", False, False)
    assert known.input_tokens_at_most == len(sent)


@pytest.mark.parametrize(("ttl", "asked"), [(None, False), ("5m", False), ("1h", True)])
def test_input_that_shall_be_kept_for_an_hour(ttl: str | None, asked: bool) -> None:
    part = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": ttl}}
    assert read_request(CHAT, body(messages=[{"role": "user", "content": [part]}])).keeps_an_hour == asked


@pytest.mark.parametrize(
    ("face", "values", "choices", "output"),
    [
        (CHAT, {}, 1, None),
        (CHAT, {"max_tokens": 10, "n": 3}, 3, 30),
        (CHAT, {"max_tokens": 10, "max_completion_tokens": 20}, 1, 20),
        (CHAT, {"max_tokens": 20, "max_completion_tokens": 1}, 1, 20),
        (CHAT, {"max_tokens": 20, "max_completion_tokens": None}, 1, 20),
        (CHAT, {"max_tokens": None, "n": None}, 1, None),
        (CHAT, {"max_tokens": 1, "n_predict": 900}, 1, 900),
        (CHAT, {"max_tokens": 1, "n_predict": -1}, 1, None),
        (CHAT, {"max_output_tokens": 5, "max_new_tokens": 6, "n": 2}, 2, 12),
        ("completions", {"prompt": "a", "max_tokens": 7}, 1, 7),
        ("completions", {"prompt": ["a", "b"], "max_tokens": 7, "n": 2}, 4, 28),
        ("completions", {"prompt": [1, 2, 3], "max_tokens": 7}, 1, 7),
        ("completions", {"prompt": [[1], [2]], "max_tokens": 7, "best_of": 5}, 10, 70),
        ("embeddings", {"input": "a", "max_tokens": 7}, 1, 0),
    ],
)
def test_how_much_may_come_out(face: Face, values: dict[str, Any], choices: int, output: int | None) -> None:
    known = read_request(face, body(**values))
    assert (known.choices, known.output_tokens) == (choices, output)


def test_what_is_only_named_counts_by_the_most_it_may_be() -> None:
    picture = {"type": "input_image", "image_url": "https://x/y.png"}
    sent = body(messages=[{"role": "user", "content": [picture, {"type": "file", "file": {"file_id": "f"}}]}])
    known = read_request(CHAT, sent)
    assert known.input_tokens_at_most == len(sent) + 2 * PICTURE_TOKENS + FILE_TOKENS


def _asks(*blocks: object) -> dict[str, Any]:
    return {"max_tokens": 5, "messages": [{"role": "user", "content": blocks}]}


_PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
_ADDRESS = {"type": "url", "url": "https://x/y"}


@pytest.mark.parametrize(
    ("values", "more"),
    [
        (_asks({"type": "text", "text": 'an "image" and a "url"'}), 0),
        (_asks({"type": "tool_use", "id": "i", "name": "n", "input": {"image": 1, "url": 2}}), 0),
        (_asks(_PIXEL), PICTURE_TOKENS),
        (_asks({"type": "image", "source": _ADDRESS}, _PIXEL), 2 * PICTURE_TOKENS),
        (_asks({"type": "tool_result", "tool_use_id": "i", "content": [_PIXEL]}), PICTURE_TOKENS),
        (_asks({"type": "document", "source": _ADDRESS}), FILE_TOKENS),
        (_asks({"type": "document", "source": _ADDRESS}, _PIXEL), FILE_TOKENS + PICTURE_TOKENS),
    ],
)
def test_pictures_in_messages_count_by_the_most_they_may_be(values: dict[str, Any], more: int) -> None:
    sent = body(**values)
    assert read_request("messages", sent).input_tokens_at_most == len(sent) + more


@pytest.mark.parametrize("escape", [b"\\u0069mage", b"im\\u0061g\\u0065"])
def test_an_escaped_name_counts_like_any(escape: bytes) -> None:
    sent = body(**_asks(_PIXEL)).replace(b'"image"', b'"%b"' % escape)
    assert read_request("messages", sent).input_tokens_at_most == len(sent) + PICTURE_TOKENS
    tools = body(tools=[{"type": "web_search_20250305", "name": "w"}], **_asks()).replace(
        b"search_2", b"search_\\u0032"
    )
    assert read_request("messages", tools).dear_field == "tools"
    chat = body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}])
    chat = chat.replace(b"image_url", b"image\\u005furl")
    assert read_request(CHAT, chat).input_tokens_at_most == len(chat) + 2 * PICTURE_TOKENS
    hour = body(**_asks({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}))
    assert read_request("messages", hour.replace(b'"1h"', b'"\\u0031h"')).keeps_an_hour


@pytest.mark.parametrize("cut", range(8))
def test_no_escape_hides_between_two_pieces_of_a_large_body(cut: int) -> None:
    escape = b"\\u0069"
    before = b"x" * ((1 << 20) - cut)
    assert unescaped(before + escape + b"y" * 9) == before + b"i" + b"y" * 9
    behind = b"\\" * ((1 << 20) - cut) + b"n" + escape
    assert unescaped(behind) == behind[: -len(escape)] + b"i"
    untouched = before + b"y" * 9
    assert unescaped(untouched) is untouched


@pytest.mark.parametrize(
    ("sent", "param", "reason"),
    [
        (b"", None, "not JSON"),
        (b"{", None, "not JSON"),
        (b"[]", None, "must be a JSON object"),
        (b'{"model":"\xff"}', None, "not JSON"),
        (b"[" * 5000 + b"]" * 5000, None, "not JSON"),
        (b"{}", "model", "must name a model"),
        (b'{"model":""}', "model", "must name a model"),
        (b'{"model":3}', "model", "must name a model"),
        (b'{"model":"a","model":"b"}', "model", "says model twice"),
        (b'{"model":"a","max_tokens":1,"max_tokens":100000}', "max_tokens", "says max_tokens twice"),
        (b'{"model":"a","prompt":["x","y"],"prompt":"x"}', "prompt", "says prompt twice"),
        (b'{"model":"a","Model":"dear"}', "model", "another case"),
        (b'{"model":"a","max_tokens":1,"MAX_TOKENS":100000}', "max_tokens", "another case"),
        ('{"model":"a","max_tokens":1,"max_to\u212aens":100000}'.encode(), "max_tokens", "another case"),
        (b'{"model":"a","stream":"yes"}', "stream", "true or false"),
        (b'{"model":"a","n":1.5}', "n", "whole number"),
        (b'{"model":"a","n":true}', "n", "whole number"),
        (b'{"model":"a","max_tokens":-1}', "max_tokens", "whole number"),
        (b'{"model":"a","max_tokens":0}', "max_tokens", "at least 1"),
        (b'{"model":"a","max_completion_tokens":5,"max_tokens":0}', "max_tokens", "at least 1"),
        (b'{"model":"a","n_predict":-3}', "n_predict", "whole number"),
        (b'{"model":"a","models":["dear"]}', "models", "other models"),
        (b'{"model":"a","fallbacks":[{"model":"dear"}]}', "fallbacks", "other models"),
        (b'{"model":"a","Models":["dear"]}', "models", "another case"),
        (b'{"model":"a","Service_Tier":"priority"}', "service_tier", "another case"),
        (b'{"model":"a","service_tier":["priority"]}', "service_tier", "must be a word"),
        (b'{"model":"a","Web_Search_Options":{}}', "web_search_options", "another case"),
        (b'{"model":"a","max_completion_tokens":"many"}', "max_completion_tokens", "whole number"),
        (b'{"model":"a","user":7}', "user", "a text"),
        (b'{"model":"a","stream":true,"stream_options":[]}', "stream_options", "an object"),
        (
            b'{"model":"a","stream":true,"stream_options":{"include_usage":"x"}}',
            "stream_options.include_usage",
            "true or false",
        ),
    ],
)
def test_what_is_refused(sent: bytes, param: str | None, reason: str) -> None:
    with pytest.raises(RequestInvalidError, match=reason) as caught:
        read_request(CHAT, sent)
    assert caught.value.fields["param"] == param


@pytest.mark.parametrize(
    ("values", "terms"),
    [
        ({}, (None, False, None)),
        ({"service_tier": None}, (None, False, None)),
        ({"service_tier": "auto"}, (None, False, None)),
        ({"service_tier": "flex"}, ("flex", False, None)),
        ({"service_tier": "priority"}, ("priority", False, None)),
        ({"web_search_options": {}}, (None, True, None)),
        ({"web_search_options": {}, "service_tier": "flex"}, ("flex", True, None)),
        ({"web_search_options": None}, (None, False, None)),
        ({"plugins": [{"id": "web"}]}, (None, False, "plugins")),
        ({"provider": {"order": ["dear"]}}, (None, False, "provider")),
    ],
)
def test_what_makes_a_call_cost_other_than_its_price(
    values: dict[str, object], terms: tuple[str | None, bool, str | None]
) -> None:
    for content in ("", "x" * 2_000_000):
        known = read_request(CHAT, body(messages=[{"role": "user", "content": content}], **values))
        assert (known.service_tier, known.searches, known.dear_field) == terms


def test_embeddings_have_no_stream() -> None:
    with pytest.raises(RequestInvalidError, match="no stream"):
        read_request("embeddings", body(input="a", stream=True))


def test_a_body_too_deep_for_the_second_look_is_refused() -> None:
    deep = b'{"model":"a","x":{"model":1},"y":' + b"[" * 1000 + b"]" * 1000 + b"}"
    with pytest.raises(RequestInvalidError, match="nested too deep"):
        read_request(CHAT, deep)


@pytest.mark.parametrize(
    ("sent", "change", "expected"),
    [
        ('{"model":"smart","x":1}', {}, '{"model":"gpt-x","x":1}'),
        ('{"model":"smart","stream":false}', {}, '{"model":"gpt-x","stream":false}'),
        (
            '{"model":"smart","stream":true}',
            {},
            '{"stream_options":{"include_usage":true},"model":"gpt-x","stream":true}',
        ),
        ('{"model":"smart","stream":true}', {"include_usage": False}, '{"model":"gpt-x","stream":true}'),
        (
            '{"model":"smart","stream":true,"stream_options": null }',
            {},
            '{"model":"gpt-x","stream":true,"stream_options": {"include_usage":true} }',
        ),
        (
            '{"model":"smart","stream":true,"stream_options":{"a":1,"include_usage":false}}',
            {},
            '{"model":"gpt-x","stream":true,"stream_options":{"a":1,"include_usage":true}}',
        ),
        (
            '{"model":"smart","stream":true,"stream_options":{ "include_usage" : true }}',
            {},
            '{"model":"gpt-x","stream":true,"stream_options":{ "include_usage" : true }}',
        ),
        ('{"model":"smart"}', {"cap": 100}, '{"max_completion_tokens":100,"model":"gpt-x"}'),
        ('{"model":"smart","n":3}', {"cap": 100}, '{"max_completion_tokens":33,"model":"gpt-x","n":3}'),
        ('{"model":"smart","max_tokens":null}', {"cap": 100}, '{"model":"gpt-x","max_tokens":100}'),
        ('{"model":"smart","n":500}', {"cap": 100}, '{"max_completion_tokens":1,"model":"gpt-x","n":500}'),
        # A bound is said in a word that the provider heeds, and all of them say the same when it is ours.
        (
            '{"model":"smart","n":2,"max_completion_tokens":7}',
            {"cap_fields": ("max_tokens",)},
            '{"max_tokens":7,"model":"gpt-x","n":2,"max_completion_tokens":7}',
        ),
        ('{"model":"smart","max_completion_tokens":7}', {}, '{"model":"gpt-x","max_completion_tokens":7}'),
        (
            '{"model":"smart","max_tokens":7,"n_predict":-1}',
            {"cap": 100, "cap_fields": ("max_tokens", "n_predict")},
            '{"model":"gpt-x","max_tokens":100,"n_predict":100}',
        ),
        ('{"model":"smart","n_predict":-1}', {}, '{"model":"gpt-x","n_predict":-1}'),
        ('{"model":"smart","max_tokens":null}', {"cap_fields": ("max_tokens",)}, '{"model":"gpt-x","max_tokens":null}'),
    ],
)
def test_what_a_provider_gets(sent: str, change: dict[str, Any], expected: str) -> None:
    usual: dict[str, Any] = {"include_usage": True, "cap": None, "cap_fields": ("max_completion_tokens", "max_tokens")}
    known = read_request(CHAT, sent.encode())
    assert adapted(known, model="gpt-x", **(usual | change)).decode() == expected


def test_a_request_that_needs_no_change_is_the_same_object() -> None:
    known = read_request(CHAT, body(messages=[]))
    assert adapted(known, model="smart", include_usage=True, cap_fields=("max_tokens",), cap=None) is known.body


@pytest.mark.parametrize("said", [-1, -2])
def test_no_bound_of_the_clients_does_not_take_the_place_of_a_roles(said: int) -> None:
    """llama.cpp's word for it stands in the request, and the role's bound beside it."""
    known = replace(read_request(CHAT, body(n_predict=said)), output_tokens=10)
    sent = adapted(known, model="m", include_usage=False, cap_fields=("max_tokens", "n_predict"), cap=None)
    assert orjson.loads(sent)["n_predict"] == 10


def test_what_is_only_named_is_reckoned_as_the_most_that_it_may_be() -> None:
    text = read_request(CHAT, body(messages="x" * 400, tools=[{}]))
    assert text.input_tokens_reckoned == -(-len(text.body) // 4)
    picture = read_request(CHAT, body(messages=[{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]))
    assert picture.input_tokens_reckoned >= PICTURE_TOKENS
    file = read_request(CHAT, body(messages=[{"file": {"file_id": "f"}}]))
    assert file.input_tokens_reckoned >= FILE_TOKENS
