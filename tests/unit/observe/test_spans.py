"""Which traces are recorded, and how spans reach a collector or are counted as lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from skep.observe import OBSERVE_METRICS, SPAN_METRICS, OtlpSpans, Span, Tracer, new_span_id, new_trace_id, traceparent
from skep.observe.metrics.memory import MetricsMemory, SharedSeries
from skep.observe.spans import SPANS
from tests.collector import collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


class Nowhere:
    def take(self, spans: Sequence[Span]) -> None:
        raise AssertionError(spans)

    def close(self) -> None:
        pass


def _span(number: int = 0) -> Span:
    return Span(
        name=f"chat {number}",
        trace_id=TRACE,
        span_id=new_span_id(),
        parent_id=CALLER,
        parent_is_remote=True,
        start_ns=1_800_000_000_000_000_000,
        end_ns=1_800_000_000_250_000_000,
        attributes={"gen_ai.request.model": "smart", "gen_ai.usage.input_tokens": 7, "ratio": 0.5, "stream": True},
        is_error=True,
    )


@pytest.mark.parametrize("samples_per_thousand", [0, 1000])
@pytest.mark.parametrize(("flags", "is_recorded"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_a_callers_flag_decides(samples_per_thousand: int, flags: str, is_recorded: bool) -> None:
    headers = [(b"host", b"x"), (b"traceparent", f"00-{TRACE}-{CALLER}-{flags}".encode())]
    found = Tracer(samples_per_thousand, Nowhere()).recorded(TRACE, headers)
    assert (found is not None) is is_recorded
    if found is not None:
        assert (found.trace_id, found.parent_id) == (TRACE, CALLER)


@pytest.mark.parametrize(
    "header", [b"", b"garbage", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", b"\xff" * 60, TRACE.encode()]
)
def test_a_header_that_is_none_of_this_trace_decides_nothing(header: bytes) -> None:
    headers = [(b"traceparent", header)]
    assert Tracer(0, Nowhere()).recorded(TRACE, headers) is None
    found = Tracer(1000, Nowhere()).recorded(TRACE, headers)
    assert found is not None
    assert (found.trace_id, found.parent_id) == (TRACE, "")


def test_of_traces_that_begin_here_a_share_is_recorded_always_the_same() -> None:
    ids = [new_trace_id() for _ in range(20_000)]
    tracer = Tracer(100, Nowhere())
    recorded = [each for each in ids if tracer.recorded(each, ())]
    # Six standard deviations of 20,000 draws at 0.1.
    assert 1745 < len(recorded) < 2255
    assert recorded == [each for each in ids if Tracer(100, Nowhere()).recorded(each, ())]
    assert all(Tracer(200, Nowhere()).recorded(each, ()) for each in recorded)


def test_the_header_for_who_is_called_says_that_it_is_recorded() -> None:
    assert traceparent(TRACE, CALLER) == f"00-{TRACE}-{CALLER}-01".encode()


def test_a_collector_gets_every_span_also_those_that_wait_at_the_end() -> None:
    metrics = SharedSeries((*SPAN_METRICS, *OBSERVE_METRICS), MetricsMemory.alone())
    with collecting() as collector:
        spans = OtlpSpans(collector.url, metrics)
        for number in range(700):
            spans.take([_span(number)])
        spans.close()
        assert [got.name for got in collector.spans] == [f"chat {number}" for number in range(700)]
        got = collector.spans[0]
    assert (got.trace_id, got.parent_id, got.kind, got.is_error, got.seconds) == (TRACE, CALLER, 3, True, 0.25)
    assert got.attributes == _span().attributes
    assert got.resource["service.name"] == "skep"
    assert metrics.totals()[SPANS] == {("exported",): [700.0]}
    spans.take([_span()])
    assert metrics.totals()[SPANS] == {("exported",): [700.0], ("dropped",): [1.0]}


def test_what_a_collector_refuses_is_dropped_and_counted() -> None:
    metrics = SharedSeries((*SPAN_METRICS, *OBSERVE_METRICS), MetricsMemory.alone())
    with collecting() as collector:
        collector.status = 400
        spans = OtlpSpans(collector.url, metrics)
        spans.take([_span()] * 3)
        spans.close()
        assert collector.requests == 1
    assert metrics.totals()[SPANS] == {("dropped",): [3.0]}


def test_more_than_may_wait_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skep.observe.spans._PAUSE_SECONDS", 60.0)
    metrics = SharedSeries((*SPAN_METRICS, *OBSERVE_METRICS), MetricsMemory.alone())
    with collecting() as collector:
        spans = OtlpSpans(collector.url, metrics)
        spans.take([_span()] * 8_000)
        spans.take([_span()] * 200)
        assert metrics.totals()[SPANS] == {("dropped",): [200.0]}
        spans.close()


@pytest.mark.parametrize("module", ["skep.cli.main", "skep.server.http_process", "skep.gateway"])
def test_without_a_collector_nothing_of_opentelemetry_is_loaded(module: str) -> None:
    program = f"import sys, {module}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
