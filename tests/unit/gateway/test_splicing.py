"""Splicing: what changes is what was asked for, and every other byte is as it came."""

from __future__ import annotations

import gc
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.naming import Names
from skep.gateway.splicing import DuplicateKeyError, Span, check_keys, quoted, splice, top_level_spans, value_span

KEYS = quoted(("model", "stream", "stream_options", "max_tokens", "n", "user"))

_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_texts | st.sampled_from(tuple(KEYS)), inner, max_size=3)
    ),
    max_leaves=8,
)
_space = st.text(st.sampled_from(" \t\n\r"), max_size=3)


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """An object as some client might write it: any spaces, any escapes, keys in any order."""
    values = draw(st.dictionaries(st.sampled_from(tuple(KEYS)) | _texts, _values, max_size=6))
    parts = []
    for key, value in values.items():
        shown = json.dumps(key)
        if draw(st.booleans()) and key:
            shown = '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in key) + '"'
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        parts.append(f"{draw(_space)}{shown}{draw(_space)}:{draw(_space)}{text}{draw(_space)}")
    return f"{draw(_space)}{{{','.join(parts)}{draw(_space)}}}{draw(_space)}".encode(), values


@given(written(), st.dictionaries(st.sampled_from(tuple(KEYS)), _values, max_size=4))
def test_splicing_is_changing_the_object(written: tuple[bytes, dict[str, Any]], changes: dict[str, Any]) -> None:
    body, values = written
    spliced = splice(body, {key: orjson.dumps(value) for key, value in changes.items()}, values)
    assert json.loads(spliced) == {**values, **changes}
    # What stands before, between and after the values named is still there, in order.
    present = [key for key in changes if key in values]
    spans = sorted(top_level_spans(body, present).values(), key=lambda span: span.start)
    at = place = 0
    for span in [*spans, Span(len(body), len(body))]:
        kept = body[at : span.start]
        if at == 0 and len(present) < len(changes):
            brace = kept.index(b"{") + 1
            assert spliced.startswith(kept[:brace])
            kept = kept[brace:]
        place = spliced.index(kept, place) + len(kept)
        at = span.end


@given(written())
def test_a_span_holds_the_value(written: tuple[bytes, dict[str, Any]]) -> None:
    body, values = written
    for key, span in top_level_spans(body, list(values)).items():
        assert json.loads(body[span.start : span.end]) == values[key]
        if isinstance(values[key], str) and key in KEYS:
            assert value_span(body, key) == span


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"B"}'),
        (b'{ "model" :\n"a" , "x":1.0}', b'{ "model" :\n"B" , "x":1.0}'),
        (b'{"x":{"model":"no"},"model":"a"}', b'{"x":{"model":"no"},"model":"B"}'),
        (b'{"model":"a","x":["model"]}', b'{"model":"B","x":["model"]}'),
        (b'{"x":"\\"model\\":\\"z\\"","model":"a"}', b'{"x":"\\"model\\":\\"z\\"","model":"B"}'),
        (b'{"x":"\\"model","model":"a"}', b'{"x":"\\"model","model":"B"}'),
        (b'{"\\"model":"no","model":"a"}', b'{"\\"model":"no","model":"B"}'),
        (b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"B"}'),
        (b'{"mod\\u0065l":"a","x":{"model":"no"}}', b'{"mod\\u0065l":"B","x":{"model":"no"}}'),
        (b'{"model":"\\u0061\\"b"}', b'{"model":"B"}'),
        ('{"é":"ü","model":"ä"}'.encode(), '{"é":"ü","model":"B"}'.encode()),
        (b'{"n":0.50,"big":1e300}', b'{"model":"B","n":0.50,"big":1e300}'),
        (b"{}", b'{"model":"B"}'),
        (b" {\n} ", b' {"model":"B"\n} '),
    ],
)
def test_the_model_is_changed_and_nothing_else(body: bytes, expected: bytes) -> None:
    assert splice(body, {"model": b'"B"'}, json.loads(body)) == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a","mod\\u0065l":"b"}',
        b'{"model":"a","x":{"model":1},"model":"b"}',
    ],
)
def test_a_key_said_twice_is_refused(body: bytes) -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        check_keys(body, orjson.loads(body), KEYS, Names(body))
    assert caught.value.key == "model"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","x":{"model":1}}',
        b'{"user":"a","messages":[{"role":"user"},{"role":"user"}]}',
        b'{"x":{"model":1,"model":2},"model":"a"}',
        b'{"other":1,"other":2,"model":"a"}',
    ],
)
def test_a_key_said_once_passes_whatever_stands_deeper(body: bytes) -> None:
    check_keys(body, orjson.loads(body), KEYS, Names(body))


@pytest.mark.parametrize(
    "filler",
    [
        '"' + "x" * 1_000_000 + '"',
        "[" + "[]," * 330_000 + "[]]",
        '["' + '","' * 330_000 + '"]',
        '"' + '\\"model\\":' * 90_000 + '"',
    ],
    ids=["one text", "empty lists", "short texts", "escaped keys"],
)
@pytest.mark.parametrize("again", ['{"model":"deeper"}', "0"])
def test_a_megabyte_takes_milliseconds(filler: str, again: str) -> None:
    body = f'{{"messages":{filler},"x":{again},"model":"a","user":"u"}}'.encode()
    values = orjson.loads(body)
    # As in the server, which looks for garbage so rarely that it does not count.
    gc.disable()
    began = time.process_time()
    spans = check_keys(body, values, KEYS, Names(body))
    changed = splice(body, {"model": b'"b"', "max_tokens": b"5"}, values, spans)
    took = time.process_time() - began
    gc.enable()
    # Mostly it takes 2 to 60 ms; a reader that looks at each character takes a second.
    assert took < 0.4
    assert changed == b'{"max_tokens":5,' + body[1:].replace(b'"model":"a"', b'"model":"b"')
