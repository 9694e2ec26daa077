"""Keeps calls away from a route that fails, and finds out when it works again. A pure state machine; times are monotonic.

closed     calls pass; failures are counted over the last half minute
open       none pass until its time is over: the route fails, or it rests because its provider takes no more calls
half-open  one call at a time passes as a probe: when it succeeds the route is closed again, else it opens for longer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]

WINDOW_SECONDS = 30.0
_SLOTS = 6
_SLOT_SECONDS = WINDOW_SECONDS / _SLOTS

LEAST_CALLS = 20
"""Fewer calls in the window say nothing about a rate."""

FAILURE_RATE = 0.5
STRAIGHT_FAILURES = 25
"""So many failures one after the other open at once, in every process; those of all processes count together."""

HARD_FAILURES = 3
"""So many in a row that no wait mends: one alone may be about its request, or a slip of the provider."""

SOFT_SECONDS = 15.0
HARD_SECONDS = 300.0
"""For what a moment's wait does not mend, such as a key that is refused; also the longest that repeated failures lead to."""

BUSY_ANSWERS = 3
"""So many in a row say that the provider takes no more calls at all; one alone may be about a single large one."""

BUSY_SECONDS, MOST_BUSY_SECONDS = 2.0, 60.0
"""How long it is left alone when it does not say for how long: doubled each time. What it says counts up to the most, as limits are
by the minute mostly; then a probe asks again."""

REFUSED, PASSES = 0, 1
"""Permits of `Breaker.admits`; any other is a probe's own."""

PROBE_SECONDS = 60.0
"""A probe of which nothing was heard for so long is given up, and another let through."""


@dataclass(frozen=True, slots=True)
class BreakerView:
    """How a route fares, for people."""

    state: State
    reason: str
    """Why it is not closed; empty when it is."""
    opens_again_in_seconds: float | None
    calls: int
    """In the window."""
    failures: int
    straight_failures: int
    """As far as this process knows, those of the others among them."""


