"""The process that pushes metrics: one for each server, so that a collector that is slow or away has no call wait.

It is started after the others and told to end after them: what they counted in their last moments is pushed too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time

from skep.app import Readings, prepare_data_folder
from skep.observe import (
    PUSHES,
    MetricsMemory,
    NotTakenError,
    PrometheusMetrics,
    Push,
    Told,
    choose_backend,
    event,
    snapshot,
)
from skep.server.metrics import ALL_METRICS
from skep.server.metrics_endpoint import read_or_say_why
from skep.server.orders import Orders
from skep.server.signals import on_end
from skep.settings import Settings

_log = logging.getLogger(__name__)


def push_metrics(settings: Settings, orders: Orders) -> None:
    """Push until told to end, and then once more. Raises MetricsAddressError."""
    asyncio.run(_push(settings, orders))


async def _push(settings: Settings, orders: Orders) -> None:
    ending = asyncio.Event()
    with on_end(ending.set, supervised=orders.supervised):
        counted = PrometheusMetrics(ALL_METRICS, MetricsMemory.inherited(orders.metrics_memory, orders.metrics_part))
        told = Told(ALL_METRICS, MetricsMemory.undivided(orders.metrics_told))
        os.close(orders.metrics_memory)
        os.close(orders.metrics_told)
        node = prepare_data_folder(settings.data_folder)
        backend = choose_backend(settings.metrics)
        assert backend.push is not None, "it is started for those that push"
        pusher = _Pusher(backend.push(settings.metrics, node, told), counted, orders.metrics_since_ns, backend.name)
        readings = Readings(settings, node)
        event(_log, logging.INFO, "pushing metrics", backend=backend.name, seconds=settings.metrics.push_seconds)
        try:
            while True:
                is_last = await _wait(ending, settings.metrics.push_seconds)
                await pusher.push(readings)
                if is_last:
                    return
        finally:
            pusher.close()
            await readings.close()


class _Pusher:
    def __init__(self, push: Push, counted: PrometheusMetrics, since_ns: int, backend: str) -> None:
        self._push = push
        self._counted = counted
        self._since_ns = since_ns
        self._backend = backend
        self._is_away = False

    async def push(self, readings: Readings) -> None:
        """Push once; that it failed is counted, and said when that begins and ends."""
        read = await read_or_say_why(readings.read)
        taken = snapshot(self._counted.totals(), read, since_ns=self._since_ns, now_ns=time.time_ns())
        reason = ""
        try:
            # In a thread: whoever tells us to end is heard meanwhile.
            await asyncio.to_thread(self._push.send, taken)
        except NotTakenError as error:
            reason = str(error)
        self._counted.add(PUSHES, ("failed" if reason else "taken",))
        if bool(reason) != self._is_away:
            self._is_away = bool(reason)
            said = "metrics are not taken" if reason else "metrics are taken again"
            level = logging.WARNING if reason else logging.INFO
            event(_log, level, said, backend=self._backend, reason=reason or None)

    def close(self) -> None:
        self._push.close()


async def _wait(ending: asyncio.Event, seconds: float) -> bool:
    """Whether it is to end; after so many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        return False
    return True
