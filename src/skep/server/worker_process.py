"""The process that does background jobs."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack, suppress
from functools import partial

from skep.app import chores, job_handlers, open_skep
from skep.errors import SkepError
from skep.jobs import FLEET_QUEUES, FOLDERS, Worker, WorkerOptions, do_chores, end_task, queue_of
from skep.observe import event
from skep.priority import step_back_oneself
from skep.server.orders import Orders
from skep.server.running import claim, find_running
from skep.server.signals import on_end
from skep.settings import Settings
from skep.spend import Ledger

_NICE = 10
"""Indexing yields to searches, and to whatever people do on their machine, in the embedded database too."""

FLEET_CONCURRENCY = 4
"""Jobs of the fleet at the same time, unless somebody says otherwise: they mostly wait for the database or a provider."""

_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def do_jobs(settings: Settings, orders: Orders) -> None:
    """Do jobs until told to end; a database that is not there is waited for."""
    step_back_oneself(_NICE)
    asyncio.run(_work(settings, orders))


async def _work(settings: Settings, orders: Orders) -> None:
    ending = asyncio.Event()
    with on_end(ending.set, supervised=orders.supervised), ExitStack() as stack:
        # Only now: whoever sees the file may ask us to end.
        run_file = claim(settings.data_folder, f"worker-{os.getpid()}")
        if run_file is not None:
            stack.callback(run_file.close)
            run_file.write("worker", "")
        said = ""
        while not ending.is_set():
            try:
                await _open_and_work(settings, orders, ending)
            except SkepError as error:
                if str(error) != said:
                    said = str(error)
                    event(_log, logging.WARNING, "not ready", reason=said)
                await _pause(ending)


async def _open_and_work(settings: Settings, orders: Orders, ending: asyncio.Event) -> None:
    """Until told to end. A database that does not answer is not waited for then."""
    opened = asyncio.Event()
    working = asyncio.create_task(_work_once(settings, orders, ending, opened), name="skep-worker-once")
    stopping = asyncio.create_task(ending.wait(), name="skep-worker-told")
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.is_set():
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    finally:
        stopping.cancel()


async def _work_once(settings: Settings, orders: Orders, ending: asyncio.Event, opened: asyncio.Event) -> None:
    notice = partial(event, _log, logging.INFO)
    async with open_skep(settings, notice=notice, name="skep worker", niceness=_NICE) as skep:
        opened.set()
        own = queue_of(skep.node)
        handlers = job_handlers(skep)
        workers = [Worker(skep.database, handlers, options) for options in lanes(orders, own, skep.node)]
        others = [other for other in find_running(settings.data_folder) if other.role == "worker"]
        if all(other.pid == os.getpid() for other in others):
            # Whoever worked on this machine's queue before us is dead: no need to wait until it has been silent for long.
            for worker in workers:
                if worker.queues == (own,):
                    await worker.adopt()
        said = settings.spend
        ledger = Ledger(skep.database, retention_days=said.retention_days, content_days=said.content_retention_days)
        tidying = asyncio.create_task(do_chores((*chores(skep), ledger.tidy)), name="skep-chores")
        working = [asyncio.create_task(worker.run(), name="skep-worker") for worker in workers]
        stopping = asyncio.create_task(ending.wait(), name="skep-worker-end")
        event(_log, logging.INFO, "working", queues=[queue for worker in workers for queue in worker.queues])
        try:
            await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            for worker in workers:
                worker.stop()
            await end_task(tidying)
            await asyncio.gather(*working)


def lanes(orders: Orders, own: str, node: str) -> tuple[WorkerOptions, ...]:
    """Which workers a process runs. This machine's folders have one of their own: what reads a disk for an hour holds
    no document up. ``own``: the queue of this machine.
    """
    wanted = orders.queues or (FOLDERS, *FLEET_QUEUES)
    fleet = tuple(queue for queue in wanted if queue != FOLDERS)
    folders = WorkerOptions(queues=(own,), concurrency=orders.concurrency or 1, node=node)
    others = WorkerOptions(queues=fleet, concurrency=orders.concurrency or FLEET_CONCURRENCY, node=node)
    return (*((folders,) if FOLDERS in wanted else ()), *((others,) if fleet else ()))


async def _pause(ending: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_PAUSE_SECONDS):
            await ending.wait()
    except TimeoutError:
        return
