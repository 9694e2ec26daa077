"""How the gateway fares: in one process, and in all of them together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from skep.gateway.board import ProviderView, RouteView
from skep.gateway.breaker import BreakerView

T = TypeVar("T")

_WORST: Mapping[str, int] = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """How the gateway fares, in this process."""

    active_calls: int
    waiting_calls: int
    routes: list[RouteView]
    providers: list[ProviderView]
    foreign_journals: Mapping[str, int]
    """Journals of calls in the data folder that belong to another database and are left alone, with their bytes."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How the gateway fares in one server process, as it said itself."""

    process: int
    """Its number on its machine."""
    node: str
    """The data folder that it works with; processes of other machines have others."""
    seen_seconds_ago: float
    """Each says something every ten seconds at least, and within two when anything changes: one that is silent for longer hangs or has died."""
    active_calls: int
    waiting_calls: int
    routes: list[RouteView]
    providers: list[ProviderView]
    foreign_journals: dict[str, int]


def digest(status: GatewayStatus) -> object:
    """What makes it worth telling anew: everything but what only grows older."""
    routes = tuple((each.route, each.calls, each.failures, each.breaker.state) for each in status.routes)
    providers = tuple((each.provider, each.is_well, each.reason) for each in status.providers)
    return status.active_calls, status.waiting_calls, routes, providers, dict(status.foreign_journals)


def process_status(process: int, node: str, status: GatewayStatus) -> ProcessStatus:
    """The status of this process, now."""
    return ProcessStatus(
        process,
        node,
        0.0,
        status.active_calls,
        status.waiting_calls,
        status.routes,
        status.providers,
        dict(status.foreign_journals),
    )


def told_status(process: int, node: str, age_seconds: float, told: Mapping[str, Any]) -> ProcessStatus:
    """What another process told so long ago. Raises KeyError, TypeError, ValueError for what is no status."""
    age = max(0.0, age_seconds)
    return ProcessStatus(
        process=process,
        node=node,
        seen_seconds_ago=round(age, 1),
        active_calls=int(told["active_calls"]),
        waiting_calls=int(told["waiting_calls"]),
        routes=[_aged_route(_built(RouteView, route), age) for route in told["routes"]],
        providers=[_aged_provider(_built(ProviderView, provider), age) for provider in told["providers"]],
        foreign_journals={str(name): int(size) for name, size in told["foreign_journals"].items()},
    )


def routes_together(processes: Iterable[ProcessStatus]) -> list[RouteView]:
    """Each route once: its attempts in all processes, and its breaker where it lets the fewest calls through."""
    return [_route_together(each) for each in _by_name(processes, lambda one: one.routes, lambda one: one.route)]


def providers_together(processes: Iterable[ProcessStatus]) -> list[ProviderView]:
    """Each provider once: not well if a process found it so, else as it was heard of last."""
    found = _by_name(processes, lambda one: one.providers, lambda one: one.provider)
    return [min(each, key=_least_well) for each in found]


def journals_together(processes: Iterable[ProcessStatus]) -> dict[str, int]:
    """Each foreign journal once; the processes of a machine see the same ones."""
    return {name: size for process in processes for name, size in process.foreign_journals.items()}


def _by_name(
    processes: Iterable[ProcessStatus], parts: Callable[[ProcessStatus], list[T]], name: Callable[[T], str]
) -> list[list[T]]:
    found: dict[str, list[T]] = {}
    for process in processes:
        for part in parts(process):
            found.setdefault(name(part), []).append(part)
    return list(found.values())


def _route_together(views: Sequence[RouteView]) -> RouteView:
    def openness(view: RouteView) -> tuple[int, float]:
        return _WORST[view.breaker.state], view.breaker.opens_again_in_seconds or 0.0

    worst = max(views, key=openness)
    breaker = replace(
        worst.breaker,
        calls=sum(view.breaker.calls for view in views),
        failures=sum(view.breaker.failures for view in views),
        straight_failures=max(view.breaker.straight_failures for view in views),
    )
    told = (view.last_failure for view in (worst, *views) if view.last_failure)
    return replace(
        worst,
        breaker=breaker,
        calls=sum(view.calls for view in views),
        failures=sum(view.failures for view in views),
        last_failure=next(told, ""),
    )


def _least_well(view: ProviderView) -> tuple[bool, float]:
    asked = view.checked_seconds_ago
    return view.is_well is not False, float("inf") if asked is None else asked


def _aged_route(view: RouteView, age: float) -> RouteView:
    breaker = view.breaker
    left = breaker.opens_again_in_seconds
    if left is None:
        return view
    left = max(0.0, round(left - age, 1))
    state = "half_open" if breaker.state == "open" and not left else breaker.state
    return replace(view, breaker=replace(breaker, state=state, opens_again_in_seconds=left))


def _aged_provider(view: ProviderView, age: float) -> ProviderView:
    asked = view.checked_seconds_ago
    return view if asked is None else replace(view, checked_seconds_ago=round(asked + age, 1))


def _built(kind: type[T], told: Mapping[str, Any]) -> T:
    """A view from its object; what another version of Skep says besides is left out."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {name: value for name, value in told.items() if name in known}
    if "breaker" in values:
        values["breaker"] = _built(BreakerView, values["breaker"])
    return kind(**values)
