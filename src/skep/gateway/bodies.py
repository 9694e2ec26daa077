"""Takes in the bodies of requests: bounded in size, in time, and in what all of them hold together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from skep.gateway.interfaces import BodiesFullError, BodyTimeoutError
from skep.web import WHOLE_BODY, BodyTooLargeError

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Bodies:
    """Belongs to one event loop. What was read counts until `leave`: calls that wait for their turn hold their bodies, too."""

    def __init__(self, max_bytes: int, max_held_bytes: int, timeout_seconds: float) -> None:
        self.held_bytes = 0
        self.resize(max_bytes, max_held_bytes, timeout_seconds)

    def resize(self, max_bytes: int, max_held_bytes: int, timeout_seconds: float) -> None:
        """Bodies that come from now on are bounded so."""
        self._max_bytes = max_bytes
        # One body that may come must have room.
        self._max_held_bytes = max(max_held_bytes, max_bytes)
        self._timeout_seconds = timeout_seconds

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body; `leave` must follow.

        Raises BodyTooLargeError as soon as there is too much, BodyTimeoutError, BodiesFullError, ClientDisconnect when the client goes
        away.
        """
        take = scope.get("extensions", _NOTHING).get(WHOLE_BODY)
        whole: bytes | None = None if take is None else take()
        return await self._receive(scope["headers"], receive) if whole is None else self._taken(whole)

    def _taken(self, body: bytes) -> bytes:
        size = len(body)
        self.held_bytes += size
        try:
            self._check(size)
        except BaseException:
            self.held_bytes -= size
            raise
        return body

    async def _receive(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_bytes:
                raise BodyTooLargeError(limit_bytes=self._max_bytes)
        size = 0
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    self.held_bytes += len(part)
                    self._check(size)
                    if not message.get("more_body"):
                        return b"".join([*parts, part]) if parts else part
                    parts.append(part)
        except BaseException as error:
            self.held_bytes -= size
            if isinstance(error, TimeoutError):
                raise BodyTimeoutError(seconds=self._timeout_seconds) from error
            raise

    def leave(self, size: int) -> None:
        """A call is over whose body had so many bytes."""
        self.held_bytes -= size

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLargeError(limit_bytes=self._max_bytes)
        if self.held_bytes > self._max_held_bytes:
            raise BodiesFullError(held_bytes=self.held_bytes, limit_bytes=self._max_held_bytes, retry_after_seconds=1.0)
