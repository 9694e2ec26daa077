"""Metrics: what a list may say, what back ends there are, and numbers that processes share and lose with no crash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from skep.observe import NO_METRICS, Metric, Metrics, MetricsMemory, Reading, ScrapedMetrics, catalogue, open_metrics
from skep.observe.metrics import BACKENDS
from skep.observe.metrics.memory import DROPPED, PART_BYTES
from skep.server.metrics import ALL_METRICS
from skep.settings import MetricsSettings

CALLS = Metric(name="calls_total", kind="counter", unit="calls", help="Calls", labels=("to",))
OPEN = Metric(name="open", kind="gauge", unit="calls", help="Open calls")
SECONDS = Metric(
    name="call_seconds", kind="histogram", unit="seconds", help="Seconds", labels=("to",), buckets=(0.1, 1.0)
)
LAG = Metric(name="lag_seconds", kind="gauge", unit="seconds", help="Lag", labels=("of",), is_read=True)
METRICS = (CALLS, OPEN, SECONDS, LAG)


def scraped(memory: MetricsMemory | None = None) -> ScrapedMetrics:
    metrics = open_metrics("prometheus", METRICS, memory)
    assert isinstance(metrics, ScrapedMetrics)
    return metrics


def values(metrics: ScrapedMetrics, *readings: Reading) -> dict[str, float]:
    """What a scraper reads, by name and labels as they stand on the page."""
    text = metrics.page(readings, "").body.decode()
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def shared(descriptor: int, part: int) -> ScrapedMetrics:
    return scraped(MetricsMemory.inherited(descriptor, part))


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = MetricsMemory.make(2)
    yield descriptor
    os.close(descriptor)


def test_what_was_said_is_on_the_page() -> None:
    metrics = scraped()
    metrics.add(CALLS, ("here",))
    metrics.add(CALLS, ("here",), 2.5)
    for seconds in (0.1, 0.2, 7.0):
        metrics.observe(SECONDS, ("here",), seconds)
    found = values(metrics, Reading(LAG, 4.0, ("that",)))
    assert found == {
        "calls_total here": 3.5,
        "open": 0.0,
        "call_seconds_bucket 0.1 here": 1.0,
        "call_seconds_bucket 1.0 here": 2.0,
        "call_seconds_bucket +Inf here": 3.0,
        "call_seconds_count here": 3.0,
        "call_seconds_sum here": pytest.approx(7.3),
        "lag_seconds that": 4.0,
        "skep_metrics_dropped_total": 0.0,
    }


def test_every_metric_is_described_before_it_has_a_value() -> None:
    text = scraped().page((), "").body.decode()
    for metric in METRICS:
        assert f"# HELP {metric.name} {metric.help}." in text
        assert f"# TYPE {metric.name} {metric.kind}" in text


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("text/plain; version=nonsense", "text/plain; version=0.0.4"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.2",
            "application/openmetrics-text",
        ),
    ],
)
def test_a_scraper_gets_the_format_it_asks_for(accept: str, media_type: str) -> None:
    metrics = scraped()
    metrics.add(CALLS, ('quo"ted\nlabel',))
    page = metrics.page((), accept)
    assert page.media_type.startswith(media_type)
    reader = parse_openmetrics if "openmetrics" in media_type else parse
    (calls,) = [family for family in reader(page.body.decode()) if family.name == "calls"]
    assert [sample.labels["to"] for sample in calls.samples] == ['quo"ted\nlabel']


def test_any_process_tells_the_sum_of_all(memory: int) -> None:
    first, second = shared(memory, 0), shared(memory, 1)
    for metrics, calls in ((first, 3), (second, 4)):
        metrics.add(OPEN)
        for _ in range(calls):
            metrics.add(CALLS, ("here",))
            metrics.observe(SECONDS, ("here",), 0.5)
    second.add(CALLS, ("there",))
    assert values(first) == values(second)
    assert values(first)["calls_total here"] == 7
    assert values(first)["calls_total there"] == 1
    assert values(first)["call_seconds_count here"] == 7
    assert values(first)["open"] == 2


def test_who_comes_in_the_place_of_another_goes_on(memory: int) -> None:
    first, second = shared(memory, 0), shared(memory, 1)
    second.add(CALLS, ("here",))
    second.add(OPEN)
    successor = shared(memory, 1)
    assert values(first)["calls_total here"] == 1
    assert values(first)["open"] == 0, "what it had under way ended with it"
    successor.add(CALLS, ("here",))
    successor.add(CALLS, ("there",))
    assert (values(first)["calls_total here"], values(first)["calls_total there"]) == (2, 1)


COUNT_UNTIL_KILLED = """
import sys
from skep.observe import Metric, MetricsMemory, open_metrics
metric = Metric(name="calls_total", kind="counter", unit="calls", help="Calls", labels=("to",))
metrics = open_metrics("prometheus", (metric,), MetricsMemory.inherited(int(sys.argv[1]), 1))
for number in range(10**9):
    metrics.add(metric, (f"n{number % 2000}",))
    if number == 1000:
        print("counting", flush=True)
