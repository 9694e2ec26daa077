"""Guards of texts that come in pieces: what leaves is the same however they are cut, and nothing that is looked for leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skep.gateway.guarding.events import EventRewriter
from skep.gateway.guarding.lumps import MOST_CHARACTERS
from skep.gateway.guarding.models import FOUND_KINDS, Finding
from skep.gateway.guarding.plans import BlockedError, Plan, plan_of
from skep.gateway.guarding.restoring import RestoringSend
from skep.gateway.guarding.service import _Guarded, _GuardedText
from skep.gateway.guarding.vault import Findings, RestoringText, Vault, unnumbered
from skep.gateway.models import Guard, GuardAction, GuardKind
from tests.unit.gateway.test_guard_detectors import FOUND

DENIED = ("Project Hive", "hive", "机密", "a, b")
VALUES = [value for _, value in FOUND]
WORDS = [
    "the",
    "Hive",
    "project",
    "Project",
    "is",
    "at",
    "12",
    "2026",
    "OK",
    "I",
    "a",
    "A1",
    "rue",
    "de",
    "Bearer",
    "basic",
    "机密",
    "机",
    "[EMAIL_1]",
    "+",
    "(",
]
GAPS = [" ", " ", " ", "\n", "  ", ", ", ". ", ": ", "", "-", "/", '"', "(", "。", "\u00a0", "@", "\\n"]

pieces = st.one_of(
    st.sampled_from(VALUES), st.sampled_from(WORDS), st.text(max_size=6), st.from_regex(r"[0-9]{1,12}", fullmatch=True)
)
texts = st.lists(st.tuples(pieces, st.sampled_from(GAPS)), max_size=12).map(lambda parts: "".join(map("".join, parts)))
kind_sets = st.lists(st.sampled_from(FOUND_KINDS), unique=True, max_size=len(FOUND_KINDS))


def plan(kinds: Iterable[GuardKind], action: GuardAction = "redact", deny: tuple[str, ...] = DENIED) -> Plan:
    made = plan_of([Guard(name="g", kinds=tuple(kinds), deny=deny, action=action)], "answer")
    assert made is not None
    return made


def cut(text: str, places: list[int]) -> list[str]:
    borders = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(borders)]


def found_in(guard: Plan, text: str) -> list[Finding]:
    """What is found by looking at the text as a whole, without cutting it into lumps."""
    return list(guard.findings(text))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(texts, kind_sets, st.lists(st.integers(0, 500), max_size=30))
@example("see 4111 1111 1111 1111 12 27", ["card"], [6, 9, 10])
@example("x-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", ["credential"], [3, 14, 20])
@example("Bearer -----BEGIN RSA PRIVATE KEY-----\nabc\nabc", ["credential"], list(range(60)))
def test_what_leaves_is_the_same_however_it_is_cut(text: str, kinds: list[GuardKind], places: list[int]) -> None:
    guard = plan(kinds)
    whole, length = guard.change(text, Findings("answer", unnumbered))
    assert length == len(text)
    sink = Findings("answer", unnumbered)
    stream = _GuardedText(guard, sink)
    left = ""
    for piece in cut(text, places):
        left += stream.feed(piece)
        assert found_in(guard, left) == []
    left += stream.finish()
    assert left == whole
    assert found_in(guard, whole) == []
    # All that looking at the whole text finds has been found.
    assert sum(sink.counts.values()) >= len(found_in(guard, text))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts, kind_sets, st.lists(st.integers(0, 500), max_size=30))
def test_a_stream_is_blocked_as_the_whole_text_is_and_nothing_of_it_has_left(
    text: str, kinds: list[GuardKind], places: list[int]
) -> None:
    guard = plan(kinds, "block")
    try:
        guard.change(text, Findings("answer", unnumbered))
        is_blocked = False
    except BlockedError:
        is_blocked = True
    stream, left = _GuardedText(guard, Findings("answer", unnumbered)), ""
    try:
        for piece in cut(text, places):
            left += stream.feed(piece)
        left += stream.finish()
        assert not is_blocked
        assert left == text
    except BlockedError:
        assert is_blocked
        assert text.startswith(left)
        assert found_in(guard, left) == []


def test_what_only_counts_changes_nothing() -> None:
    guard, sink = plan(["card"], "observe"), Findings("answer", unnumbered)
    stream = _GuardedText(guard, sink)
    text = "4111 1111 1111 1111 is the hive's"
    assert "".join(map(stream.feed, text)) + stream.finish() == text
    assert sink.counts == {("g", "card", "observe"): 1, ("g", "denied", "observe"): 1}
    assert not guard.changes


@pytest.mark.parametrize(
    ("kinds", "text", "held"),
    [
        ([], "one two", "two"),
        (["email"], "one two three", "three"),
        (["email"], "one two, ", " "),
        (["card"], "paid with 4111 1111 ", "4111 1111 "),
        (["card"], "in 2026 we", "we"),
        (
            ["credential"],
            "-----BEGIN RSA PRIVATE KEY-----\nabc def ghi",
            "-----BEGIN RSA PRIVATE KEY-----\nabc def ghi",
        ),
        (["email"], "这是机", "机"),
        ([], "the project ", "project "),
    ],
)
def test_no_more_is_held_back_than_must_be(kinds: list[GuardKind], text: str, held: str) -> None:
    stream = _GuardedText(plan(kinds), Findings("answer", unnumbered))
    assert "".join(map(stream.feed, text)) + held == text


@pytest.mark.parametrize("before", [0, MOST_CHARACTERS - 1500, MOST_CHARACTERS - 20, MOST_CHARACTERS, 40_000])
def test_a_text_without_a_border_is_cut_but_not_through_what_is_found(before: int) -> None:
    guard = plan(["card", "email"])
    text = "1 " * (before // 2) + "4111 1111 1111 1111 " + "2 " * 20_000
    stream, left, most = _GuardedText(guard, Findings("answer", unnumbered)), "", 0
    for at in range(0, len(text), 997):
        left += stream.feed(text[at : at + 997])
        most = max(most, len(stream._held))
    left += stream.finish()
    assert left == text.replace("4111 1111 1111 1111", "[CARD]")
    assert left == guard.change(text, Findings("answer", unnumbered))[0]
    assert most <= MOST_CHARACTERS


@pytest.mark.parametrize("word", ["48213 ", "aGVsbG8gd29ybGQx", "see 4111 1111 1111 1111 and "])
def test_a_long_lump_is_not_looked_through_for_each_word_and_leaves_the_same(word: str) -> None:
    whole = plan(FOUND_KINDS)
    looked: list[int] = []

    class Counting:
        def change(self, text: str, sink: Findings, *, is_whole: bool = True) -> tuple[str, int]:
            looked.append(len(text))
            return whole.change(text, sink, is_whole=is_whole)

    text = word * (24_000 // len(word))
    counted: Any = Counting()
    held = _GuardedText(counted, Findings("answer", unnumbered))
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    left = "".join(map(held.feed, pieces)) + held.finish()
    assert left == whole.change(text, Findings("answer", unnumbered))[0]
    # Once for each character would be a hundred million.
    assert sum(looked) < 60 * len(text)


def named() -> Vault:
    vault = Vault()
    for kind, value in (("email", "alice@example.com"), ("card", "4111111111111111"), ("email", "b@c.de")):
        vault.name(kind, value)  # type: ignore[arg-type]
    return vault


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["[EMAIL_1]", "[CARD_1]", "[EMAIL_2]", "[EMAIL_3]", "[", "[EMAIL", "_1]", "x", " ", "[[", "1"]),
        max_size=12,
    ).map("".join),
    st.lists(st.integers(0, 200), max_size=30),
)
def test_placeholders_become_values_however_they_are_cut(text: str, places: list[int]) -> None:
    stream = RestoringText(named())
    left = "".join([stream.feed(piece) for piece in cut(text, places)]) + stream.finish()
    assert left == text.replace("[EMAIL_1]", "alice@example.com").replace("[CARD_1]", "4111111111111111").replace(
        "[EMAIL_2]", "b@c.de"
    )


def test_a_value_has_one_placeholder_and_none_that_stands_there() -> None:
    vault = Vault()
    vault.take_none_of(b'{"a":"[EMAIL_1] and [EMAIL_3]"}')
    assert [vault.name("email", value) for value in ("a@b.de", "c@d.de", "a@b.de", "e@f.de")] == [
        "[EMAIL_2]",
        "[EMAIL_4]",
        "[EMAIL_2]",
        "[EMAIL_5]",
    ]
    assert vault.restored("[EMAIL_1] [EMAIL_2]") == "[EMAIL_1] a@b.de"


def chat(index: int = 0, finish: str | None = None, **delta: object) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": {"content": [{"token": "x"}]}}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def block(kind: str, index: int = 0, **more: object) -> bytes:
    return (
        f"event: {kind}\n".encode() + b"data: " + json.dumps({"type": kind, "index": index, **more}).encode() + b"\n\n"
    )


def response(kind: str, **more: object) -> bytes:
    told = {"type": kind, "output_index": 0, "item_id": "i", "content_index": 0, "sequence_number": 1, **more}
    return f"event: {kind}\n".encode() + b"data: " + json.dumps(told).encode() + b"\n\n"


def events_of(data: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


DONE = b"data: [DONE]\n\n"
SAID = ["write to ali", "ce@exam", "ple.com or pay", " 4111 1111", " 1111 1111 at", " the hive"]
REDACTED = "write to [EMAIL] or pay [CARD] at the hive"
ARGUMENTS = ['{"to": "alice', '@example.com", "card": 41111111', '11111111, "n": 1}']
REDACTED_ARGUMENTS = '{"to": "[EMAIL]", "card": "[CARD]", "n": 1}'


def guarded(face: str, events: Iterable[bytes]) -> bytes:
    rewriter = EventRewriter(face, _Guarded(plan(["email", "card"], deny=()), Findings("answer", unnumbered)))
    return b"".join(map(rewriter.feed, events)) + rewriter.end()


def test_a_stream_of_chat_completions() -> None:
    tool = {"index": 1, "id": "t", "type": "function", "function": {"name": "pay", "arguments": ""}}
    events = [
        chat(role="assistant", content=""),
        *(chat(content=text) for text in SAID),
        *(chat(1, reasoning_content=text) for text in SAID),
        chat(tool_calls=[tool]),
        *(chat(tool_calls=[{"index": 1, "function": {"arguments": text}}]) for text in ARGUMENTS),
        b": keep alive\n\n",
        chat(1, "stop"),
        chat(finish="tool_calls"),
        b'data: {"choices":[],"usage":{"prompt_tokens":12345678901234567890}}\n\n',
        DONE,
    ]
    data = guarded("chat.completions", events)
    assert data.endswith(b'data: {"choices":[],"usage":{"prompt_tokens":12345678901234567890}}\n\n' + DONE)
    said: dict[Any, str] = {}
    ended: set[int] = set()
    for told in events_of(data):
        for choice in told["choices"]:
            assert choice.get("logprobs") is None
            assert choice["index"] not in ended
            delta = choice.get("delta", {})
            for name in ("content", "reasoning_content"):
                said[choice["index"], name] = said.get((choice["index"], name), "") + delta.get(name, "")
            for call in delta.get("tool_calls", []):
                said[call["index"]] = said.get(call["index"], "") + call["function"].get("arguments", "")
            if choice["finish_reason"]:
                ended.add(choice["index"])
    assert said[0, "content"] == said[1, "reasoning_content"] == REDACTED
    assert said[1] == REDACTED_ARGUMENTS
    assert ended == {0, 1}


def test_a_stream_of_completions_that_ends_without_a_reason() -> None:
    events = [
        b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, "text": text}]}).encode() + b"\n\n" for text in SAID
    ]
    data = guarded("completions", [*events, DONE])
    assert "".join(told["choices"][0]["text"] for told in events_of(data)) == REDACTED
    assert data.endswith(DONE)


def test_a_stream_of_messages() -> None:
    events = [
        block("message_start", message={"id": "m", "content": [], "usage": {}}),
        block("content_block_start", content_block={"type": "text", "text": ""}),
        *(block("content_block_delta", delta={"type": "text_delta", "text": text}) for text in SAID),
        block("content_block_stop"),
        block("content_block_start", 1, content_block={"type": "tool_use", "id": "t", "name": "pay", "input": {}}),
        *(
            block("content_block_delta", 1, delta={"type": "input_json_delta", "partial_json": text})
            for text in ARGUMENTS
        ),
        block("content_block_stop", 1),
        block("message_delta", delta={"stop_reason": "tool_use"}),
        block("message_stop"),
    ]
    said = ["", ""]
    kinds = []
    for told in events_of(guarded("messages", events)):
        kinds.append((told["type"], told["index"]))
        if told["type"] == "content_block_delta":
            said[told["index"]] += told["delta"].get("text", "") + told["delta"].get("partial_json", "")
    assert said == [REDACTED, REDACTED_ARGUMENTS]
    for index in (0, 1):
        mine = [kind for kind, number in kinds if number == index and kind.startswith("content_block")]
        assert (mine[0], mine[-1], mine.count("content_block_stop")) == ("content_block_start", "content_block_stop", 1)


def test_a_stream_of_responses() -> None:
    text = "".join(SAID)
    events = [
        response("response.created", response={"id": "r", "instructions": "be kind"}),
        *(response("response.output_text.delta", delta=piece, logprobs=[{"token": piece}]) for piece in SAID),
        response("response.output_text.done", text=text),
        *(response("response.function_call_arguments.delta", output_index=1, delta=piece) for piece in ARGUMENTS),
        response("response.function_call_arguments.done", output_index=1, arguments="".join(ARGUMENTS)),
        response("response.completed", output_index=None, response={"output": [{"content": [{"text": text}]}]}),
    ]
    told = events_of(guarded("responses", events))
    deltas = [each["delta"] for each in told if each["type"] == "response.output_text.delta"]
    assert "".join(deltas) == REDACTED
    assert all(not each.get("logprobs") for each in told)
    arguments = [each["delta"] for each in told if each["type"] == "response.function_call_arguments.delta"]
    assert "".join(arguments) == REDACTED_ARGUMENTS
    by_kind = {each["type"]: each for each in told}
    assert by_kind["response.output_text.done"]["text"] == REDACTED
    assert by_kind["response.function_call_arguments.done"]["arguments"] == REDACTED_ARGUMENTS
    assert by_kind["response.completed"]["response"]["output"][0]["content"][0]["text"] == REDACTED
    assert told[-1]["type"] == "response.completed"


def test_events_before_the_one_that_is_blocked_may_leave() -> None:
    rewriter = EventRewriter("chat.completions", _Guarded(plan(["card"], "block", ()), Findings("answer", unnumbered)))
    data = chat(content="I can ") + chat(content="pay by ") + chat(content="4111111111111111 ") + chat(content="now")
    with pytest.raises(BlockedError) as blocked:
        rewriter.feed(data)
    assert (
        "".join(told["choices"][0]["delta"]["content"] for told in events_of(blocked.value.passed)) == "I can pay by "
    )
    assert (blocked.value.guard, blocked.value.kinds) == ("g", ("card",))


def test_what_is_only_counted_leaves_as_it_came() -> None:
    sink = Findings("answer", unnumbered)
    rewriter = EventRewriter("chat.completions", _Guarded(plan(["email", "card"], "observe", ()), sink))
    events = [chat(content=text) for text in SAID] + [
        chat(tool_calls=[{"index": 0, "function": {"arguments": text}}]) for text in ARGUMENTS
    ]
    assert [rewriter.feed(event) for event in events] == events
    assert rewriter.end() == b""
    assert sink.counts == {("g", "email", "observe"): 2, ("g", "card", "observe"): 2}


def test_what_cannot_be_read_does_not_pass_a_guard() -> None:
    assert guarded("chat.completions", [b"data: alice@example.com\n\n", DONE]) == DONE


async def test_an_answer_gets_its_values_back_on_the_way_out() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    restoring = RestoringSend(send, "chat.completions", named())
    await restoring({"type": "http.response.start", "status": 200, "headers": []})
    for text in ("to [EMA", "IL_1] and [", "EMAIL_2", "] or [no]"):
        await restoring({"type": "http.response.body", "body": chat(content=text), "more_body": True})
    await restoring({"type": "http.response.body", "body": b": x-skep-cost-usd 1\n\n" + chat(finish="stop") + DONE})
    told = events_of(b"".join(message.get("body", b"") for message in sent))
    assert (
        "".join(each["choices"][0]["delta"].get("content", "") for each in told)
        == "to alice@example.com and b@c.de or [no]"
    )
    assert told[0]["choices"][0]["logprobs"] is not None
    assert sent[-1]["body"].endswith(DONE)
