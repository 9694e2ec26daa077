"""Large bodies: what is found at their top level is what a whole reader finds, and nobody is kept waiting meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.gateway import Gateway, GatewayConfig, GatewayOptions, ModelNotFoundError, RequestInvalidError, large_bodies
from skep.gateway.bodies import Bodies
from skep.gateway.interfaces import BodiesFullError, BodyTimeoutError
from skep.gateway.large_bodies import BodyUnreadableError, is_quick, read_top_level
from skep.gateway.profiles import Face
from skep.gateway.requests import adapted, read_request
from skep.gateway.splicing import DuplicateKeyError, NestedTooDeepError
from skep.spend import MemoryMeter
from skep.web import WHOLE_BODY, BodyTooLargeError, Notes
from tests.unit.gateway.test_charging import WHO, HandUpstream
from tests.unit.gateway.test_splicing import KEYS, written

CHAT: Face = "chat.completions"
MOST = GatewayOptions().max_body_bytes


@pytest.fixture(params=[1, 7, 1000], ids=lambda size: f"pieces of {size}")
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "_PIECE_BYTES", request.param)


@pytest.mark.usefixtures("_pieces")
@settings(max_examples=60)
@given(written(), st.booleans())
def test_what_is_found_is_what_a_whole_reader_finds(made: tuple[bytes, dict[str, Any]], cuts: bool) -> None:
    body, values = made
    found = read_top_level(body, KEYS)
    assert found.values == values
    for key, span in found.spans.items():
        assert json.loads(body[span.start : span.end]) == values[key]
    if cuts:
        with pytest.raises(BodyUnreadableError):
            read_top_level(body.rstrip()[:-1], KEYS)


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[]",
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":}',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a"::1}',
        b'{"a":1:2}',
        b'{"a",1}',
        b'{"a":1} x',
        b'{"a":1}{}',
        b'{"a":1}]',
        b'{"a":1]',
        b"{1:2}",
        b'{"a":1 2}',
        b"{'a':1}",
        b'{"a":1/*"*/}',
        b'{"a":NaN}',
        b'{"a":"\n"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc3"}',
        b'{"a":"\\"}',
        b'{"a":"x',
        b'{"a":[[1]}',
    ],
)
def test_what_is_no_object_is_told(body: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body) if body != b"[]" else orjson.loads(b"")
    with pytest.raises(BodyUnreadableError):
        read_top_level(body, KEYS)


@pytest.mark.usefixtures("_pieces")
def test_keys_said_twice_and_too_deep() -> None:
    with pytest.raises(DuplicateKeyError):
        read_top_level(b'{"model":"a","x":{"model":1},"mod\\u0065l":"b"}', KEYS)
    assert read_top_level(b'{"x":1,"x":2}', KEYS).values == {"x": 2}
    with pytest.raises(NestedTooDeepError):
        read_top_level(b'{"x":' + b"[" * 1001 + b"]" * 1001 + b"}", KEYS)


def test_of_many_keys_not_all_are_read() -> None:
    with pytest.raises(BodyUnreadableError, match="1000 keys"):
        read_top_level(b"{" + b",".join(b'"%d":1' % number for number in range(1001)) + b"}", KEYS)


LONG = 1_500_000


def large(**values: object) -> bytes:
    body = orjson.dumps({"messages": [{"role": "user", "content": "x" * LONG}], "model": "smart", **values})
    assert not is_quick(body)
    return body


def test_a_large_request_is_known_and_changed_as_a_small_one() -> None:
    sent = large(max_tokens=7, n=2, stream=True, user="ann", x={"model": "deeper"})
    known = read_request(CHAT, sent)
    assert (known.model, known.output_tokens, known.choices, known.user, known.stream) == ("smart", 14, 2, "ann", True)
    assert known.input_tokens_at_most == len(sent)
    changed = adapted(known, model="gpt-x", include_usage=True, cap_fields=("max_tokens",), cap=None)
    assert orjson.loads(changed) == orjson.loads(sent) | {
        "model": "gpt-x",
        "stream_options": {"include_usage": True},
    }
    prompts = orjson.dumps({"model": "smart", "prompt": ["a,b" * 100_000] * 5, "max_tokens": 3})
    assert read_request("completions", prompts).output_tokens == 15
    assert read_request("completions", orjson.dumps({"model": "m", "prompt": [7] * LONG, "max_tokens": 3})).choices == 1


@pytest.mark.parametrize("key", ["model", "user", "stream", "n", "max_tokens", "stream_options"])
def test_what_we_go_by_is_never_large(key: str) -> None:
    with pytest.raises(RequestInvalidError) as caught:
        read_request(CHAT, orjson.dumps({"model": "m", "stream": True, key: ["x" * LONG]}))
    assert caught.value.fields["param"] == key


def filled(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


SHAPES: dict[str, Callable[[int], bytes]] = {
    "a picture": lambda size: b'"' + b"x" * size + b'"',
    "numbers": lambda size: b"[" + filled(b"1,", size) + b"1]",
    "lists": lambda size: b"[" + filled(b"[],", size) + b"[]]",
    "objects": lambda size: b"[" + filled(b"{},", size) + b"{}]",
    "keys": lambda size: b"[{" + filled(b'"":0,', size) + b'"":0}]',
    "texts": lambda size: b"[" + filled(b'"",', size) + b'""]',
    "quotes": lambda size: b'"' + filled(b'\\"', size) + b'"',
    "backslashes": lambda size: b'"' + filled(b"\\\\", size) + b'"',
    "escapes": lambda size: b'"' + filled(b"\\u006d", size) + b'"',
    "umlauts": lambda size: b'"' + filled("\u00e9".encode(), size) + b'"',
}
SIZES = [large_bodies.QUICK_BYTES - 200, large_bodies.MIDDLING_BYTES - 200, MOST - 200]


class Longest:
    """How long the event loop was held up, by its own work or by another thread that kept Python's lock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.001)
            self.seconds = max(self.seconds, time.monotonic() - began)


