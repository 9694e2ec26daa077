"""Calls as a collector sees them: one span for the call, one for each attempt, within the caller's trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.acceptance.gateway.conftest import SCRIPTS
from tests.collector import Collector, Got, collecting
from tests.postgres import ScratchServer
from tests.rawprovider import RawProvider, raw_provider
from tests.serving import ONLY_JOBS, Up, eventually, skep, starting

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"

_SETTINGS = """
providers:
  raw: {{kind: openai_compatible, base_url: "{url}"}}
  gone: {{kind: openai_compatible, base_url: "http://127.0.0.1:1/v1"}}
models:
  smart: {{retries: 0, routes: [{{provider: raw, model: ok}}]}}
  falls_back: {{retries: 0, routes: [{{provider: raw, model: broken}}, {{provider: raw, model: ok}}]}}
  failing: {{retries: 0, routes: [{{provider: raw, model: html}}]}}
  streaming: {{retries: 0, routes: [{{provider: raw, model: stream_ok}}]}}
  cut: {{retries: 0, routes: [{{provider: raw, model: stream_cut}}]}}
  closed: {{retries: 0, routes: [{{provider: gone, model: m}}]}}
  priced: {{retries: 0, routes: [{{provider: raw, model: ok}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
"""

SAMPLES_PER_THOUSAND = 500
MESSAGES = [{"role": "user", "content": "?"}]


@dataclass
class Traced:
    up: Up
    provider: RawProvider
    collector: Collector

    def call(self, model: str, trace: str, flags: str = "01", **more: object) -> httpx.Response:
        client = self.up.client(traceparent=f"00-{trace}-{CALLER}-{flags}")
        return client.post("/v1/chat/completions", json={"model": model, "messages": [], **more})

    def spans(self, trace: str) -> list[Got]:
        """Of a trace, the call's first."""
        with eventually() as waits:
            while not (found := [got for got in self.collector.spans if got.trace_id == trace]) and waits():
                pass
        return sorted(found, key=lambda got: got.parent_id != CALLER)


@pytest.fixture(scope="module")
def traced(scratch_server: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    with raw_provider(SCRIPTS) as provider, collecting() as collector, scratch_server.database() as url:
        (folder / "skep.yaml").write_text(_SETTINGS.format(url=provider.url))
        said = {
            "SKEP_TRACING_ENDPOINT": collector.url,
            "SKEP_TRACING_SAMPLES_PER_THOUSAND": str(SAMPLES_PER_THOUSAND),
            "SKEP_LOG_FORMAT": "json",
            "SKEP_DATABASE_URL": url,
            "SKEP_WATCH_ENABLED": "false",
        }
        with starting(folder / "data", **said, SKEP_CONFIG=str(folder / "skep.yaml")) as run:
            yield Traced(run(), provider, collector)


def test_a_call_is_a_span_of_the_callers_trace_and_its_attempts_are_under_it(traced: Traced) -> None:
    trace = "1" * 32
    answer = traced.call("falls_back", trace)
    assert answer.status_code == 200
    call, *attempts = traced.spans(trace)
    assert (call.name, call.kind, call.is_error, call.parent_id) == ("chat falls_back", 3, False, CALLER)
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "falls_back",
        "gen_ai.response.model": "gpt-x",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 50,
        "server.address": "127.0.0.1",
        "server.port": traced.provider.port,
        "skep.call.id": answer.headers["x-skep-call-id"],
    }
    assert {attempt.parent_id for attempt in attempts} == {call.span_id}
    told = [(each.attributes["skep.route"], each.is_error, each.attributes.get("error.type")) for each in attempts]
    assert told == [("raw/broken", True, "server_error"), ("raw/ok", False, None)]
    assert [each.attributes["http.response.status_code"] for each in attempts] == [500, 200]
    assert attempts[1].attributes["http.request.resend_count"] == 1
    # Each attempt's provider was told to go on under that attempt.
    heads = [traced.provider.last(model).head.decode() for model in ("broken", "ok")]
    for attempt, head in zip(attempts, heads, strict=True):
        assert head.count("traceparent") == 1
        assert f"traceparent: 00-{trace}-{attempt.span_id}-01\r\n" in head


@pytest.mark.parametrize(
    ("model", "stream", "error"),
    [("failing", False, True), ("streaming", True, False), ("cut", True, True)],
)
def test_every_end_of_a_call_is_told(traced: Traced, model: str, stream: bool, error: bool) -> None:
    trace = model.encode().hex().ljust(32, "a")
    traced.call(model, trace, stream=stream)
    call, attempt = traced.spans(trace)
    assert (call.is_error, "error.type" in call.attributes) == (error, error)
    assert (attempt.is_error, "error.type" in attempt.attributes) == (error, error)
    assert ("gen_ai.response.time_to_first_chunk" in call.attributes) is stream
    assert call.attributes.get("gen_ai.request.stream", False) is stream
    assert attempt.seconds <= call.seconds


def _key(traced: Traced, *limits: str, models: str = "") -> dict[str, str]:
    """A key of its own, as the header that sends it."""
    more = ("--models", models) if models else ()
    name = f"k{len(traced.collector.spans)}"
    made = skep(traced.up.data, "key", "create", "--name", name, *limits, *more, "--json", **traced.up.environment)
    return {"authorization": f"Bearer {made.answer['key']}"}


@pytest.mark.parametrize(
    ("case", "status", "error", "name"),
    [
        ("budget", 402, "budget_exceeded", "chat priced"),
        ("limit", 429, "limit_exceeded", "chat smart"),
        ("no key", 401, "key_missing", "chat"),
        ("model not allowed", 403, "model_not_allowed", "chat smart"),
        ("unknown model", 404, "model_not_found", "chat"),
        ("not json", 400, "request_invalid", "chat"),
        ("closed", 503, "no_route", "chat closed"),
    ],
)
def test_a_call_that_is_refused_has_a_span_that_says_why(
    traced: Traced, case: str, status: int, error: str, name: str
) -> None:
    trace = case.encode().hex().ljust(32, "b")[:32]
    headers = {"traceparent": f"00-{trace}-{CALLER}-01", "x-skep-tags": "red, sk-planted-0123456789"}
    model = {"budget": "priced", "unknown model": "sk-nobody-0123456789", "closed": "closed"}.get(case, "smart")
    body: dict[str, object] = {"model": model, "messages": MESSAGES, "max_tokens": 1000}
    if case == "budget":
        headers |= _key(traced, "--budget-usd", "0.000001", "--per", "day")
    elif case == "limit":
        headers |= _key(traced, "--rpm", "1")
        traced.up.client().post("/v1/chat/completions", json=body, headers=headers | {"traceparent": ""})
    elif case == "model not allowed":
        headers |= _key(traced, models="priced")
    elif case == "no key":
        headers["authorization"] = ""
    elif case == "closed":
        for _ in range(30):
            traced.call("closed", "f" * 32)
    if case == "not json":
        answer = traced.up.client().post("/v1/chat/completions", content=b"{", headers=headers)
    else:
        answer = traced.up.client().post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    (span,) = traced.spans(trace)
    assert (span.name, span.parent_id, span.is_error) == (name, CALLER, True)
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["error.type"] == error
    assert span.attributes["gen_ai.provider.name"] == "skep"
    assert span.attributes["skep.tags"] == ["red", "sk-***"]
    if case == "unknown model":
        assert span.attributes["gen_ai.request.model"] == "sk-***"
    if case != "closed":
        assert span.attributes["http.response.status_code"] == status
        assert (span.kind, 0 < span.seconds < 10) == (1, True)


def test_a_call_of_the_local_model_has_a_span(traced: Traced) -> None:
    trace = "d" * 32
    headers = {"traceparent": f"00-{trace}-{CALLER}-01", "x-skep-tags": "red"}
    answer = traced.up.client().post(
        "/v1/embeddings", json={"model": "local", "input": ["one", "two"]}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    (span,) = traced.spans(trace)
    assert (span.name, span.kind, span.is_error, span.parent_id) == ("embeddings local", 1, False, CALLER)
    assert span.attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "skep",
        "gen_ai.request.model": "local",
        "gen_ai.usage.input_tokens": answer.json()["usage"]["prompt_tokens"],
        "gen_ai.usage.output_tokens": 0,
        "skep.call.id": answer.headers["x-skep-call-id"],
        "skep.tags": ["red"],
    }


def test_of_traces_that_begin_here_the_share_of_the_settings_is_recorded(traced: Traced) -> None:
    client = traced.up.client()
    ids = []
    for _ in range(20):
        answer = client.post("/v1/chat/completions", json={"model": "smart", "messages": MESSAGES})
        ids.append(answer.headers["x-trace-id"])
    # By what follows the rule for this share; that all or none of twenty are recorded happens once in 500,000 runs.
    expected = {each for each in ids if int(each[16:], 16) < 2**64 * SAMPLES_PER_THOUSAND // 1000}
    traced.call("smart", "e" * 32)
    traced.spans("e" * 32)
    assert {got.trace_id for got in traced.collector.spans} & set(ids) == expected
    assert 0 < len(expected) < 20


def test_a_line_in_json_names_the_call_and_its_trace_and_no_secret(traced: Traced) -> None:
    trace, planted = "c" * 32, "sk-planted-0123456789abcdef"
    call = traced.call("smart", trace, messages=MESSAGES).headers["x-skep-call-id"]
    refused = "7" * 32
    traced.call(planted, refused)
    with eventually() as waits:
        while f'"trace":"{trace}"' not in traced.up.log.read_text() and waits():
            pass
        while f"{refused}" not in traced.up.log.read_text() and waits():
            pass
    text = traced.up.log.read_text()
    # What is said to people before the settings are read is no line of the log.
    lines = [json.loads(line) for line in text.splitlines() if not line.startswith("warning: ")]
    (line,) = [line for line in lines if line.get("trace") == trace and line["event"] == "request"]
    assert (line["call"], line["model"], line["status"]) == (call, "smart", 200)
    (line,) = [line for line in lines if line.get("trace") == refused and line["event"] == "request"]
    assert (line["model"], line["status"]) == ("sk-***", 404)
    assert planted not in text
    assert traced.up.key.rpartition("_")[2] not in text


def test_a_trace_that_its_caller_does_not_record_is_not_recorded(traced: Traced) -> None:
    traced.call("smart", "2" * 32, "00")
    assert f"traceparent: 00-{'2' * 32}-{CALLER}-00\r\n" in traced.provider.last("ok").head.decode()
    traced.call("smart", "3" * 32)
    traced.spans("3" * 32)
    assert not [got for got in traced.collector.spans if got.trace_id == "2" * 32]


def test_a_stop_sends_what_waits(tmp_path: Path, database_url: str) -> None:
    with raw_provider(SCRIPTS) as provider, collecting() as collector:
        (tmp_path / "skep.yaml").write_text(_SETTINGS.format(url=provider.url))
        said = {"SKEP_TRACING_ENDPOINT": collector.url, "SKEP_DATABASE_URL": database_url}
        with starting(tmp_path / "data", **ONLY_JOBS, **said, SKEP_CONFIG=str(tmp_path / "skep.yaml")) as run:
            traced = Traced(run(), provider, collector)
            for number in range(1, 11):
                assert traced.call("smart", f"{number:032x}").status_code == 200
            assert traced.up.end() == 0
            assert len(collector.spans) == 20
