"""Spans: which traces are recorded, and how what was recorded reaches a collector (OTLP over HTTP).

Whoever records a span keeps plain values; they become OpenTelemetry's only in the thread that sends them. So a process
without a collector loads nothing of OpenTelemetry, and a trace that is not sampled costs half a microsecond.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from skep import __version__
from skep.observe.logs import event
from skep.observe.metrics import NO_METRICS, Metric, Metrics
from skep.observe.tracing import new_trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SPANS = Metric(
    name="skep_spans_total",
    kind="counter",
    unit="spans",
    help="Spans of sampled traces, by what became of them: exported, or dropped because the collector was away or too slow",
    labels=("outcome",),
)

SPAN_METRICS = (SPANS,)

_MOST_WAITING = 8_192
_BATCH = 512
_PAUSE_SECONDS = 1.0
_SEND_SECONDS = 5.0
_LAST_SECONDS = 3.0
_ALL = 1 << 64

_random = random.Random()  # noqa: S311 -- a name, not a secret

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that was done, from ``start_ns`` to ``end_ns`` after 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first of its trace."""
    parent_is_remote: bool = False
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int | float | bool | tuple[str, ...]]
    is_error: bool = False
    is_internal: bool = False
    """Whether nobody else was asked."""


class SpanSink(Protocol):
    """Where spans go."""

    def take(self, spans: Sequence[Span]) -> None:
        """Take finished spans, at once, and never fail."""
        ...

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace that is recorded, as its caller began it."""

    trace_id: str
    parent_id: str
    """The caller's span; empty when it has none."""


class Tracer:
    """Decides which traces are recorded, by their ids alone: so every process that sees one decides the same."""

    __slots__ = ("_bound", "sink")

    def __init__(self, samples_per_thousand: int, sink: SpanSink) -> None:
        self._bound = _ALL * samples_per_thousand // 1000
        self.sink = sink

    def recorded(self, trace_id: str, headers: Iterable[tuple[bytes, bytes]]) -> Recorded | None:
        """Whether to record the request with these headers. Its caller's decision counts, if it sent one; None: no.

        ``trace_id`` is the caller's, if its traceparent is valid (https://www.w3.org/TR/trace-context/).
        """
        for name, value in headers:
            if name == b"traceparent" and value[3:35].decode("latin-1") == trace_id:
                return Recorded(trace_id, value[36:52].decode("latin-1")) if int(value[53:55], 16) & 1 else None
        if not trace_id:
            trace_id = new_trace_id()
        return Recorded(trace_id, "") if int(trace_id[16:], 16) < self._bound else None


def new_span_id() -> str:
    """A random span id: 16 hexadecimal digits, never only zeros."""
    return f"{_random.getrandbits(64) or 1:016x}"


def traceparent(trace_id: str, span_id: str) -> bytes:
    """The header that has whoever is called go on with a recorded trace."""
    return f"00-{trace_id}-{span_id}-01".encode()


class OtlpSpans:
    """Sends spans to a collector, in batches and by a thread. What cannot be sent in a few seconds is dropped and counted."""

    def __init__(self, endpoint: str, metrics: Metrics = NO_METRICS) -> None:
        self._endpoint = f"{endpoint.rstrip('/')}/v1/traces"
        self._metrics = metrics
        self._waiting: deque[Span] = deque()
        self._ending = threading.Event()
        self._is_away = False
        self._sender = threading.Thread(target=self._send_for_ever, name="skep-spans", daemon=True)
        self._sender.start()

    def take(self, spans: Sequence[Span]) -> None:
        """See `SpanSink.take`."""
        if len(self._waiting) + len(spans) > _MOST_WAITING or self._ending.is_set():
            self._metrics.add(SPANS, ("dropped",), len(spans))
        else:
            self._waiting.extend(spans)

    def close(self) -> None:
        """See `SpanSink.close`."""
        self._ending.set()
        self._sender.join(_LAST_SECONDS)

    def _send_for_ever(self) -> None:
        # Here, so that the event loop goes on meanwhile: it takes a third of a second.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        exporter = OTLPSpanExporter(self._endpoint, timeout=_SEND_SECONDS)
        translate = _Translation()
        ending = False
        while not ending:
            ending = self._ending.wait(_PAUSE_SECONDS)
            until = time.monotonic() + _LAST_SECONDS
            while self._waiting and not (ending and time.monotonic() > until):
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                is_taken = False
                try:
                    is_taken = exporter.export([translate.span(each) for each in batch]) is SpanExportResult.SUCCESS
                except Exception as error:  # noqa: BLE001 -- whatever it is, the batch is lost, and the next may not be
                    event(_log, logging.WARNING, "spans could not be sent", reason=str(error))
                self._note(len(batch), is_taken=is_taken)
        exporter.shutdown()  # type: ignore[no-untyped-call]

    def _note(self, count: int, *, is_taken: bool) -> None:
        self._metrics.add(SPANS, ("exported" if is_taken else "dropped",), count)
        if is_taken == self._is_away:
            self._is_away = not is_taken
            name = "spans are taken again" if is_taken else "spans dropped, the collector does not take them"
            event(_log, logging.INFO if is_taken else logging.WARNING, name, endpoint=self._endpoint)


class _Translation:
    """Makes OpenTelemetry's spans of ours."""

    def __init__(self) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._resource = Resource.create({"service.name": "skep", "service.version": __version__})
        self._scope = InstrumentationScope("skep", __version__)

    def span(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
        from opentelemetry.trace.status import Status, StatusCode

        trace_id, flags = int(span.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
        parent = None
        if span.parent_id:
            parent = SpanContext(trace_id, int(span.parent_id, 16), span.parent_is_remote, flags)
        return ReadableSpan(
            span.name,
            SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=flags),
            parent,
            self._resource,
            span.attributes,
            kind=SpanKind.INTERNAL if span.is_internal else SpanKind.CLIENT,
            status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )
