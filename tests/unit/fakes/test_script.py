from __future__ import annotations

import json
from pathlib import Path

import pytest

from skep.fakes import Script, ScriptInvalidError, ScriptUnreadableError, load_script, parse_script, script_reference
from skep.fakes.faults import FAULTS
from skep.fakes.models import Fault, Price, SaidUsage, Span, ToolCall

WHOLE = """\
seed: 7
models: [gpt-x, gpt-y]
api_keys: sk-test
prices:
  gpt-x: {input_usd_per_mtok: 0.15, cached_input_usd_per_mtok: 0.075, output_usd_per_mtok: .60}
rules:
  - name: storm
    when: {paths: /v1/*, models: [gpt-*], contains: weather, headers: {X-Team: a*}, stream: false, calls: [1, 3-5, 9-], every: 2, share: 0.5}
    then: {status: 429, retry_after: 2, headers: {X-Why: tired}, latency_ms: 20-80}
  - then:
      tool_calls: {name: look, arguments: {city: Bern}}
      usage: {input_tokens: 1000, cached_input_tokens: 400}
      fault: {kind: close_in_stream, after_events: 5}
otherwise: {json: {a: [1, true, null]}, usage: missing, fault: hang}
"""


def test_every_part_of_a_script_is_read() -> None:
    script = parse_script(WHOLE)
    storm, second = script.rules
    assert (script.seed, script.models, script.api_keys) == (7, ("gpt-x", "gpt-y"), ("sk-test",))
    assert script.prices == {"gpt-x": Price(input=150_000_000, output=600_000_000, cached_input=75_000_000)}
    assert storm.when.calls == ((1, 1), (3, 5), (9, None))
    assert (storm.when.headers, storm.when.every, storm.when.share) == ({"x-team": "a*"}, 2, 0.5)
    assert (storm.then.status, storm.then.retry_after, storm.then.latency_ms) == (429, "2", Span(20, 80))
    assert (second.name, second.then.tool_calls) == ("rule 2", (ToolCall("look", '{"city":"Bern"}'),))
    assert second.then.usage == SaidUsage(input_tokens=1000, cached_input_tokens=400)
    assert second.then.fault == Fault("close_in_stream", {"after_events": 5})
    assert script.otherwise.json_text == '{"a":[1,true,null]}'
    assert (script.otherwise.usage, script.otherwise.fault) == (SaidUsage(told=False), Fault("hang"))


def test_json_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"seed": 3, "otherwise": {"text": "Grüezi: ja"}}))
    script = load_script(path)
    assert (script.seed, script.otherwise.text) == (3, "Grüezi: ja")


@pytest.mark.parametrize("text", ["", "# nothing\n", "rules: []\n", "otherwise:\n"])
def test_nothing_said_is_the_usual(text: str) -> None:
    assert parse_script(text) == Script()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sed: 1", "script.yaml:1:1: sed: there is no such word here; did you mean seed?"),
        ("rules:\n  - then:\n      latency: 5\n", "script.yaml:3:7: rules.1.then.latency: there is no such word here; did you mean latency_ms?"),
        ("rules:\n  - {when: {model: x}}\n", "script.yaml:2:13: rules.1.when.model: there is no such word here; did you mean models?"),
        ("otherwise:\n  fault: hangs\n", "script.yaml:2:10: otherwise.fault: expected one of"),
        ("otherwise: {fault: reset_in_steam}", "; did you mean reset_in_stream?"),
        ("otherwise: {fault: {kind: hang_in_body, after: 3}}", "otherwise.fault.after: there is no such word here; did you mean after_bytes?"),
        ("otherwise: {fault: {after_bytes: 3}}", "expected a kind beside the numbers"),
        ("otherwise: {fault: {kind: header_flood, count: 0}}", "expected a whole number from 1 to"),
        ("otherwise: {fault: [hang]}", "expected the name of a fault"),
        ("otherwise: {usage: mising}", "expected one of bytes, missing; did you mean missing?"),
        ("otherwise: {usage: {cached_input_tokens: 5}}", "input_tokens must be said, and be at least the sum of its parts, 5"),
        ("otherwise: {usage: {output_tokens: 1, reasoning_tokens: 2}}", "output_tokens must be said"),
        ("otherwise: {status: 42}", "expected a whole number from 200 to 599"),
        ("otherwise: {status: true}", "expected a whole number from 200 to 599"),
        ("otherwise: {latency_ms: 80-20}", "expected a number or a range"),
        ("otherwise: {latency_ms: -1}", "expected a number or a range"),
        ("otherwise: {gzip: tru}", "expected true or false; did you mean true?"),
        ("otherwise: {text: }", "expected a text"),
        ("otherwise: {events_per_second: 0}", "expected a number from 0.001"),
        ("otherwise: {headers: {X: 'a\n\n b'}}", "expected printable ASCII"),
        ("otherwise: {headers: {'a b': x}}", "'a b' is no name of a header"),
        ("otherwise: {headers: x}", "expected names with values"),
        ("otherwise: {tool_calls: {arguments: {}}}", "expected the name of a function"),
        ("rules: [{when: {calls: 0}}]", "expected numbers of calls"),
        ("rules: [{when: {calls: 5-3}}]", "expected numbers of calls"),
        ("rules: [{when: {share: 2}}]", "expected a number from 0 to 1"),
        ("rules: [{name: a}, {name: a}]", "two rules are named 'a'"),
        ("prices: {m: {input_usd_per_mtok: 1}}", "prices.m: expected output_usd_per_mtok"),
        ("prices: {m: {input_usd_per_mtok: 0.0000000001, output_usd_per_mtok: 1}}", "at most nine digits after the point"),
        ("- seed", "expected names with values"),
        ("seed: 1\nseed: 2", "script.yaml:2:1: seed: said twice"),
        ("seed: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_problem_names_its_line_and_the_nearest_word(text: str, told: str) -> None:
    with pytest.raises(ScriptInvalidError) as caught:
        parse_script(text)
    assert told in str(caught.value)


def test_all_problems_are_told_at_once_in_their_order() -> None:
    with pytest.raises(ScriptInvalidError) as caught:
        parse_script("otherwise: {statis: 1, gzip: 3}\nsede: 1\nmodels: {a: 1}\n")
    assert [problem.field for problem in caught.value.problems] == [
        "otherwise.statis",
        "otherwise.gzip",
        "sede",
        "models",
    ]


@pytest.mark.parametrize(("data", "reason"), [(None, "No such file"), (b"a: \xff", "line 1 is not UTF-8")])
def test_a_script_that_cannot_be_read(tmp_path: Path, data: bytes | None, reason: str) -> None:
    path = tmp_path / "script.yaml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ScriptUnreadableError, match=reason):
        load_script(path)


def test_the_reference_tells_of_every_fault() -> None:
    page = script_reference()
    assert [name for name in FAULTS if f"| `{name}` |" not in page] == []
