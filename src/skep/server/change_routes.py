"""What changes in collections, as it happens: server-sent events, and the same over a WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from skep.access import Principal
from skep.errors import SkepError, UnavailableError
from skep.knowledge import ChangeNotice, CollectionNotFoundError, CursorInvalidError, Told
from skep.server.opening import Opening
from skep.web import Call, Endpoint

_KEEP_ALIVE = b": still here\n\n"
_LOOK_SECONDS = 0.5
"""How often a silent stream looks whether the server ends."""

_CONFIRM_SECONDS = 10.0
"""How often a stream, which may last for days, looks whether its key is still one."""

_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008
"""RFC 6455, section 7.4.1."""


class ChangesQuery(BaseModel):
    """What to hear of."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    collections: str = Field(
        "", description="Names of collections, parted by commas; all of the project when left out."
    )
    after: str = Field(
        "", description="The id of the last notice that was received: go on from there. Last-Event-ID counts more."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The collections that were named."""
        return tuple(name for name in self.collections.split(",") if name)


def change_endpoints(opening: Opening, *, keep_alive_seconds: float) -> tuple[Endpoint, ...]:
    """The route. A stream says at least every ``keep_alive_seconds`` that it is still there."""

    async def changes(call: Call) -> ASGIApp:
        query = call.query(ChangesQuery)
        cursor = call.request.headers.get("last-event-id") or query.after
        following = follow(opening, call.principal, query.names, cursor)
        # The first step is done here: a collection that does not exist is a 404 and no stream.
        await anext(following)
        return StreamingResponse(
            _stream(opening, following, keep_alive_seconds),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def socket(call: Call, websocket: WebSocket) -> None:
        query = call.query(ChangesQuery)
        async with aclosing(follow(opening, call.principal, query.names, query.after)) as following:
            await anext(following)
            await websocket.accept()
            await _talk(opening, websocket, following)

    return (
        Endpoint(
            method="GET",
            path="/api/v1/changes",
            caller="reader",
            handle=changes,
            socket=socket,
            summary="Hear what changes in collections, whoever indexes it (server-sent events, or a WebSocket)",
            description="Each event `change` says how many files of a collection were added, changed and removed since the"
            " one before, and names up to a hundred of each; who reads slowly gets fewer and larger ones. `missed`: more"
            " has changed than is remembered. `gone`: the collection was purged. After a break, Last-Event-ID (or `after`)"
            " goes on where it stopped. A WebSocket of the same address gets the same objects with `id`, one each message.",
            query=ChangesQuery,
            media_type="text/event-stream",
            answer_example=event_bytes(Told(_EXAMPLE, "3f2a90c1be77-41")).decode(),
            errors=(CollectionNotFoundError, CursorInvalidError),
        ),
    )


async def follow(
    opening: Opening, principal: Principal, names: tuple[str, ...], cursor: str
) -> AsyncGenerator[Told | None, None]:
    """What changes; None at the beginning, and about every ``_LOOK_SECONDS``.

    Ends when the server does, and when the key was revoked meanwhile.
    """
    changes = opening.skep.changes
    confirmed = time.monotonic()
    async with aclosing(changes.follow(principal, names, cursor=cursor, silence_seconds=_LOOK_SECONDS)) as following:
        async for told in following:
            if opening.ending.is_set():
                return
            if time.monotonic() - confirmed >= _CONFIRM_SECONDS:
                confirmed = time.monotonic()
                if not await _may_still(opening, principal):
                    return
            yield told


async def _may_still(opening: Opening, principal: Principal) -> bool:
    try:
        await opening.skep.access.confirm(principal)
    except UnavailableError:
        return True  # asked again; while the database is away there is nothing to tell either
    except SkepError:
        return False
    return True


async def _stream(
    opening: Opening, following: AsyncGenerator[Told | None, None], keep_alive_seconds: float
) -> AsyncIterator[bytes]:
    spoken = time.monotonic()
    async with aclosing(following):
        # At once, so that the client knows that it hears from here on.
        yield _KEEP_ALIVE
        async for told in following:
            if opening.ending.is_set():
                return
            if told is not None:
                yield event_bytes(told)
            elif time.monotonic() - spoken < keep_alive_seconds:
                continue
            else:
                yield _KEEP_ALIVE
            spoken = time.monotonic()


async def _talk(opening: Opening, websocket: WebSocket, following: AsyncGenerator[Told | None, None]) -> None:
    """Send until either side ends. What the client says is read, so that its goodbye is heard, and ignored."""

    async def send() -> None:
        async for told in following:
            if told is not None:
                await websocket.send_text(orjson.dumps(told_object(told)).decode())

    sending = asyncio.create_task(send(), name="skep-changes-send")
    hearing = asyncio.create_task(_until_goodbye(websocket), name="skep-changes-hear")
    try:
        await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, hearing):
            task.cancel()
        goodbye = hearing.done()
        await asyncio.gather(sending, hearing, return_exceptions=True)
    if not goodbye:
        await websocket.close(_GOING_AWAY if opening.ending.is_set() else _POLICY_VIOLATION)


async def _until_goodbye(websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.receive_text()
    except (WebSocketDisconnect, KeyError):  # KeyError: bytes were sent and no text
        return


def told_object(told: Told) -> dict[str, object]:
    """A notice as a WebSocket gets it."""
    return {"id": told.cursor, **asdict(told.notice)}


def event_bytes(told: Told) -> bytes:
    """A notice as one server-sent event. JSON has no raw line ends, so one data line is enough."""
    data = orjson.dumps(asdict(told.notice))
    return b"event: %s\nid: %s\ndata: %s\n\n" % (told.notice.event.encode(), told.cursor.encode(), data)


_EXAMPLE = ChangeNotice(
    event="change",
    collection="app",
    seq=41,
    at="2026-11-20T10:13:00.120Z",
    added=0,
    changed=1,
    removed=0,
    changed_paths=("src/app/retry.py",),
)
