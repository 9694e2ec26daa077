"""The back ends, by the name that the setting ``metrics.backend`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skep.observe.metrics.interfaces import Metrics
from skep.observe.metrics.memory import MetricsMemory
from skep.observe.metrics.models import Metric
from skep.observe.metrics.noop import NO_METRICS
from skep.observe.metrics.prometheus import PrometheusMetrics

Open = Callable[[Sequence[Metric], MetricsMemory], Metrics]
"""Opens a back end for a list of metrics, in this process's part of what the processes of a server share."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One place where metrics go."""

    name: str
    open: Open
    sentence: str
    """What it does, for the reference."""


def _open_nothing(_metrics: Sequence[Metric], _memory: MetricsMemory) -> Metrics:
    return NO_METRICS


BACKENDS = (
    Backend("prometheus", PrometheusMetrics, "waits to be scraped at `/metrics`"),
    Backend("noop", _open_nothing, "measures nothing"),
)
"""The one list; the setting's choices are these names and ``auto``."""

_AUTO = "prometheus"


def open_metrics(name: str, metrics: Sequence[Metric], memory: MetricsMemory | None = None) -> Metrics:
    """The back end of a name, or of ``auto``. ``memory``: None for a process that counts for itself alone.

    Raises KeyError for a name that is not in the list.
    """
    by_name = {backend.name: backend for backend in BACKENDS}
    backend = by_name[_AUTO if name == "auto" else name]
    return backend.open(metrics, memory or MetricsMemory.alone())
