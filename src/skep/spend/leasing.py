"""How much a process takes, and when a call is refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from skep.spend.models import Metric

RECALL_SECONDS = 0.2
"""How long idle leases of other processes are waited for before a refusal is final (design: at most 200 ms)."""

WANT_SECONDS = 3.0
"""A lease covers the demand of so long, as it was lately. What is idle is recalled when others need it, so that this only
decides how often the database is asked."""

STORE_CALLS = 64
"""And it covers at least so many calls: of a thousand keys each has few calls in a few seconds, and for each of them the
database would be asked after every second call."""

IN_USE_SECONDS = 300.0
"""Who made a call so short a time ago is expected to make another: its leases stay, and windows that begin are asked for. Of a thousand
keys many come by every few minutes only, and each would wait for the database."""

_SETTLING: frozenset[Metric] = frozenset({"cost", "tokens"})
"""Metrics whose reservations are worst cases: calls under way will give some of it back."""


def lease_size(need: int, least: int, want: int, left: int, processes: int) -> int:
    """How much of what is ``left`` of a window one of so many ``processes`` gets. The database has the same function.

    ``need`` is what its waiting calls lack together, ``least`` what the smallest of them lacks, ``want`` what it would like
    to have in store. The store is at most half of an equal share, so that near the end only what is needed is taken.
    """
    if left < least or left <= 0:
        return 0
    return min(left, max(need, min(want, left // (2 * max(1, processes)))))


def wanted(taken: int, calls: int, elapsed_seconds: float) -> int:
    """What to have in store, when so much was reserved by so many calls in the time since the last asking."""
    if not calls:
        return 0
    return max(int(taken * WANT_SECONDS / max(elapsed_seconds, 1.0)), STORE_CALLS * taken // calls)


class Verdict(Enum):
    """What becomes of a call that does not fit now."""

    WAIT = auto()
    REFUSE = auto()


@dataclass(frozen=True, slots=True)
class Shortage:
    """A window in which a call does not fit, as this process sees it."""

    metric: Metric
    amount: int
    need: int
    settled: int
    """Used for good, as far as known here. It never gets less within a window."""
    held: int
    """By calls under way here, and by leases of other processes."""
    others: int
    """The part of it that other processes hold."""
    thrift: float
    """Which part of their reservations calls lately used; 0 when that is not known."""


def judge(shortage: Shortage, waited_seconds: float, patience_seconds: float) -> Verdict:
    """Whether waiting makes sense: for idle leases of others, or for calls under way that will use less than they reserved."""
    if shortage.need > shortage.amount - shortage.settled:
        return Verdict.REFUSE
    if waited_seconds < RECALL_SECONDS and shortage.others > 0:
        return Verdict.WAIT
    if shortage.metric not in _SETTLING or waited_seconds >= patience_seconds or shortage.held <= 0:
        return Verdict.REFUSE
    likely = shortage.settled + int(shortage.held * shortage.thrift)
    return Verdict.WAIT if shortage.need <= shortage.amount - likely else Verdict.REFUSE