async def longest_seconds(gateway: Gateway, body: bytes) -> float:
    """What one call of a model that does not exist holds up."""
    longest = Longest()
    watching = asyncio.create_task(longest.watch())
    await asyncio.sleep(0.01)
    scope: dict[str, Any] = {"headers": [], "client": None}
    with pytest.raises(ModelNotFoundError):
        await gateway.call(CHAT, WHO, scope, told(body), _nowhere, Notes())
    await asyncio.sleep(0)
    watching.cancel()
    return longest.seconds


ATTEMPTS = 15
"""Of so many one must be quick: other programs hold this one up, too, but not each time."""


@pytest.mark.serial
@pytest.mark.parametrize("shape", SHAPES)
async def test_no_body_keeps_the_others_waiting(shape: str) -> None:
    large_bodies.prepare()
    async with MemoryMeter() as meter:
        gateway = Gateway(GatewayConfig(providers={}, models={}), meter, HandUpstream([]), GatewayOptions())
        for size in SIZES:
            body = b'{"messages":' + SHAPES[shape](size) + b',"x":{"model":1},"model":"nobody"}'
            gc.collect()
            taken: list[float] = []
            while len(taken) < ATTEMPTS and min(taken, default=1.0) >= 0.05:
                taken.append(await longest_seconds(gateway, body))
            assert min(taken) < 0.05, (size, taken)
        assert gateway._bodies.held_bytes == 0
        await gateway.close()


async def _nowhere(_: Any) -> None:
    return


def told(*parts: bytes, ends: bool = True) -> Callable[[], Any]:
    """A client that sends these and then, perhaps, nothing more."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    return receive


A_REQUEST: dict[str, Any] = {"type": "http", "headers": []}


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    bodies = Bodies(100, 1000, 0.05)
    for parts in ((), (b"a",)):
        with pytest.raises(BodyTimeoutError) as caught:
            await bodies.read(A_REQUEST, told(*parts, ends=False))
        assert caught.value.http_status == 408
    assert bodies.held_bytes == 0


async def test_bodies_together_hold_so_much_and_no_more() -> None:
    bodies = Bodies(100, 250, 5.0)
    first, second = (
        await bodies.read(A_REQUEST, told(b"x" * 100)),
        await bodies.read(A_REQUEST, told(b"x" * 50, b"x" * 50)),
    )
    with pytest.raises(BodiesFullError):
        await bodies.read(A_REQUEST, told(b"x" * 40, b"x" * 40, ends=False))
    assert bodies.held_bytes == 200
    bodies.leave(len(first))
    bodies.leave(len(second))
    assert await bodies.read(A_REQUEST, told(b"x")) == b"x"
    assert bodies.held_bytes == 1


async def test_a_body_that_was_taken_at_once_counts_like_any_other() -> None:
    bodies = Bodies(100, 150, 5.0)

    def request(body: bytes | None) -> dict[str, Any]:
        return {**A_REQUEST, "extensions": {WHOLE_BODY: lambda: body}}

    async def never() -> dict[str, Any]:
        raise AssertionError("it is there")

    assert await bodies.read(request(b"x" * 100), never) == b"x" * 100
    with pytest.raises(BodiesFullError):
        await bodies.read(request(b"x" * 60), never)
    with pytest.raises(BodyTooLargeError):
        await bodies.read(request(b"x" * 101), never)
    assert bodies.held_bytes == 100
    assert await bodies.read(request(None), told(b"y")) == b"y"
    bodies.leave(101)
    assert bodies.held_bytes == 0
