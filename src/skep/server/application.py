"""Puts the server together: every room's routes, the gate before them, Skep behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skep.answers.routes import answer_endpoints
from skep.app import Skep, make_database, open_skep
from skep.gateway.routes import gateway_endpoints
from skep.knowledge import ReportNotice
from skep.knowledge.routes import knowledge_endpoints
from skep.observe import NO_METRICS, Metrics, Tracer
from skep.server.change_routes import change_endpoints
from skep.server.docs import docs_endpoints
from skep.server.gate import Gate
from skep.server.gateway_opening import gateway_config, open_gateway
from skep.server.health import health_endpoints
from skep.server.job_routes import job_endpoints
from skep.server.key_routes import key_endpoints
from skep.server.keyless import Keyless
from skep.server.ledger_routes import ledger_endpoints
from skep.server.mcp_endpoint import mcp_endpoints
from skep.server.metrics_endpoint import metrics_endpoints
from skep.server.opening import Opening
from skep.server.origins import policy_of
from skep.server.reload_route import reload_endpoints
from skep.server.reloading import Followed, Reload, no_reload
from skep.server.report_routes import report_endpoints
from skep.server.routing import Router
from skep.server.rule_routes import rule_endpoints
from skep.settings import Settings
from skep.spend import Administration, Ledger, Reports, administer
from skep.web import Endpoint

_BODY_BYTES = 1 << 20
_ESCAPED_BYTES = 6
"""JSON may write one byte of text in six: ``\\u0001``."""

_KEEP_ALIVE_SECONDS = 10.0
"""Proxies cut connections that are silent for a minute (nginx: proxy_read_timeout) or half of one."""


def make_opening(
    settings: Settings,
    *,
    notice: ReportNotice,
    metrics: Metrics = NO_METRICS,
    followed: Followed | None = None,
    tracer: Tracer | None = None,
) -> Opening:
    """The server's Skep, not opened. ``notice`` takes sentences for whoever runs the server; ``followed`` are the settings
    that count when the gateway is opened.

    Raises InvalidSettingsError when the sections providers and models cannot be used.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Skep]:
        opening = open_skep(settings, notice=notice, name="skep server", metrics=metrics)
        async with opening as skep, skep.access.listening():
            yield skep

    @asynccontextmanager
    async def probe() -> AsyncIterator[None]:
        database = make_database(settings, name="skep probe")
        try:
            await database.open()
            yield
        finally:
            await database.close()

    followed = followed or Followed(settings)
    # What is wrong with the providers stays wrong however often one tries: whoever starts the server is told at once.
    gateway_config(settings)
    return Opening(
        opened,
        probe,
        lambda skep: open_gateway(skep, followed.settings, metrics, tracer),
        where=f"the database at {make_database(settings, name='skep').where}",
    )


def all_endpoints(
    opening: Opening,
    settings: Settings,
    metrics: Metrics = NO_METRICS,
    reload: Reload = no_reload,
    tracer: Tracer | None = None,
) -> tuple[Endpoint, ...]:
    """Every route of the server: the one list."""

    def administration() -> Administration:
        return administer(opening.skep.database, opening.skep.access.key_file)

    served = (
        *health_endpoints(opening, settings, max_body_bytes=max_body_bytes(settings)),
        *knowledge_endpoints(lambda: opening.skep, default_top_k=settings.search.default_top_k),
        *answer_endpoints(lambda: opening.skep),
        *job_endpoints(opening, keep_alive_seconds=_KEEP_ALIVE_SECONDS),
        *change_endpoints(opening, keep_alive_seconds=_KEEP_ALIVE_SECONDS),
        *key_endpoints(administration),
        *rule_endpoints(administration),
        *ledger_endpoints(lambda: Ledger(opening.skep.database)),
        *report_endpoints(lambda: Reports(opening.skep.database)),
        *gateway_endpoints(lambda: opening.gateway, lambda: opening.skep.database, tracer),
        *reload_endpoints(reload),
        *mcp_endpoints(opening, settings, max_body_bytes=max_body_bytes(settings)),
        *metrics_endpoints(opening, settings, metrics),
    )
    return (*served, *docs_endpoints(served))


def make_application(
    opening: Opening,
    settings: Settings,
    metrics: Metrics = NO_METRICS,
    reload: Reload = no_reload,
    followed: Followed | None = None,
    tracer: Tracer | None = None,
) -> Gate:
    """The ASGI application. It answers whether or not Skep is open. ``followed`` are the settings that count at each moment."""
    server = settings.server
    followed = followed or Followed(settings)
    keyless = Keyless(lambda: followed.settings.gateway, lambda: opening.gateway.windows, opening.authenticate)
    return Gate(
        Router(all_endpoints(opening, settings, metrics, reload, tracer)),
        policy_of(server.host, server.allow_hosts, server.allow_origins, server.trusted_proxies),
        opening.authenticate,
        recall=opening.recall,
        keyless=keyless.admit,
        ending=opening.ending,
        max_body_bytes=max_body_bytes(settings),
        metrics=metrics,
    )


def max_body_bytes(settings: Settings) -> int:
    """The largest body: 1 MiB, and room for the longest query."""
    return _BODY_BYTES + _ESCAPED_BYTES * settings.search.max_query_bytes
