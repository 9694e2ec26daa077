"""The protocol over HTTP ("streamable HTTP"), one request at a time: nothing is kept between two of them.

Without sessions there is nothing to bound, to expire or to steal, and any of several server processes can answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from skep.errors import SkepError
from skep.knowledge import Knowledge
from skep.mcp.loading import Authenticated
from skep.mcp.models import Answer
from skep.mcp.protocol import make_server
from skep.mcp.service import Caller, Tools, error_answer

_WHO = "skep.who"
"""Under this name the caller travels through the protocol's library."""


class Http:
    """See `skep.mcp.loading.HttpCarrier`."""

    def __init__(self, knowledge: Callable[[], Knowledge], *, default_top_k: int, max_body_bytes: int) -> None:
        # The library's other lines are about its own work; some repeat what a client sent.
        logging.getLogger("mcp").setLevel(logging.ERROR)
        self._knowledge = knowledge
        self._default_top_k = default_top_k
        self._manager = StreamableHTTPSessionManager(
            make_server(self._call), json_response=True, stateless=True, max_request_body_size=max_body_bytes
        )
        self._running: asyncio.Task[None] | None = None

    def answer(self, who: Authenticated) -> ASGIApp:
        """What answers one request."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await self._manager.handle_request({**scope, _WHO: who}, receive, send)

        return application

    async def start(self, ending: asyncio.Event) -> None:
        """Get ready; ``ending`` ends it."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(ready, ending), name="skep-mcp-http")
        await asyncio.shield(ready)

    async def _run(self, ready: asyncio.Future[None], ending: asyncio.Event) -> None:
        try:
            async with self._manager.run():
                ready.set_result(None)
                await ending.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _call(self, name: str, arguments: Mapping[str, Any] | None, request: Request) -> Answer:
        who: Authenticated = request.scope[_WHO]
        try:
            caller = Caller(await who())
            tools = Tools(self._knowledge(), default_top_k=self._default_top_k)
        except SkepError as error:
            return error_answer(error)
        return await tools.call(caller, name, arguments)
