"""Load by streams: clients that read server-sent events, and look that each answer is whole.

Raw asyncio sockets, one connection for each stream. The time to the first token runs from the end of the request's write to
the first event; the connection is open by then.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

import orjson

from bench.gateway.programs import Target

_PATIENCE_SECONDS = 60.0
_LINE_BYTES = 2**20


@dataclass(slots=True)
class Streams:
    """What the clients saw."""

    first_ms: list[float] = field(default_factory=list)
    """Times to the first event."""
    whole: int = 0
    broken: int = 0
    """Streams that ended early, said something else, or not at all."""

    def share_whole(self) -> float:
        """The share of streams that came whole; 0 when there was none."""
        return self.whole / (self.whole + self.broken) if self.whole + self.broken else 0.0


async def stream_load(target: Target, expected: str, *, clients: int, seconds: float) -> Streams:
    """Clients in closed loops, begun one after the other within a second, each until the time is over at its stream's end."""
    seen = Streams()
    ends = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(_client(target, expected, number / clients, ends, seen), name=f"bench-stream-{number}")
    return seen


async def _client(target: Target, expected: str, delay_seconds: float, ends: float, seen: Streams) -> None:
    await asyncio.sleep(delay_seconds)
    turn = int(delay_seconds * len(target.headers))
    while time.monotonic() < ends:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                said, first_ms = await _one_stream(target, turn)
        except (OSError, EOFError, ValueError, TimeoutError):
            seen.broken += 1
            continue
        turn += 1
        if said == expected:
            seen.whole += 1
            seen.first_ms.append(first_ms)
        else:
            seen.broken += 1


async def _one_stream(target: Target, turn: int) -> tuple[str, float]:
    """What was said, and after how long it began. Raises OSError, EOFError, ValueError: not a whole stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=_LINE_BYTES)
    try:
        writer.write(request_of(target, turn))
        await writer.drain()
        began = time.perf_counter()
        first_ms, said = 0.0, []
        while (line := await reader.readuntil(b"\n")) != b"data: [DONE]\n":
            if not line.startswith(b"data: "):
                continue
            if not first_ms:
                first_ms = (time.perf_counter() - began) * 1000
            said.append(text_of(line))
        return "".join(said), first_ms
    finally:
        writer.close()


def request_of(target: Target, turn: int) -> bytes:
    """The request of a stream, with the headers whose turn it is."""
    asked = {
        "model": target.model,
        "stream": True,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "Tell."}],
    }
    body = json.dumps(asked)
    headers = {"host": f"127.0.0.1:{target.port}", "content-type": "application/json", "content-length": str(len(body))}
    headers |= target.headers[turn % len(target.headers)]
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def text_of(line: bytes) -> str:
    """The text in an event's line. Raises ValueError: not an event of a chat."""
    event = orjson.loads(line[6:])
    if "choices" not in event:
        raise ValueError(f"not an event of a chat: {line[:200]!r}")
    return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
