"""What Skep counts and measures of its own work, and where that goes.

A capability lists its metrics in its ``metrics.py``; whoever does the work says what happened to a `Metrics`; which back
end takes it is one row of a list.
"""

from __future__ import annotations

from skep.observe.metrics.backends import BACKENDS, Backend, open_metrics
from skep.observe.metrics.interfaces import Labels, Metrics, Page, ScrapedMetrics
from skep.observe.metrics.memory import OBSERVE_METRICS, MetricsMemory
from skep.observe.metrics.models import Metric, Reading, catalogue
from skep.observe.metrics.noop import NO_METRICS

__all__ = [
    "BACKENDS",
    "NO_METRICS",
    "OBSERVE_METRICS",
    "Backend",
    "Labels",
    "Metric",
    "Metrics",
    "MetricsMemory",
    "Page",
    "Reading",
    "ScrapedMetrics",
    "catalogue",
    "open_metrics",
]
