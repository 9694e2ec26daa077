"""Numbers that the processes of a server share: each adds to a part of its own, any of them can sum up all parts.

The memory belongs to whoever made it, the server's first process, and lives as long as that does: in no folder, so nothing
is left behind by a crash. A process that is killed leaves its part as it was; the one that is started in its place goes on
adding there. So nothing is lost, nothing is counted twice, and counters never go back.

A part is a row of 8-byte numbers:

    [numbers in use] [length of key, count of values, key..., values...] [...] ...

A key is the JSON of a metric's name and the values of its labels. An entry is never moved or taken away, and counts only
when ``numbers in use`` includes it. Numbers are aligned, so that whoever reads one while it is written sees it before or after.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skep.observe.metrics.interfaces import Labels
from skep.observe.metrics.models import Metric, require_labels

PART_BYTES = 1 << 18
"""Of one process: room for 1,000 histograms. What is not used takes no memory."""

_CELL_BYTES = 8
_HEAD_CELLS = 2
_LABEL_CHARACTERS = 200

DROPPED = Metric(
    name="skep_metrics_dropped_total",
    kind="counter",
    unit="observations",
    help="Observations that were lost because a process had no room for more series",
)

OBSERVE_METRICS = (DROPPED,)


@dataclass(frozen=True, slots=True)
class MetricsMemory:
    """The memory of all processes, and which part of it is this process's."""

    view: memoryview
    part: int = 0
    part_bytes: int = PART_BYTES

    @staticmethod
    def make(parts: int) -> int:
        """New memory for so many processes, as a file descriptor that child processes may inherit."""
        size = parts * PART_BYTES
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("skep-metrics")
            os.ftruncate(descriptor, size)
            return descriptor
        with tempfile.TemporaryFile() as file:
            # Written in full: to find the disk full when a number is first touched would be the end of a process.
            file.write(bytes(size))
            file.flush()
            return os.dup(file.fileno())

    @staticmethod
    def inherited(descriptor: int, part: int) -> MetricsMemory:
        """What `make` made, in a process that serves as number ``part``, from 0. The descriptor may be closed afterwards."""
        return MetricsMemory(memoryview(mmap.mmap(descriptor, 0)), part)

    @staticmethod
    def undivided(descriptor: int) -> MetricsMemory:
        """What `make` made, as one large part for one process."""
        view = memoryview(mmap.mmap(descriptor, 0))
        return MetricsMemory(view, 0, len(view))

    @staticmethod
    def alone() -> MetricsMemory:
        """Memory of this process only."""
        return MetricsMemory(memoryview(bytearray(PART_BYTES)))

    @property
    def parts(self) -> tuple[memoryview, ...]:
        """Every process's."""
        size = self.part_bytes
        return tuple(self.view[start : start + size] for start in range(0, len(self.view), size))


