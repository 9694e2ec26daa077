"""``/mcp``: the tools for agents, as a route like every other: same key, same hosts and origins."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skep.access import Principal
from skep.mcp import HttpCarrier, load_http
from skep.server.interfaces import NotReadyError
from skep.server.opening import Opening
from skep.settings import Settings
from skep.web import BodyTooLargeError, Call, Endpoint


class _Door:
    """Loads what carries the protocol with the first request: few servers need it."""

    def __init__(self, opening: Opening, settings: Settings, *, max_body_bytes: int) -> None:
        self._opening = opening
        self._default_top_k = settings.search.default_top_k
        self._max_body_bytes = max_body_bytes
        self._loading: asyncio.Task[HttpCarrier] | None = None

    async def handle(self, call: Call) -> ASGIApp:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="skep-mcp-loading")

        async def who() -> Principal:
            if call.asked_by is None:
                await self._opening.check()
                raise NotReadyError(what="Skep", reason="the database has only just come back")
            return call.asked_by

        # Read here, where a body that is too large, or a client that goes away with half of it sent, is known.
        body = await call.raw_body()
        # Others wait for it too.
        carrier = await asyncio.shield(self._loading)
        return _replayed(carrier.answer(who), body)

    async def _load(self) -> HttpCarrier:
        carrier = await load_http(
            lambda: self._opening.skep.knowledge,
            default_top_k=self._default_top_k,
            max_body_bytes=self._max_body_bytes,
        )
        await carrier.start(self._opening.closing)
        return carrier


def _replayed(application: ASGIApp, body: bytes) -> ASGIApp:
    """The application on a request whose body was read already."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        read = False

        async def again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await application(scope, again, send)

    return answer


def mcp_endpoints(opening: Opening, settings: Settings, *, max_body_bytes: int) -> tuple[Endpoint, ...]:
    """The route. Without sessions there is neither a stream to open (GET) nor a session to end (DELETE)."""
    door = _Door(opening, settings, max_body_bytes=max_body_bytes)
    return (
        Endpoint(
            method="POST",
            path="/mcp",
            caller="reader",
            handle=door.handle,
            summary="Search and read as tools for agents (Model Context Protocol, streamable HTTP)",
            description="One JSON-RPC message a request; no sessions. While the database is away, what needs none is"
            " answered all the same, and calls of tools say so",
            answers_without_database=True,
            other_answers={
                202: "a notification was taken",
                400: "no JSON-RPC message that can be answered",
                404: "no such method, or no such session",
                406: "the header Accept must name application/json and text/event-stream",
                415: "the body must be application/json",
            },
            errors=(BodyTooLargeError,),
            body_example={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        ),
    )
