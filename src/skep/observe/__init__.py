"""What Skep says about its own work: log lines without secrets, trace ids, and metrics."""

from __future__ import annotations

from skep.observe.interfaces import LogFolderError
from skep.observe.logfiles import LogFiles, RotatingFile
from skep.observe.logs import LogFormat, configure_logging, event, masked, render, set_log_level
from skep.observe.metrics import (
    BACKENDS,
    NO_METRICS,
    OBSERVE_METRICS,
    Labels,
    Metric,
    Metrics,
    MetricsMemory,
    Page,
    Reading,
    ScrapedMetrics,
    catalogue,
    open_metrics,
)
from skep.observe.spans import (
    SPAN_METRICS,
    OtlpSpans,
    Recorded,
    Span,
    SpanSink,
    Tracer,
    new_span_id,
    traceparent,
)
from skep.observe.tracing import current_trace_id, new_trace_id, trace_id_of, tracing

__all__ = [
    "BACKENDS",
    "NO_METRICS",
    "OBSERVE_METRICS",
    "SPAN_METRICS",
    "Labels",
    "LogFiles",
    "LogFolderError",
    "LogFormat",
    "Metric",
    "Metrics",
    "MetricsMemory",
    "OtlpSpans",
    "Page",
    "Reading",
    "Recorded",
    "RotatingFile",
    "ScrapedMetrics",
    "Span",
    "SpanSink",
    "Tracer",
    "catalogue",
    "configure_logging",
    "current_trace_id",
    "event",
    "masked",
    "new_span_id",
    "new_trace_id",
    "open_metrics",
    "render",
    "set_log_level",
    "trace_id_of",
    "traceparent",
    "tracing",
]
