from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from skep.fakes import parse_script
from skep.fakes.answering import Provider
from skep.fakes.composing import _FAULTY
from skep.fakes.content import chance_of, cost_nusd, cut_to_tokens, fitting, pieces_of, vector_of
from skep.fakes.faults import FAULTS
from skep.fakes.models import Answer, End, Pause, Price, Request, Send, Usage

CHAT = "/v1/chat/completions"


def ask(path: str = CHAT, *, headers: dict[str, str] | None = None, method: str = "POST", **body: object) -> Request:
    usual: dict[str, Any] = {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "hi"}],
        "prompt": "hi",
        "input": "hi",
    }
    asked = {**usual, **body}
    return Request(method, path, headers or {}, json.dumps(asked).encode(), asked)


def sent(answer: Answer) -> bytes:
    """All bytes of an answer."""
    return b"".join(step.data * step.count for step in answer.steps if isinstance(step, Send))


def body_of(answer: Answer) -> Any:
    return json.loads(sent(answer).partition(b"\r\n\r\n")[2])


def events_of(answer: Answer) -> list[Any]:
    """What the events of a stream say, without the end."""
    lines = [line[6:] for line in sent(answer).split(b"\n") if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def provider(text: str = "") -> Provider:
    return Provider(parse_script(text))


SCRIPT = """\
seed: 5
rules:
  - {when: {share: 0.5}, then: {words: 9, latency_ms: 1-9, tool_calls: {name: f}}}
"""


def test_a_run_is_repeated_byte_by_byte_and_another_seed_gives_another() -> None:
    def run(text: str) -> list[Answer]:
        one = provider(text)
        return [one.answer(ask(stream=number % 2 == 0, nth=number)) for number in range(20)]

    first = run(SCRIPT)
    assert first == run(SCRIPT)
    assert first != run(SCRIPT.replace("5", "6", 1))
    assert {answer.rule for answer in first} == {"rule 1", None}


def test_the_same_request_gets_the_same_words_in_any_order() -> None:
    one = provider("seed: 1")
    texts = [body_of(one.answer(ask(user=user)))["choices"][0]["message"]["content"] for user in "abab"]
    assert texts[0] == texts[2] != texts[1] == texts[3]


def rules_met(when: str, requests: list[Request]) -> list[bool]:
    one = provider(f"rules: [{{when: {when}}}]")
    return [one.answer(request).rule is not None for request in requests]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{paths: '*/completions'}", [True, True, False, True]),
        ("{models: [a, gpt-?]}", [True, True, True, False]),
        ("{contains: ['\"stream\"', hi]}", [False, True, False, False]),
        ("{stream: false}", [True, False, True, True]),
        ("{headers: {X-Team: b*}}", [False, False, False, True]),
        ("{calls: 2-3}", [False, True, True, False]),
        ("{calls: [1, 4-]}", [True, False, False, True]),
        ("{every: 2}", [False, True, False, True]),
        ("{share: 0}", [False] * 4),
        ("{share: 1}", [True] * 4),
        ("{models: gpt-x, calls: 3}", [False, False, True, False]),
    ],
)
def test_conditions(when: str, expected: list[bool]) -> None:
    requests = [ask(), ask(stream=True), ask("/v1/embeddings"), ask(model="other", headers={"x-team": "bees"})]
    assert rules_met(when, requests) == expected


def test_a_rule_counts_what_no_rule_before_it_took() -> None:
    one = provider("rules: [{when: {calls: 1}, then: {status: 500}}, {when: {calls: 1}, then: {status: 429}}]")
    assert [one.answer(ask()).status for _ in range(3)] == [500, 429, 200]


