"""One HTTP process: uvicorn on a socket that the supervisor opened."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop
from typing_extensions import override

from skep.observe import Metrics, MetricsMemory, OtlpSpans, Tracer, event, open_metrics
from skep.server.application import make_application, make_opening
from skep.server.http_protocol import HttpProtocol
from skep.server.interfaces import NotReadyError
from skep.server.metrics import ALL_METRICS
from skep.server.opening import Opening
from skep.server.orders import Orders
from skep.server.reloading import Followed, Reloader
from skep.server.signals import on_end
from skep.settings import Settings
from skep.terminal import Terminal

_GRACE_SECONDS = 5
"""What still runs once the time to drain is over, and was told so, is cancelled after so long."""

_LOOK_SECONDS = 0.05
_LAST_WORDS_SECONDS = 2.0
"""Calls that were broken off get so long to say so to their clients."""

_SOCKET_MESSAGE_BYTES = 65_536
"""What a client may say in one message; so far nobody listens to what it says."""

_KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s after which the usual proxies stop using a connection, so that they and not we close it."""

_COLLECTOR_THRESHOLDS = (10_000, 10, 100)
"""A full collection looks at everything that searches keep in memory, which takes 100 to 200 ms: after ten million new
objects instead of a few hundred thousand. The younger generations, where cycles of requests die, take 10 ms at most."""

_SWITCH_SECONDS = 0.0005
"""A thread that computes (spans, the log, long bodies) lets the loop have the interpreter after so long; usually it may keep it for 5 ms,
each time that the loop has waited for anything."""

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

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self.server_state.tasks)

    def close_idle(self) -> None:
        """Close the connections that wait for a request, and the others once they have answered."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def end(self) -> None:
        """End; the second time at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


class _Ending:
    """How this process stops: nothing new is let in, what is under way has time to end, then it is broken off in words."""

    def __init__(self, server: _Server, opening: Opening, drain_seconds: float) -> None:
        self._server = server
        self._opening = opening
        self._drain_seconds = drain_seconds
        self._draining: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to stop; the second time, stop at once."""
        if self._draining is None:
            self._opening.begin_end()
            self._draining = asyncio.create_task(self._drain(), name="skep-drain")
        else:
            self._draining.cancel()
            self._server.end()

    async def _drain(self) -> None:
        # It goes on listening: the socket is that of all processes, and whoever comes to it is told to go elsewhere.
        event(_log, logging.INFO, "stopping", requests=len(self._server.server_state.tasks))
        self._server.close_idle()
        await self._while_busy(self._drain_seconds)
        if self._server.is_busy:
            event(_log, logging.WARNING, "requests broken off", requests=len(self._server.server_state.tasks))
            self._opening.stop_calls()
            await self._while_busy(_LAST_WORDS_SECONDS)
        self._server.end()

    async def _while_busy(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._server.is_busy and loop.time() < until:  # noqa: ASYNC110 -- uvicorn tells nobody when a request ends
            await asyncio.sleep(_LOOK_SECONDS)


def serve_http(settings: Settings, orders: Orders) -> None:
    """Serve until told to end. Says on standard output when it listens, and when it is ready or why not."""
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    _allow_connections()
    sys.setswitchinterval(_SWITCH_SECONDS)
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
    followed = Followed(settings)
    tracer = _open_tracer(settings, metrics)
    opening = make_opening(
        settings,
        notice=lambda text: event(_log, logging.INFO, text),
        metrics=metrics,
        followed=followed,
        tracer=tracer,
    )
    reloader = Reloader(orders.said, followed, opening, _spread if orders.supervised else lambda: None)
    certificate, key = settings.server.tls_certificate, settings.server.tls_key
    server = _Server(
        uvicorn.Config(
            make_application(opening, settings, metrics, reloader.reload, followed, tracer),
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

    reloads: set[asyncio.Task[None]] = set()

    def hung_up() -> None:
        reloads.add(task := asyncio.create_task(reloader.follow(), name="skep-reload"))
        task.add_done_callback(reloads.discard)

    ending = _Ending(server, opening, settings.server.drain_seconds)
    with on_end(ending.begin, supervised=orders.supervised, hung_up=hung_up):
        holding = asyncio.create_task(opening.hold(), name="skep-opening")
        telling = asyncio.create_task(_tell(server, opening), name="skep-telling")
        try:
            await server.serve(sockets=[socket.socket(fileno=orders.listener)])
        finally:
            opening.end()
            telling.cancel()
            await asyncio.gather(holding, telling, return_exceptions=True)
            if tracer is not None:
                await asyncio.to_thread(tracer.sink.close)


def _open_metrics(settings: Settings, orders: Orders) -> Metrics:
    memory = None
    if orders.metrics_memory >= 0:
        memory = MetricsMemory.inherited(orders.metrics_memory, orders.metrics_part)
        os.close(orders.metrics_memory)
    return open_metrics(settings.metrics.backend, ALL_METRICS, memory)


def _open_tracer(settings: Settings, metrics: Metrics) -> Tracer | None:
    tracing = settings.tracing
    if tracing.endpoint is None:
        return None
    return Tracer(tracing.samples_per_thousand, OtlpSpans(tracing.endpoint, metrics))


def _spread() -> None:
    """Ask the supervisor to have every process of the server read the settings again."""
    Terminal().result(None, json.dumps({"reload": True}))


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
