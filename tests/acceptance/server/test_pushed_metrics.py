"""Metrics that `skep up` pushes: to a collector, to an agent, by one process, and never at the cost of a call."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from psutil import Process

from tests.collector import Agent, Collector, agent, collecting
from tests.command import Command
from tests.scripted import scripted
from tests.serving import ONLY_JOBS, Up, eventually, starting

_SETTINGS = """
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
models:
  smart: {{routes: [{{provider: fake, model: m}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}}}
"""
_SCRIPT = "otherwise: {text: Hello., usage: {input_tokens: 1000, output_tokens: 50}}"
COST_USD = 0.0011
KIND = "openai_compatible"
CALLS = 12
MESSAGES = [{"role": "user", "content": "?"}]


@dataclass
class Pushing:
    up: Up

    def call(self, times: int = 1) -> None:
        """Each on a connection of its own, so that every process gets some."""
        for _ in range(times):
            with self.up.client() as client:
                answer = client.post("/v1/chat/completions", json={"model": "smart", "messages": MESSAGES})
                assert answer.status_code == 200, answer.text

    def scraped(self, name: str) -> float:
        with self.up.client() as client:
            page = client.get("/metrics").text
        return sum(each.value for family in parse(page) for each in family.samples if each.name == name)


Start = Callable[..., AbstractContextManager[Pushing]]


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Start:
    @contextmanager
    def run(*arguments: str, **said: str) -> Iterator[Pushing]:
        with scripted(tmp_path / "provider", _SCRIPT) as provider:
            (tmp_path / "skep.yaml").write_text(_SETTINGS.format(url=provider.url))
            always = {"SKEP_DATABASE_URL": database_url, "SKEP_CONFIG": str(tmp_path / "skep.yaml"), **ONLY_JOBS}
            with starting(tmp_path / "data", **always, SKEP_METRICS_PUSH_SECONDS="1") as up:
                yield Pushing(up(*arguments, **said))

    return run


def cost(collector: Collector) -> float:
    pushed = collector.pushes[-1].get("external_api_credit_used_total") if collector.pushes else None
    return 0.0 if pushed is None or (KIND,) not in pushed.points else pushed.points[KIND,].value


def test_a_collector_gets_the_sum_of_all_processes_from_one(start: Start) -> None:
    with collecting() as collector:
        # As every program with OpenTelemetry is told; `auto` goes by it.
        with start("--workers", "2", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as pushing:
            pushing.call(CALLS)
            assert len(pushing.up.children("http")) == 2
            (pusher,) = pushing.up.children("pusher")
            with eventually() as waits:
                while cost(collector) < COST_USD * CALLS * 0.999 and waits():
                    pass
            # A process in the place of a killed one goes on where that was, and so does who pushes.
            pushing.up.children("http")[0].send_signal(signal.SIGKILL)
            pusher.send_signal(signal.SIGKILL)
            with eventually() as waits:
                while len(pushing.up.children("http")) < 2 and waits():
                    pass
            pushing.call(CALLS)
            assert pushing.scraped("skep_model_calls_total") == 2 * CALLS
            assert pushing.up.end() == 0
        last = collector.pushes[-1]
    assert last["external_api_credit_used_total"].points[KIND,].value == pytest.approx(COST_USD * CALLS * 2)
    assert last["skep_model_calls_total"].points[KIND, "ok"].value == 2 * CALLS
    took = last["skep_http_request_duration_seconds"].points["POST", "/v1/chat/completions"]
    assert (sum(took.counts), last["skep_http_request_duration_seconds"].temporality) == (2 * CALLS, 2)
    assert took.sum > 0
    # Read from the database for it, and nobody's names.
    assert last["skep_database_up"].points[()].value == 1
    assert "skep_collection_lag_seconds" not in last
    totals = [each["skep_model_calls_total"].points for each in collector.pushes if "skep_model_calls_total" in each]
    counts = [points[KIND, "ok"].value for points in totals if (KIND, "ok") in points]
    assert counts == sorted(counts), "counters never go back"
    assert len({each["skep_database_up"].points[()].time_ns for each in collector.pushes}) == len(collector.pushes)
    (since,) = {points[KIND, "ok"].start_ns for points in totals if (KIND, "ok") in points}
    assert 0 < time.time_ns() - since < 300e9
    assert last["skep_http_requests_in_flight"].points[()].value == 0


@pytest.mark.parametrize("is_unix", [False, True])
def test_an_agent_is_told_every_call_once(start: Start, tmp_path: Path, is_unix: bool) -> None:
    with agent(tmp_path / "dsd.socket" if is_unix else None) as found:
        said = {"DD_DOGSTATSD_URL": found.address, "DD_TAGS": "env:test"}
        with start("--workers", "2", **said) as pushing:
            pushing.call(CALLS)
            _await_total(found, CALLS)
            (pusher,) = pushing.up.children("pusher")
            pusher.send_signal(signal.SIGKILL)
            pushing.call(CALLS)
            # Who pushes is only just starting when it is told to end, and pushes all the same.
            _await_another(pushing.up, pusher)
            assert pushing.up.end() == 0
    assert found.total("skep_model_calls_total", outcome="ok", provider=KIND, env="test") == 2 * CALLS
    assert found.total("external_api_credit_used_total", provider=KIND) == pytest.approx(COST_USD * CALLS * 2)
    assert found.total("skep_http_request_duration_seconds", route="/v1/chat/completions") == 2 * CALLS
    assert "skep_database_up:1|g|#env:test" in found.lines


def test_what_was_counted_while_nobody_pushed_is_told_in_the_end(start: Start) -> None:
    with agent() as found, start(DD_DOGSTATSD_URL=found.address) as pushing:
        for _ in range(3):  # the more often it dies, the longer until it is started again: at last 2 s
            (pusher,) = pushing.up.children("pusher") or [_await_another(pushing.up, None)]
            pusher.send_signal(signal.SIGKILL)
            pusher.wait(10)
        pushing.call(CALLS)
        assert pushing.up.end() == 0
    assert found.total("skep_model_calls_total", outcome="ok", provider=KIND) == CALLS


def _await_another(up: Up, pusher: Process | None) -> Process:
    with eventually() as waits:
        while not (others := [each for each in up.children("pusher") if each != pusher]) and waits():
            pass
    return others[0]


def _await_total(found: Agent, calls: int) -> None:
    with eventually() as waits:
        while found.total("skep_model_calls_total") < calls and waits():
            pass


def test_a_collector_that_is_away_or_slow_costs_no_call_anything(start: Start) -> None:
    with collecting() as collector:
        collector.seconds = 3.0
        with start(SKEP_METRICS_OTLP_ENDPOINT=collector.url) as pushing:
            with eventually() as waits:
                while not collector.requests and waits():
                    pass
            began = time.monotonic()
            pushing.call(CALLS)
            assert time.monotonic() - began < 3
            collector.seconds, collector.status = 0.0, 500
            with eventually() as waits:
                while "metrics are not taken" not in pushing.up.log.read_text() and waits():
                    pass
            pushing.call()
            collector.status = 200
            with eventually() as waits:
                while cost(collector) < COST_USD * (CALLS + 1) * 0.999 and waits():
                    pass
            with eventually() as waits:
                while "metrics are taken again" not in pushing.up.log.read_text() and waits():
                    pass
            failed = collector.pushes[-1]["skep_metrics_pushes_total"].points["failed",].value
            assert failed >= 1
            collector.status = 500
            began = time.monotonic()
            assert pushing.up.end() == 0
            assert time.monotonic() - began < 15


def test_the_page_stays_and_noop_takes_it_away(start: Start) -> None:
    with agent() as found, start(METRICS_BACKEND="datadog", DD_DOGSTATSD_URL=found.address) as pushing:
        pushing.call()
        assert pushing.scraped("external_api_credit_used_total") == pytest.approx(COST_USD)
        pushing.up.end()
    with agent() as found, start(METRICS_BACKEND="noop", DD_DOGSTATSD_URL=found.address) as pushing:
        pushing.call()
        headers = {"authorization": f"Bearer {pushing.up.key}"}
        assert httpx.get(f"{pushing.up.url}/metrics", headers=headers).status_code == 404
        assert not pushing.up.children("pusher")
        assert found.lines == []


def test_an_address_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path) -> None:
    said = {"SKEP_METRICS_OTLP_ENDPOINT": "collector:4317", "PATH": os.environ["PATH"]}
    done = Command(tmp_path / "data", tmp_path, more=said)("up", "--port", "0", "--json", code=2)
    assert done.error["code"] == "metrics_address"
    assert "metrics.otlp_endpoint" in done.error["fix"]
