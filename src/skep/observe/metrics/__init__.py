"""What Skep counts and measures of its own work, and where that goes.

A capability lists its metrics in its ``metrics.py``; whoever does the work says what happened to a `Metrics`; which back
end takes it is one row of a list.
"""

from __future__ import annotations

from skep.observe.metrics.backends import BACKENDS, Backend, choose_backend, open_metrics
from skep.observe.metrics.interfaces import Labels, Metrics, Page, ScrapedMetrics
from skep.observe.metrics.memory import OBSERVE_METRICS, MetricsMemory
from skep.observe.metrics.models import Metric, Reading, catalogue
from skep.observe.metrics.noop import NO_METRICS
from skep.observe.metrics.prometheus import PrometheusMetrics
from skep.observe.metrics.pushing import PUSH_METRICS, PUSHES, NotTakenError, Push, Told, snapshot

__all__ = [
    "BACKENDS",
    "NO_METRICS",
    "OBSERVE_METRICS",
    "PUSHES",
    "PUSH_METRICS",
    "Backend",
    "Labels",
    "Metric",
    "Metrics",
    "MetricsMemory",
    "NotTakenError",
    "Page",
    "PrometheusMetrics",
    "Push",
    "Reading",
    "ScrapedMetrics",
    "Told",
    "catalogue",
    "choose_backend",
    "open_metrics",
    "snapshot",
]
