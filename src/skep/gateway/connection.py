"""One connection to a provider: HTTP/1.1 on asyncio, parsed by httptools (llhttp).

Ours because a call that is given up must end at the provider at once, and Rust's client, as Python has it, lets a request whose
answer has not begun run on. Closing the transport is all that it takes here.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from typing import cast

import httptools
from typing_extensions import override

_HIGH_BYTES = 262_144
"""So much may wait to be read; then nothing more is taken from the socket until it was read."""

_JOINED_BYTES = 65_536
"""A longer body is not copied behind its head."""

_MOST_HEAD_BYTES = 131_072
_MOST_HEADERS = 256


_LOOK_SECONDS = 30
"""A connection on which nothing passes for so long is looked at, and again after the same time; after four looks that nobody answers it is broken.
Networks on the way forget silent connections after some minutes (AWS after 350 s), and a model may think for longer."""

_LOOKS = 4


def _keep_alive(made: socket.socket | None) -> None:
    if made is None:
        return
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has another name for the first.
    idle: int = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE  # type: ignore[attr-defined,unused-ignore]
    for option, value in ((idle, _LOOK_SECONDS), (socket.TCP_KEEPINTVL, _LOOK_SECONDS), (socket.TCP_KEEPCNT, _LOOKS)):
        made.setsockopt(socket.IPPROTO_TCP, option, value)


class ConnectionBrokenError(Exception):
    """The connection ended before the answer did. ``has_begun``: after its head had come."""

    def __init__(self, reason: str, *, has_begun: bool) -> None:
        self.has_begun = has_begun
        super().__init__(reason)


class AnswerMalformedError(Exception):
    """What came is no answer in HTTP, or its head is too large."""


class Connection(asyncio.Protocol):
    """Takes one request after the other. `close` it at any time; what waits is told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._idle = True
        self._parser = httptools.HttpResponseParser(self)
        self._start()
        self._error: Exception | None = None
        self.idle_since = 0.0

    def _start(self) -> None:
        # The parser goes on from answer to answer: another one takes longer to make than an answer to read.
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        """Since something of the body came last: its head, and in chunks what stands between and after them."""
        self._trailers = 0
        self._has_head = False
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._paused = False
        self._keeps_alive = False

    @property
    def waiting_bytes(self) -> int:
        """How much of the answer's body came and was not read."""
        return self._size

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent."""
        return self._idle and self._error is None and self._transport is not None and not self._transport.is_closing()

    async def request(self, head: bytes, body: bytes) -> None:
        """Send a request and wait for the head of its answer, then in ``status`` and ``headers``.

        Raises ConnectionBrokenError, AnswerMalformedError. Whoever is cancelled here closes the connection.
        """
        self._start()
        self._idle = False
        transport = self._transport
        if transport is None or self._error is not None:
            raise self._error or ConnectionBrokenError("it is closed", has_begun=False)
        if len(body) <= _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        while not self._has_head:
            await self._wait()

    async def read(self) -> bytes:
        """The next piece of the answer; empty at its end. Raises as `request` does."""
        while not self._pieces:
            if self._ended:
                return b""
            await self._wait()
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._paused and self._size <= _HIGH_BYTES // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return piece

    def take_all(self) -> bytes | None:
        """The whole answer, if its end has come; else None."""
        if not self._ended:
            return None
        pieces, self._pieces, self._size = self._pieces, deque(), 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> bool:
        """The answer was read to its end; True when the connection can be used again. Else it is closed."""
        if self._ended and self._keeps_alive and self._error is None and not self._pieces and self._has_sent_all():
            self._idle = True
            self.idle_since = time.monotonic()
            return True
        self.close()
        return False

    def _has_sent_all(self) -> bool:
        """Whether the request has left: a provider that answers before may never read the rest, nor what comes after it."""
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def close(self) -> None:
        """End the connection; the provider sees it at once."""
        if self._transport is not None:
            self._transport.abort()

    def be_late(self) -> None:
        """The time for the answer is over: whoever waits for it gets a TimeoutError, and the provider sees that we are gone."""
        self._fail(TimeoutError())

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake()
        self.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what this class says, and are not of it.
        self._transport = cast("asyncio.Transport", transport)
        _keep_alive(transport.get_extra_info("socket"))

    @override
    def data_received(self, data: bytes) -> None:
        if self._idle or self._ended:
            # Nobody asked: a provider that closes says so sometimes.
            self._fail(AnswerMalformedError("it spoke without being asked"))
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(AnswerMalformedError("it wants another protocol"))
            return
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, AnswerMalformedError) else error
            self._fail(AnswerMalformedError(str(cause)[:200]))
            return
        if self._head_bytes > _MOST_HEAD_BYTES and not self._ended:
            self._fail(AnswerMalformedError("the head of its answer, or what stands between its parts, is too large"))
            return
        if self._size > _HIGH_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._has_head:
            self._wake()

    @override
    def eof_received(self) -> bool:
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._error is None and not self._ended:
            if self._has_head and self._ends_with_connection():
                self._ended = True
                self._keeps_alive = False
            else:
                reason = str(exc) if exc is not None else "it was closed"
                self._error = ConnectionBrokenError(reason, has_begun=self._has_head)
        elif self._error is None:
            self._error = ConnectionBrokenError("it was closed", has_begun=False)
        self._transport = None
        self._wake()

    def _ends_with_connection(self) -> bool:
        """Whether the answer says neither how long it is nor that it comes in chunks (RFC 9112, section 6.3)."""
        return not any(name in ("content-length", "transfer-encoding") for name, _ in self.headers)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if len(self.headers) + self._trailers >= _MOST_HEADERS:
            raise AnswerMalformedError("its answer has too many headers")
        if self._has_head:
            # A trailer (RFC 9110, section 6.5): nothing here goes by it, and it is no header.
            self._trailers += 1
            return
        if value.isascii():
            self.headers.append((name.decode("ascii").lower(), value.decode("ascii")))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self._has_head:
            raise AnswerMalformedError("it answered twice")
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            # An interim answer (RFC 9110, section 15.2): the real one follows.
            self.headers = []
            return
        self.status = status
        self._keeps_alive = self._parser.should_keep_alive()
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._pieces.append(body)
        self._size += len(body)
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._has_head:
            self._ended = True
