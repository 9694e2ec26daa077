"""Sums over calls by what served them and how, as the ledger has them: what reports of streams and of cheaper ways begin with. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

BUCKETS = 128
"""Of a histogram of times, as the database's function ``latency_bucket`` makes them."""

_NO_TIMES = (0.0,) * BUCKETS


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over calls for which a provider was asked. They add up."""

    calls: int = 0
    failed: int = 0
    """Those that ended in another way than by an answer or by the client."""
    cancelled: int = 0
    retried: int = 0
    """Those that took more than one attempt."""
    fell_back: int = 0
    """Those for which another route was tried in vain before."""
    stopped: int = 0
    """Streams that were ended early by a condition."""
    spared_nusd: int = 0
    """About what that spared."""
    weighed: int = 0
    """Those whose tokens and cost are both known. Of these are the cost and all tokens."""
    cost_nusd: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    timed: int = 0
    """Those whose duration is known, which is the sum of."""
    duration_us: int = 0
    begun: int = 0
    """Those that a first token came of; until then is the sum of."""
    ttft_us: int = 0
    waited_us: int = 0
    """From the first token until the end."""
    duration: tuple[float, ...] = field(default=_NO_TIMES, repr=False)
    """A histogram."""
    ttft: tuple[float, ...] = field(default=_NO_TIMES, repr=False)


NUMBERS = tuple(name for name in Counts.__slots__ if name not in ("duration", "ttft"))
"""The sums that are whole numbers, in the order of the statement."""


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that one route served in one way."""

    model: str
    """The name that clients know it by."""
    tier: str | None
    face: str
    stream: bool
    provider: str
    model_used: str | None
    is_remote: bool | None
    """Whether they left the house; None: not known."""
    size: int | None
    """A class of sizes of requests, as the database's function ``input_size`` makes them; None: not known."""
    counts: Counts

    @property
    def route(self) -> str:
        """As the gateway calls it."""
        return f"{self.provider}/{self.model_used}"


@dataclass(frozen=True, slots=True)
class Miss:
    """Attempts by a route that failed in one way, whatever became of their calls."""

    model: str
    route: str
    outcome: str
    attempts: int


def added(found: Iterable[Counts]) -> Counts:
    """All of them together."""
    counts = list(found)
    sums = {name: sum(getattr(each, name) for each in counts) for name in NUMBERS}
    return Counts(
        **sums, duration=_together(each.duration for each in counts), ttft=_together(each.ttft for each in counts)
    )


def _together(histograms: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(sum, zip(_NO_TIMES, *histograms, strict=True)))
