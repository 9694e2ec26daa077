"""One HTTP process: uvicorn on a socket that the supervisor opened."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop
from typing_extensions import override

from skep.observe import Metrics, MetricsMemory, event, open_metrics
from skep.server.application import make_application, make_opening
from skep.server.http_protocol import HttpProtocol
from skep.server.interfaces import NotReadyError
from skep.server.metrics import ALL_METRICS
from skep.server.opening import Opening
from skep.server.orders import Orders
from skep.server.signals import on_end
from skep.settings import Settings
from skep.terminal import Terminal

_GRACE_SECONDS = 5
"""Requests that run when the server is told to end have so long to be answered."""

_SOCKET_MESSAGE_BYTES = 65_536
"""What a client may say in one message; so far nobody listens to what it says."""

_KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s after which the usual proxies stop using a connection, so that they and not we close it."""

_COLLECTOR_THRESHOLDS = (10_000, 10, 100)
"""A full collection looks at everything that searches keep in memory, which takes 100 to 200 ms: after ten million new
objects instead of a few hundred thousand. The younger generations, where cycles of requests die, take 10 ms at most."""

_OPEN_FILES = 65_536
"""Connections are files; the usual limit of 1,024 is one that a single client can use up."""

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its own signals: they would end the process before everything is closed."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """End; the second time at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def serve_http(settings: Settings, orders: Orders) -> None:
    """Serve until told to end. Says on standard output when it listens, and when it is ready or why not."""
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    _allow_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, orders))


def _allow_connections() -> None:
    """Take as many files as the system lets this process have, up to a number that is plenty."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    if least != resource.RLIM_INFINITY and least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


async def _serve(settings: Settings, orders: Orders) -> None:
    metrics = _open_metrics(settings, orders)
    opening = make_opening(settings, notice=lambda text: event(_log, logging.INFO, text), metrics=metrics)
    certificate, key = settings.server.tls_certificate, settings.server.tls_key
    server = _Server(
        uvicorn.Config(
            make_application(opening, settings, metrics),
            http=HttpProtocol,
            ws="websockets-sansio",
            ws_max_size=_SOCKET_MESSAGE_BYTES,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=None if certificate is None else str(certificate),
            ssl_keyfile=None if key is None else str(key),
        )
    )

    def end() -> None:
        opening.end()
        server.end()

    with on_end(end, supervised=orders.supervised):
        holding = asyncio.create_task(opening.hold(), name="skep-opening")
        telling = asyncio.create_task(_tell(server, opening), name="skep-telling")
        try:
            await server.serve(sockets=[socket.socket(fileno=orders.listener)])
        finally:
            opening.end()
            telling.cancel()
            await asyncio.gather(holding, telling, return_exceptions=True)


def _open_metrics(settings: Settings, orders: Orders) -> Metrics:
    memory = None
    if orders.metrics_memory >= 0:
        memory = MetricsMemory.inherited(orders.metrics_memory, orders.metrics_part)
        os.close(orders.metrics_memory)
    return open_metrics(settings.metrics.backend, ALL_METRICS, memory)


async def _tell(server: _Server, opening: Opening) -> None:
    """Two lines for the supervisor: that we listen, then whether we are ready."""
    terminal = Terminal()
    await server.listening.wait()
    terminal.result(None, json.dumps({"listening": True}))
    await opening.tried.wait()
    try:
        await opening.check()
    except NotReadyError as error:
        terminal.result(None, json.dumps({"ready": False, "reason": str(error)}))
    else:
        terminal.result(None, json.dumps({"ready": True, "reason": None}))
