"""Kept answers in a Redis that both machines use: what one clears the other forgets, and a Redis that falls silent harms no call."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.machines.conftest import SETTINGS, Two, a_call
from tests.serving import eventually
from tests.site import REDIS_URL, Site, redis_on

pytestmark = pytest.mark.full

LOST_SECONDS = 2.0
"""What a call may lose to a Redis that says nothing: half a second, on a busy machine."""


@pytest.fixture(scope="module")
def two(network: Site) -> Iterator[Two]:
    """As elsewhere, with a Redis on a machine of its own."""
    settings = SETTINGS + f"cache: {{{{redis_url: '{REDIS_URL}'}}}}\n"
    with redis_on(network.network, network.folder), network.installation(settings) as made:
        first, second = made.hosts
        with first.up() as one:
            second.skep.data.mkdir()
            shutil.copy2(first.skep.data / "admin.key", second.skep.data)
            with second.up() as other:
                yield Two(made, one, other, len(made.provider.truth()))


def ask(client: httpx.Client, words: str) -> str:
    """What became of a call."""
    began = time.monotonic()
    answer = client.post("/v1/chat/completions", json=a_call("kept", words), headers={"x-skep-cache-tags": "docs"})
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < LOST_SECONDS
    return str(answer.headers["x-skep-cache"])


def test_one_answer_for_both_until_it_is_cleared(two: Two) -> None:
    key = two.make_key("shared-cache")
    with two.one.client(key) as one, two.other.client(key) as other, two.other.client(two.admin_key) as administrator:
        assert [ask(one, "once"), ask(other, "once"), ask(one, "once")] == ["miss", "hit", "hit"]
        assert administrator.post("/api/v1/gateway/cache/clear", json={"tags": ["docs"]}).status_code == 200
        until = time.monotonic() + 1.0
        while ask(one, "once") == "hit":
            assert time.monotonic() < until, "it is still given"


def test_calls_go_on_while_it_says_nothing_and_it_is_used_again(two: Two) -> None:
    key = two.make_key("silent-cache")
    cache = two.site.network.machines[2]
    with two.one.client(key) as one, two.other.client(key) as other:
        with eventually() as waits:
            # What was cleared just now may not be known to both yet.
            while (ask(one, "silence"), ask(other, "silence")) != ("hit", "hit"):
                assert waits()
        cache.fall_silent()
        assert [ask(client, "silence") for client in (one, other) * 4] == ["miss"] * 8
        cache.speak()
        with eventually(30) as waits:
            while (ask(one, "silence"), ask(other, "silence")) != ("hit", "hit"):
                assert waits()
