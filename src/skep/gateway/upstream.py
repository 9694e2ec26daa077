"""Sends requests to providers: a pool of connections for each, timeouts, bounded answers. See `connection` for why it is ours."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from skep.gateway.addresses import public_address
from skep.gateway.connection import AnswerMalformedError, Connection, ConnectionBrokenError
from skep.gateway.deadlines import Deadlines
from skep.gateway.failures import Failure
from skep.gateway.headers import header
from skep.gateway.interfaces import Answer, AttemptFailedError, CancelledUnsentError, Stream
from skep.gateway.models import Provider
from skep.gateway.packing import Unpacker, UnpackError

_IDLE_SECONDS = 50.0
"""Shorter than the minute after which providers' balancers usually close, so that we and not they do."""

_MOST_IDLE = 256
_FAILURES = (ConnectionBrokenError, AnswerMalformedError, UnpackError, TimeoutError)

Headers = Sequence[tuple[bytes, bytes]]


class _ConnectFailedError(Exception):
    """No connection could be made."""


@dataclass(slots=True)
class WholeAnswer:
    """An answer that was read to its end."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class _Pool:
    """The connections to one provider, and what all requests to it begin with."""

    provider: Provider
    host: str
    port: int
    tls: ssl.SSLContext | None
    base_path: bytes
    fixed: bytes
    """Header lines of every request."""
    fixed_names: frozenset[bytes]
    usual_type: bytes
    """The line of the content type that a request has unless it says another; empty: only what it says."""
    idle: deque[Connection] = field(default_factory=deque)
    is_retired: bool = False
    """The settings do not name its provider any more."""

    def head(self, method: bytes, path: str, headers: Headers, length: int) -> bytes:
        """A request up to its body."""
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in self.fixed_names])
        if self.usual_type and b"\r\ncontent-type: " not in b"\r\n" + lines:
            lines += self.usual_type
        return b"%b %b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (
            method,
            self.base_path,
            path.encode(),
            self.fixed,
            lines,
            length,
        )


class HttpUpstream:
    """See `Upstream`. ``max_answer_bytes`` bounds what is held of one answer; ``agent`` is our name where a client gives none."""

    def __init__(self, *, max_answer_bytes: int, agent: str) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._agent = agent.encode("ascii")
        self._pools: dict[int, _Pool] = {}
        """By the identity of the provider, which the pool keeps alive: names stay when what is behind them changes."""
        self.deadlines = Deadlines()

    async def fetch(
        self, provider: Provider, path: str, body: bytes, headers: Headers, *, timeout_seconds: float
    ) -> Answer:
        """See `Upstream`."""
        pool = self._pool(provider)
        connection: Connection | None = None
        try:
            connection = self._taken(pool, timeout_seconds) or await self._made(pool, timeout_seconds)
            await connection.request(self._head(pool, b"POST", path, headers, len(body)), body)
            answer = self._whole_at_once(connection) or await self._whole(connection)
        except asyncio.CancelledError as error:
            if connection is None:
                raise CancelledUnsentError from error
            raise
        except _ConnectFailedError as error:
            raise AttemptFailedError(Failure("unreachable", str(error), has_left=False)) from error
        except _FAILURES as error:
            raise AttemptFailedError(_failure(error, connection)) from error
        finally:
            if connection is not None:
                self._put(pool, connection)
        return answer

    async def stream(
        self,
        provider: Provider,
        path: str,
        body: bytes,
        headers: Headers,
        *,
        timeout_seconds: float,
        method: str = "POST",
    ) -> Stream:
        """See `Upstream`."""
        pool = self._pool(provider)
        connection: Connection | None = None
        is_open = False
        try:
            connection = self._taken(pool, timeout_seconds) or await self._made(pool, timeout_seconds)
            await connection.request(self._head(pool, method.encode("ascii"), path, headers, len(body)), body)
            self.deadlines.discard(connection)
            opened = OpenStream(self, pool, connection, self._max_answer_bytes)
            is_open = True
        except asyncio.CancelledError as error:
            if connection is None:
                raise CancelledUnsentError from error
            raise
        except _ConnectFailedError as error:
            raise AttemptFailedError(Failure("unreachable", str(error), has_left=False)) from error
        except _FAILURES as error:
            raise AttemptFailedError(_failure(error, connection)) from error
        finally:
            if connection is not None and not is_open:
                self._drop(connection)
        return opened

    async def probe(self, provider: Provider, path: str, *, timeout_seconds: float) -> int:
        """See `Upstream`."""
        pool = self._pool(provider)
        connection: Connection | None = None
        try:
            connection = self._taken(pool, timeout_seconds) or await self._made(pool, timeout_seconds)
            await connection.request(self._head(pool, b"GET", path, provider.profile.default_headers, 0), b"")
            return connection.status
        except _ConnectFailedError as error:
            raise AttemptFailedError(Failure("unreachable", str(error), has_left=False)) from error
        except _FAILURES as error:
            raise AttemptFailedError(_failure(error, connection)) from error
        finally:
            if connection is not None:
                self._drop(connection)

    def retire(self, providers: Collection[Provider], max_answer_bytes: int) -> None:
        """See `Upstream`."""
        self._max_answer_bytes = max_answer_bytes
        pools, self._pools = self._pools.values(), {}
        for pool in pools:
            same = next((provider for provider in providers if provider == pool.provider), None)
            if same is not None:
                pool.provider = same
                self._pools[id(same)] = pool
                continue
            pool.is_retired = True
            while pool.idle:
                pool.idle.pop().close()

    async def close(self) -> None:
        """See `Upstream`."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            for connection in pool.idle:
                connection.close()
        # The transports tell their protocols in the next turn of the loop.
        await asyncio.sleep(0)

    def _put(self, pool: _Pool, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        self.deadlines.discard(connection)
        if pool.is_retired:
            connection.close()
        elif connection.release():
            pool.idle.append(connection)
            if len(pool.idle) > _MOST_IDLE:
                pool.idle.popleft().close()

    def _drop(self, connection: Connection) -> None:
        self.deadlines.discard(connection)
        connection.close()

    async def _made(self, pool: _Pool, timeout_seconds: float) -> Connection:
        """A new connection for one request, which ends by itself when the time is over."""
        until = time.monotonic() + timeout_seconds
        async with asyncio.timeout(timeout_seconds):
            connection = await self._connect(pool)
        self.deadlines.add(connection, until)
        return connection

    def _taken(self, pool: _Pool, timeout_seconds: float) -> Connection | None:
        """The same of the connections that are open: the one used last, if it is still good, so that others may grow old enough to be closed."""
        now, idle = time.monotonic(), pool.idle
        while idle and idle[0].idle_since < now - _IDLE_SECONDS:
            idle.popleft().close()
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                self.deadlines.add(connection, now + timeout_seconds)
                return connection
            connection.close()
        return None

    async def _connect(self, pool: _Pool) -> Connection:
        loop = asyncio.get_running_loop()
        limit = pool.provider.connect_timeout_seconds
        timeout = asyncio.timeout(limit)
        try:
            async with timeout:
                allowed = pool.provider.allows_private
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    pool.host if allowed else await public_address(pool.host, pool.port),
                    pool.port,
                    ssl=pool.tls,
                    server_hostname=pool.host if pool.tls is not None else None,
                )
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise _ConnectFailedError(f"no connection could be made in {limit:g} s") from error
        except ssl.SSLError as error:
            raise _ConnectFailedError(f"no secure connection could be made: {error.reason or error}") from error
        except OSError as error:
            raise _ConnectFailedError(f"no connection could be made: {error.strerror or error}") from error
        return connection

    def _whole_at_once(self, connection: Connection) -> WholeAnswer | None:
        """The answer, if it came with its head and as it is; else None."""
        headers = connection.headers
        if connection.waiting_bytes > self._max_answer_bytes or header(headers, "content-encoding"):
            return None
        body = connection.take_all()
        return None if body is None else WholeAnswer(connection.status, headers, body)

    async def _whole(self, connection: Connection) -> WholeAnswer:
        headers = connection.headers
        unpacker = _unpacker(headers, self._max_answer_bytes)
        parts: list[bytes] = []
        size = 0
        piece = await connection.read()
        while piece:
            part = piece if unpacker is None else unpacker.feed(piece)
            size += len(part)
            if size > self._max_answer_bytes:
                raise UnpackError(f"it is longer than {self._max_answer_bytes} bytes")
            parts.append(part)
            piece = await connection.read()
        if unpacker is not None and not unpacker.is_whole:
            raise UnpackError("it is cut off")
        return WholeAnswer(connection.status, headers, b"".join(parts))

    def _head(self, pool: _Pool, method: bytes, path: str, headers: Headers, length: int) -> bytes:
        if not any(name == b"user-agent" for name, _ in headers):
            headers = (*headers, (b"user-agent", self._agent))
        return pool.head(method, path, headers, length)

    def _pool(self, provider: Provider) -> _Pool:
        pool = self._pools.get(id(provider))
        if pool is None:
            pool = self._pools[id(provider)] = _make_pool(provider)
        return pool


