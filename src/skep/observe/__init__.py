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
from skep.observe.tracing import current_trace_id, new_trace_id, trace_id_of, tracing

__all__ = [
    "BACKENDS",
    "NO_METRICS",
    "OBSERVE_METRICS",
    "Labels",
    "LogFiles",
    "LogFolderError",
    "LogFormat",
    "Metric",
    "Metrics",
    "MetricsMemory",
    "Page",
    "Reading",
    "RotatingFile",
    "ScrapedMetrics",
    "catalogue",
    "configure_logging",
    "current_trace_id",
    "event",
    "masked",
    "new_trace_id",
    "open_metrics",
    "render",
    "set_log_level",
    "trace_id_of",
    "tracing",
]