"""


def test_a_process_killed_while_it_counts_leaves_all_it_counted(memory: int) -> None:
    first = shared(memory, 0)
    child = subprocess.Popen(
        [sys.executable, "-c", COUNT_UNTIL_KILLED, str(memory)], pass_fds=(memory,), stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    seen = [len(values(first)) for _ in range(5)]
    assert seen == sorted(seen), "whoever reads meanwhile sees all that was there before"
    child.kill()
    child.wait()
    child.stdout.close()
    counted = sum(value for name, value in values(first).items() if name.startswith("calls_total"))
    assert counted >= 1000
    shared(memory, 1).add(CALLS, ("n1",))
    assert sum(value for name, value in values(first).items() if name.startswith("calls_total")) == counted + 1


def test_what_a_killed_process_left_half_written_is_nobodys_value(memory: int) -> None:
    memory_of_it = MetricsMemory.inherited(memory, 1)
    scraped(memory_of_it)
    used = int(memory_of_it.parts[1].cast("d")[0])
    memory_of_it.parts[1][used * 8 : used * 8 + 800] = b"\x7f" * 800
    successor = shared(memory, 1)
    successor.add(CALLS, ("here",))
    assert values(successor)["calls_total here"] == 1


def test_what_a_newer_program_counts_is_left_to_it(memory: int) -> None:
    newer = Metric(
        name="call_seconds", kind="histogram", unit="seconds", help="x", labels=("to",), buckets=(0.1, 1.0, 9.0)
    )
    unknown = Metric(name="news_total", kind="counter", unit="calls", help="x")
    other = open_metrics("prometheus", (newer, unknown), MetricsMemory.inherited(memory, 1))
    other.observe(newer, ("here",), 5.0)
    first = shared(memory, 0)
    first.observe(SECONDS, ("here",), 0.5)
    assert values(first)["call_seconds_count here"] == 1
    assert "news_total" not in values(first)
    successor = shared(memory, 1)
    successor.observe(SECONDS, ("here",), 0.5)
    assert values(successor)["call_seconds_count here"] == 2


def test_more_series_than_there_is_room_for_are_dropped_and_counted() -> None:
    metrics = scraped()
    for number in range(PART_BYTES // 30):
        metrics.add(CALLS, (f"label number {number}",), 5.0)
    metrics.observe(SECONDS, ("x",), 1.0)
    metrics.add(CALLS, ("label number 0",))
    found = values(metrics)
    kept = [value for name, value in found.items() if name.startswith("calls_total")]
    assert 1000 < len(kept) < PART_BYTES // 30
    assert found["calls_total label number 0"] == 6
    assert found[DROPPED.name] == PART_BYTES // 30 - len(kept) + 1


def test_a_long_label_is_shortened() -> None:
    metrics = scraped()
    metrics.add(CALLS, ("x" * 5000,))
    assert "calls_total " + "x" * 200 in values(metrics)


@pytest.mark.serial
def test_telling_costs_next_to_nothing(memory: int) -> None:
    """Each below 5 microseconds, in the quietest of several rounds; it is about 0.6 on an idle core."""
    metrics, rounds, calls = shared(memory, 0), 7, 5_000
    add = timeit.repeat(lambda: metrics.add(CALLS, ("here",)), repeat=rounds, number=calls)
    observe = timeit.repeat(lambda: metrics.observe(SECONDS, ("here",), 0.5), repeat=rounds, number=calls)
    assert values(metrics)["calls_total here"] == values(metrics)["call_seconds_count here"] == rounds * calls
    assert max(min(add), min(observe)) / calls < 5e-6


def test_threads_lose_nothing() -> None:
    metrics = scraped()

    def count() -> None:
        for _ in range(20_000):
            metrics.add(CALLS, ("here",))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(metrics)["calls_total here"] == 80_000


def test_memory_where_the_system_has_none_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = MetricsMemory.make(2)
    first, second = shared(descriptor, 0), shared(descriptor, 1)
    os.close(descriptor)
    second.add(CALLS, ("here",))
    assert values(first)["calls_total here"] == 1


@pytest.mark.parametrize("metrics", [scraped(), NO_METRICS], ids=["prometheus", "noop"])
def test_every_back_end_takes_everything(metrics: Metrics) -> None:
    metrics.add(CALLS, ("here",))
    metrics.add(OPEN, (), -1.0)
    metrics.observe(SECONDS, ("here",), 1.0)


def test_what_is_in_no_list_or_mislabelled_is_a_mistake_of_ours() -> None:
    metrics = scraped()
    with pytest.raises(ValueError, match="in no list"):
        metrics.add(Metric(name="stray_total", kind="counter", unit="x", help="x"))
    with pytest.raises(ValueError, match="has the labels"):
        metrics.add(CALLS, ("here", "there"))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"name": "Calls_total"}, "no name"),
        ({"name": "calls"}, "_total"),
        ({"name": "calls_total", "kind": "gauge"}, "_total"),
        ({"name": "calls_total", "labels": ("a-b",)}, "no name"),
        ({"name": "calls_total", "buckets": (1.0,)}, "buckets"),
        ({"name": "calls", "kind": "histogram"}, "buckets"),
        ({"name": "calls", "kind": "histogram", "buckets": (1.0, 1.0)}, "ascend"),
        ({"name": "calls", "kind": "histogram", "buckets": (1.0,), "is_read": True}, "one moment"),
    ],
)
def test_a_metric_that_contradicts_itself_cannot_be_listed(facts: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Metric(**{"kind": "counter", "unit": "x", "help": "x", **facts})  # type: ignore[arg-type]


def test_two_metrics_of_one_name_cannot_be_listed() -> None:
    twin = Metric(name="open", kind="gauge", unit="calls", help="x")
    with pytest.raises(ValueError, match="named open"):
        catalogue(METRICS, (twin,))
    assert catalogue(METRICS, METRICS) == METRICS


def test_the_setting_names_every_back_end_and_auto() -> None:
    names = [backend.name for backend in BACKENDS]
    assert len(set(names)) == len(names)
    assert set(get_args(get_type_hints(MetricsSettings)["backend"])) == {"auto", *names}
    assert isinstance(open_metrics("auto", METRICS), ScrapedMetrics)
    assert open_metrics("noop", METRICS) is NO_METRICS


def test_no_metric_is_told_apart_by_something_people_named_unless_it_is_read() -> None:
    # A provider is told by its kind, of which there is a list, and never by the name that somebody gave it. A percent is one of 100.
    bounded = {
        "kind",
        "outcome",
        "scan",
        "follower",
        "state",
        "method",
        "route",
        "status",
        "provider",
        "direction",
        "percent",
        "mode",
        "condition",
        "action",
        "side",
    }
    for metric in ALL_METRICS:
        assert metric.is_read or set(metric.labels) <= bounded, metric.name
        assert not metric.help.endswith("."), metric.name


def test_every_metric_of_the_code_is_in_the_list() -> None:
    source = Path(__file__).resolve().parents[3] / "src" / "skep"
    named = {
        name
        for path in source.rglob("metrics*.py")
        for name in re.findall(r'^    name="(\w+)",$', path.read_text(), re.MULTILINE)
    }
    for place in ("observe/metrics/memory.py", "observe/metrics/pushing.py", "observe/spans.py"):
        named |= set(re.findall(r'^    name="(\w+)",$', (source / place).read_text(), re.MULTILINE))
    assert named == {metric.name for metric in ALL_METRICS}
