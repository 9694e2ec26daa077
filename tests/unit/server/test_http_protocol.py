"""Whole answers in one write, by uvicorn's own protocol on a transport that is looked at."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from typing_extensions import override
from uvicorn.server import ServerState

from skep.server.gate import header_lines
from skep.server.http_protocol import WHOLE, HttpProtocol


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    @override
    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    @override
    def close(self) -> None:
        self.is_closed = True

    @override
    def is_closing(self) -> bool:
        return self.is_closed

    @override
    def pause_reading(self) -> None: ...

    @override
    def resume_reading(self) -> None: ...


async def answered(request: bytes, body: bytes = b"hello", *, times: int = 1) -> Transport:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        for _ in range(times):
            await scope["extensions"][WHOLE]["send"](200, b"content-length: %d\r\n" % len(body), body)
        assert (await receive())["type"] == "http.disconnect"

    config = uvicorn.Config(cast("Any", application), log_config=None)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    protocol, transport = HttpProtocol(config, state, {}), Transport()
    protocol.connection_made(transport)
    protocol.data_received(request)
    for _ in range(10):
        await asyncio.sleep(0)
    if protocol.timeout_keep_alive_task is not None:
        protocol.timeout_keep_alive_task.cancel()
    return transport


async def test_an_answer_is_one_write() -> None:
    transport = await answered(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert transport.written == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 5\r\n\r\nhello"]
    assert not transport.is_closed


async def test_a_client_that_wants_no_more_is_told_and_let_go() -> None:
    transport = await answered(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b"\r\nconnection: close\r\n\r\nhello" in transport.written[0]
    assert transport.is_closed


async def test_a_long_body_is_not_copied() -> None:
    transport = await answered(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"x" * 100_000)
    assert [len(part) for part in transport.written[1:]] == [100_000]


async def test_the_head_of_an_answer_has_no_body() -> None:
    transport = await answered(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert transport.written[0].endswith(b"content-length: 5\r\n\r\n")


async def test_requests_in_a_row_are_answered_in_order() -> None:
    transport = await answered(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
    assert b"".join(transport.written).count(b"hello") == 3


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
def test_a_header_is_one_line(value: bytes) -> None:
    with pytest.raises(ValueError, match="end of a line"):
        header_lines([(b"x-a", b"1"), (b"x-b", value)])
    assert header_lines([(b"x-a", b"1")]) == b"x-a: 1\r\n"
