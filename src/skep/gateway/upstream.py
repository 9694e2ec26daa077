"""Sends requests to providers through pyreqwest: TLS, pooling and waiting happen in Rust, beside the event loop.

The one place that knows that library; its exceptions become `AttemptFailedError` here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ConnectError,
    ConnectTimeoutError,
    DecodeError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from skep.gateway.failures import Failure, Kind
from skep.gateway.headers import header
from skep.gateway.interfaces import Answer, AttemptFailedError, Stream
from skep.gateway.models import Provider
from skep.gateway.packing import Unpacker, UnpackError

_AHEAD_BYTES = 65_536
"""So much of a whole answer is read before we are woken: nearly all answers are shorter, and take one turn of the loop."""

_IDLE_CONNECTION_SECONDS = 50.0
"""Shorter than the minute after which providers' balancers usually close, so that we and not they do."""


@dataclass(slots=True)
class WholeAnswer:
    """An answer that was read to its end."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class PyreqwestUpstream:
    """See `Upstream`. ``max_answer_bytes`` bounds what is held of one answer."""

    def __init__(self, *, max_answer_bytes: int, agent: str) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._agent = agent
        self._clients: dict[str, Client] = {}

    async def fetch(
        self,
        provider: Provider,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        *,
        timeout_seconds: float,
    ) -> Answer:
        """See `Upstream`."""
        builder = self._client(provider).post(provider.base_url + path)
        if headers:
            builder.headers(headers)
        has_begun = False
        try:
            request = builder.body_bytes(body).streamed_read_buffer_limit(_AHEAD_BYTES).build_streamed()
            # The library's own timeout says of a request that was sent, too, that no connection could be made.
            async with asyncio.timeout(timeout_seconds):
                response = await request.__aenter__()
                has_begun = True
                return await self._whole(request, response)
        except (PyreqwestError, TimeoutError, UnpackError) as error:
            raise AttemptFailedError(_failure(error, has_begun=has_begun, cut_off="malformed")) from error

    async def stream(
        self,
        provider: Provider,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        *,
        timeout_seconds: float,
    ) -> Stream:
        """See `Upstream`."""
        builder = self._client(provider).post(provider.base_url + path)
        if headers:
            builder.headers(headers)
        try:
            # 0: nothing is read ahead, and each piece is handed on as it comes.
            request = builder.body_bytes(body).streamed_read_buffer_limit(0).build_streamed()
            async with asyncio.timeout(timeout_seconds):
                response = await request.__aenter__()
            return OpenStream(request, response, self._max_answer_bytes)
        except (PyreqwestError, TimeoutError, UnpackError) as error:
            raise AttemptFailedError(_failure(error, has_begun=False, cut_off="malformed")) from error

    async def probe(self, provider: Provider, path: str, *, timeout_seconds: float) -> int:
        """See `Upstream`."""
        builder = self._client(provider).get(provider.base_url + path)
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                builder.streamed_read_buffer_limit(0).build_streamed() as response,
            ):
                return response.status
        except (PyreqwestError, TimeoutError) as error:
            raise AttemptFailedError(_failure(error, has_begun=False, cut_off="malformed")) from error

    async def close(self) -> None:
        """See `Upstream`."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def _whole(self, request: StreamRequest, response: Response) -> WholeAnswer:
        headers = _headers(response)
        length = header(headers, "content-length")
        unpacker = _unpacker(headers, self._max_answer_bytes)
        if unpacker is None and length.isdecimal() and int(length) <= _AHEAD_BYTES:
            # It is all there already, so nothing has to be closed either: each turn through the library takes 10 µs.
            return WholeAnswer(response.status, headers, bytes(await response.bytes()))
        try:
            parts: list[bytes] = []
            size = 0
            while (piece := await response.body_reader.read_chunk()) is not None:
                part = bytes(piece) if unpacker is None else unpacker.feed(bytes(piece))
                size += len(part)
                if size > self._max_answer_bytes:
                    raise UnpackError(f"it is longer than {self._max_answer_bytes} bytes")
                parts.append(part)
            if unpacker is not None and not unpacker.is_whole:
                raise UnpackError("it is cut off")
        finally:
            await asyncio.shield(_close(request))
        return WholeAnswer(response.status, headers, parts[0] if len(parts) == 1 else b"".join(parts))

    def _client(self, provider: Provider) -> Client:
        client = self._clients.get(provider.name)
        if client is None:
            client = self._clients[provider.name] = self._make_client(provider)
        return client

    def _make_client(self, provider: Provider) -> Client:
        headers = {"accept-encoding": "identity", "content-type": "application/json", **dict(provider.headers)}
        if provider.api_key is not None:
            profile = provider.profile
            headers[profile.key_header] = profile.key_prefix + provider.api_key.reveal()
        # An answer that sends us elsewhere would take the key along; and it is never what an API means.
        return (
            ClientBuilder()
            .gzip(enable=False)
            .brotli(enable=False)
            .zstd(enable=False)
            .deflate(enable=False)
            .no_proxy()
            .follow_redirects(enable=False)
            .referer(enable=False)
            .user_agent(self._agent)
            .default_headers(headers)
            .connect_timeout(timedelta(seconds=provider.connect_timeout_seconds))
            .pool_idle_timeout(timedelta(seconds=_IDLE_CONNECTION_SECONDS))
            .tcp_nodelay(enabled=True)
            .build()
        )


