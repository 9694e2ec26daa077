"""Whole answers in one write, by uvicorn's own protocol on a transport that is looked at."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override
from uvicorn.server import ServerState

from skep.server.gate import header_lines
from skep.server.http_protocol import WHOLE, HttpProtocol
from skep.web import WHOLE_BODY


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
    """An application that takes the body as a message, answers, and waits for the client to go away."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        for _ in range(times):
            await scope["extensions"][WHOLE]["send"](200, b"content-length: %d\r\n" % len(body), body)
        assert (await receive())["type"] == "http.disconnect"

    return (await served(application, request))[0]


async def served(application: ASGIApp, *parts: bytes) -> tuple[Transport, HttpProtocol]:
    """What is written when a request comes in these parts."""
    config = uvicorn.Config(cast("Any", application), log_config=None)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    protocol, transport = HttpProtocol(config, state, {}), Transport()
    protocol.connection_made(transport)
    for part in parts:
        protocol.data_received(part)
        for _ in range(10):
            await asyncio.sleep(0)
    if protocol.timeout_keep_alive_task is not None:
        protocol.timeout_keep_alive_task.cancel()
    return transport, protocol


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


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n"


@pytest.mark.parametrize(
    ("parts", "taken", "received"),
    [
        ([HEAD + b"\r\nabcdef"], b"abcdef", []),
        ([HEAD + b"\r\nabc", b"def"], None, [b"abc", b"def"]),
        ([HEAD + b"expect: 100-continue\r\n\r\n", b"abcdef"], None, [b"abcdef"]),
        ([b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"], b"", []),
    ],
    ids=["at once", "in parts", "asks first", "none"],
)
async def test_a_body_that_is_there_is_taken_at_once(
    parts: list[bytes], taken: bytes | None, received: list[bytes]
) -> None:
    found: list[object] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope["extensions"][WHOLE_BODY]())
        more = found[0] is None
        while more:
            message = await receive()
            found.append(message["body"])
            more = message["more_body"]
        await scope["extensions"][WHOLE]["send"](200, b"content-length: 0\r\n", b"")

    transport, _ = await served(application, *parts)
    assert [part for part in found[1:] if part] == received
    assert found[0] == taken
    assert transport.written[-1].startswith(b"HTTP/1.1 200 OK")


async def test_who_took_the_body_hears_of_a_client_that_goes_away_and_of_nothing_else() -> None:
    heard: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"][WHOLE_BODY]() == b"abcdef"
        heard.append((await receive())["type"])
        assert scope["extensions"][WHOLE_BODY]() is None

    _, protocol = await served(application, HEAD + b"\r\nabcdef")
    assert heard == []
    protocol.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert heard == ["http.disconnect"]


async def test_what_was_made_for_a_request_goes_without_the_collector() -> None:
    kept: list[weakref.ref[object]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(weakref.ref(cast("Any", send).__self__))
        await scope["extensions"][WHOLE]["send"](200, b"content-length: 0\r\n", b"")

    gc.disable()
    try:
        _, protocol = await served(application, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        assert [one() is None for one in kept] == [True, False], "the last one belongs to the connection"
        assert protocol.cycle is kept[-1]()
    finally:
        gc.enable()
