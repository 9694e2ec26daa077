"""How every route and provider fares, in this process: the breakers, and what the health checks last heard."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from skep.gateway.breaker import PASSES, Breaker, BreakerView
from skep.gateway.failures import Failure
from skep.gateway.interfaces import AttemptFailedError, Upstream
from skep.gateway.models import GatewayConfig, Provider, Route, path_of
from skep.gateway.strategies import Latency, load_of
from skep.observe import event

TellOpened = Callable[[str, float, str], None]
"""Tells the other processes that a route's breaker opened: its name, for how many seconds, and why."""

TellStreak = Callable[[str, int, str], None]
"""Tells the other processes how many calls of a route failed here in a row, and why the last; 0 after a success."""

_PROBE_SECONDS = 10.0
_NEW_SHARE = 0.1
"""How much the length of one more stream counts in the mean."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Health:
    """What a provider's last health check said."""

    is_well: bool | None = None
    """None: not asked yet."""
    reason: str = ""
    checked_at: float | None = None
    """On the monotonic clock."""


@dataclass(frozen=True, slots=True)
class RouteView:
    """One route, for people."""

    route: str
    provider: str
    model: str
    breaker: BreakerView
    calls: int
    """Attempts since this process started."""
    failures: int
    last_failure: str
    """Empty when there was none."""
    answer_ms: float | None = None
    """How long whole answers take, as this process found them of late; None: there were none."""
    first_event_ms: float | None = None
    """The same until the first event of streams."""


@dataclass(frozen=True, slots=True)
class ProviderView:
    """One provider, for people."""

    provider: str
    kind: str
    base_url: str
    health_check_seconds: float
    is_well: bool | None
    reason: str
    checked_seconds_ago: float | None


@dataclass(slots=True)
class _Fare:
    breaker: Breaker
    calls: int = 0
    failures: int = 0
    last_failure: str = ""
    pending: int = 0
    """Attempts that wait for an answer, or for the first event of one."""
    whole: Latency = field(default_factory=Latency)
    first_event: Latency = field(default_factory=Latency)
    output_tokens: float | None = None
    """About what streams put out of late that came to their own end, as far as it can be seen; None: there was none."""
    hidden_tokens: float = 0.0
    """About what they put out besides (thoughts that are not shown)."""


