"""Gemini's format: signatures in ids, bounds in an object, usage, streams that just end, and answers from and into the other formats."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.fakes.generation_wire import generation_body, generation_events
from skep.fakes.models import ToolCall
from skep.fakes.models import Usage as FakeUsage
from skep.fakes.wire import Said
from skep.gateway.events import EventScanner
from skep.gateway.failures import classify, classify_told
from skep.gateway.generate_requests import bounded
from skep.gateway.models import StopWhen
from skep.gateway.stopping import Stopper
from skep.gateway.streaming import tally_of
from skep.gateway.translating import AnswerStrangeError, FormatName, Translator, Wanted, translate_answer, unsigned
from skep.gateway.translating.signing import parted_id, signed_id
from skep.gateway.usage import generation_usage_of
from skep.spend import Usage

TARGETS: tuple[FormatName, ...] = ("chat", "messages", "responses")
CALLS = (ToolCall("f", '{"a":1}', "c1"), ToolCall("g", "{}", "c2"))


def _said(**more: Any) -> Said:
    usage = FakeUsage(100, 20, cached_input_tokens=40, reasoning_tokens=5)
    told: dict[str, Any] = {"model": "m", "id": "r1", "created": 5, "usage": usage}
    return Said(**{**told, "text": "Hi you", "pieces": ("Hi", " you"), **more})


@given(st.binary(max_size=40), st.from_regex(r"[a-zA-Z0-9-]{1,20}", fullmatch=True))
def test_a_signature_comes_back_out_of_an_id(signature: bytes, call_id: str) -> None:
    told = base64.b64encode(signature).decode()
    signed = signed_id(call_id, told)
    assert parted_id(signed) == (call_id, told)
    assert all(each.isalnum() or each in "_-" for each in signed)
    body = orjson.dumps({"id": signed, "text": "x"})
    assert orjson.loads(unsigned(body)) == {"id": call_id, "text": "x"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{ "contents":[1.0]}', b'{"generationConfig":{"maxOutputTokens":7}, "contents":[1.0]}'),
        (b'{"generationConfig":{}}', b'{"generationConfig":{"maxOutputTokens":7}}'),
        (b'{"generationConfig":{"topP": 1.0}}', b'{"generationConfig":{"maxOutputTokens":7,"topP": 1.0}}'),
        (b'{"generationConfig":{"maxOutputTokens": 9 }}', b'{"generationConfig":{"maxOutputTokens": 7 }}'),
        (b'{"generation_config":{"max_output_tokens":9}}', b'{"generation_config":{"max_output_tokens":7}}'),
        (b'{"generationConfig":{"maxOutputTokens": 7 }}', b'{"generationConfig":{"maxOutputTokens": 7 }}'),
        (b'{"generationConfig":null}', b'{"generationConfig":{"maxOutputTokens":7}}'),
    ],
)
def test_only_the_bound_changes(body: bytes, expected: bytes) -> None:
    assert bounded(body, orjson.loads(body), 7) == expected


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (None, None),
        ({}, None),
        ({"promptTokenCount": 5}, Usage(input_tokens=5, output_tokens=0)),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 10},
            Usage(input_tokens=5, output_tokens=5, reasoning_tokens=3),
        ),
        # What no part has, the total does.
        ({"promptTokenCount": 5, "totalTokenCount": 11}, Usage(input_tokens=5, output_tokens=6)),
        (
            {"promptTokenCount": 5, "toolUsePromptTokenCount": 4, "cachedContentTokenCount": 99, "totalTokenCount": 9},
            Usage(input_tokens=9, cached_input_tokens=9, output_tokens=0),
        ),
        (
            {
                "promptTokenCount": 50,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 20},
                    {"modality": "AUDIO", "tokenCount": 30},
                ],
                "cachedContentTokenCount": 12,
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
                "candidatesTokenCount": 4,
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            },
            Usage(
                input_tokens=50,
                cached_input_tokens=12,
                output_tokens=4,
                input_audio_tokens=20,
                output_audio_tokens=3,
            ),
        ),
        (
            {
                "promptTokenCount": 5,
                "candidatesTokenCount": 1300,
                "candidatesTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 10},
                    {"modality": "IMAGE", "tokenCount": 1290},
                ],
            },
            Usage(input_tokens=5, output_tokens=1300, output_image_tokens=1290),
        ),
    ],
)
def test_usage(told: object, usage: Usage | None) -> None:
    assert generation_usage_of(told) == usage


def _parts_of(source: FormatName, answer: dict[str, Any]) -> tuple[str, list[tuple[str, Any]]]:
    """What is said and called in an answer."""
    back = orjson.loads(translate_answer(orjson.dumps(answer), source, "gemini", Wanted()))
    (candidate,) = back["candidates"]
    parts = candidate["content"]["parts"]
    text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]
    return text, [*calls, (candidate["finishReason"], back["usageMetadata"])]


SAID = [
    _said(),
    _said(finish_reason="length"),
    _said(finish_reason="content_filter"),
    _said(tool_calls=CALLS, finish_reason="tool_calls"),
    _said(text=None, pieces=(), tool_calls=CALLS, finish_reason="tool_calls"),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("said", SAID)
def test_an_answer_says_the_same_in_another_format_whole_and_streamed(target: FormatName, said: Said) -> None:
    body = generation_body(said, thinks=True)
    whole = orjson.loads(translate_answer(orjson.dumps(body), "gemini", target, Wanted()))
    text, (*calls, (reason, usage)) = _parts_of(target, whole)
    assert text == (said.text or "")
    assert calls == [(call.name, orjson.loads(call.arguments)) for call in said.tool_calls]
    assert reason == body["candidates"][0]["finishReason"]
    assert {name: usage[name] for name in usage if name in body["usageMetadata"]} == {
        name: count for name, count in body["usageMetadata"].items() if name != "promptTokensDetails"
    }
    translator = Translator("gemini", target, Wanted())
    streamed = translator.feed(generation_events(said, thinks=True)) + b"".join(translator.end())
    returned = Translator(target, "gemini", Wanted())
    events = EventScanner(1 << 20).feed(streamed)
    came = returned.feed(events[:-1]) + b"".join(returned.end(events[-1]))
    parts, last = [], {}
    for event in EventScanner(1 << 20).feed(came):
        last = orjson.loads(event[6:])
        parts += last["candidates"][0]["content"]["parts"]
    assert "".join(part["text"] for part in parts if "text" in part and not part.get("thought")) == text
    assert [
        (part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part
    ] == calls
    assert [part.get("thoughtSignature") for part in parts if "functionCall" in part] == [
        part.get("thoughtSignature") for part in body["candidates"][0]["content"]["parts"] if "functionCall" in part
    ]
    assert (last["candidates"][0]["finishReason"], last["usageMetadata"]) == (reason, usage)


@given(st.sampled_from(SAID), st.lists(st.integers(1, 60), max_size=30), st.sampled_from(TARGETS))
def test_a_stream_says_the_same_wherever_it_is_cut(said: Said, sizes: list[int], target: FormatName) -> None:
    whole = b"".join(generation_events(said, thinks=False))
    once = Translator("gemini", target, Wanted())
    expected = once.feed(EventScanner(1 << 20).feed(whole)) + b"".join(once.end())
    scanner, translator, tally = (
        EventScanner(1 << 20),
        Translator("gemini", target, Wanted()),
        tally_of("generate_content", hides_usage=False),
    )
    came, at = b"", 0
    for size in [*sizes, len(whole)]:
        came += translator.feed(tally.passing(scanner.feed(whole[at : at + size])))
        at += size
    assert came + b"".join(translator.end()) == expected
    assert (tally.is_said, tally.is_counting, tally.done_event, tally.failure) == (True, False, None, None)
    assert tally.usage == Usage(input_tokens=100, cached_input_tokens=40, output_tokens=20, reasoning_tokens=5)


def test_a_stream_that_is_not_over_is_counted() -> None:
    tally = tally_of("generate_content", hides_usage=False)
    events = list(generation_events(_said(tool_calls=CALLS), thinks=False))
    assert tally.passing(events[:-1]) == events[:-1]
    assert (tally.is_said, tally.is_counting) == (False, True)
    # The words, and what the calls say.
    assert tally.output_bytes == len(b"Hi you") + len(b'{"a":1}') + len(b"{}")
    assert tally.usage == Usage(input_tokens=100, cached_input_tokens=40, output_tokens=0)
    tally.passing([b'data: {"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x"}}\n\n'])
    assert tally.failure is not None
    assert tally.failure.kind == "rate_limited"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"candidates": [7]},
        {"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]},
        {"candidates": [{"content": {"parts": [{"inlineData": {}}]}}]},
        *(
            {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]}
            for reason in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE")
        ),
    ],
)
def test_a_strange_answer(values: object) -> None:
    with pytest.raises(AnswerStrangeError):
        translate_answer(orjson.dumps(values), "gemini", "chat", Wanted())


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "SPII", "OTHER", "LANGUAGE", "IMAGE_SAFETY", "NEW_REASON"])
def test_what_the_provider_cut_off_is_no_whole_answer(reason: str) -> None:
    values = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]}
    told = orjson.loads(translate_answer(orjson.dumps(values), "gemini", "chat", Wanted()))
    assert told["choices"][0]["finish_reason"] == "content_filter"


def test_arguments_that_are_no_json_do_not_become_a_call() -> None:
    events = [
        {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":'}},
    ]
    chunk = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": events}}]}
    translator = Translator("chat", "gemini", Wanted())
    translator.feed([b"data: " + orjson.dumps(chunk) + b"\n\n"])
    with pytest.raises(AnswerStrangeError):
        translator.end(b"data: [DONE]\n\n")


def _event(*parts: dict[str, Any], **more: Any) -> bytes:
    told = {"candidates": [{"content": {"parts": list(parts)}, "index": 0}], "responseId": "r", **more}
    return b"data: " + orjson.dumps(told) + b"\n\n"


def test_a_stream_is_ended_early_as_gemini_would() -> None:
    stopper = Stopper(StopWhen(json=True), "generate_content", 30, lambda _: None)
    passed = stopper.passing(
        [
            _event({"text": '{"thought": 1}', "thought": True}, usageMetadata={"promptTokenCount": 12}),
            _event(
                {"text": 'Say {"a":'}, {"text": "1} and"}, {"text": " more"}, usageMetadata={"promptTokenCount": 12}
            ),
            _event({"text": "never"}),
        ]
    )
    assert stopper.why == "json"
    told = [orjson.loads(each[6:]) for each in passed]
    assert [part["text"] for part in told[1]["candidates"][0]["content"]["parts"]] == ['Say {"a":', "1}", ""]
    assert told[2]["candidates"][0]["finishReason"] == "STOP"
    usage = generation_usage_of(told[2]["usageMetadata"])
    assert usage == Usage(input_tokens=12, output_tokens=stopper.output_tokens)
    tally = tally_of("generate_content", hides_usage=False)
    tally.passing(passed)
    assert (tally.is_said, tally.usage) == (True, usage)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": 400, "status": "INVALID_ARGUMENT", "message": "x"}, "client_error"),
        (400, {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}, "auth"),
        (403, {"code": 403, "status": "PERMISSION_DENIED", "message": "x"}, "forbidden"),
        (429, {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "3s"}]}, "rate_limited"),
        (503, {"code": 503, "status": "UNAVAILABLE", "message": "x"}, "server_error"),
        (504, {"code": 504, "status": "DEADLINE_EXCEEDED", "message": "x"}, "timeout"),
    ],
)
def test_errors(status: int, error: dict[str, Any], kind: str) -> None:
    for body in ({"error": error}, [{"error": error}]):
        failure = classify(status, orjson.dumps(body), content_type="application/json")
        assert (failure.kind, failure.retry_after_seconds) == (kind, 3.0 if kind == "rate_limited" else None)
    told = classify_told(error)
    assert told.kind == ("server_error" if kind == "client_error" else kind)
