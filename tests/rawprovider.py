"""A provider that answers byte by byte as it is told, faults included: raw sockets, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Part = bytes | float
"""Bytes to send, or seconds to wait."""

Script = Callable[[], Iterable[Part]]

_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
_IN_ADDRESS = re.compile(r"/models/([^:/]+):")


def _model_of(path: str, body: bytes) -> str:
    """The model that a request asks for, in its address or in its body; empty: none."""
    named = _IN_ADDRESS.search(path)
    if named is not None:
        return named[1]
    found = _MODEL.search(body)
    return found[1].decode() if found else ""


@dataclass
class Seen:
    """One request that came."""

    path: str
    head: bytes
    body: bytes
    sent_bytes: int = 0
    was_broken_off: threading.Event = field(default_factory=threading.Event)
    """Set when the client closed before everything was sent."""


class RawProvider:
    """Answers a request by the script of the model that it asks for."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts = dict(scripts)
        self.seen: list[Seen] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def last(self, model: str) -> Seen:
        """The last request for a model."""
        return next(seen for seen in reversed(self.seen) if _model_of(seen.path, seen.body) == model)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                    body = await reader.readexactly(int(length[1]) if length else 0)
                    seen = Seen(head.split(b" ")[1].decode(), head, body)
                    self.seen.append(seen)
                    if not await self._play(seen, _model_of(seen.path, body), reader, writer):
                        break
        finally:
            # Also when it is cancelled: a socket left to the collector is told in whichever test comes then.
            writer.close()

    async def _play(self, seen: Seen, model: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send what the script says; True when the connection can be used again."""
        gone = asyncio.ensure_future(reader.read(1))
        try:
            for part in self.scripts[model]():
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                    seen.sent_bytes += len(part)
                elif (await asyncio.wait([gone], timeout=part))[0]:
                    raise ConnectionResetError
        except ConnectionError:
            seen.was_broken_off.set()
            return False
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await gone
        return False


@contextmanager
def raw_provider(scripts: Mapping[str, Script]) -> Iterator[RawProvider]:
    """A provider on a port of its own, until the block ends."""
    provider = RawProvider(scripts)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(provider.serve, "127.0.0.1", 0, limit=1 << 26))
    provider.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="raw-provider", daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        # Connections that are closed tell their sockets in the next turns of the loop.
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def answer(body: bytes, *, status: int = 200, content_type: str = "application/json", more: str = "") -> bytes:
    """A whole answer after which the connection is closed."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
    return head.encode() + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    """A piece of a stream, as HTTP frames it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
