"""What several processes say about the same routes and providers, made one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from skep.gateway.board import ProviderView, RouteView
from skep.gateway.breaker import BreakerView
from skep.gateway.statuses import (
    GatewayStatus,
    digest,
    process_status,
    providers_together,
    routes_together,
    told_status,
)

CLOSED = BreakerView("closed", "", None, 4, 1, 1)
OPEN = BreakerView("open", "500", 12.0, 30, 25, 25)
HALF = BreakerView("half_open", "500", 0.0, 0, 0, 25)


def route(breaker: BreakerView, *, calls: int = 4, failures: int = 1, last: str = "") -> RouteView:
    return RouteView("p/m", "p", "m", breaker, calls, failures, last)


def provider(*, well: bool | None, ago: float | None, reason: str = "") -> ProviderView:
    return ProviderView("p", "openai", "https://x/v1", 5.0, well, reason, ago)


def status(*, routes: list[RouteView], providers: list[ProviderView]) -> GatewayStatus:
    return GatewayStatus(2, 1, routes, providers, {"j": 9})


def told(given: GatewayStatus, age: float = 0.0) -> Any:
    return told_status(7, "n", age, orjson.loads(orjson.dumps(given)))


@pytest.mark.parametrize("order", [(CLOSED, OPEN, HALF), (HALF, CLOSED, OPEN), (OPEN, HALF, CLOSED)])
def test_a_route_is_as_closed_as_where_it_lets_the_fewest_through(order: tuple[BreakerView, ...]) -> None:
    each = [status(routes=[route(breaker, last=breaker.reason)], providers=[]) for breaker in order]
    (found,) = routes_together(process_status(1, "n", one) for one in each)
    assert found == route(replace(OPEN, calls=34, failures=26), calls=12, failures=3, last="500")


def test_a_provider_is_not_well_if_anybody_found_so() -> None:
    views = [
        provider(well=None, ago=None),
        provider(well=True, ago=1.0),
        provider(well=False, ago=9.0, reason="it answered 500"),
        provider(well=False, ago=4.0, reason="it answered 503"),
    ]

    def together(*found: ProviderView) -> ProviderView:
        (one,) = providers_together(process_status(1, "n", status(routes=[], providers=[view])) for view in found)
        return one

    assert together(*views) == views[3]
    assert together(*views[:2]) == views[1]
    assert together(views[0]) == views[0]


def test_what_was_told_some_time_ago_has_grown_older() -> None:
    given = status(routes=[route(OPEN)], providers=[provider(well=True, ago=1.0)])
    assert told(given).routes == given.routes
    found = told(given, 5.0)
    assert (found.process, found.node, found.seen_seconds_ago, found.active_calls) == (7, "n", 5.0, 2)
    assert found.routes[0].breaker == replace(OPEN, opens_again_in_seconds=7.0)
    assert found.providers[0].checked_seconds_ago == 6.0
    assert told(given, 50.0).routes[0].breaker == replace(OPEN, state="half_open", opens_again_in_seconds=0.0)


def test_other_versions_may_say_more_but_not_less() -> None:
    said = orjson.loads(orjson.dumps(status(routes=[route(CLOSED)], providers=[])))
    said["routes"][0]["new"] = said["routes"][0]["breaker"]["new"] = 1
    assert told_status(7, "n", 0.0, said).routes == [route(CLOSED)]
    del said["routes"][0]["calls"]
    with pytest.raises(TypeError):
        told_status(7, "n", 0.0, said)


def test_only_what_changes_is_told_anew() -> None:
    given = status(routes=[route(OPEN)], providers=[provider(well=True, ago=1.0)])
    older = status(routes=[route(replace(OPEN, opens_again_in_seconds=3.0))], providers=[provider(well=True, ago=9.0)])
    assert digest(given) == digest(older)
    assert digest(given) != digest(replace(given, active_calls=3))
    assert digest(given) != digest(replace(given, routes=[route(HALF)]))
    assert digest(given) != digest(replace(given, providers=[provider(well=False, ago=1.0)]))
