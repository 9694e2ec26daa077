"""The process that keeps indexed folders fresh."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial

from skep.app import make_watcher, open_skep
from skep.errors import SkepError
from skep.observe import event
from skep.priority import step_back_oneself
from skep.server.orders import Orders
from skep.server.signals import on_end
from skep.settings import Settings

WATCH_NICENESS = 5
"""Behind searches, before the jobs of the worker: an edit is small, and somebody just made it."""

_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def watch_folders(settings: Settings, orders: Orders) -> None:
    """Watch every indexed folder of this machine until told to end; a database that is not there is waited for."""
    step_back_oneself(WATCH_NICENESS)
    asyncio.run(_work(settings, orders))


async def _work(settings: Settings, orders: Orders) -> None:
    ending = asyncio.Event()
    with on_end(ending.set, supervised=orders.supervised):
        said = ""
        while not ending.is_set():
            try:
                await _work_once(settings, ending)
            except SkepError as error:
                if str(error) != said:
                    said = str(error)
                    event(_log, logging.WARNING, "not watching", reason=said)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_SECONDS):
                        await ending.wait()


async def _work_once(settings: Settings, ending: asyncio.Event) -> None:
    notice = partial(event, _log, logging.INFO)
    async with open_skep(settings, notice=notice, name="skep watch", niceness=WATCH_NICENESS) as skep:
        watching = asyncio.create_task(make_watcher(skep, notice=notice).run(), name="skep-watch")
        stopping = asyncio.create_task(ending.wait(), name="skep-watch-end")
        event(_log, logging.INFO, "watching", method=settings.watch.method)
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
