"""Compares the arms of an experiment by what the ledger says of their calls, with intervals. Pure.

Intervals are those within which the true value lies 95 times of 100, if calls are taken as independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from skep.spend.models import Percentiles

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
class Moments:
    """What is left of many whole numbers when their mean and deviation shall still be told exactly: sums, which add up."""

    count: int = 0
    total: int = 0
    squares: int = 0
    """The sum of their squares."""

    @property
    def mean(self) -> Estimate | None:
        """With its interval; None for fewer than two."""
        if self.count < 2:
            return None
        # In whole numbers, so that nothing is lost where the squares are large and their difference is small.
        scatter = self.count * self.squares - self.total * self.total
        half = Z * math.sqrt(scatter / (self.count * self.count * (self.count - 1)))
        value = self.total / self.count
        return Estimate(value, value - half, value + half)


@dataclass(frozen=True, slots=True)
class ArmRow:
    """What the ledger has of an arm. Only calls that a provider was asked for; those answered from the cache are counted by themselves."""

    arm: str
    calls: int = 0
    keys: int = 0
    cached: int = 0
    failed: int = 0
    output_tokens: int = 0
    cost_nusd: Moments = Moments()
    duration_us: Moments = Moments()
    ttft_us: Moments = Moments()
    durations: Percentiles | None = None
    ttfts: Percentiles | None = None


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
    mean_duration_ms: Estimate | None
    """None when there are fewer than two."""
    mean_ttft_ms: Estimate | None
    """Until the first token of streams; the same."""
    duration: Percentiles | None
    ttft: Percentiles | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm less the first one."""

    arm: str
    to: str
    failure_rate: Estimate | None
    """By Newcombe's interval."""
    mean_cost_nusd: Estimate | None
    mean_duration_ms: Estimate | None
    mean_ttft_ms: Estimate | None
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
    told = [by_name.get(name) or ArmRow(name) for name in names]
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


def less(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    """One mean less another: the variances of independent means add up (Welch)."""
    if one is None or other is None:
        return None
    value, half = one.value - other.value, math.hypot(one.high - one.value, other.high - other.value)
    return Estimate(value, value - half, value + half)


def _figures(row: ArmRow) -> ArmFigures:
    return ArmFigures(
        arm=row.arm,
        calls=row.calls,
        keys=row.keys,
        cached=row.cached,
        failed=row.failed,
        failure_rate=wilson(row.failed, row.calls),
        priced=row.cost_nusd.count,
        mean_cost_nusd=row.cost_nusd.mean,
        output_tokens=row.output_tokens,
        mean_duration_ms=_in_ms(row.duration_us.mean),
        mean_ttft_ms=_in_ms(row.ttft_us.mean),
        duration=row.durations,
        ttft=row.ttfts,
    )


def _in_ms(us: Estimate | None) -> Estimate | None:
    return None if us is None else Estimate(*(round(each / 1000, 3) for each in (us.value, us.low, us.high)))


def _difference(row: ArmRow, first: ArmRow) -> Difference:
    rates = wilson(row.failed, row.calls), wilson(first.failed, first.calls)
    rate = None if rates[0] is None or rates[1] is None else newcombe(rates[0], rates[1])
    cost = less(row.cost_nusd.mean, first.cost_nusd.mean)
    duration, ttft = less(row.duration_us.mean, first.duration_us.mean), less(row.ttft_us.mean, first.ttft_us.mean)
    words = ", ".join(_words(row, first, rate, cost))
    return Difference(row.arm, first.arm, rate, cost, _in_ms(duration), _in_ms(ttft), words)


def _words(row: ArmRow, first: ArmRow, rate: Estimate | None, cost: Estimate | None) -> Iterator[str]:
    if rate is None or min(row.calls, first.calls) < LEAST_CALLS:
        yield f"too few calls to say anything: {row.calls} and {first.calls}, and each arm needs {LEAST_CALLS}"
        return
    yield _clearly(rate, "fails less often", "fails more often", "no difference in failures can be seen")
    if cost is None or min(row.cost_nusd.count, first.cost_nusd.count) < LEAST_CALLS:
        yield "the cost is known of too few calls"
    else:
        yield _clearly(cost, "costs less", "costs more", "no difference in cost can be seen")


def _clearly(found: Estimate, less: str, more: str, neither: str) -> str:
    if not found.is_clear:
        return neither
    return less if found.value < 0 else more
