"""What a metric is, and one value of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """One thing that is counted or measured. Two are the same only if they are one object: so looking one up is cheap.

    Raises ValueError when it contradicts itself.
    """

    name: str
    kind: Kind
    unit: str
    """Of its values, in full: ``seconds``, ``requests``, ``ratio``."""
    help: str
    """One sentence, without a full stop."""
    labels: tuple[str, ...] = ()
    """What its series are told apart by. Each takes few values, known beforehand; a name that people gave is none of
    them, unless the metric is read (see ``is_read``) for somebody who may know it."""
    buckets: tuple[float, ...] = ()
    """Of a histogram: upper bounds, ascending, without the infinite one."""
    is_read: bool = False
    """Whether it is found out when somebody asks, and not noted while it happens."""

    def __post_init__(self) -> None:
        for name in (self.name, *self.labels):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} of {self.name!r} is no name for a metric or a label")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: counters, and only they, end with _total")
        if (self.kind == "histogram") != bool(self.buckets):
            raise ValueError(f"{self.name}: histograms, and only they, have buckets")
        if any(low >= high for low, high in pairwise(self.buckets)):
            raise ValueError(f"{self.name}: buckets must ascend")
        if self.is_read and self.kind == "histogram":
            raise ValueError(f"{self.name}: a distribution cannot be read at one moment")

    @property
    def cells(self) -> int:
        """How many numbers one series keeps: one; of a histogram one per bucket, the infinite one, and the sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric that is read amounts to now."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


def catalogue(*lists: Iterable[Metric]) -> tuple[Metric, ...]:
    """The lists of several capabilities as one. Raises ValueError when two metrics have one name."""
    found: dict[str, Metric] = {}
    for metric in (metric for each in lists for metric in each):
        if found.setdefault(metric.name, metric) is not metric:
            raise ValueError(f"two metrics are named {metric.name}")
    return tuple(found.values())


def require_labels(metric: Metric, labels: Sequence[str], known: Iterable[Metric]) -> None:
    """Raise ValueError for a metric that is in no list, or with other labels than it has."""
    if metric not in known:
        raise ValueError(f"{metric.name} is in no list of metrics")
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, and was told {tuple(labels)}")
