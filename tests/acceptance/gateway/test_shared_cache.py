"""Answers that all processes share through a real Redis: one call of the provider for all, and no harm when it dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.gateway.test_answer_cache import MANY, SCRIPT, SETTINGS, Server, words
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.redis_server import RedisServer, redis_server
from tests.scripted import scripted


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer
) -> Iterator[tuple[Server, Server, RedisServer]]:
    """Two installations with databases of their own, one provider, one Redis."""
    folder: Path = tmp_path_factory.mktemp("shared")
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        redis_server(folder / "redis") as redis,
        scratch_server.database() as one,
        scratch_server.database() as another,
    ):
        # Databases of tests are copies of one.
        with psycopg.connect(another, autocommit=True) as connection:
            connection.execute("update installation set identity = gen_random_uuid()")
        settings = folder / "skep.yaml"
        settings.write_text(SETTINGS.format(url=provider.url) + f"cache: {{redis_url: '{redis.url}'}}\n")
        skeps = [Command(folder / name, folder, url) for name, url in (("one", one), ("another", another))]
        keys = [skep("key", "create", "--name", "ci", "--json").answer["key"] for skep in skeps]
        with server(skeps[0], settings, workers=2) as first, server(skeps[1], settings, workers=1) as second:
            two = Server(first, keys[0], provider, skeps[0], stores=1)
            yield two, Server(second, keys[1], provider, skeps[1], stores=1), redis


def test_the_provider_is_asked_once_for_all_processes(shared: tuple[Server, Server, RedisServer]) -> None:
    two, _, _ = shared
    before = two.asked()
    said = words()
    answers = [two.ask("kept", said) for _ in range(MANY)]
    found = [answer.headers["x-skep-cache"] for answer in answers]
    assert (found, two.asked() - before) == (["miss", *["hit"] * (MANY - 1)], 1)
    assert len({answer.content for answer in answers}) == 1


def test_installations_on_one_redis_share_nothing(shared: tuple[Server, Server, RedisServer]) -> None:
    two, other, _ = shared
    said = words()
    two.warm(said)
    # Their projects have the same numbers.
    assert other.ask("kept", said).headers["x-skep-cache"] == "miss"


def test_clearing_is_known_everywhere(shared: tuple[Server, Server, RedisServer]) -> None:
    two, other, _ = shared
    said = words()
    two.warm(said, x_skep_cache_tags="docs")
    other.warm(said, x_skep_cache_tags="docs")
    two.clear(tags=["docs"])
    time.sleep(1)
    misses, _ = two.asks(said, x_skep_cache_tags="docs")
    assert len(misses) == 1
    assert other.ask("kept", said, x_skep_cache_tags="docs").headers["x-skep-cache"] == "hit"


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_calls_go_on_without_it_and_it_is_used_again(
    shared: tuple[Server, Server, RedisServer], how: signal.Signals
) -> None:
    two, _, redis = shared
    said = words()
    two.warm(said)
    redis.signal(how)
    began = time.monotonic()
    assert {two.ask("kept", said).status_code for _ in range(MANY)} == {200}
    assert time.monotonic() - began < 10
    if how == signal.SIGKILL:
        redis.start()
    else:
        redis.signal(signal.SIGCONT)
    # Each process leaves it alone for some seconds.
    until = time.monotonic() + 20
    while {two.ask("kept", said).headers["x-skep-cache"] for _ in range(MANY)} != {"hit"}:
        assert time.monotonic() < until
        time.sleep(0.2)