class Breaker:
    """The breaker of one route."""

    __slots__ = (
        "_at",
        "_bad",
        "_busy",
        "_elsewhere",
        "_good",
        "_hard_failures",
        "_last_probe",
        "_next_busy_seconds",
        "_next_seconds",
        "_probe",
        "_probing_since",
        "_reason",
        "_until",
        "is_resting",
        "straight_failures",
        "streak",
    )

    def __init__(self) -> None:
        self._good = [0] * _SLOTS
        self._bad = [0] * _SLOTS
        self._at = 0
        """The number of the slot that counts now, since the start of the clock."""
        self._until: float | None = None
        self._reason = ""
        self._next_seconds = SOFT_SECONDS
        self._probing_since = 0.0
        self._probe = REFUSED
        """The permit of the probe under way."""
        self._last_probe = PASSES
        self._hard_failures = 0
        self._busy = 0
        """Answers in a row that it takes no more calls."""
        self._next_busy_seconds = BUSY_SECONDS
        self.is_resting = False
        """Whether it is not closed because the provider takes no more calls, and not because the route fails."""
        self.straight_failures = 0
        """Here, since a call of this process succeeded."""
        self.streak = 0
        """Here, since a call of any process succeeded."""
        self._elsewhere: dict[str, tuple[int, float]] = {}
        """The streaks that other processes told, and when."""

    @property
    def is_closed(self) -> bool:
        """Whether calls pass freely."""
        return self._until is None

    def admits(self, now: float, *, forced: bool = False) -> int:
        """The permit of a call that may take the route now, or `REFUSED`. The outcome must be told with it, or `abandon` called.

        ``forced``: it is the probe, whatever was found out before; somebody wants to know.
        """
        if self._until is None:
            return PASSES
        is_probed = self._probe and now - self._probing_since < PROBE_SECONDS
        if not forced and (now < self._until or is_probed):
            return REFUSED
        self._probing_since = now
        self._last_probe += 1
        self._probe = self._last_probe
        return self._probe

    def would_admit(self, now: float) -> bool:
        """Whether a call may take the route now; no permit is taken."""
        return self._until is None or not (
            now < self._until or (self._probe and now - self._probing_since < PROBE_SECONDS)
        )

    def succeeded(self, now: float, permit: int = PASSES) -> None:
        """A call came to a good end. One that began before the breaker opened says nothing about now."""
        self.straight_failures = self._hard_failures = self._busy = 0
        if self.has_streak:
            self.forget_streak()
        if self._until is not None and permit == self._probe:
            self._close()
        self._slot(now)
        self._good[self._at % _SLOTS] += 1

    def failed(self, now: float, reason: str, permit: int = PASSES, *, is_hard: bool = False) -> bool:
        """A call failed by the route's fault. True when this opened the breaker for everybody, not only here."""
        self.straight_failures += 1
        self.streak += 1
        self._hard_failures = self._hard_failures + 1 if is_hard else 0
        self._slot(now)
        self._bad[self._at % _SLOTS] += 1
        if self._until is not None:
            self.streak = 0
            if permit == self._probe:
                self._open(now, self._next_seconds, reason)
            return False
        is_hard = self._hard_failures >= HARD_FAILURES
        if is_hard or self._straight(now) >= STRAIGHT_FAILURES:
            self._open(now, HARD_SECONDS if is_hard else SOFT_SECONDS, reason)
            return True
        good, calls = sum(self._good), sum(self._good) + sum(self._bad)
        # Where nothing succeeds at all, the failures in a row decide, a few calls later: then every process is told.
        if good and calls >= LEAST_CALLS and calls - good >= FAILURE_RATE * calls:
            self._open(now, SOFT_SECONDS, reason)
        return False

    def busy(self, now: float, reason: str, permit: int = PASSES, *, retry_after_seconds: float | None = None) -> None:
        """The provider takes no more calls for now: no fault of the route, but when it says so again and again it is left alone."""
        self._busy += 1
        is_probe = self._until is not None and permit == self._probe
        if not is_probe and (self._until is not None or self._busy < BUSY_ANSWERS):
            return
        wanted = self._next_busy_seconds if retry_after_seconds is None else retry_after_seconds
        self._next_busy_seconds = min(MOST_BUSY_SECONDS, 2 * self._next_busy_seconds)
        self._until = now + min(MOST_BUSY_SECONDS, max(1.0, wanted))
        self._reason = reason
        self._probe = REFUSED
        self.is_resting = True

    def abandon(self, permit: int = PASSES) -> None:
        """A call ended in a way that says nothing about the route: if it was the probe, another may take its place."""
        if permit == self._probe:
            self._probe = REFUSED

    @property
    def has_streak(self) -> bool:
        """Whether failures are counted, here or elsewhere, that a success anywhere makes void."""
        return bool(self.streak or self._elsewhere)

    def forget_streak(self) -> None:
        """A call succeeded, here or elsewhere: the failures before it are no longer in a row with those to come.

        `straight_failures` stay: where only this process does not get through, it finds out by itself.
        """
        self.streak = 0
        self._elsewhere.clear()

    def failed_elsewhere(self, process: str, streak: int, now: float, reason: str) -> bool:
        """Another process tells its streak. True when this opened the breaker, which everybody should know."""
        if self._until is not None or not streak:
            return False
        self._elsewhere[process] = (streak, now)
        if self._straight(now) < STRAIGHT_FAILURES:
            return False
        self._open(now, SOFT_SECONDS, reason)
        return True

    def open_until(self, until: float, reason: str) -> None:
        """Another process found out that the route fails."""
        if self._until is None or until > self._until:
            self._until = until
            self._reason = reason
            self._probe = REFUSED
            self.is_resting = False
            self.forget_streak()

    def seconds_left(self, now: float) -> float:
        """How long it stays open; 0 when calls or a probe may pass."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def view(self, now: float) -> BreakerView:
        """How it stands."""
        self._slot(now)
        bad = sum(self._bad)
        state: State = "closed" if self._until is None else "open" if now < self._until else "half_open"
        left = self.seconds_left(now)
        return BreakerView(
            state=state,
            reason=self._reason,
            opens_again_in_seconds=None if self._until is None else round(left, 1),
            calls=sum(self._good) + bad,
            failures=bad,
            straight_failures=self._straight(now),
        )

    def _straight(self, now: float) -> int:
        """Failures in a row: those of all processes, or of this one since it succeeded, whichever are more."""
        if not self._elsewhere:
            return self.straight_failures
        told = sum(streak for streak, at in self._elsewhere.values() if now - at < WINDOW_SECONDS)
        return max(self.straight_failures, self.streak + told)

    def _open(self, now: float, seconds: float, reason: str) -> None:
        self._until = now + seconds
        self._reason = reason
        self._probe = REFUSED
        self.is_resting = False
        self.forget_streak()
        self._hard_failures = 0
        self._next_seconds = min(HARD_SECONDS, max(self._next_seconds, seconds) * 2)

    def _close(self) -> None:
        self._until = None
        self._reason = ""
        self._next_seconds = SOFT_SECONDS
        self._next_busy_seconds = BUSY_SECONDS
        self._probe = REFUSED
        self.is_resting = False
        # The failures that opened it are over; they must not open it again with the next one.
        self._good = [0] * _SLOTS
        self._bad = [0] * _SLOTS

    def _slot(self, now: float) -> None:
        """Forget the slots that fell out of the window."""
        at = int(now / _SLOT_SECONDS)
        if at != self._at:
            for number in range(max(self._at + 1, at - _SLOTS + 1), at + 1):
                self._good[number % _SLOTS] = self._bad[number % _SLOTS] = 0
            self._at = at