class Board:
    """See the module. ``tell_opened`` is called when a breaker opens that should be open everywhere, ``tell_streak`` when a call
    failed, and when one succeeded after failures, here or elsewhere.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fares: dict[str, _Fare] = {}
        self._health: dict[str, Health] = {}
        self.tell_opened: TellOpened = lambda _route, _seconds, _reason: None
        self.tell_streak: TellStreak = lambda _route, _streak, _reason: None

    def admits(self, route: Route, *, forced: bool = False) -> int:
        """A permit for a call that may take the route now, else 0. `succeeded`, `failed` or `abandoned` must follow, with it.

        ``forced``: there always is one.
        """
        fare = self._fare(route.name)
        permit = fare.breaker.admits(self._clock(), forced=forced)
        if permit:
            fare.pending += 1
        return permit

    def forget(self, providers: Iterable[str]) -> None:
        """What was found out about providers says nothing any more, because the settings have changed them: their address or key."""
        for provider in providers:
            self._health.pop(provider, None)
            for name in [name for name in self._fares if name.startswith(f"{provider}/")]:
                del self._fares[name]

    def loads(self, routes: Iterable[Route], *, streams: bool) -> list[float]:
        """What stands against taking each of the routes, in seconds. See `load_of`."""
        now, found = self._clock(), []
        for route in routes:
            fare = self._fare(route.name)
            found.append(load_of((fare.first_event if streams else fare.whole).seconds(now), fare.pending))
        return found

    def succeeded(self, route: Route, permit: int, took_seconds: float | None = None, *, streams: bool = False) -> None:
        """An attempt came to a good end: a whole answer, or the first event of a stream."""
        fare = self._fare(route.name)
        fare.calls += 1
        fare.pending = max(0, fare.pending - 1)
        if took_seconds is not None:
            (fare.first_event if streams else fare.whole).took(took_seconds, self._clock())
        if fare.breaker.has_streak:
            self.tell_streak(route.name, 0, "")
        fare.breaker.succeeded(self._clock(), permit)

    def wrote(self, route: Route, seen: int, told: int) -> None:
        """A stream came to its own end: so many tokens could be seen, and the provider told so many."""
        fare = self._fare(route.name)
        known, hidden = fare.output_tokens, max(0, told - seen)
        if known is None:
            fare.output_tokens, fare.hidden_tokens = float(seen), float(hidden)
        else:
            fare.output_tokens = known + _NEW_SHARE * (seen - known)
            fare.hidden_tokens += _NEW_SHARE * (hidden - fare.hidden_tokens)

    def usual_hidden(self, route: Route) -> int:
        """About how many tokens of a stream of the route are not seen."""
        return round(self._fare(route.name).hidden_tokens)

    def usual_output(self, route: Route) -> float | None:
        """About how many tokens of a stream of the route are seen; None when nothing is known."""
        return self._fare(route.name).output_tokens

    def failed(self, route: Route, failure: Failure, permit: int = PASSES) -> None:
        """An attempt failed, by the route's fault or not."""
        fare = self._fare(route.name)
        fare.calls += 1
        fare.failures += 1
        fare.pending = max(0, fare.pending - 1)
        fare.last_failure = f"{failure.kind}: {failure.reason}"
        now, breaker, rule = self._clock(), fare.breaker, failure.rule
        was_closed, everywhere = breaker.is_closed, False
        if rule.rests_route:
            breaker.busy(now, fare.last_failure, permit, retry_after_seconds=failure.retry_after_seconds)
        elif rule.blames_route:
            everywhere = breaker.failed(now, fare.last_failure, permit, is_hard=rule.is_hard)
        else:
            breaker.abandon(permit)
        if was_closed and not breaker.is_closed:
            self._opened(route.name, fare, now, everywhere=everywhere)
        elif rule.blames_route and breaker.is_closed:
            self.tell_streak(route.name, breaker.streak, fare.last_failure)

    def abandoned(self, route: Route, permit: int) -> None:
        """An attempt ended in a way that says nothing about the route."""
        fare = self._fare(route.name)
        fare.pending = max(0, fare.pending - 1)
        fare.breaker.abandon(permit)

    def hear_success(self, route: str) -> None:
        """A call succeeded in another process."""
        self._fare(route).breaker.forget_streak()

    def hear_streak(self, route: str, process: str, streak: int, reason: str) -> None:
        """How many calls failed in a row in another process."""
        fare, now = self._fare(route), self._clock()
        if fare.breaker.failed_elsewhere(process, streak, now, reason):
            fare.last_failure = fare.last_failure or reason
            self._opened(route, fare, now, everywhere=True)

    def hear_opened(self, route: str, seconds: float, reason: str) -> None:
        """Another process opened a breaker for everybody."""
        fare = self._fare(route)
        fare.last_failure = f"{reason} (found out by another process)"
        fare.breaker.open_until(self._clock() + seconds, fare.last_failure)

    def has_open(self, routes: Iterable[Route]) -> bool:
        """Whether a call may take one of the routes now."""
        now = self._clock()
        return any(self._fare(route.name).breaker.would_admit(now) for route in routes)

    def seconds_left(self, routes: Iterable[Route]) -> float:
        """How long until the first of the routes may be tried again."""
        now = self._clock()
        return min((self._fare(route.name).breaker.seconds_left(now) for route in routes), default=0.0)

    def are_resting(self, routes: Iterable[Route]) -> bool:
        """Whether the only thing against the routes is that their providers take no more calls."""
        return all(self._fare(route.name).breaker.is_resting for route in routes)

    def reasons(self, routes: Iterable[Route]) -> str:
        """Why the routes are closed."""
        told = (self._fare(route.name).last_failure for route in routes)
        return "; ".join(dict.fromkeys(reason for reason in told if reason)) or "their breakers are open"

    def routes(self, config: GatewayConfig) -> list[RouteView]:
        """Every route of the configuration, once."""
        now = self._clock()
        views = {}
        for route in config.routes():
            fare = self._fare(route.name)
            views[route.name] = RouteView(
                route=route.name,
                provider=route.provider.name,
                model=route.model,
                breaker=fare.breaker.view(now),
                calls=fare.calls,
                failures=fare.failures,
                last_failure=fare.last_failure,
                answer_ms=_ms(fare.whole.seconds(now)),
                first_event_ms=_ms(fare.first_event.seconds(now)),
            )
        return list(views.values())

    def providers(self, config: GatewayConfig) -> list[ProviderView]:
        """Every provider of the configuration."""
        now = self._clock()
        views = []
        for provider in config.providers.values():
            health = self._health.get(provider.name, Health())
            views.append(
                ProviderView(
                    provider=provider.name,
                    kind=provider.profile.kind,
                    base_url=provider.base_url,
                    health_check_seconds=provider.health_check_seconds,
                    is_well=health.is_well,
                    reason=health.reason,
                    checked_seconds_ago=None if health.checked_at is None else round(now - health.checked_at, 1),
                )
            )
        return views

    async def check_health(self, provider: Provider, routes: Iterable[Route], upstream: Upstream) -> None:
        """Ask a provider again and again whether it answers, until cancelled. While it does not, its routes are closed."""
        routes = tuple(routes)
        while True:
            health = self._health.setdefault(provider.name, Health())
            before = health.is_well
            await self._ask(provider, health, upstream)
            if health.is_well is False:
                until = self._clock() + 1.5 * provider.health_check_seconds + _PROBE_SECONDS
                for route in routes:
                    self._fare(route.name).breaker.open_until(until, f"health check: {health.reason}")
            if health.is_well is not before:
                level = logging.INFO if health.is_well else logging.WARNING
                event(_log, level, "provider health", provider=provider.name, well=health.is_well, reason=health.reason)
            await asyncio.sleep(provider.health_check_seconds)

    async def _ask(self, provider: Provider, health: Health, upstream: Upstream) -> None:
        try:
            status = await upstream.probe(
                provider, path_of(provider, provider.profile.health_path), timeout_seconds=_PROBE_SECONDS
            )
        except AttemptFailedError as error:
            health.is_well, health.reason = False, error.failure.reason
        else:
            # A provider that does not know the path or wants more limits answers, and that is what is asked.
            refuses = status in (401, 403) or status >= 500
            health.is_well, health.reason = not refuses, f"it answered {status}" if refuses else ""
        health.checked_at = self._clock()

    def _opened(self, route: str, fare: _Fare, now: float, *, everywhere: bool) -> None:
        left = fare.breaker.seconds_left(now)
        event(_log, logging.WARNING, "route closed", route=route, reason=fare.last_failure, seconds=round(left))
        if everywhere:
            self.tell_opened(route, left, fare.last_failure)

    def _fare(self, name: str) -> _Fare:
        fare = self._fares.get(name)
        if fare is None:
            fare = self._fares[name] = _Fare(Breaker())
        return fare


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
