"""From an answer's content to what happens on the connection, faults included. All pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus

from skep.fakes import wire
from skep.fakes.faults import FAULTS
from skep.fakes.models import End, Fault, Pause, Send, Step

_BLOCK = b" " * 2**20
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is put on the connection. Names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    events: tuple[bytes, ...] | None = None
    """Of a stream, with the one that ends it; None when the answer is a body."""
    error_event: Callable[[str], bytes] = wire.error_event
    """An error in its stream, with these words."""

    @property
    def payload(self) -> bytes:
        """All that is sent after the head, in one piece."""
        return self.body if self.events is None else b"".join(self.events)


def compose(
    reply: Reply, fault: Fault | None, latency_seconds: float, events_per_second: float | None
) -> tuple[Step, ...]:
    """What happens on the connection, one step after the other. Neighbouring bytes are one step."""
    pace = None if events_per_second is None else 1 / events_per_second
    if fault is None:
        steps = _whole(reply, pace)
    else:
        kind = FAULTS[fault.kind]
        numbers = {name: fault.numbers.get(name, number.default) for name, number in kind.numbers.items()}
        steps = _FAULTY[fault.kind](reply, numbers, pace)
    return tuple(_merged([*([Pause(latency_seconds)] if latency_seconds else []), *steps]))


def compressed(reply: Reply) -> Reply:
    """The answer as gzip; each event of a stream can be unpacked as it comes."""
    packer = zlib.compressobj(wbits=31)
    headers = (*reply.headers, ("content-encoding", "gzip"))
    if reply.events is None:
        return replace(reply, headers=headers, body=packer.compress(reply.body) + packer.flush())
    packed = [packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH) for one in reply.events]
    return replace(reply, headers=headers, events=(*packed, packer.flush()))


def head_of(reply: Reply, length: int | None) -> bytes:
    """Status line and headers. None: the body comes in chunks."""
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in reply.headers)]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _whole(reply: Reply, pace: float | None) -> list[Step]:
    if reply.events is None:
        return [Send(head_of(reply, len(reply.body)) + reply.body)]
    return [Send(head_of(reply, None)), *_chunks(reply.events, pace), Send(_LAST_CHUNK)]


def _chunks(events: Sequence[bytes], pace: float | None) -> list[Step]:
    steps: list[Step] = []
    for index, one in enumerate(events):
        if pace is not None and index:
            steps.append(Pause(pace))
        steps.append(Send(_chunk(one)))
    return steps


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _merged(steps: Sequence[Step]) -> Iterator[Step]:
    waiting: list[bytes] = []
    for step in steps:
        if isinstance(step, Send) and step.count == 1:
            waiting.append(step.data)
            continue
        if waiting:
            yield Send(b"".join(waiting))
            waiting = []
        yield step
    if waiting:
        yield Send(b"".join(waiting))


Numbers = Mapping[str, int]
Faulty = Callable[[Reply, Numbers, "float | None"], list[Step]]


def _instead(*steps: Step) -> Faulty:
    return lambda _, __, ___: list(steps)


def _in_body(end: End) -> Faulty:
    def play(reply: Reply, numbers: Numbers, _: float | None) -> list[Step]:
        part = reply.payload[: numbers["after_bytes"]]
        if reply.events is None:
            return [Send(head_of(reply, len(reply.body)) + part), end]
        return [Send(head_of(reply, None)), Send(_chunk(part) if part else b""), end]

    return play


def _in_stream(end: End) -> Faulty:
    def play(reply: Reply, numbers: Numbers, pace: float | None) -> list[Step]:
        if reply.events is None:
            return _whole(reply, pace)
        return [Send(head_of(reply, None)), *_chunks(reply.events[: numbers["after_events"]], pace), end]

    return play


def _no_done(reply: Reply, _: Numbers, pace: float | None) -> list[Step]:
    kept = None if reply.events is None else reply.events[:-1]
    return _whole(replace(reply, events=kept), pace)


def _error_in_stream(reply: Reply, numbers: Numbers, pace: float | None) -> list[Step]:
    if reply.events is None:
        return _whole(reply, pace)
    words = "The server had an error while processing your request. Sorry about that!"
    events = (*reply.events[: numbers["after_events"]], reply.error_event(words))
    return _whole(replace(reply, events=events), pace)


def _malformed_event(reply: Reply, numbers: Numbers, pace: float | None) -> list[Step]:
    if reply.events is None:
        return _whole(reply, pace)
    after = numbers["after_events"]
    events = (*reply.events[:after], b'data: {"id": "chatcmpl-\n\n', *reply.events[after:])
    return _whole(replace(reply, events=events), pace)


def _wrong_length(reply: Reply, numbers: Numbers, _: float | None) -> list[Step]:
    payload = reply.payload
    return [Send(head_of(reply, max(0, len(payload) + numbers["by_bytes"])) + payload), End("close")]


def _truncated_json(reply: Reply, _: Numbers, pace: float | None) -> list[Step]:
    return _whole(replace(reply, body=reply.body[: len(reply.body) // 2]), pace)


def _wrong_content_type(reply: Reply, _: Numbers, pace: float | None) -> list[Step]:
    headers = (
        *((name, value) for name, value in reply.headers if name != "content-type"),
        ("content-type", "text/html"),
    )
    return _whole(Reply(reply.status, headers, _HTML), pace)


def _header_flood(reply: Reply, numbers: Numbers, pace: float | None) -> list[Step]:
    flood = tuple((f"x-flood-{index}", "f" * numbers["bytes"]) for index in range(numbers["count"]))
    return _whole(replace(reply, headers=reply.headers + flood), pace)


def _huge_body(reply: Reply, numbers: Numbers, pace: float | None) -> list[Step]:
    """Spaces come first: JSON may begin with them, and in a stream they are a line that means nothing."""
    count = -(-numbers["bytes"] // len(_BLOCK))
    size = count * len(_BLOCK)
    if reply.events is None:
        return [Send(head_of(reply, size + len(reply.body))), Send(_BLOCK, count), Send(reply.body)]
    begin = Send(head_of(reply, None) + b"%x\r\n" % (size + 2))
    return [begin, Send(_BLOCK, count), Send(b"\n\n\r\n"), *_chunks(reply.events, pace), Send(_LAST_CHUNK)]


def _gzip_bomb(reply: Reply, numbers: Numbers, _: float | None) -> list[Step]:
    """As `_huge_body`. One block is compressed so that it refers to nothing before it, and repeated."""
    count = -(-numbers["bytes"] // len(_BLOCK))
    rest = reply.body if reply.events is None else b"\n\n" + reply.payload
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    size = count * len(_BLOCK) + len(rest)
    trailer = zlib.crc32(rest, _crc_of_blocks(count)).to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    tail = packer.compress(rest) + packer.flush() + trailer
    # RFC 1952: magic, deflate, no flags, no time, best compression, unknown system.
    magic = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    reply = replace(reply, headers=(*reply.headers, ("content-encoding", "gzip")))
    length = len(magic) + len(block) * count + len(tail)
    return [Send(head_of(reply, length) + magic), Send(block, count), Send(tail)]


@lru_cache(maxsize=8)
def _crc_of_blocks(count: int) -> int:
    crc = 0
    for _ in range(count):
        crc = zlib.crc32(_BLOCK, crc)
    return crc


_FAULTY: Mapping[str, Faulty] = {
    "hang": _instead(End("hang")),
    "hang_in_body": _in_body(End("hang")),
    "hang_in_stream": _in_stream(End("hang")),
    "close": _instead(End("close")),
    "close_in_body": _in_body(End("close")),
    "close_in_stream": _in_stream(End("close")),
    "reset": _instead(End("reset")),
    "reset_in_body": _in_body(End("reset")),
    "reset_in_stream": _in_stream(End("reset")),
    "no_done": _no_done,
    "error_in_stream": _error_in_stream,
    "malformed_event": _malformed_event,
    "wrong_length": _wrong_length,
    "truncated_json": _truncated_json,
    "wrong_content_type": _wrong_content_type,
    "not_http": _instead(Send(b"\x00\x01\x02 this is no HTTP\r\n\r\n"), End("close")),
    "header_flood": _header_flood,
    "huge_body": _huge_body,
    "gzip_bomb": _gzip_bomb,
}

WITHOUT_CONTENT = frozenset({"hang", "close", "reset", "not_http", "wrong_content_type"})
"""Faults after which nothing is charged: no content was sent."""
