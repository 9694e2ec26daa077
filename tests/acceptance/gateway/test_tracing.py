"""Calls as a collector sees them: one span for the call, one for each attempt, within the caller's trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.acceptance.gateway.conftest import SCRIPTS
from tests.collector import Collector, Got, collecting
from tests.postgres import ScratchServer
from tests.rawprovider import RawProvider, raw_provider
from tests.serving import ONLY_JOBS, Up, eventually, starting

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"

_SETTINGS = """
providers:
  raw: {{kind: openai_compatible, base_url: "{url}"}}
models:
  smart: {{retries: 0, routes: [{{provider: raw, model: ok}}]}}
  falls_back: {{retries: 0, routes: [{{provider: raw, model: broken}}, {{provider: raw, model: ok}}]}}
  failing: {{retries: 0, routes: [{{provider: raw, model: html}}]}}
  streaming: {{retries: 0, routes: [{{provider: raw, model: stream_ok}}]}}
  cut: {{retries: 0, routes: [{{provider: raw, model: stream_cut}}]}}
"""


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
        said = {"SKEP_TRACING_ENDPOINT": collector.url, "SKEP_DATABASE_URL": url}
        with starting(folder / "data", **ONLY_JOBS, **said, SKEP_CONFIG=str(folder / "skep.yaml")) as run:
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
