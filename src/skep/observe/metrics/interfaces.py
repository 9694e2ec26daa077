"""What a back end of metrics does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from skep.observe.metrics.models import Metric, Reading

Labels = tuple[str, ...]
"""The values of a metric's labels, in the order in which it names them."""


class Metrics(Protocol):
    """Takes what happens. Costs whoever tells it about a microsecond, and never fails them.

    Raises ValueError, at the first use, for a metric that is in no list or with other labels than it has.
    """

    def add(self, metric: Metric, labels: Labels = (), amount: float = 1.0) -> None:
        """Add to a counter; or to a gauge, of which all processes' shares make the value."""
        ...

    def observe(self, metric: Metric, labels: Labels, value: float) -> None:
        """Add one value to a histogram."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Everything measured, as a scraper reads it."""

    body: bytes
    media_type: str


@runtime_checkable
class ScrapedMetrics(Metrics, Protocol):
    """A back end that waits to be asked."""

    def page(self, readings: Sequence[Reading], accept: str) -> Page:
        """What all processes counted, together with what was read now, in a form that the header ``Accept`` takes."""
        ...
