"""What the server counts of every request, and the lists of every capability together."""

from __future__ import annotations

from typing import Final

from skep.gateway import GATEWAY_METRICS
from skep.jobs import JOB_METRICS
from skep.knowledge import KNOWLEDGE_METRICS
from skep.observe import OBSERVE_METRICS, PUSH_METRICS, SPAN_METRICS, Labels, Metric, Metrics, catalogue
from skep.spend import SPEND_METRICS

HTTP_REQUESTS = Metric(
    name="skep_http_requests_total",
    kind="counter",
    unit="requests",
    help="Requests that ended, by route and status; 499 where the client went away before the answer",
    labels=("method", "route", "status"),
)
HTTP_SECONDS = Metric(
    name="skep_http_request_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="How long requests took until the last byte of their answer; streams as long as they last",
    labels=("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)
HTTP_IN_FLIGHT = Metric(
    name="skep_http_requests_in_flight",
    kind="gauge",
    unit="requests",
    help="Requests that are being answered, streams among them",
)
DATABASE_UP = Metric(
    name="skep_database_up",
    kind="gauge",
    unit="state",
    help="1 when what is read from the database for this page could be read, else 0, and those metrics are missing",
    is_read=True,
)

HTTP_METRICS = (HTTP_REQUESTS, HTTP_SECONDS, HTTP_IN_FLIGHT, DATABASE_UP)

ALL_METRICS: Final = catalogue(
    HTTP_METRICS,
    GATEWAY_METRICS,
    SPEND_METRICS,
    KNOWLEDGE_METRICS,
    JOB_METRICS,
    SPAN_METRICS,
    PUSH_METRICS,
    OBSERVE_METRICS,
)
"""Everything that is measured: the one list."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


def note_request(metrics: Metrics, method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that ended. ``route``: as it is declared, empty when there is none."""
    # What a client may choose freely is not told apart: one could fill the memory with it.
    where: Labels = (method if method in _METHODS else "other", route or "none")
    metrics.add(HTTP_REQUESTS, (*where, str(status)))
    metrics.observe(HTTP_SECONDS, where, seconds)
    metrics.add(HTTP_IN_FLIGHT, (), -1.0)
