"""Compares the arms of an experiment by what the ledger says of their calls, with intervals. Pure.

Intervals are those within which the true value lies 95 times of 100, if calls are taken as independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

EXPERIMENT_TAGS = "experiment:"
"""Begins the tag of a call that is in an experiment. Clients cannot set it."""

Z = 1.959964
"""Of a normal distribution, 95 % lie within so many standard deviations."""

LEAST_CALLS = 30
"""With fewer in an arm nothing is said: below, the mean of costs is far from a normal distribution."""


def experiment_tag(experiment: str, arm: str) -> str:
    """The tag by which the ledger knows in which arm a call was."""
    return f"{EXPERIMENT_TAGS}{experiment}={arm}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval of 95 %."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether 0 is not within."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class ArmRow:
    """What the ledger has of an arm. Only calls that a provider was asked for; those answered from the cache are counted by themselves."""

    arm: str
    calls: int
    keys: int
    cached: int
    failed: int
    priced: int
    mean_nusd: float | None
    deviation_nusd: float | None
    """Of a sample; None for fewer than two."""
    output_tokens: int
    durations_us: list[float] | None
    """Median and 95th percentile."""
    ttfts_us: list[float] | None


@dataclass(frozen=True, slots=True)
class Times:
    """How long calls took: exact."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """How one arm fared."""

    arm: str
    calls: int
    """For which a provider was asked."""
    keys: int
    """By how many keys."""
    cached: int
    """Calls besides that were answered from the cache."""
    failed: int
    failure_rate: Estimate | None
    """From 0 to 1, with the interval of Wilson; None without calls."""
    priced: int
    """Calls whose cost is known."""
    mean_cost_nusd: Estimate | None
    """Of those; None when there are fewer than two."""
    output_tokens: int
    duration: Times | None
    ttft: Times | None
    """Until the first token of streams."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm less the first one."""

    arm: str
    to: str
    failure_rate: Estimate | None
    """By Newcombe's interval."""
    mean_cost_nusd: Estimate | None
    words: str
    """What can be said."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The arms of an experiment, side by side."""

    experiment: str
    since: datetime
    until: datetime | None
    """None: until now."""
    arms: list[ArmFigures]
    differences: list[Difference]
    """Of each arm to the first one."""


def compared(rows: Iterable[ArmRow], order: Sequence[str]) -> tuple[list[ArmFigures], list[Difference]]:
    """The figures of every arm, those of ``order`` first, and what they differ in from the first one."""
    by_name = {row.arm: row for row in rows}
    names = [*order, *sorted(by_name.keys() - set(order))]
    told = [by_name.get(name) or ArmRow(name, 0, 0, 0, 0, 0, None, None, 0, None, None) for name in names]
    return [_figures(row) for row in told], [_difference(row, told[0]) for row in told[1:]]


def wilson(hits: int, calls: int) -> Estimate | None:
    """A share, by Wilson's score interval (1927); None without calls."""
    if not calls:
        return None
    share, square = hits / calls, Z * Z
    middle = (share + square / (2 * calls)) / (1 + square / calls)
    half = Z / (1 + square / calls) * math.sqrt(share * (1 - share) / calls + square / (4 * calls * calls))
    # What is rounded on the way must not leave the share outside.
    return Estimate(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def newcombe(one: Estimate, other: Estimate) -> Estimate:
    """The first share less the other (Newcombe 1998, method 10), both by `wilson`."""
    difference = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(difference, difference - below, difference + above)


def _mean(row: ArmRow) -> Estimate | None:
    if row.mean_nusd is None or row.deviation_nusd is None:
        return None
    half = Z * row.deviation_nusd / math.sqrt(row.priced)
    return Estimate(row.mean_nusd, row.mean_nusd - half, row.mean_nusd + half)


def _figures(row: ArmRow) -> ArmFigures:
    return ArmFigures(
        arm=row.arm,
        calls=row.calls,
        keys=row.keys,
        cached=row.cached,
        failed=row.failed,
        failure_rate=wilson(row.failed, row.calls),
        priced=row.priced,
        mean_cost_nusd=_mean(row),
        output_tokens=row.output_tokens,
        duration=_times(row.durations_us),
        ttft=_times(row.ttfts_us),
    )


def _times(us: list[float] | None) -> Times | None:
    return None if us is None else Times(*(round(each / 1000, 3) for each in us))


def _difference(row: ArmRow, first: ArmRow) -> Difference:
    rate = cost = None
    rates = wilson(row.failed, row.calls), wilson(first.failed, first.calls)
    if rates[0] is not None and rates[1] is not None:
        rate = newcombe(rates[0], rates[1])
    means = _mean(row), _mean(first)
    if means[0] is not None and means[1] is not None:
        # The variances of independent means add up (Welch).
        value, half = means[0].value - means[1].value, math.hypot(*(mean.high - mean.value for mean in means if mean))
        cost = Estimate(value, value - half, value + half)
    return Difference(row.arm, first.arm, rate, cost, ", ".join(_words(row, first, rate, cost)))


def _words(row: ArmRow, first: ArmRow, rate: Estimate | None, cost: Estimate | None) -> Iterator[str]:
    if rate is None or min(row.calls, first.calls) < LEAST_CALLS:
        yield f"too few calls to say anything: {row.calls} and {first.calls}, and each arm needs {LEAST_CALLS}"
        return
    yield _clearly(rate, "fails less often", "fails more often", "no difference in failures can be seen")
    if cost is None or min(row.priced, first.priced) < LEAST_CALLS:
        yield "the cost is known of too few calls"
    else:
        yield _clearly(cost, "costs less", "costs more", "no difference in cost can be seen")


def _clearly(found: Estimate, less: str, more: str, neither: str) -> str:
    if not found.is_clear:
        return neither
    return less if found.value < 0 else more