class OpenStream:
    """An answer that is read piece by piece."""

    def __init__(self, upstream: HttpUpstream, pool: _Pool, connection: Connection, max_piece_bytes: int) -> None:
        """Raises UnpackError when it is packed in a way nobody asked for."""
        self.status = connection.status
        self.headers: Sequence[tuple[str, str]] = connection.headers
        self._upstream = upstream
        self._pool = pool
        self._connection = connection
        self._unpacker = _unpacker(self.headers, max_piece_bytes)
        self._is_open = True

    async def read(self, timeout_seconds: float) -> bytes:
        """See `Stream`."""
        deadlines = self._upstream.deadlines
        deadlines.add(self._connection, time.monotonic() + timeout_seconds)
        try:
            while piece := await self._connection.read():
                part = piece if self._unpacker is None else self._unpacker.feed(piece)
                if part:
                    return part
            if self._unpacker is not None and not self._unpacker.is_whole:
                raise UnpackError("it is cut off")
        except _FAILURES as error:
            raise AttemptFailedError(_failure(error, self._connection, is_stream=True)) from error
        finally:
            deadlines.discard(self._connection)
        return b""

    async def close(self) -> None:
        """See `Stream`."""
        if self._is_open:
            self._is_open = False
            self._upstream._put(self._pool, self._connection)  # noqa: SLF001 -- the two are one thing