class SharedSeries:
    """Counts in this process's part, and sums up all of them. Any thread may call it."""

    def __init__(self, metrics: Sequence[Metric], memory: MetricsMemory) -> None:
        self._metrics = (*metrics, *(metric for metric in OBSERVE_METRICS if metric not in metrics))
        self._by_name = {metric.name: metric for metric in self._metrics}
        self._memory = memory
        self._bytes = memory.parts[memory.part]
        self._cells = self._bytes.cast("d")
        self._places: dict[tuple[Metric, Labels], int] = {}
        self._lock = threading.Lock()
        self._take_over()
        # The first that is made, so that there is room for it.
        self._lost = self._place(DROPPED, ())
        for metric in self._metrics:
            if not (metric.labels or metric.is_read):
                # There from the beginning: that something has never happened is told as 0.
                self._place(metric, ())

    def add(self, metric: Metric, labels: Labels = (), amount: float = 1.0) -> None:
        """See `Metrics.add`."""
        place = self._places.get((metric, labels)) or self._place(metric, labels)
        with self._lock:
            self._cells[place] += amount if place != self._lost else 1.0

    def observe(self, metric: Metric, labels: Labels, value: float) -> None:
        """See `Metrics.observe`."""
        place = self._places.get((metric, labels)) or self._place(metric, labels)
        if place == self._lost:
            self.add(DROPPED)
            return
        buckets = metric.buckets
        with self._lock:
            self._cells[place + bisect_left(buckets, value)] += 1
            self._cells[place + len(buckets) + 1] += value

    def totals(self) -> Mapping[Metric, Mapping[Labels, list[float]]]:
        """The numbers of every series, each the sum over all processes; of metrics that this process knows."""
        found: dict[Metric, dict[Labels, list[float]]] = {metric: {} for metric in self._metrics}
        for part in self._memory.parts:
            for name, labels, values, _ in _entries(part):
                metric = self._by_name.get(name)
                # A process may have been started with a newer program than the others.
                if metric is not None and _fits(metric, labels, values):
                    sums = found[metric].setdefault(labels, [0.0] * len(values))
                    found[metric][labels] = [one + other for one, other in zip(sums, values, strict=True)]
        return found

    def own(self, metric: Metric, labels: Labels) -> list[float] | None:
        """What this process keeps of a series, made if it is new; None when there is no room for it."""
        place = self._place(metric, labels)
        if place == self._lost and metric is not DROPPED:
            return None
        return [self._cells[each] for each in range(place, place + metric.cells)]

    def put(self, metric: Metric, labels: Labels, values: Sequence[float]) -> None:
        """Replace what this process keeps of a series that `own` knows."""
        place = self._places[metric, labels]
        with self._lock:
            for number, value in enumerate(values):
                self._cells[place + number] = value

    def _take_over(self) -> None:
        """Go on with what the process before us in this part counted; only what it had under way is over."""
        if self._cells[0] == 0:
            self._cells[0] = 1
        for name, labels, values, place in _entries(self._bytes):
            metric = self._by_name.get(name)
            if metric is not None and _fits(metric, labels, values):
                self._places[metric, labels] = place
                if metric.kind == "gauge":
                    self._cells[place] = 0.0

    def _place(self, metric: Metric, labels: Labels) -> int:
        """Where a series is, made if it is new. The place of what is lost when there is no room."""
        with self._lock:
            known = self._places.get((metric, labels))
            if known is not None:
                return known
            require_labels(metric, labels, self._metrics)
            key = json.dumps([metric.name, *(label[:_LABEL_CHARACTERS] for label in labels)]).encode()
            start = int(self._cells[0])
            values = start + _HEAD_CELLS + -(-len(key) // _CELL_BYTES)
            if values + metric.cells > len(self._cells):
                return self._lost
            first = (start + _HEAD_CELLS) * _CELL_BYTES
            self._bytes[first : first + len(key)] = key
            self._cells[start] = len(key)
            self._cells[start + 1] = metric.cells
            for place in range(values, values + metric.cells):
                self._cells[place] = 0.0  # a process that was killed here may have left half of a longer key
            # Last: from here on the entry counts.
            self._cells[0] = values + metric.cells
            self._places[metric, labels] = values
            return values


def _entries(part: memoryview) -> Iterator[tuple[str, Labels, tuple[float, ...], int]]:
    """The entries of a part, as they are now: name, labels, values, and where these are."""
    # How far it is used is read first: what is copied after that is whole up to there.
    end = int(part.cast("d")[0])
    copied = bytes(part[: end * _CELL_BYTES])
    cells, position = memoryview(copied).cast("d"), 1
    while position < end:
        length, count = int(cells[position]), int(cells[position + 1])
        first = (position + _HEAD_CELLS) * _CELL_BYTES
        name, *labels = json.loads(copied[first : first + length])
        place = position + _HEAD_CELLS + -(-length // _CELL_BYTES)
        yield name, tuple(labels), tuple(cells[place : place + count]), place
        position = place + count


def _fits(metric: Metric, labels: Labels, values: Sequence[float]) -> bool:
    return len(labels) == len(metric.labels) and len(values) == metric.cells
