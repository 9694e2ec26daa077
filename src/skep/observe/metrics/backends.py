"""The back ends, by the name that the setting ``metrics.backend`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from skep.observe.interfaces import MetricsAddressError
from skep.observe.metrics.dogstatsd import AgentAddress, DogStatsd
from skep.observe.metrics.interfaces import Metrics
from skep.observe.metrics.memory import MetricsMemory
from skep.observe.metrics.models import Metric
from skep.observe.metrics.noop import NO_METRICS
from skep.observe.metrics.otlp import DEFAULT_ENDPOINT, OtlpMetrics
from skep.observe.metrics.prometheus import PrometheusMetrics
from skep.observe.metrics.pushing import Push, Told
from skep.settings import MetricsSettings

Open = Callable[[Sequence[Metric], MetricsMemory], Metrics]
"""Opens a back end for a list of metrics, in this process's part of what the processes of a server share."""

OpenPush = Callable[[MetricsSettings, str, Told], Push]
"""What one process of a server tells everything to. ``str`` names the server among others. Raises MetricsAddressError."""

_AGENT = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Backend:
    """One place where metrics go."""

    name: str
    open: Open
    sentence: str
    """What it does, for the reference."""
    check: Callable[[MetricsSettings], object] | None = None
    """Raises MetricsAddressError where the settings name no place that it can push to; None: it waits to be asked."""
    push: OpenPush | None = None


def _open_nothing(_metrics: Sequence[Metric], _memory: MetricsMemory) -> Metrics:
    return NO_METRICS


def _collector(said: MetricsSettings) -> str:
    endpoint = said.otlp_endpoint or DEFAULT_ENDPOINT
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MetricsAddressError(address=endpoint, reason="it is no http or https address")
    return endpoint


def _agent(said: MetricsSettings) -> AgentAddress:
    return AgentAddress.parse(said.dogstatsd_address or _AGENT, said.dogstatsd_port)


def _push_otlp(said: MetricsSettings, instance: str, told: Told) -> Push:
    is_whole = said.otlp_temporality == "cumulative"
    return OtlpMetrics(_collector(said), instance=instance, told=None if is_whole else told)


def _push_dogstatsd(said: MetricsSettings, _instance: str, told: Told) -> Push:
    return DogStatsd(_agent(said), tags=said.dogstatsd_tags, told=told)


BACKENDS = (
    Backend("prometheus", PrometheusMetrics, "waits to be scraped at `/metrics`"),
    Backend(
        "opentelemetry",
        PrometheusMetrics,
        "pushes to a collector as OTLP over HTTP, and answers at `/metrics` too",
        _collector,
        _push_otlp,
    ),
    Backend(
        "datadog",
        PrometheusMetrics,
        "pushes to a Datadog agent as DogStatsD, and answers at `/metrics` too",
        _agent,
        _push_dogstatsd,
    ),
    Backend("noop", _open_nothing, "measures nothing"),
)
"""The one list; the setting's choices are these names and ``auto``."""

_BY_NAME = {backend.name: backend for backend in BACKENDS}
_LIKE_ALL = "prometheus"


def choose_backend(said: MetricsSettings) -> Backend:
    """The back end of the settings. ``auto`` goes by where somebody is known to take pushes."""
    name: str = said.backend
    if name == "auto":
        scraped_or_agent = "prometheus" if said.dogstatsd_address is None else "datadog"
        name = scraped_or_agent if said.otlp_endpoint is None else "opentelemetry"
    return _BY_NAME[name]


def open_metrics(name: str, metrics: Sequence[Metric], memory: MetricsMemory | None = None) -> Metrics:
    """What takes the numbers of this process, for a back end's name. ``auto`` only chooses among those that count alike.

    ``memory``: None for a process that counts for itself alone. Raises KeyError for a name that is not in the list.
    """
    return _BY_NAME[_LIKE_ALL if name == "auto" else name].open(metrics, memory or MetricsMemory.alone())