def _make_pool(provider: Provider) -> _Pool:
    parts = urlsplit(provider.base_url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    headers = {
        "host": parts.netloc,
        "accept-encoding": "identity",
        "connection": "keep-alive",
        **dict(provider.headers),
    }
    usual = None if "content-type" in headers else provider.profile.content_type
    if provider.api_key is not None:
        profile = provider.profile
        headers[profile.key_header] = profile.key_prefix + provider.api_key.reveal()
    return _Pool(
        provider=provider,
        host=host,
        port=parts.port or (443 if secure else 80),
        tls=ssl.create_default_context() if secure else None,
        base_path=parts.path.encode("ascii", "ignore"),
        fixed="".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1"),
        fixed_names=frozenset(name.encode("ascii") for name in headers),
        usual_type=b"" if usual is None else b"content-type: %b\r\n" % usual.encode("latin-1"),
    )


def _unpacker(headers: Sequence[tuple[str, str]], max_bytes: int) -> Unpacker | None:
    encoding = header(headers, "content-encoding")
    return Unpacker(encoding, max_bytes=max_bytes) if encoding and encoding.lower() != "identity" else None


def _failure(error: Exception, connection: Connection | None, *, is_stream: bool = False) -> Failure:
    """What an exception of the sending or the reading means."""
    if isinstance(error, TimeoutError):
        has_begun = is_stream or (connection is not None and connection.status > 0)
        reason = "it stopped in the middle of its answer" if has_begun else "it did not answer in time"
        return Failure("timeout", reason, has_left=connection is not None)
    if isinstance(error, ConnectionBrokenError):
        if is_stream:
            return Failure("interrupted", f"its answer broke off: {error}")
        if error.has_begun:
            return Failure("malformed", f"its answer broke off: {error}")
        return Failure("unreachable", f"the connection ended before it answered: {error}")
    return Failure("malformed", f"its answer cannot be read: {error}")
