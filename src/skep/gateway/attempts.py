"""What comes after a failed attempt: the same route again, the next route, or the end. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skep.gateway.failures import Failure
from skep.gateway.models import Model

BASE_SECONDS = 0.25
MOST_SECONDS = 4.0
"""Pauses double from the first to the second, and are drawn from 0 to that (full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)."""

PATIENCE_SECONDS = 1.0
"""While another route is left, a provider that wants a longer pause is not waited for."""


@dataclass(frozen=True, slots=True)
class Next:
    """Another attempt."""

    route: int
    pause_seconds: float


class Attempts:
    """The attempts of one call. ``admits`` gives the permit of a route's breaker, 0 when it lets no call through now."""

    __slots__ = ("_admits", "_deadline", "_model", "_on_route", "count", "permit", "route")

    def __init__(self, model: Model, deadline: float, admits: Callable[[int], int]) -> None:
        self._model = model
        self._deadline = deadline
        self._admits = admits
        self._on_route = 0
        self.count = 0
        self.route = -1
        self.permit = 0
        """Of the attempt under way or the next one."""

    def first(self) -> int | None:
        """The route to begin with; None when no route may be taken."""
        return self._take(0)

    def after(self, failure: Failure, now: float, chance: float) -> Next | None:
        """What to do after this failure of the attempt under way; None: nothing more.

        ``chance`` is from 0 to 1, at random. An attempt that could not begin before the deadline is not made.
        """
        rule = failure.rule
        left = self._deadline - now
        if left <= 0:
            return None
        has_more = failure.kind in self._model.falls_back_on and self.route + 1 < len(self._model.routes)
        pause = self._pause(failure, chance)
        if rule.is_retried and self._on_route <= self._model.retries and pause < left:
            waits_too_long = has_more and pause > PATIENCE_SECONDS
            if not waits_too_long and self._may_take(self.route):
                self.count += 1
                self._on_route += 1
                return Next(self.route, pause)
        if not has_more:
            return None
        route = self._take(self.route + 1)
        return None if route is None else Next(route, 0.0)

    def _pause(self, failure: Failure, chance: float) -> float:
        if failure.retry_after_seconds is not None:
            # A little more than asked for, so that not everybody who was told the same comes back at once.
            return failure.retry_after_seconds + BASE_SECONDS * chance
        return float(min(MOST_SECONDS, BASE_SECONDS * 2 ** (self._on_route - 1))) * chance

    def _take(self, start: int) -> int | None:
        for route in range(start, len(self._model.routes)):
            if self._may_take(route):
                self.route = route
                self._on_route = 1
                self.count += 1
                return route
        return None

    def _may_take(self, route: int) -> bool:
        permit = self._admits(route)
        if permit:
            self.permit = permit
        return bool(permit)