def test_a_token_is_four_bytes() -> None:
    request = ask()
    answer = provider("otherwise: {text: 'Grüezi'}").answer(request)
    assert answer.usage == Usage(input_tokens=-(-len(request.body) // 4), output_tokens=2)


def test_usage_that_is_not_told_is_charged_all_the_same() -> None:
    one = provider("prices: {gpt-*: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}\notherwise: {usage: missing}")
    for stream in (False, True):
        answer = one.answer(ask(stream=stream, stream_options={"include_usage": True}))
        assert answer.usage is not None
        assert answer.cost_nusd == 1000 * (answer.usage.input_tokens + answer.usage.output_tokens)
        told = events_of(answer) if stream else [body_of(answer)]
        assert all("usage" not in one for one in told)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(0, 0), 0),
        (Usage(1_000_000, 1_000_000), 750_000_000),
        (Usage(1000, 50, cached_input_tokens=400), 90_000 + 30_000 + 30_000),
        (
            Usage(1000, 50, audio_input_tokens=1, audio_output_tokens=2, reasoning_tokens=3),
            149_850 + 7 + 27_000 + 16 + 1_800,
        ),
    ],
)
def test_costs(usage: Usage, cost: int) -> None:
    price = Price(150_000_000, 600_000_000, cached_input=75_000_000, audio_input=7_000_000, audio_output=8_000_000)
    assert cost_nusd(usage, price) == cost


@pytest.mark.parametrize(("rate", "cost"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_a_cost_is_rounded_once_and_halves_go_up(rate: int, cost: int) -> None:
    assert cost_nusd(Usage(1), Price(rate, 0)) == cost


def test_an_answer_is_no_longer_than_the_request_allows() -> None:
    one = provider("otherwise: {words: 50}")
    for request in (ask(max_tokens=5), ask(max_completion_tokens=5)):
        answer = one.answer(request)
        choice = body_of(answer)["choices"][0]
        assert answer.usage is not None
        assert (choice["finish_reason"], len(choice["message"]["content"]), answer.usage.output_tokens) == (
            "length",
            20,
            5,
        )


def test_choices_are_said_and_charged_each() -> None:
    answer = provider("otherwise: {text: four}").answer(ask(n=3))
    assert [choice["index"] for choice in body_of(answer)["choices"]] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.output_tokens == 3


@pytest.mark.parametrize("with_usage", [True, False])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_a_stream_says_what_a_body_says(path: str, with_usage: bool) -> None:
    text, options = "One two  three", {"include_usage": with_usage}
    one = provider(f"otherwise: {{text: '{text}', events: 4}}")
    events = events_of(one.answer(ask(path, stream=True, stream_options=options)))
    said = [choice.get("delta", choice) for event in events for choice in event["choices"]]
    assert "".join(part.get("content") or part.get("text") or "" for part in said) == text
    assert [event["usage"] is not None for event in events if "usage" in event] == (
        [*[False] * (len(events) - 1), True] if with_usage else []
    )


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("{text: One two three}", "completed"),
        ("{text: One two three, finish_reason: length}", "incomplete"),
        ("{refusal: No., usage: {output_tokens: 9, reasoning_tokens: 5}}", "completed"),
        ("{text: Look., tool_calls: [{name: f, arguments: {a: 1}}, {name: g, arguments: {}}]}", "completed"),
    ],
)
def test_a_streamed_response_says_what_a_whole_one_says(then: str, status: str) -> None:
    asked: dict[str, Any] = {"instructions": "Be kind.", "temperature": 0.5}
    whole = body_of(provider(f"otherwise: {then}").answer(ask("/v1/responses", **asked)))
    streamed = sent(provider(f"otherwise: {then}").answer(ask("/v1/responses", **asked, stream=True)))
    events = [json.loads(line[6:]) for line in streamed.split(b"\n") if line.startswith(b"data: ")]
    assert (whole["status"], whole["instructions"], whole["temperature"]) == (status, "Be kind.", 0.5)
    assert events[-1]["type"] == f"response.{status}"
    # The bodies of the two requests differ by what asks for a stream, and so does what went in.
    assert {**events[-1]["response"], "usage": None} == {**whole, "usage": None}
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    pieces = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
    parts = [part for item in whole["output"] for part in item.get("content", [item])]
    assert pieces == "".join(
        str(part.get("text") or part.get("refusal") or part.get("arguments") or "") for part in parts
    )


