"""Answers in a real Redis: kept, shared, too old, and what happens when it is away or hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from skep.gateway.caching import entries
from skep.gateway.caching.entries import Entry
from skep.gateway.caching.interfaces import CacheAddressError
from skep.gateway.caching.redis_store import RedisStore
from skep.gateway.caching.wordings import Put
from tests.redis_server import RedisServer, redis_server

ENTRY = Entry(
    body=b"\x00\xff body",
    last=b"last",
    is_stream=True,
    content_type=b"text/event-stream",
    provider="p",
    model_used="m",
    cost_nusd=7,
    stored_at=5.0,
    epochs={"*": 3, "tag:a": 0},
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as found:
        yield found


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    found = RedisStore(server.url, away_seconds=1.0)
    yield found
    await found.close()


async def test_what_one_keeps_another_finds(server: RedisServer, store: RedisStore) -> None:
    other = RedisStore(server.url)
    assert await other.find(b"k" * 32) is None
    await store.keep(b"k" * 32, ENTRY, 60)
    assert await other.find(b"k" * 32) == ENTRY
    assert await other.find(b"l" * 32) is None
    await other.close()


async def test_how_a_question_was_put_is_shared_and_no_answer(server: RedisServer, store: RedisStore) -> None:
    put = Put(b"a" * 32, "What is it?", "call")
    other = RedisStore(server.url)
    assert await other.find_put(b"k" * 32) is None
    await store.keep_put(b"k" * 32, put, 60)
    assert await other.find_put(b"k" * 32) == put
    assert await other.find(b"k" * 32) is None
    # What a client of Redis mixed up is nobody's.
    with redis.Redis.from_url(server.url) as raw:
        raw.set(b"skep:question:" + b"l" * 32, raw.get(b"skep:question:" + b"k" * 32) or b"")
    assert await other.find_put(b"l" * 32) is None
    await other.close()


async def test_it_is_gone_after_its_seconds(store: RedisStore) -> None:
    await store.keep(b"k", ENTRY, 1)
    assert await store.find(b"k") == ENTRY
    await asyncio.sleep(1.2)
    assert await store.find(b"k") is None


@pytest.mark.parametrize("data", [b"", b"nonsense", entries.packed(b"other", ENTRY), b"9999\n{}"])
async def test_what_is_no_entry_of_this_key_is_not_there(server: RedisServer, store: RedisStore, data: bytes) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set(b"skep:answer:k", data)
    assert await store.find(b"k") is None
    await store.keep(b"k", ENTRY, 60)
    assert await store.find(b"k") == ENTRY


async def test_a_hundred_at_once_get_their_own(store: RedisStore) -> None:
    async def both(number: int) -> bool:
        key, entry = b"%d" % number, replace(ENTRY, body=b"%d" % number)
        await store.keep(key, entry, 60)
        found = await store.find(key)
        # Under this load one may come too late; what comes is one's own.
        return found is None or found.body == b"%d" % number

    assert all(await asyncio.gather(*[both(number) for number in range(100)]))


async def test_given_up_questions_leave_nothing_for_the_next(store: RedisStore) -> None:
    await store.keep(b"a", ENTRY, 60)
    other = replace(ENTRY, body=b"other")
    await store.keep(b"b", other, 60)
    for turns in range(40):
        asking = asyncio.create_task(store.find(b"a"))
        for _ in range(turns % 8):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert await store.find(b"b") == other


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_while_it_is_away_nothing_is_there_and_nobody_waits(
    server: RedisServer, store: RedisStore, how: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    await store.keep(b"k", ENTRY, 60)
    server.signal(how)
    began = time.monotonic()
    assert await store.find(b"k") is None
    assert time.monotonic() - began < 3
    began = time.monotonic()
    for _ in range(100):
        assert await store.find(b"k") is None
        await store.keep(b"k", ENTRY, 60)
    assert time.monotonic() - began < 0.5
    assert [record.message.split()[:2] for record in caplog.records].count(["the", "cache"]) == 1
    if how == signal.SIGKILL:
        server.start()
    else:
        server.signal(signal.SIGCONT)
    await asyncio.sleep(1.1)
    await store.keep(b"k", ENTRY, 60)
    assert await store.find(b"k") == ENTRY


def test_what_is_no_address() -> None:
    with pytest.raises(CacheAddressError, match="redis_url is not the address"):
        RedisStore("http://127.0.0.1:6379")
