"""``skep mcp``: the protocol on standard input and output. Nothing else is ever written there.

The answer to `initialize` must not wait for the database, nor for the loading of what only calls need: both happen behind it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

from mcp.server.stdio import stdio_server

from skep.mcp.models import Answer
from skep.mcp.protocol import make_server
from skep.settings import Settings

_HOLDER_MODULE = "skep.mcp.holding"
_CLOSING_SECONDS = 5.0


class _Holder(Protocol):
    def begin(self) -> None: ...

    async def call(self, name: str, arguments: Mapping[str, Any] | None, request: object) -> Answer: ...

    async def close(self) -> None: ...


class _Session:
    """The one client, and what its calls need."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._loading: asyncio.Task[_Holder] | None = None

    def begin(self) -> None:
        self._loading = asyncio.create_task(self._load(), name="skep-mcp-loading")

    async def call(self, name: str, arguments: Mapping[str, Any] | None, request: object) -> Answer:
        assert self._loading is not None, "calls come after the beginning"
        holder = await asyncio.shield(self._loading)
        return await holder.call(name, arguments, request)

    async def close(self) -> None:
        if self._loading is not None:
            await (await self._loading).close()

    async def _load(self) -> _Holder:
        # By its name, as commands are: it takes 0.3 s that the first answer has no use for.
        module = await asyncio.to_thread(importlib.import_module, _HOLDER_MODULE)
        gc.freeze()
        gc.enable()
        holder = cast(_Holder, module.Holder(self._settings, self._folder))
        holder.begin()
        return holder


def serve(settings: Settings, folder: Path) -> NoReturn:
    """Serve until the client closes standard input, or a signal says to end. The process ends here."""
    # The library's other lines are about its own work; some repeat what a client sent.
    logging.getLogger("mcp").setLevel(logging.ERROR)
    asyncio.run(_serve(settings, folder))
    _leave()


async def _serve(settings: Settings, folder: Path) -> None:
    session = _Session(settings, folder)
    server = make_server(session.call)
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with stdio_server() as (incoming, outgoing):
        serving = asyncio.create_task(
            server.run(incoming, outgoing, server.create_initialization_options()), name="skep-mcp-serving"
        )
        told = asyncio.create_task(ending.wait(), name="skep-mcp-end")
        session.begin()
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await session.close()
        if not serving.done():
            # A thread waits for input that may never come, and would be waited for.
            _leave()
        told.cancel()
        serving.result()


def _leave() -> NoReturn:
    """End the process now: everything that must be closed is, and no thread of a library shall keep it."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)