def test_a_response_is_no_longer_than_16_tokens_or_more() -> None:
    one = provider("otherwise: {words: 100}")
    cut = body_of(one.answer(ask("/v1/responses", max_output_tokens=16)))
    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert cut["usage"]["output_tokens"] == 16
    refused = body_of(one.answer(ask("/v1/responses", max_output_tokens=15)))
    assert refused["error"]["param"] == "max_output_tokens"


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        (ask("/v1/nowhere"), 404, None, "Invalid URL (POST /v1/nowhere)"),
        (ask(method="GET"), 404, None, "Invalid URL (GET /v1/chat/completions)"),
        (ask(model="gpt-z"), 404, "model_not_found", "`gpt-z` does not exist"),
        (ask(model=None), 400, None, "you must provide a model parameter"),
        (ask(messages=[]), 400, "missing_required_parameter", "Missing required parameter: 'messages'."),
        (ask(n=0), 400, "invalid_value", "'n'"),
        (ask(max_tokens="7"), 400, "invalid_value", "'max_tokens'"),
        (ask("/v1/models/gpt-z", method="GET"), 404, "model_not_found", "'gpt-z' does not exist"),
        (Request("POST", CHAT, {}, b"{", None), 400, None, "could not parse the JSON"),
    ],
)
def test_wrong_requests_get_the_errors_of_openai(request_: Request, status: int, code: str | None, words: str) -> None:
    answer = provider("models: gpt-x").answer(request_)
    error = body_of(answer)["error"]
    assert (answer.status, answer.usage, error["code"], error["type"]) == (status, None, code, "invalid_request_error")
    assert words in error["message"]


def test_keys_are_asked_for_when_the_script_has_some() -> None:
    one = provider("api_keys: [sk-a]")
    answers = [one.answer(ask(headers={"authorization": f"Bearer {key}"})) for key in ("sk-a", "sk-b")]
    assert [answer.status for answer in answers] == [200, 401]
    assert body_of(answers[1])["error"]["code"] == "invalid_api_key"


def test_an_error_has_what_the_script_says_of_it() -> None:
    text = "otherwise: {status: 429, retry_after: 7, error_message: slow, error_type: tokens, error_code: x, error_param: y, headers: {X-A: b}}"
    answer = provider(text).answer(ask())
    assert body_of(answer) == {"error": {"message": "slow", "type": "tokens", "code": "x", "param": "y"}}
    assert b"HTTP/1.1 429 Too Many Requests\r\n" in sent(answer)
    assert b"\r\nretry-after: 7\r\n" in sent(answer)
    assert b"\r\nx-a: b\r\n" in sent(answer)
    assert (answer.usage, answer.cost_nusd) == (None, None)


def test_latency_comes_first_and_the_pace_between_events() -> None:
    one = provider("otherwise: {text: a b c, latency_ms: 30, events_per_second: 4}")
    waits = [step.seconds for step in one.answer(ask(stream=True)).steps if isinstance(step, Pause)]
    assert waits == [0.03, *[0.25] * 5]  # the role, three words, the end and [DONE]


def test_a_body_that_is_compressed_is_the_same() -> None:
    plain, packed = (provider(f"otherwise: {{gzip: {word}}}").answer(ask()) for word in ("false", "true"))
    assert gzip.decompress(sent(packed).partition(b"\r\n\r\n")[2]) == sent(plain).partition(b"\r\n\r\n")[2]


def test_every_fault_of_the_table_can_be_played() -> None:
    assert _FAULTY.keys() == FAULTS.keys()


