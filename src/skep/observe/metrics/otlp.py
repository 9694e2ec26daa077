"""The back end that pushes to a collector: OTLP over HTTP.

The counting is ours, the messages and the sending are OpenTelemetry's. Its own counting is not used: it knows one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from skep import __version__
from skep.observe.metrics.interfaces import Labels
from skep.observe.metrics.models import Metric
from skep.observe.metrics.pushing import NotTakenError, Series, Snapshot, Told

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import export as otel

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
_PATH = "/v1/metrics"
_SEND_SECONDS = 5.0

_UNITS = {"seconds": "s", "bytes": "By"}
"""As UCUM has them; others are annotations, of which no translator makes a part of the name."""


def metrics_url(endpoint: str) -> str:
    """The address that metrics are posted to."""
    base = endpoint.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


def unit_code(unit: str) -> str:
    """A unit as OpenTelemetry's conventions write it."""
    return _UNITS.get(unit, "{" + unit.replace(" ", "_") + "}")


class OtlpMetrics:
    """See `Push`. ``instance`` names this server among others; ``told`` for differences, None for what everything came to."""

    def __init__(self, endpoint: str, *, instance: str, told: Told | None) -> None:
        # Here, where it is used: loading it takes a third of a second.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._exporter = OTLPMetricExporter(metrics_url(endpoint), timeout=_SEND_SECONDS)
        about = {"service.name": "skep", "service.version": __version__, "service.instance.id": instance}
        self._resource = Resource.create(about)
        self._scope = InstrumentationScope("skep", __version__)
        self._told = told

    def send(self, taken: Snapshot) -> None:
        """See `Push.send`."""
        if self._told is None:
            self._export(taken, taken.series, since_ns=taken.since_ns)
            return
        shown, news = differences(self._told, taken)
        with self._told.telling(news):
            self._export(taken, shown, since_ns=self._told.at_ns or taken.since_ns)
            self._told.told_at(taken.now_ns)

    def close(self) -> None:
        """See `Push.close`."""
        self._exporter.shutdown()

    def _export(self, taken: Snapshot, shown: Mapping[Metric, Series], *, since_ns: int) -> None:
        from opentelemetry.sdk.metrics import export as otel

        metrics = [
            self._translated(metric, series, since_ns, taken.now_ns) for metric, series in shown.items() if series
        ]
        scoped = otel.ScopeMetrics(self._scope, metrics, "")
        data = otel.MetricsData([otel.ResourceMetrics(self._resource, [scoped], "")])
        if self._exporter.export(data) is not otel.MetricExportResult.SUCCESS:
            raise NotTakenError("the collector does not take them")

    def _translated(self, metric: Metric, series: Series, since_ns: int, now_ns: int) -> otel.Metric:
        from opentelemetry.sdk.metrics import export as otel

        temporality = otel.AggregationTemporality
        chosen = temporality.CUMULATIVE if self._told is None else temporality.DELTA
        data: otel.DataT
        if metric.kind == "histogram":
            points = [
                _distribution(metric, labels, values, since_ns, now_ns) for labels, values in sorted(series.items())
            ]
            data = otel.Histogram(points, chosen)
        else:
            numbers = [
                otel.NumberDataPoint(_attributes(metric, labels), since_ns, now_ns, value)
                for labels, (value,) in sorted(series.items())
            ]
            is_sum = metric.kind == "counter"
            data = otel.Sum(numbers, chosen, is_monotonic=True) if is_sum else otel.Gauge(numbers)
        return otel.Metric(metric.name, f"{metric.help}.", unit_code(metric.unit), data)


def differences(
    told: Told, taken: Snapshot
) -> tuple[dict[Metric, Series], list[tuple[Metric, Labels, Sequence[float]]]]:
    """What to show, with what grows as what was added to it; and how far that is told then."""
    shown: dict[Metric, Series] = {}
    news: list[tuple[Metric, Labels, Sequence[float]]] = []
    for metric, series in taken.series.items():
        if metric.kind == "gauge" or metric.is_read:
            shown[metric] = series
            continue
        grown = list(told.news(metric, series))
        shown[metric] = {labels: difference for labels, _, difference in grown}
        news += [(metric, labels, values) for labels, values, _ in grown]
    return shown, news


def _attributes(metric: Metric, labels: Labels) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


def _distribution(
    metric: Metric, labels: Labels, values: Sequence[float], since_ns: int, now_ns: int
) -> otel.HistogramDataPoint:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    *counts, total = values
    whole = [int(count) for count in counts]
    unknown = cast("float", None)  # the encoder leaves it out; the extremes are not kept
    return HistogramDataPoint(
        _attributes(metric, labels), since_ns, now_ns, sum(whole), total, whole, metric.buckets, unknown, unknown
    )
