"""Metrics that are pushed: what is told, that no difference is told twice, and that failures lose nothing."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.observe import (
    Metric,
    MetricsAddressError,
    MetricsMemory,
    NotTakenError,
    PrometheusMetrics,
    Push,
    Reading,
    Told,
    choose_backend,
    snapshot,
)
from skep.observe.metrics.dogstatsd import AgentAddress, DogStatsd, representatives
from skep.observe.metrics.memory import PART_BYTES
from skep.observe.metrics.otlp import OtlpMetrics, metrics_url, unit_code
from skep.observe.metrics.pushing import Series
from skep.settings import MetricsSettings
from tests.collector import agent, collecting, parsed

CALLS = Metric(name="calls_total", kind="counter", unit="calls", help="Calls", labels=("to",))
MONEY = Metric(name="money_total", kind="counter", unit="US dollars", help="Money")
OPEN = Metric(name="open", kind="gauge", unit="calls", help="Open calls")
SECONDS = Metric(
    name="call_seconds", kind="histogram", unit="seconds", help="Seconds", labels=("to",), buckets=(0.1, 1.0)
)
LAG = Metric(name="lag_seconds", kind="gauge", unit="seconds", help="Lag", labels=("of",), is_read=True)
METRICS = (CALLS, MONEY, OPEN, SECONDS, LAG)
SINCE, SECOND = 1_800_000_000_000_000_000, 1_000_000_000


class Counted:
    """The numbers of a server, and of what was told: both outlive who pushes."""

    def __init__(self) -> None:
        self._told = MetricsMemory.make(2)
        self.metrics = PrometheusMetrics(METRICS, MetricsMemory.alone())
        self.seconds = 0

    def told(self) -> Told:
        return Told(METRICS, MetricsMemory.undivided(self._told))

    def push(self, push: Push, *readings: Reading) -> None:
        self.seconds += 10
        now_ns = SINCE + self.seconds * SECOND
        push.send(snapshot(self.metrics.totals(), readings, since_ns=SINCE, now_ns=now_ns))

    def happen(self, calls: int, *seconds: float) -> None:
        self.metrics.add(CALLS, ("here",), calls)
        self.metrics.add(MONEY, (), calls * 0.00003)
        for each in seconds:
            self.metrics.observe(SECONDS, ("here",), each)

    def close(self) -> None:
        os.close(self._told)


@pytest.fixture
def counted() -> Iterator[Counted]:
    found = Counted()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({}, "prometheus"),
        ({"otlp_endpoint": "http://h"}, "opentelemetry"),
        ({"dogstatsd_address": "h"}, "datadog"),
        ({"otlp_endpoint": "http://h", "dogstatsd_address": "h"}, "opentelemetry"),
        ({"backend": "prometheus", "otlp_endpoint": "http://h"}, "prometheus"),
        ({"backend": "datadog", "otlp_endpoint": "http://h"}, "datadog"),
        ({"backend": "opentelemetry"}, "opentelemetry"),
        ({"backend": "noop", "otlp_endpoint": "http://h"}, "noop"),
    ],
)
def test_auto_goes_by_who_is_known_to_take_pushes(said: dict[str, str], name: str) -> None:
    assert choose_backend(MetricsSettings(**said)).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.0.0.7", AgentAddress(host="10.0.0.7", port=8125)),
        ("agent.example.com:99", AgentAddress(host="agent.example.com", port=99)),
        ("udp://[::1]:99", AgentAddress(host="::1", port=99)),
        ("udp://agent", AgentAddress(host="agent", port=8125)),
        ("unix:///run/dsd.socket", AgentAddress(path="/run/dsd.socket")),
        ("/run/dsd.socket", AgentAddress(path="/run/dsd.socket")),
    ],
)
def test_an_agent_is_named_in_each_of_the_usual_ways(address: str, found: AgentAddress) -> None:
    assert AgentAddress.parse(address, 8125) == found


@pytest.mark.parametrize("address", ["tcp://h:1", "udp://h:port", "unix://", "udp://", "unixstream:///run/x"])
def test_an_address_that_names_no_agent_is_refused_in_words(address: str) -> None:
    check = choose_backend(MetricsSettings(dogstatsd_address=address)).check
    assert check is not None
    with pytest.raises(MetricsAddressError, match=address):
        check(MetricsSettings(dogstatsd_address=address))


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://h:4317", "http://"])
def test_an_address_that_names_no_collector_is_refused_in_words(endpoint: str) -> None:
    said = MetricsSettings(otlp_endpoint=endpoint)
    check = choose_backend(said).check
    assert check is not None
    with pytest.raises(MetricsAddressError, match=endpoint):
        check(said)


def test_addresses_and_units_are_those_of_opentelemetry() -> None:
    assert metrics_url("http://h:4318/") == metrics_url("http://h:4318/v1/metrics") == "http://h:4318/v1/metrics"
    assert metrics_url("https://h/otlp") == "https://h/otlp/v1/metrics"
    assert [unit_code(unit) for unit in ("seconds", "calls", "US dollars")] == ["s", "{calls}", "{US_dollars}"]


def test_a_collector_gets_what_everything_came_to(counted: Counted) -> None:
    with collecting() as collector:
        push = OtlpMetrics(collector.url, instance="node", told=None)
        counted.happen(3, 0.05, 0.5, 7.0)
        counted.push(push, Reading(LAG, 4.5, ("that",)))
        counted.happen(1)
        counted.push(push)
        push.close()
    first, second = collector.pushes
    assert {name: (each.kind, each.temporality, each.unit) for name, each in first.items()} == {
        "calls_total": ("sum", 2, "{calls}"),
        "money_total": ("sum", 2, "{US_dollars}"),
        "open": ("gauge", 0, "{calls}"),
        "call_seconds": ("histogram", 2, "s"),
        "lag_seconds": ("gauge", 0, "s"),
        "skep_metrics_dropped_total": ("sum", 2, "{observations}"),
    }
    point = first["call_seconds"].points["here",]
    assert (first["call_seconds"].bounds, point.counts) == ((0.1, 1.0), (1, 1, 1))
    assert point.sum == pytest.approx(7.55)
    assert (point.start_ns, point.time_ns) == (SINCE, SINCE + 10 * SECOND)
    assert first["lag_seconds"].points["that",].value == 4.5
    assert [each["calls_total"].points["here",].value for each in (first, second)] == [3, 4]
    assert second["calls_total"].points["here",].start_ns == SINCE
    about = first["calls_total"].resource
    assert (about["service.name"], about["service.instance.id"]) == ("skep", "node")


def test_differences_add_up_also_over_failures_and_a_new_process(counted: Counted) -> None:
    with collecting() as collector:
        push = OtlpMetrics(collector.url, instance="node", told=counted.told())
        counted.happen(3, 0.5)
        counted.push(push)
        counted.happen(4, 0.5, 9.0)
        collector.status = 400
        with pytest.raises(NotTakenError):
            counted.push(push)
        collector.status = 200
        counted.push(push)
        # Killed, and another one in its place.
        counted.happen(5)
        counted.push(OtlpMetrics(collector.url, instance="node", told=counted.told()))
        counted.push(push)
    points = [each["calls_total"].points["here",] for each in collector.pushes[:3]]
    assert [each["calls_total"].temporality for each in collector.pushes[:3]] == [1, 1, 1]
    assert [point.value for point in points] == [3, 4, 5]
    moments = [SINCE, SINCE + 10 * SECOND, SINCE + 30 * SECOND, SINCE + 40 * SECOND]
    # Each goes on where the last one that was taken ended; kept in seconds, so to a microsecond.
    assert [point.start_ns / 1e9 for point in points] == pytest.approx([each / 1e9 for each in moments[:3]], abs=1e-6)
    assert [point.time_ns for point in points] == moments[1:]
    assert collector.pushes[1]["call_seconds"].points["here",].counts == (0, 1, 1)
    assert "calls_total" not in collector.pushes[3]
    assert "open" in collector.pushes[3]


@pytest.mark.parametrize("is_unix", [False, True])
def test_an_agent_gets_differences_and_distributions(counted: Counted, tmp_path: Path, is_unix: bool) -> None:
    with agent(tmp_path / "dsd" if is_unix else None) as found:
        push = DogStatsd(AgentAddress.parse(found.address, 0), tags=("env:test team:a|b",), told=counted.told())
        counted.happen(3, *[0.5] * 49)
        counted.metrics.add(CALLS, ("a,b|c\nd",))
        counted.push(push, Reading(LAG, 4.5, ("that",)))
        counted.happen(1)
        counted.push(push)
        # Killed, and another one in its place.
        successor = DogStatsd(AgentAddress.parse(found.address, 0), tags=(), told=counted.told())
        counted.push(successor)
        successor.close()
        while sum("open" in line for line in found.lines) < 3:
            pass
        push.close()
    assert "calls_total:3|c|#to:here,env:test,team:a_b" in found.lines
    assert "calls_total:1|c|#to:a_b_c_d,env:test,team:a_b" in found.lines
    assert found.total("calls_total", to="here") == 4
    assert found.total("money_total") == pytest.approx(0.00012)
    assert "lag_seconds:4.5|g|#of:that,env:test,team:a_b" in found.lines
    assert found.total("call_seconds") == 49
    (line,) = [line for line in found.lines if line.startswith("call_seconds")]
    value, kind, rate, _ = parsed(line, "call_seconds")
    assert value == pytest.approx(0.5)
    assert (kind, int(1 / rate), round(1 / rate)) == ("d", 49, 49)


def test_what_an_agent_that_is_away_was_not_told_it_is_told_later(counted: Counted, tmp_path: Path) -> None:
    path = tmp_path / "dsd"
    push = DogStatsd(AgentAddress(path=str(path)), tags=(), told=counted.told())
    counted.happen(3, 0.5)
    with pytest.raises(NotTakenError, match="No such file"):
        counted.push(push)
    with agent(path) as found:
        counted.happen(4)
        counted.push(push)
        while not any("open" in line for line in found.lines):
            pass
    assert found.total("calls_total", to="here") == 7
    # Its socket is still there, and nobody behind it.
    with pytest.raises(NotTakenError, match="refused"):
        counted.push(push)


def test_many_series_come_in_datagrams_of_a_frame(counted: Counted) -> None:
    for number in range(200):
        counted.metrics.add(CALLS, (f"place {number}",))
    sizes: list[int] = []
    with agent() as found:
        push = DogStatsd(AgentAddress.parse(found.address, 0), tags=(), told=counted.told())
        send = push._send

        def measured(data: bytes) -> None:
            sizes.append(len(data))
            send(data)

        push._send = measured  # type: ignore[method-assign]
        counted.push(push)
        while len(found.lines) < 201:
            pass
        push.close()
    assert found.total("calls_total") == 200
    assert max(sizes) <= 1432
    assert len(sizes) < 12


def test_what_cannot_be_remembered_is_not_told_again_and_again() -> None:
    told = Told(METRICS, MetricsMemory.alone())
    series: Series = {(f"label number {number}",): (1.0,) for number in range(PART_BYTES // 30)}
    first = [(CALLS, labels, values) for labels, values, _ in told.news(CALLS, series)]
    assert 1000 < len(first) < len(series)
    with told.telling(first):
        pass
    assert list(told.news(CALLS, series)) == []


@given(
    st.lists(st.floats(0, 50), min_size=1, max_size=60),
    st.lists(st.floats(0.01, 20), min_size=1, max_size=8, unique=True),
)
def test_what_stands_for_observations_lies_in_their_buckets_and_has_their_sum(
    observed: list[float], bounds: list[float]
) -> None:
    bounds.sort()
    counts = [0.0] * (len(bounds) + 1)
    for value in observed:
        counts[bisect_left(bounds, value)] += 1
    values = representatives(bounds, counts, sum(observed))
    pairs = [(value, count) for value, count in zip(values, counts, strict=True) if count]
    assert sum(value * count for value, count in pairs) == pytest.approx(sum(observed), rel=1e-9, abs=1e-9)
    edges = [0.0, *bounds, math.inf]
    for index, (value, count) in enumerate(zip(values, counts, strict=True)):
        assert not count or edges[index] - 1e-9 <= value <= edges[index + 1] + 1e-9
