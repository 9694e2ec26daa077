"""Puts the gateway together. Not in `app`: what it needs would cost every command a fifth of a second at its start."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from skep import __version__
from skep.app import Skep, make_embedder
from skep.gateway import (
    Gateway,
    GatewayConfig,
    GatewayOptions,
    HttpUpstream,
    LocalEmbedder,
    MemoryStore,
    RedisStore,
    Store,
    open_cache,
    read_config,
    shared,
    shown,
)
from skep.observe import NO_METRICS, Metrics, Tracer, event
from skep.settings import CacheSettings, GatewaySettings, Settings, signing_keys
from skep.spend import (
    AddressWindows,
    ContentKeeper,
    Meter,
    PriceCatalogue,
    SpendOptions,
    Webhook,
    keeping_contents,
    open_metering,
)

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_gateway(
    skep: Skep, settings: Settings, metrics: Metrics = NO_METRICS, tracer: Tracer | None = None
) -> AsyncIterator[Gateway]:
    """What calls models: its meter, connections and health checks, until the block ends.

    ``settings``: those that count now, which may be newer than Skep's own.

    Raises InvalidSettingsError when the sections providers and models cannot be used, JournalUnwritableError.
    """
    async with AsyncExitStack() as stack:
        options = spend_options(skep, metrics)
        metering = await stack.enter_async_context(open_metering(skep.database, options))
        keeper = await stack.enter_async_context(keeping_contents(skep.database, metrics))
        embedder = make_embedder(skep.settings)
        gateway = make_gateway(settings, metering.meter, embedder, metrics, tracer, keeper)
        stack.push_async_callback(gateway.close)
        gateway.windows = AddressWindows(skep.database)
        stack.push_async_callback(gateway.windows.close)
        if embedder is None and any(model.semantic_cache is not None for model in gateway.config.models.values()):
            event(_log, logging.WARNING, "semantic_cache does nothing while embedding.enabled is false")
        cache = open_cache(skep.database, make_store(skep.settings.cache), metrics, embedder)
        gateway.cache, cleared = await stack.enter_async_context(cache)
        await stack.enter_async_context(shared(skep.database, gateway.board, gateway.route_names, cleared))
        gateway.foreign_journals = lambda: metering.foreign_journals
        showing = await stack.enter_async_context(shown(skep.database, skep.node, gateway.status))
        gateway.everywhere = showing.everywhere
        gateway.start()
        yield gateway


def spend_options(skep: Skep, metrics: Metrics) -> SpendOptions:
    """What the settings say about spending."""
    said = skep.settings
    webhook = None
    if said.spend.alert_webhook_url is not None and said.spend.alert_webhook_secret is not None:
        webhook = Webhook(said.spend.alert_webhook_url, signing_keys(said.spend.alert_webhook_secret))
    return SpendOptions(data_folder=said.data_folder, node=skep.node, webhook=webhook, metrics=metrics)


def make_store(said: CacheSettings) -> Store:
    """Where answers are kept that are given again. Raises CacheAddressError."""
    if said.redis_url is None:
        return MemoryStore(said.memory_bytes)
    return RedisStore(said.redis_url.reveal())


def make_gateway(
    settings: Settings,
    meter: Meter,
    embedder: LocalEmbedder | None,
    metrics: Metrics = NO_METRICS,
    tracer: Tracer | None = None,
    keeper: ContentKeeper | None = None,
) -> Gateway:
    """The gateway that the settings describe; it has no connection yet. Raises InvalidSettingsError."""
    upstream = HttpUpstream(max_answer_bytes=settings.gateway.max_answer_bytes, agent=f"skep/{__version__}")
    return Gateway(
        gateway_config(settings),
        meter,
        upstream,
        gateway_options(settings.gateway),
        embedder=embedder,
        metrics=metrics,
        tracer=tracer,
        keeper=keeper,
    )


def reconfigure_gateway(gateway: Gateway, settings: Settings) -> None:
    """Go on by these settings. Raises InvalidSettingsError, and then nothing has changed."""
    gateway.reconfigure(gateway_config(settings), gateway_options(settings.gateway))


def gateway_config(settings: Settings) -> GatewayConfig:
    """The providers and models that the settings name. Raises InvalidSettingsError with everything that is wrong."""
    return read_config(settings.open_sections, catalogue=PriceCatalogue())


def gateway_options(said: GatewaySettings) -> GatewayOptions:
    """What the settings say about calls."""
    return GatewayOptions(
        max_calls=said.max_calls,
        max_waiting_calls=said.max_waiting_calls,
        max_wait_seconds=said.max_wait_seconds,
        max_body_bytes=said.max_body_bytes,
        max_held_bytes=said.max_held_bytes,
        body_timeout_seconds=said.body_timeout_seconds,
        max_answer_bytes=said.max_answer_bytes,
        cancels_when_client_gone=said.on_client_gone == "cancel",
        drain_seconds=said.drain_seconds,
        client_stall_seconds=said.client_stall_seconds,
        content=said.content,
        content_max_bytes=said.content_max_bytes,
    )
