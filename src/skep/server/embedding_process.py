"""The process that gives passages their vectors: one for each data folder, beside a server or after a command."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from skep.app import open_skep
from skep.errors import SkepError
from skep.observe import event
from skep.priority import step_back_oneself
from skep.server.orders import Orders
from skep.server.running import Role, RunFile, claim
from skep.server.signals import on_end
from skep.settings import Settings

ROLE: Role = "embedder"

_NICE = 19
"""The lowest there is: vectors make searches better, never slower, and nothing on the machine waits for them."""

_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def embed_passages(settings: Settings, orders: Orders) -> None:
    """Embed until told to end; with ``until_done`` only until nothing is left, or at once if somebody else is at it."""
    if not settings.embedding.enabled:
        return
    step_back_oneself(_NICE)
    asyncio.run(_embed(settings, orders))


async def _embed(settings: Settings, orders: Orders) -> None:
    ending = asyncio.Event()
    said = ""
    with on_end(ending.set, supervised=orders.supervised):
        while not ending.is_set():
            run_file = claim(settings.data_folder, ROLE)
            if run_file is None and orders.until_done:
                return
            try:
                if run_file is not None and await _embed_once(settings, orders, ending, run_file):
                    return
            except SkepError as error:
                if orders.until_done:
                    raise
                if str(error) != said:
                    said = str(error)
                    event(_log, logging.WARNING, "not ready", reason=said)
            await _pause(ending)


async def _embed_once(settings: Settings, orders: Orders, ending: asyncio.Event, run_file: RunFile) -> bool:
    """Embed; True when that was all."""
    notice = partial(event, _log, logging.INFO)
    run_file.write(ROLE, "")
    try:
        async with open_skep(settings, notice=notice, name="skep embedder", niceness=_NICE) as skep:
            await skep.knowledge.embed(ending, until_done=orders.until_done)
            run_file.close()
            # Whoever stored something while we still held the file left it to us.
            return ending.is_set() or not await skep.knowledge.has_embedding_work()
    finally:
        run_file.close()


async def _pause(ending: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_PAUSE_SECONDS):
            await ending.wait()
    except TimeoutError:
        return
