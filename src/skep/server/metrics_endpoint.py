"""``/metrics``: what all processes of this server counted, and what the database says now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.responses import Response
from starlette.types import ASGIApp

from skep.errors import SkepError
from skep.observe import Metrics, Reading, ScrapedMetrics, event
from skep.server.metrics import DATABASE_UP
from skep.server.opening import Opening
from skep.settings import Settings
from skep.web import Call, Endpoint

_READ_SECONDS = 3.0
"""Prometheus gives up after 10 s, and then has nothing; without the database it has the rest."""

_log = logging.getLogger(__name__)


def metrics_endpoints(opening: Opening, settings: Settings, metrics: Metrics) -> tuple[Endpoint, ...]:
    """The route; none when nobody is expected to scrape."""
    if not isinstance(metrics, ScrapedMetrics):
        return ()

    async def scrape(call: Call) -> ASGIApp:
        readings = await read_or_say_why(lambda: opening.skep.readings(call.asked_by))
        page = await asyncio.to_thread(metrics.page, readings, call.request.headers.get("accept", ""))
        return Response(page.body, headers={"content-type": page.media_type})

    return (
        Endpoint(
            method="GET",
            path="/metrics",
            caller="reader",
            handle=scrape,
            summary="What the server counts and measures, as Prometheus reads it",
            description="Names of collections only of the key's project. With metrics.open_to_loopback also without a key,"
            " for programs of the server's machine, then without any names",
            media_type="text/plain",
            keyless_on_loopback=settings.metrics.open_to_loopback,
        ),
    )


async def read_or_say_why(read: Callable[[], Awaitable[Sequence[Reading]]]) -> Sequence[Reading]:
    """What is read from the database; only that it was not, when it does not answer."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            readings = await read()
    except (SkepError, TimeoutError) as error:
        reason = str(error) or f"the database did not answer within {_READ_SECONDS:g} s"
        event(_log, logging.WARNING, "metrics without the database", reason=reason)
        return [Reading(DATABASE_UP, 0.0)]
    return [Reading(DATABASE_UP, 1.0), *readings]