class OpenStream:
    """An answer that is read piece by piece."""

    def __init__(self, request: StreamRequest, response: Response, max_piece_bytes: int) -> None:
        """Raises UnpackError when it is packed in a way nobody asked for."""
        self.status = response.status
        self.headers: Sequence[tuple[str, str]] = _headers(response)
        self._request = request
        self._reader = response.body_reader
        self._unpacker = _unpacker(self.headers, max_piece_bytes)
        self._is_open = True

    async def read(self, timeout_seconds: float) -> bytes:
        """See `Stream`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while (piece := await self._reader.read_chunk()) is not None:
                    part = bytes(piece) if self._unpacker is None else self._unpacker.feed(bytes(piece))
                    if part:
                        return part
        except (PyreqwestError, TimeoutError, UnpackError) as error:
            raise AttemptFailedError(_failure(error, has_begun=True, cut_off="interrupted")) from error
        return b""

    async def close(self) -> None:
        """See `Stream`."""
        if self._is_open:
            self._is_open = False
            await _close(self._request)


async def _close(request: StreamRequest) -> None:
    await request.__aexit__(None, None, None)


def _headers(response: Response) -> list[tuple[str, str]]:
    """The headers, names in lower case, without those that are no ASCII text."""
    headers = response.headers
    try:
        return list(headers.items())
    except ValueError:
        found = []
        for name in headers:
            with suppress(ValueError):
                found += [(name, value) for value in headers.getall(name)]
        return found


def _unpacker(headers: Sequence[tuple[str, str]], max_bytes: int) -> Unpacker | None:
    for name, value in headers:
        if name == "content-encoding" and value.lower() != "identity":
            return Unpacker(value, max_bytes=max_bytes)
    return None


def _failure(error: Exception, *, has_begun: bool, cut_off: Kind) -> Failure:
    """What an exception means. ``cut_off`` is for a connection that broke after the answer had begun."""
    if isinstance(error, UnpackError):
        return Failure("malformed", f"its answer cannot be read: {error}")
    if isinstance(error, ConnectTimeoutError):
        return Failure("unreachable", "no connection could be made in time", has_left=False)
    cause = _cause(error)
    if isinstance(error, ConnectError):
        # The library says so too of a connection that was there, and was closed instead of answered.
        has_left = "closed before" in cause or "reset" in cause
        what = "the connection was closed before it answered" if has_left else f"no connection could be made: {cause}"
        return Failure("unreachable", what, has_left=has_left)
    if isinstance(error, RequestTimeoutError | TimeoutError):
        return Failure(
            "timeout", "it stopped in the middle of its answer" if has_begun else "it did not answer in time"
        )
    if isinstance(error, BuilderError):
        return Failure("client_error", f"the request cannot be sent: {cause}", has_left=False)
    if has_begun or isinstance(error, DecodeError):
        return Failure(cut_off, f"its answer broke off: {cause}")
    return Failure("malformed", f"it gave no answer that can be read: {cause}")


def _cause(error: Exception) -> str:
    """The innermost reason; the outer ones repeat the address."""
    details = getattr(error, "details", None)
    causes = details.get("causes") if isinstance(details, dict) else None
    last = causes[-1] if causes else None
    text = last.get("message") if isinstance(last, dict) else last
    return str(text or getattr(error, "message", error))[:200]
