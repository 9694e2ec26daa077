"""Whatever bytes come: a request is refused, or it passes with exactly what had to change; a stream gives the same events."""

from __future__ import annotations

import itertools
import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.events import EventScanner
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.requests import adapted, read_request
from skep.gateway.streaming import Tally

_words = st.sampled_from(
    [
        "model",
        "mod\\u0065l",
        "MODEL",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "user",
        "x",
    ]
)
_texts = st.sampled_from(['"gpt"', '"a\\"model\\":1"', '"\\u0065"', '"é"', '"\\ud83d\\ude00"', '""', '"\\\\"'])
_scalars = _texts | st.sampled_from(["1", "true", "false", "null", "1.50", "-0", "1e3", "{}", "[]"])
_space = st.sampled_from(["", " ", "\n", "\t", "\r\n "])


@st.composite
def _bodies(draw: st.DrawFn, depth: int = 2) -> str:
    """An object as it is written: keys that look like ours, said twice, escaped, deeper down, in any order."""
    parts = []
    for _ in range(draw(st.integers(0, 5))):
        value = draw(_bodies(depth - 1)) if depth and draw(st.booleans()) else draw(_scalars)
        if draw(st.integers(0, 4)) == 0:
            value = f"[{value},{draw(_scalars)}]"
        parts.append(f'{draw(_space)}"{draw(_words)}"{draw(_space)}:{draw(_space)}{value}{draw(_space)}')
    return "{" + ",".join(parts) + "}"


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A body, mostly with a model, sometimes with a byte that is another one."""
    body = draw(_bodies())
    if draw(st.integers(0, 3)):
        body = body.replace("{", '{"model":"gpt"' + ("," if len(body) > 2 else ""), 1)
    raw = bytearray(body.encode())
    if raw and draw(st.integers(0, 3)) == 0:
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@given(_damaged(), st.sampled_from(["gpt", "other"]), st.sampled_from([None, 7]), st.booleans())
def test_a_request_is_refused_or_changes_only_where_it_must(
    body: bytes, model: str, cap: int | None, include_usage: bool
) -> None:
    try:
        known = read_request("chat.completions", body)
    except RequestInvalidError:
        return
    told = adapted(
        known, model=model, include_usage=include_usage, cap_fields=("max_completion_tokens", "max_tokens"), cap=cap
    )
    before: dict[str, Any] = orjson.loads(body)
    after: dict[str, Any] = orjson.loads(told)
    may_change = {"model", "stream_options", "max_tokens", "max_completion_tokens"}
    assert after["model"] == model
    assert {key: value for key, value in after.items() if key not in may_change} == {
        key: value for key, value in before.items() if key not in may_change
    }
    if cap is not None:
        assert cap // known.choices in (after.get("max_tokens"), after.get("max_completion_tokens"), 0)
    if known.stream and include_usage:
        assert after["stream_options"]["include_usage"] is True
    # Every reader, also one that takes the first of two keys, finds the same model.
    assert [value for key, value in json.loads(told, object_pairs_hook=list) if key == "model"] == [model]
    if (model, cap) == (known.model, None) and not (known.stream and include_usage):
        assert told is body


_events = st.lists(
    st.sampled_from(
        [
            b'data: {"choices":[{"delta":{"content":"Hel"}}]}',
            b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}',
            b'data: {"error":{"message":"no","code":"overloaded"}}',
            b"data: [DONE]",
            b": ping",
            b'event: x\ndata: {"choices":\ndata: []}',
            b"data: no JSON",
        ]
    ),
    max_size=8,
)


def _heard(stream: bytes, cuts: list[int]) -> tuple[object, ...]:
    scanner, tally = EventScanner(1_000_000), Tally(hides_usage=True)
    borders = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    passed = [tally.passing(scanner.feed(stream[at:to])) for at, to in itertools.pairwise(borders)]
    told = None if tally.failure is None else tally.failure.reason
    return b"".join(itertools.chain.from_iterable(passed)), tally.usage, tally.done_event, told, tally.output_bytes


@given(_events, st.sampled_from([b"\n\n", b"\r\n\r\n"]), st.lists(st.integers(0, 2000), max_size=10))
def test_what_is_heard_of_a_stream_does_not_depend_on_its_pieces(
    events: list[bytes], end: bytes, cuts: list[int]
) -> None:
    stream = b"".join(event.replace(b"\n", end[: len(end) // 2]) + end for event in events)
    assert _heard(stream, cuts) == _heard(stream, []) == _heard(stream, list(range(len(stream))))
