"""The HTTP client on real sockets: what it sends, what it keeps, what it closes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import pytest
from typing_extensions import override

from skep.gateway.connection import Connection
from skep.gateway.interfaces import AttemptFailedError
from skep.gateway.models import Provider
from skep.gateway.profiles import profiles_by_kind
from skep.gateway.upstream import HttpUpstream
from skep.settings import Secret

Play = Callable[["Peer", asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class Peer:
    """The other side of the sockets."""

    play: Play
    connections: int = 0
    ended: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sent: int = 0
    base_url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                self.asked.set()
                await self.play(self, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.ended += 1
        finally:
            writer.close()

    @cached_property
    def provider(self) -> Provider:
        return Provider(
            name="p",
            profile=profiles_by_kind()["openai_compatible"],
            base_url=self.base_url,
            api_key=Secret("sk"),
            headers=(("x-team", "red"),),
            connect_timeout_seconds=1.0,
        )


@asynccontextmanager
async def peer(play: Play) -> AsyncIterator[tuple[Peer, HttpUpstream]]:
    made = Peer(play)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base/v1"
    upstream = HttpUpstream(max_answer_bytes=1_000_000, agent="skep/test")
    try:
        yield made, upstream
    finally:
        await upstream.close()
        server.close()
        await asyncio.sleep(0.02)


def says(*parts: bytes) -> Play:
    async def play(_: Peer, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)

    return play


async def test_one_connection_after_the_other_and_what_is_sent() -> None:
    async with peer(says(OK)) as (made, upstream):
        headers = [(b"x-team", b"blue"), (b"x-one", b"1"), (b"user-agent", b"client")]
        for _ in range(3):
            answer = await upstream.fetch(made.provider, "/x", b'{"a":1}', headers, timeout_seconds=2)
            assert (answer.status, answer.body) == (200, b"{}")
        assert made.connections == 1
        head = made.heads[0].decode()
    assert head.startswith("POST /base/v1/x HTTP/1.1\r\n")
    assert made.bodies == [b'{"a":1}'] * 3
    assert head.count("x-team: red\r\n") == head.count("x-team") == 1
    for line in (
        "authorization: Bearer sk",
        "x-one: 1",
        "user-agent: client",
        "accept-encoding: identity",
        "content-length: 7",
    ):
        assert f"{line}\r\n" in head
    assert head.count("user-agent") == 1


async def test_a_silent_connection_is_looked_at_so_that_nobody_on_the_way_forgets_it() -> None:
    made: list[socket.socket] = []
    loop = asyncio.get_running_loop()

    class Looked(Connection):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(transport.get_extra_info("socket"))

    async with peer(says(OK)) as (other, _):
        port = int(other.base_url.split(":")[2].split("/")[0])
        transport, _ = await loop.create_connection(lambda: Looked(loop), "127.0.0.1", port)
        assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        wait, pause, looks = (
            made[0].getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        )
        assert wait + pause * looks < 350, "networks forget it sooner"
        transport.abort()


async def test_many_at_once_have_a_connection_each_and_give_it_back() -> None:
    async with peer(says(OK)) as (made, upstream):
        calls = [upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=2) for _ in range(10)]
        await asyncio.gather(*calls)
        assert made.connections == 10
        await upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=2)
        assert made.connections == 10


@pytest.mark.parametrize("kind", ["fetch", "stream"])
async def test_giving_up_ends_the_connection_at_once(kind: str) -> None:
    async def hang(_: Peer, __: asyncio.StreamWriter) -> None:
        return

    async with peer(hang) as (made, upstream):
        method = getattr(upstream, kind)
        task = asyncio.create_task(method(made.provider, "/x", b"", (), timeout_seconds=30))
        await made.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert made.ended == 1


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "body", "connections"),
    [
        ([CHUNKED, b"2\r\nab\r\n", b"3\r\ncde\r\n", b"0\r\n\r\n"], b"abcde", 1),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b"{}", 1),
        ([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK], b"{}", 1),
        ([OK[:20], OK[20:90], OK[90:]], b"{}", 1),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab"], b"ab", 2),
        ([OK + b"more than was asked for"], b"{}", 2),
    ],
    ids=["chunks", "interim", "hints", "pieces", "close", "too much"],
)
async def test_ways_to_answer(parts: list[bytes], body: bytes, connections: int) -> None:
    async with peer(says(*parts)) as (made, upstream):
        for _ in range(2):
            assert (await upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=2)).body == body
            await asyncio.sleep(0.03)
        assert made.connections == connections


async def test_an_answer_that_ends_with_its_connection() -> None:
    async def play(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nabc")
        await writer.drain()
        raise ConnectionResetError

    async with peer(play) as (made, upstream):
        assert (await upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=2)).body == b"abc"


async def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    async def play(_: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        raise ConnectionResetError

    async with peer(play) as (made, upstream):
        for number in range(3):
            await upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=2)
            await asyncio.sleep(0.05)
            assert made.connections == number + 1


async def test_what_is_not_read_is_not_taken() -> None:
    async def play(made: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()
            made.sent += 100_000

    async with peer(play) as (made, upstream):
        stream = await upstream.stream(made.provider, "/x", b"", (), timeout_seconds=2)
        await asyncio.sleep(0.3)
        before = made.sent
        await asyncio.sleep(0.2)
        assert made.sent == before < 20_000_000
        read = 0
        while read < before + 1_000_000:
            read += len(await stream.read(2))
        assert made.sent > before
        await stream.close()
        await asyncio.sleep(0.05)
        assert made.ended == 1


async def test_a_stream_that_pauses_for_too_long() -> None:
    async with peer(says(CHUNKED, b"2\r\nab\r\n")) as (made, upstream):
        stream = await upstream.stream(made.provider, "/x", b"", (), timeout_seconds=2)
        assert await stream.read(1) == b"ab"
        with pytest.raises(AttemptFailedError) as caught:
            await stream.read(0.05)
        assert caught.value.failure.kind == "timeout"
        await stream.close()


async def test_a_stream_read_to_its_end_leaves_its_connection() -> None:
    async with peer(says(CHUNKED + b"2\r\nab\r\n0\r\n\r\n")) as (made, upstream):
        for _ in range(2):
            stream = await upstream.stream(made.provider, "/x", b"", (), timeout_seconds=2)
            assert await stream.read(1) == b"ab"
            assert await stream.read(1) == b""
            await stream.close()
        assert made.connections == 1


async def test_a_probe_says_the_status() -> None:
    async with peer(says(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")) as (made, upstream):
        assert await upstream.probe(made.provider, "/models", timeout_seconds=2) == 404
        assert made.heads[0].startswith(b"GET /base/v1/models HTTP/1.1\r\n")


async def test_a_connection_whose_request_was_answered_before_it_was_read_is_not_used_again() -> None:
    connections = 0
    done = asyncio.Event()

    async def answer_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(answer_at_once, "127.0.0.1", 0, limit=1024)
    async with peer(says(OK)) as (made, upstream):
        made.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for count in (1, 2):
            answer = await upstream.fetch(made.provider, "/x", b"x" * 30_000_000, (), timeout_seconds=2)
            assert (answer.status, connections) == (200, count)
        done.set()
    server.close()
    await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "rest",
    [
        b"2\r\n{}\r\n0\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(300)) + b"\r\n",
        b"2\r\n{}\r\n0\r\nx-long: " + b"y" * 1_000_000,
        b"2;" + b"e" * 1_000_000,
    ],
    ids=["many trailers", "a long trailer", "a long extension of a chunk"],
)
async def test_what_stands_after_and_between_chunks_is_bounded(rest: bytes) -> None:
    async with peer(says(CHUNKED, *(rest[at : at + 50_000] for at in range(0, len(rest), 50_000)))) as (made, upstream):
        with pytest.raises(AttemptFailedError) as caught:
            await upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=5)
        assert caught.value.failure.kind == "malformed"


async def test_trailers_are_no_headers() -> None:
    async with peer(says(CHUNKED + b"2\r\n{}\r\n0\r\nx-late: 1\r\n\r\n")) as (made, upstream):
        answer = await upstream.fetch(made.provider, "/x", b"", (), timeout_seconds=2)
        assert answer.body == b"{}"
        assert "x-late" not in [name for name, _ in answer.headers]
