"""The back end that Prometheus, and whatever reads its format, scrapes.

The counting is ours (`SharedSeries`), the format is prometheus-client's; see docs/decisions/0018-metrics.md for why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from skep.observe.metrics.interfaces import Labels, Page
from skep.observe.metrics.memory import SharedSeries
from skep.observe.metrics.models import Metric, Reading

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

_OPENMETRICS = "application/openmetrics-text"

_Series = Mapping[Labels, Sequence[float]]


class PrometheusMetrics(SharedSeries):
    """Counts in shared memory; any process answers a scrape for all of them."""

    def page(self, readings: Sequence[Reading], accept: str) -> Page:
        """See `ScrapedMetrics.page`."""
        from prometheus_client.exposition import choose_encoder  # lazy: it takes 30 ms, and commands are not scraped

        totals = self.totals()
        read: dict[Metric, dict[Labels, list[float]]] = {}
        for reading in readings:
            read.setdefault(reading.metric, {})[reading.labels] = [reading.value]
        # One version of each format: what else a client writes there, prometheus-client would trust.
        encode, media_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
        families = [_family(metric, read.get(metric) or series) for metric, series in totals.items()]
        return Page(encode(_Collected(families)), media_type)


class _Collected:
    """As much of prometheus-client's registry as its encoders ask for."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _family(metric: Metric, series: _Series) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    sentence = f"{metric.help}."
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, sentence, labels=metric.labels)
        bounds = [*map(str, metric.buckets), "+Inf"]
        for labels, (*counts, total) in sorted(series.items()):
            histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, sentence, labels=metric.labels)
    for labels, (value,) in sorted(series.items()):
        family.add_metric(labels, value)
    return family
