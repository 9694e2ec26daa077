"""What the knowledge room counts and measures: the one list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Literal

from skep.errors import SkepError
from skep.knowledge.models import SearchResponse
from skep.observe import Metric, Metrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

SEARCH_SECONDS = Metric(
    name="skep_search_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="How long searches took, by kind (search, similar) and outcome (found, empty, refused, failed, left)",
    labels=("kind", "outcome"),
    buckets=_SECONDS,
)
VECTOR_SEARCH_SECONDS = Metric(
    name="vector_search_duration_seconds",
    kind="histogram",
    unit="seconds",
    help="How long the database took for the nearest vectors, by how they were found (index, exact, both)",
    labels=("scan",),
    buckets=(0.0005, *_SECONDS),
)
VECTOR_SEARCH_RECALL = Metric(
    name="vector_search_recall",
    kind="histogram",
    unit="ratio",
    help="Share of the 10 nearest vectors that the index found, of sampled searches, compared with all vectors",
    buckets=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
RECALL_CHECKS = Metric(
    name="skep_recall_checks_total",
    kind="counter",
    unit="checks",
    help="Sampled searches, by what became of the check (checked, busy, empty, failed)",
    labels=("outcome",),
)
WITHOUT_MEANING = Metric(
    name="skep_searches_without_meaning_total",
    kind="counter",
    unit="searches",
    help="Searches that words alone answered because the model or the vectors did not answer",
)
FRESHNESS_LAG = Metric(
    name="skep_freshness_lag_seconds",
    kind="gauge",
    unit="seconds",
    help="Age of the oldest stored change that a follower (lexical, embedding) has not applied, in the key's project or,"
    " without a key, in all",
    labels=("follower",),
    is_read=True,
)
COLLECTION_LAG_SECONDS = Metric(
    name="skep_collection_lag_seconds",
    kind="gauge",
    unit="seconds",
    help="Age of the oldest stored change that a follower (lexical, embedding) has not applied, by collection of the key's"
    " project",
    labels=("collection", "follower"),
    is_read=True,
)
COLLECTION_LAG_CHANGES = Metric(
    name="skep_collection_lag_changes",
    kind="gauge",
    unit="changes",
    help="How many stored changes a follower (lexical, embedding) has not applied, by collection of the key's project",
    labels=("collection", "follower"),
    is_read=True,
)
WATCH_LAG = Metric(
    name="skep_watch_lag_seconds",
    kind="gauge",
    unit="seconds",
    help="How long the last change of a watched folder took from its first sign until it was searchable, the slowest folder",
    is_read=True,
)

KNOWLEDGE_METRICS = (
    SEARCH_SECONDS,
    VECTOR_SEARCH_SECONDS,
    VECTOR_SEARCH_RECALL,
    RECALL_CHECKS,
    WITHOUT_MEANING,
    FRESHNESS_LAG,
    COLLECTION_LAG_SECONDS,
    COLLECTION_LAG_CHANGES,
    WATCH_LAG,
)


@dataclass(slots=True)
class Measured:
    """A search under way; what it ended with is noted here."""

    outcome: str = "left"
    """Whoever asked went away, unless something else is said."""

    def answered(self, response: SearchResponse) -> SearchResponse:
        """The response, noted."""
        self.outcome = "found" if response.results else "empty"
        return response


@contextmanager
def measured_search(metrics: Metrics, kind: Literal["search", "similar"]) -> Iterator[Measured]:
    """Measure the search in the block, however it ends."""
    started = perf_counter()
    measured = Measured()
    try:
        yield measured
    except SkepError as error:
        measured.outcome = "refused" if error.http_status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
        raise
    except Exception:
        measured.outcome = "failed"
        raise
    finally:
        metrics.observe(SEARCH_SECONDS, (kind, measured.outcome), perf_counter() - started)
