"""Requests at Gemini's addresses: what is known of them, what they may cost, what is said twice; and guards of their streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skep.gateway.generate_requests import Named, with_defaults
from skep.gateway.guarding.events import EventRewriter
from skep.gateway.guarding.service import _Guarded
from skep.gateway.guarding.vault import Findings, unnumbered
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.large_bodies import is_quick
from skep.gateway.profiles import GENERATION_COUNTING
from skep.gateway.requests import (
    FILE_TOKENS,
    PICTURE_TOKENS,
    TOOLS_TOKENS,
    Known,
    adapted,
    read_again,
    read_request,
)
from skep.gateway.response_requests import STORED_TOKENS
from tests.unit.gateway.test_guard_streams import cut, found_in, kind_sets, plan, texts

CONTENTS: Any = [{"parts": [{"text": "Hi"}]}]
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
FILE = {"file_data": {"file_uri": "https://x/y.mp4"}}


def known(*, streams: bool = False, **more: Any) -> Known:
    body = json.dumps({"contents": CONTENTS, **more}).encode()
    return read_request("generate_content", body, named=Named("smart", streams))


def test_the_address_says_the_model_and_whether_it_streams() -> None:
    found = known(streams=True)
    assert (found.model, found.stream, found.choices, found.output_tokens) == ("smart", True, 1, None)
    assert (found.input_tokens_at_most, found.dear_field, found.does_more) == (len(found.body), None, False)
    again = read_again(found, b'{"contents":[]}', model="other")
    assert (again.model, again.stream, again.body) == ("other", True, b'{"contents":[]}')


@pytest.mark.parametrize(
    ("config", "tokens", "choices"),
    [
        ({"maxOutputTokens": 5}, 5, 1),
        ({"max_output_tokens": 5, "candidateCount": 3}, 15, 3),
        ({"maxOutputTokens": None, "candidate_count": 2}, None, 2),
        ({}, None, 1),
        (None, None, 1),
    ],
)
def test_the_bound_of_the_output(config: Any, tokens: int | None, choices: int) -> None:
    for name in ("generationConfig", "generation_config"):
        found = known(**{name: config})
        assert (found.output_tokens, found.choices) == (tokens, choices)
        sent = adapted(found, model="x", include_usage=True, cap_fields=("generationConfig",), cap=20)
        told = json.loads(sent)[name if config is not None or name == "generationConfig" else "generation_config"]
        assert 20 // choices in (told.get("maxOutputTokens"), told.get("max_output_tokens"))
        assert "model" not in json.loads(sent)


@pytest.mark.parametrize(
    "body",
    [
        b'{"generationConfig":{"maxOutputTokens":5,"maxOutputTokens":9}}',
        b'{"generationConfig":{"maxOutputTokens":5,"maxOutputT\\u006fkens":9}}',
        b'{"generationConfig":{"maxOutputTokens":5,"max_output_tokens":9}}',
        b'{"generationConfig":{},"generation_config":{"maxOutputTokens":9}}',
        b'{"generationConfig":{"maxOutputTokens":5},"generationConfig":{"maxOutputTokens":9}}',
        b'{"cachedContent":"a","cached_content":"b"}',
        b'{"generationConfig":{"maxOutputTokens":0}}',
        b'{"generationConfig":{"maxOutputTokens":"5"}}',
        b'{"generationConfig":{"candidateCount":true}}',
        b'{"model":"models/other"}',
        b"[]",
        b"{",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(RequestInvalidError):
        read_request("generate_content", body, named=Named("smart"))


def test_what_is_not_text_has_room() -> None:
    picture = known(contents=[{"parts": [PICTURE, PICTURE]}])
    assert picture.input_tokens_at_most == len(picture.body) + 2 * PICTURE_TOKENS
    film = known(contents=[{"parts": [FILE]}])
    assert (film.input_tokens_at_most, film.has_audio) == (len(film.body) + FILE_TOKENS, True)
    sound = known(contents=[{"parts": [{"inline_data": {"mime_type": "audio/wav", "data": "AA=="}}]}])
    assert (sound.has_audio, picture.has_audio) == (True, False)
    stored = known(cachedContent="cachedContents/x")
    assert (stored.input_tokens_at_most, stored.does_more) == (len(stored.body) + STORED_TOKENS, True)
    tools = known(tools=[{"functionDeclarations": [{"name": "f"}]}])
    assert (tools.input_tokens_at_most, tools.dear_field) == (len(tools.body) + TOOLS_TOKENS, None)
    counted = read_request(GENERATION_COUNTING, picture.body, named=Named("smart"))
    assert (counted.input_tokens_at_most, counted.output_tokens, counted.is_free) == (0, 0, True)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [{"googleSearch": {}}]}, "tools"),
        ({"tools": [{"function_declarations": [], "codeExecution": {}}]}, "tools"),
        ({"tools": {"urlContext": {}}}, "tools"),
        ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, "generationConfig.responseModalities"),
        ({"generationConfig": {"responseModalities": ["TEXT"]}}, None),
    ],
)
def test_what_nobody_knows_the_price_of_is_named(more: dict[str, Any], field: str | None) -> None:
    found = known(**more)
    assert (found.dear_field, found.does_more) == (field, field is not None)


@pytest.mark.parametrize(
    ("tier", "expected"),
    [("standard", None), ("SERVICE_TIER_FLEX", "flex"), ("priority", "priority"), ("unspecified", None), (7, None)],
)
def test_tiers_of_service(tier: object, expected: str | None) -> None:
    assert known(serviceTier=tier).service_tier == expected


def test_a_large_body_is_read_as_a_small_one() -> None:
    schema = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(4000)}}
    config = {"maxOutputTokens": 9, "responseJsonSchema": schema}
    tools = [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]
    found = known(generationConfig=config, tools=tools, contents=[{"parts": [{"text": "x" * 1_400_000}]}])
    assert not is_quick(found.body)
    assert (found.output_tokens, found.dear_field) == (9, None)
    sent = adapted(found, model="x", include_usage=True, cap_fields=("generationConfig",), cap=5)
    assert json.loads(sent)["generationConfig"] == config | {"maxOutputTokens": 5}
    assert known(tools=[*tools, {"googleSearch": {}}], generationConfig=config).dear_field == "tools"


def test_only_what_is_left_out_is_said() -> None:
    body = b'{"contents":[ ], "generation_config":{"topP": 0.50}}'
    said = with_defaults(body, json.loads(body), {"temperature": 0.5, "top_p": 0.1}, "Rhyme.")
    assert said == (
        b'{"systemInstruction":{"parts":[{"text":"Rhyme."}]},"contents":[ ], "generation_config":'
        b'{"temperature":0.5,"topP": 0.50}}'
    )
    assert with_defaults(said, json.loads(said), {"temperature": 0.9}, "Other.") == said


def _event(*parts: dict[str, Any], **more: Any) -> bytes:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}
    return b"data: " + json.dumps({"candidates": [candidate], "responseId": "r"}).encode() + b"\n\n"


def _parts(events: bytes) -> list[dict[str, Any]]:
    told = [json.loads(event[6:]) for event in events.split(b"\n\n") if event]
    return [part for each in told for part in each["candidates"][0]["content"]["parts"]]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(texts, kind_sets, st.lists(st.integers(0, 500), max_size=20), st.booleans())
@example("Write to max.muster@example.org", ["email"], [12, 20], True)
def test_nothing_leaks_wherever_the_texts_of_a_stream_are_cut(
    text: str, kinds: list[Any], places: list[int], ends_with_words: bool
) -> None:
    guard = plan(kinds)
    whole, _ = guard.change(text, Findings("answer", unnumbered))
    rewriter = EventRewriter("generate_content", _Guarded(guard, Findings("answer", unnumbered)))
    pieces = cut(text, places) or [""]
    came = b""
    for number, piece in enumerate(pieces):
        last = {"finishReason": "STOP"} if ends_with_words and number == len(pieces) - 1 else {}
        came += rewriter.feed(_event({"text": piece}, **last))
        assert found_in(guard, "".join(part["text"] for part in _parts(came))) == []
    if not ends_with_words:
        came += rewriter.feed(_event(finishReason="STOP"))
    assert rewriter.end() == b""
    assert "".join(part["text"] for part in _parts(came)) == whole


def test_what_was_held_back_stands_before_what_follows_it() -> None:
    rewriter = EventRewriter("generate_content", _Guarded(plan(["email"]), Findings("answer", unnumbered)))
    call = {"functionCall": {"name": "f", "args": {"to": "a@example.org"}}, "thoughtSignature": "a@example.org"}
    came = rewriter.feed(_event({"text": "think a@example", "thought": True}))
    came += rewriter.feed(_event({"text": ".org", "thought": True}, {"text": "say b@"}))
    came += rewriter.feed(_event({"text": "example.org"}, call))
    came += rewriter.feed(_event(finishReason="STOP"))
    parts = _parts(came)
    thought = "".join(part["text"] for part in parts if part.get("thought"))
    said = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    assert (thought, said) == ("think [EMAIL]", "say [EMAIL]")
    assert parts[-1] == {
        "functionCall": {"name": "f", "args": {"to": "[EMAIL]"}},
        "thoughtSignature": "a@example.org",
    }
    kinds = ["thought" if part.get("thought") else next(iter(part)) for part in parts if part.get("text") != ""]
    assert kinds == sorted(kinds, key=["thought", "text", "functionCall"].index)


def test_a_stream_without_an_end_gives_what_it_held_back() -> None:
    rewriter = EventRewriter("generate_content", _Guarded(plan(["email"]), Findings("answer", unnumbered)))
    came = rewriter.feed(_event({"text": "at b@example.org"})) + rewriter.end()
    assert "".join(part["text"] for part in _parts(came)) == "at [EMAIL]"
