"""What back ends that push have in common: a picture of all numbers at one moment, and what of it was told before.

One process of a server pushes what all of them counted. What it has told stands in memory that outlives it, beside the
numbers themselves: who is started in its place goes on there, so that no difference is told twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from skep.observe.metrics.interfaces import Labels
from skep.observe.metrics.memory import MetricsMemory, SharedSeries
from skep.observe.metrics.models import Metric, Reading

Series = Mapping[Labels, Sequence[float]]

PUSHES = Metric(
    name="skep_metrics_pushes_total",
    kind="counter",
    unit="pushes",
    help="Pushes of metrics to a collector or an agent, by what became of them: taken, or failed",
    labels=("outcome",),
)
PUSH_METRICS = (PUSHES,)

_TOLD_AT = Metric(name="told_seconds_total", kind="counter", unit="seconds", help="When differences were told last")
"""Kept among what was told; nobody else sees it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All numbers at one moment."""

    series: Mapping[Metric, Series]
    """Of what is counted, since ``since_ns``; of gauges and of what is read, now."""
    since_ns: int
    """When the server began to count; nanoseconds after 1970, as all times here."""
    now_ns: int


def snapshot(totals: Mapping[Metric, Series], readings: Sequence[Reading], *, since_ns: int, now_ns: int) -> Snapshot:
    """What was counted and what was read, together. Pure."""
    series: dict[Metric, Series] = {metric: each for metric, each in totals.items() if not metric.is_read}
    read: dict[Metric, dict[Labels, Sequence[float]]] = {}
    for reading in readings:
        read.setdefault(reading.metric, {})[reading.labels] = (reading.value,)
    return Snapshot({**series, **read}, since_ns, now_ns)


class NotTakenError(Exception):
    """Whoever should take the numbers did not; only between those who push."""


class Push(Protocol):
    """Tells somebody all numbers."""

    def send(self, taken: Snapshot) -> None:
        """Tell them; takes seconds at most. Raises NotTakenError."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Told:
    """What was told already of every series that grows. Belongs to one process at a time."""

    def __init__(self, metrics: Sequence[Metric], memory: MetricsMemory) -> None:
        self._marks = SharedSeries((*metrics, _TOLD_AT), memory)

    @property
    def at_ns(self) -> int:
        """When differences were told last; 0 for never."""
        told = self._marks.own(_TOLD_AT, ())
        return int(told[0] * 1e9) if told else 0

    def told_at(self, now_ns: int) -> None:
        """Differences up to now were told."""
        self._marks.put(_TOLD_AT, (), (now_ns / 1e9,))

    def news(self, metric: Metric, series: Series) -> Iterator[tuple[Labels, Sequence[float], list[float]]]:
        """Each series that has grown: its labels, its numbers, and what came since it was told."""
        for labels, values in sorted(series.items()):
            told = self._marks.own(metric, labels)
            # Of what there is no room to remember, nothing is told: it would be told again and again.
            grown = [] if told is None else [new - old for new, old in zip(values, told, strict=True)]
            if any(grown):
                yield labels, values, grown

    @contextmanager
    def telling(self, told: Sequence[tuple[Metric, Labels, Sequence[float]]]) -> Iterator[None]:
        """In the block these numbers are told. If it raises NotTakenError they count as not told.

        Noted before and not after: who is killed in between leaves something untold, and never tells it twice.
        """
        before = [(metric, labels, self._marks.own(metric, labels) or ()) for metric, labels, _ in told]
        for each in told:
            self._marks.put(*each)
        try:
            yield
        except NotTakenError:
            for each in before:
                self._marks.put(*each)
            raise
