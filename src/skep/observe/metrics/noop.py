"""The back end that takes nothing."""

from __future__ import annotations

from typing import Final

from skep.observe.metrics.interfaces import Labels, Metrics
from skep.observe.metrics.models import Metric


class _NoMetrics:
    def add(self, metric: Metric, labels: Labels = (), amount: float = 1.0) -> None:
        pass

    def observe(self, metric: Metric, labels: Labels, value: float) -> None:
        pass


NO_METRICS: Final[Metrics] = _NoMetrics()
"""For whoever is measured by nobody: commands, and servers that were told so."""