@pytest.mark.parametrize("kind", sorted(FAULTS))
@pytest.mark.parametrize("stream", [False, True])
def test_faults_are_charged_when_content_was_sent(kind: str, stream: bool) -> None:
    numbers = ", bytes: 5" if "bytes" in FAULTS[kind].numbers else ""
    answer = provider(f"otherwise: {{fault: {{kind: {kind}{numbers}}}}}").answer(ask(stream=stream))
    assert (answer.usage is None) == (kind in ("hang", "close", "reset", "not_http", "wrong_content_type"))
    assert answer.fault == kind


@pytest.mark.parametrize(
    ("fault", "ends"),
    [("hang", "hang"), ("close_in_body", "close"), ("reset_in_stream", "reset"), ("wrong_length", "close")],
)
def test_faults_end_the_connection_as_they_say(fault: str, ends: str) -> None:
    answer = provider(f"otherwise: {{fault: {fault}}}").answer(ask(stream=True))
    assert answer.steps[-1] == End(ends)  # type: ignore[arg-type]


def test_a_huge_body_and_a_bomb_are_the_json_they_pad() -> None:
    plain = body_of(provider().answer(ask()))
    huge = sent(provider("otherwise: {fault: {kind: huge_body, bytes: 3000000}}").answer(ask()))
    assert json.loads(huge.partition(b"\r\n\r\n")[2]) == plain
    bomb = sent(provider("otherwise: {fault: {kind: gzip_bomb, bytes: 3000000}}").answer(ask())).partition(b"\r\n\r\n")[
        2
    ]
    assert len(bomb) < 10_000
    unpacked = gzip.decompress(bomb)
    assert len(unpacked) > 3_000_000
    assert json.loads(unpacked) == plain


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["bee", "wasp"]},
        "count": {"type": "integer", "minimum": 3, "maximum": 5},
        "share": {"type": ["number", "null"]},
        "flag": {"type": "boolean"},
        "none": {"type": "null"},
        "fixed": {"const": 7},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "minItems": 2},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    },
    "$defs": {"part": {"type": "object", "properties": {"below": {"$ref": "#/$defs/part"}}}},
}


def test_structured_output_fits_its_schema() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    value = json.loads(body_of(provider().answer(ask(response_format=form)))["choices"][0]["message"]["content"])
    assert value.keys() == SCHEMA["properties"].keys()
    assert isinstance(value["name"], str)
    assert value["kind"] in ("bee", "wasp")
    assert 3 <= value["count"] <= 5
    assert isinstance(value["share"], float)
    assert (value["none"], value["fixed"], len(value["parts"])) == (None, 7, 2)
    assert isinstance(value["either"], int)


@pytest.mark.parametrize("schema", [None, {}, {"$ref": "#/$defs/missing"}, {"type": "array", "items": {"$ref": "#"}}])
def test_odd_schemas_end(schema: object) -> None:
    assert json.dumps(fitting(schema, chance_of(0)))


def test_vectors_are_of_length_one_and_the_same_for_the_same_text() -> None:
    one = vector_of("a", 16, 0)
    assert abs(sum(value * value for value in one) - 1) < 1e-9
    assert one == vector_of("a", 16, 0) != vector_of("b", 16, 0)


@pytest.mark.parametrize(
    ("count", "pieces"), [(None, ["One", " two", " ", " x"]), (2, ["One t", "wo  x"]), (99, list("One two  x"))]
)
def test_a_text_is_cut_without_losing_anything(count: int | None, pieces: list[str]) -> None:
    assert pieces_of("One two  x", count) == pieces


def test_a_character_is_not_cut_in_two() -> None:
    assert cut_to_tokens("abcü", 1) == "abc"


@pytest.mark.parametrize(
    ("asked", "served"), [({}, "default"), ({"service_tier": "flex"}, "flex"), ({"service_tier": ["x"]}, "default")]
)
def test_an_answer_names_the_tier_that_it_was_served_by(asked: dict[str, Any], served: str) -> None:
    assert body_of(provider().answer(ask(**asked)))["service_tier"] == served
    events = events_of(provider().answer(ask(stream=True, **asked)))
    assert {each["service_tier"] for each in events} == {served}
