"""The scripted provider on a socket: asyncio's protocol and httptools, nothing between, so that load tests measure others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import httptools
import orjson
from typing_extensions import override

from skep.fakes.answering import Provider
from skep.fakes.forms import form_object
from skep.fakes.generation_wire import addressed
from skep.fakes.interfaces import FakeAddressError, FakeTlsError, TruthLogError
from skep.fakes.models import Answer, End, Pause, Request, Script, Send
from skep.fakes.truth import TruthLog

CALL_ID_HEADER = "x-skep-call-id"
"""Where a gateway says which of its calls this is; the truth log keeps it."""

MAX_BODY_BYTES = 256 * 2**20
_BACKLOG = 2048
_TLS_HANDSHAKE = 0x16
_TLS_REFUSAL = b"\x15\x03\x03\x00\x02\x02\x28"
"""A fatal alert, handshake_failure (RFC 8446, 6.2): what a client of TLS gets that comes to a port without it."""
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """Where the scripted provider listens and what it keeps."""

    host: str = "127.0.0.1"
    port: int = 0
    log: Path | None = None
    """The truth log; None: none is kept."""
    fsync: bool = True
    """Whether a line of the truth log is on the disk before its request is answered."""
    ends: bool = False
    """Whether the truth log gets a second line for a request when its answer ends."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None


@contextlib.asynccontextmanager
async def serve_script(script: Script, options: FakeOptions) -> AsyncIterator[str]:
    """Answer as the script says while the block runs; the value is the base URL that clients take, ending with ``/v1``.

    Raises FakeAddressError, FakeTlsError, TruthLogError.
    """
    context = _tls_context(options)
    loop = asyncio.get_running_loop()
    connections: set[_Connection] = set()
    with TruthLog(options.log, fsync=options.fsync) as log:
        service = _Service(Provider(script), log, connections, ends=options.ends, encrypted=context is not None)
        try:
            server = await loop.create_server(
                lambda: _Connection(service), options.host, options.port, ssl=context, backlog=_BACKLOG
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise FakeAddressError(host=options.host, port=options.port, reason=reason) from error
        try:
            host, port = server.sockets[0].getsockname()[:2]
            named = f"[{host}]" if ":" in host else host
            yield f"{'http' if context is None else 'https'}://{named}:{port}/v1"
        finally:
            server.close()
            for connection in list(connections):
                connection.abort()
            await asyncio.sleep(0)


def _tls_context(options: FakeOptions) -> ssl.SSLContext | None:
    if options.tls_certificate is None and options.tls_key is None:
        return None
    if options.tls_certificate is None or options.tls_key is None:
        raise FakeTlsError(reason="one needs the other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_certificate, options.tls_key, password="")
    except (OSError, ValueError) as error:
        raise FakeTlsError(reason=str(error)) from error
    return context


class _Service:
    """What all connections share."""

    def __init__(
        self, provider: Provider, log: TruthLog, connections: set[_Connection], *, ends: bool, encrypted: bool
    ) -> None:
        self.provider = provider
        self.log = log
        self.connections = connections
        self.ends = ends
        self.encrypted = encrypted
        self.received = 0

    def entry(self, request: Request, answer: Answer) -> dict[str, Any]:
        """The line of the truth log for a request; its values are written as JSON by orjson, objects and times too."""
        self.received += 1
        return {
            "event": "request",
            "number": self.received,
            "at": datetime.now(UTC),
            "call_id": request.headers.get(CALL_ID_HEADER),
            "method": request.method,
            "path": request.path,
            "model": request.model,
            "stream": request.streams,
            "request_bytes": len(request.body),
            "rule": answer.rule,
            "fault": answer.fault,
            "status": answer.status,
            "usage": answer.usage,
            "cost_nusd": answer.cost_nusd,
        }


class _Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other, in their order."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser = httptools.HttpRequestParser(self)
        self._is_new = True
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._playing: asyncio.Task[None] | None = None
        self._writable: asyncio.Event | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._service.connections.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._service.connections.discard(self)
        self._waiting.clear()
        if self._writable is not None:
            self._writable.set()
        if self._playing is not None:
            self._playing.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_new:
            self._is_new = False
            if data[0] == _TLS_HANDSHAKE and not self._service.encrypted:
                self._transport.write(_TLS_REFUSAL)
                self._transport.close()
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(_BAD_REQUEST)
            self._transport.close()

    @override
    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    @override
    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def on_message_begin(self) -> None:
        """Called by the parser, as the next ones are."""
        self._url, self._headers, self._parts, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """All headers are there."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            self._parts = []
            self._transport.write(_TOO_LARGE)
            self._transport.close()
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        path, _, query = self._url.decode("latin-1").partition("?")
        request = addressed(
            Request(
                method=self._parser.get_method().decode("ascii"),
                path=unquote(path) if "%" in path else path,
                headers=self._headers,
                body=body,
                json=_object(self._headers.get("content-type", ""), body),
                query=query,
            )
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._playing is None:
            self._go_on()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def _go_on(self) -> None:
        """Answer what waits; the usual answer is one write without a task of its own."""
        while self._waiting and not self._transport.is_closing():
            request, keep_alive = self._waiting.popleft()
            answer = self._service.provider.answer(request)
            first = answer.steps[0]
            is_simple = len(answer.steps) == 1 and isinstance(first, Send) and first.count == 1
            if self._service.log.is_synced or self._service.ends or not is_simple or self._writable is not None:
                self._playing = asyncio.create_task(
                    self._play(request, answer, keep_alive=keep_alive), name="skep-fake-answer"
                )
                return
            try:
                self._service.log.write(self._service.entry(request, answer))
            except TruthLogError:
                self._transport.abort()
                return
            self._transport.write(cast("Send", first).data)
            if not keep_alive:
                self._transport.close()

    async def _play(self, request: Request, answer: Answer, *, keep_alive: bool) -> None:
        entry = self._service.entry(request, answer)
        is_whole = False
        try:
            if self._service.log.is_synced:
                await self._service.log.write_durably(entry)
            else:
                self._service.log.write(entry)
            await self._play_steps(answer)
            is_whole = True
        except TruthLogError:
            # Never answered unrecorded: whoever reads the log must be able to rely on it.
            self._transport.abort()
        finally:
            if self._service.ends:
                self._note_end(entry, whole=is_whole)
        if not keep_alive:
            self._transport.close()
        self._playing = None
        self._go_on()

    def _note_end(self, entry: dict[str, Any], *, whole: bool) -> None:
        end = {"event": "end", "at": datetime.now(UTC), "whole": whole}
        with contextlib.suppress(TruthLogError):
            self._service.log.write({**end, "number": entry["number"], "call_id": entry["call_id"]})

    async def _play_steps(self, answer: Answer) -> None:
        for step in answer.steps:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Send):
                await self._send(step)
            else:
                await self._end(step)

    async def _send(self, step: Send) -> None:
        for _ in range(step.count):
            self._transport.write(step.data)
            if self._writable is not None:
                await self._writable.wait()

    async def _end(self, step: End) -> None:
        if step.how == "hang":
            # Until the client gives up, which cancels this task.
            await asyncio.get_running_loop().create_future()
        if step.how == "reset":
            held = self._transport.get_extra_info("socket")
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        self._transport.close()


def _object(content_type: str, body: bytes) -> dict[str, Any] | None:
    if not body:
        return None
    form = form_object(content_type, body) if content_type.startswith("multipart/") else None
    if form is not None:
        return form
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
