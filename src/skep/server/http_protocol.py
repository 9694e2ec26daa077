"""uvicorn's HTTP protocol, with shorter ways for what is there as a whole: an answer leaves in one write, a body is taken at once.

uvicorn writes the head and the body of an answer one after the other (two system calls of about 10 µs each), and looks at every
header with two regular expressions. `WHOLE` among a request's extensions has a function ``send`` that takes both, put together by the gate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from skep.web import BREAK, WHOLE_BODY

WHOLE: Final = "skep.whole_answer"
"""The extension's name in the scope."""

SendWhole = Callable[[int, bytes, bytes], Awaitable[None]]
"""Sends a status, lines of headers (each with its end, ``content-length`` among them), and the body."""

_JOINED_BYTES = 65_536
"""A longer body is not copied behind its head."""


class HttpProtocol(HttpToolsProtocol):
    """See the module."""

    @override
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cycle = self.cycle
        # Where the connection was given to a WebSocket, there is no cycle (None, whatever its type says), or an older one.
        if getattr(cycle, "scope", None) is self.scope:
            self.scope["extensions"] = {
                WHOLE: {"send": partial(_send_whole, cycle)},
                WHOLE_BODY: partial(_take_body, cycle),
                BREAK: partial(_break, cycle),
            }


def _take_body(cycle: RequestResponseCycle) -> bytes | None:
    """What `RequestResponseCycle.receive` would give, if it is the whole body and came already."""
    if cycle.more_body or cycle.disconnected or cycle.response_complete or cycle.waiting_for_100_continue:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()
    cycle.flow.resume_reading()
    return body


def _break(cycle: RequestResponseCycle) -> None:
    """Close the connection, though the answer is not at its end. What was sent before still leaves."""
    cycle.disconnected = True
    cycle.transport.close()


async def _send_whole(cycle: RequestResponseCycle, status: int, lines: bytes, body: bytes) -> None:
    """What `RequestResponseCycle.send` does for the start and the only part of an answer, in one go."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    if cycle.response_started:
        raise RuntimeError("the answer has begun already")
    cycle.response_started = cycle.response_complete = True
    # They lead from the request back to itself, and would be left to the collector.
    cycle.scope.pop("extensions", None)
    cycle.waiting_for_100_continue = False
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (lines, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
    if cycle.scope["method"] == "HEAD":
        body = b""
    if len(body) <= _JOINED_BYTES:
        parts.append(body)
        cycle.transport.write(b"".join(parts))
    else:
        cycle.transport.write(b"".join(parts))
        cycle.transport.write(body)
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
